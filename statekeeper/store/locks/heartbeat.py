"""A heartbeat: a thread that repeats one action at an interval, and does nothing else.

Decides when a beat is due, and when its owner counts as silent. The owner decides what a beat does, and what follows
from silence. The thread never logs, since a log that blocks would stop it. Ask `silence` instead, which touches no
file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from statekeeper.system_errors import start_thread

_TRIES_PER_INTERVAL = 4
"""After a beat that failed, the interval until the next is divided by this."""
_LAST_SECONDS = 5.0
"""How long `stop` and `ensure` wait for a beat that is under way."""


@dataclass(frozen=True)
class Silence:
    """Since when beats fail, and why. It `is_too_long` when others may consider the owner dead."""

    since: datetime
    seconds: float
    reason: str
    is_too_long: bool


class Heartbeat:
    """Calls `beat` every `every` seconds; after `timeout` seconds without success the silence is too long.

    `beat` raises OSError if it fails. Whatever it raises, the thread goes on trying until it is stopped.
    """

    def __init__(self, beat: Callable[[], None], *, every: float, timeout: float, name: str) -> None:
        self._beat = beat
        self._every = every
        self._timeout = timeout
        self._is_over = threading.Event()
        self._beating = threading.Lock()
        self._reason: str | None = None
        self._last = (time.monotonic(), datetime.now(UTC))
        """When the last successful beat began."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if the system allows no further thread."""
        start_thread(self._thread)

    def stop(self) -> bool:
        """Stop the thread; False if its last beat still hangs, in a file system that does not answer."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS)
        return not self._thread.is_alive()

    def between_beats(self) -> AbstractContextManager[object]:
        """No beat begins while the block runs, so that it can read what `beat` writes. The block must be short."""
        return self._beating

    def silence(self) -> Silence | None:
        """Since when and why beats fail; None while they succeed. A beat that hangs counts as failed, too."""
        began, at = self._last
        seconds = time.monotonic() - began
        reason = self._reason
        if reason is None:
            # A process that was stopped as a whole is not silent: it beats as soon as it continues.
            if seconds < 2 * self._every or not self._beating.locked():
                return None
            reason = "the file system does not answer"
        return Silence(at, seconds, reason, is_too_long=seconds >= self._timeout)

    def ensure(self) -> Silence | None:
        """Like `silence`, but if the last beat is too old, beat now in the calling thread. This may block."""
        if time.monotonic() - self._last[0] < self._timeout:
            return self.silence()
        if self._beating.acquire(timeout=_LAST_SECONDS):
            try:
                self._try()
            finally:
                self._beating.release()
        return self.silence()

    def _work(self) -> None:
        pause = self._every
        while not self._is_over.wait(pause):
            with self._beating:
                self._try()
            pause = self._every if self._reason is None else self._every / _TRIES_PER_INTERVAL

    def _try(self) -> None:
        began = (time.monotonic(), datetime.now(UTC))
        try:
            self._beat()
        except Exception as error:  # noqa: BLE001 - no error may end the thread, which then could not report it
            self._reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        else:
            self._last, self._reason = began, None
