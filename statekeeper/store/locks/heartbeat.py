"""A sign of life, given again and again by a thread of its own that does nothing else.

Decides when a sign is due, and from when on its owner counts as silent. What a sign is, and what follows from silence,
is the owner's to decide. The thread never says anything itself, since a log that blocks would stop it: ask
`silence`, which touches no file.
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
"""After a sign that could not be given, the next is tried so much sooner."""
_LAST_SECONDS = 5.0
"""How long a sign that is being given is waited for."""


@dataclass(frozen=True)
class Silence:
    """Since when no sign could be given, and why. It `is_too_long` when others may take the owner for dead."""

    since: datetime
    seconds: float
    reason: str
    is_too_long: bool


class Heartbeat:
    """Calls `beat` every `every` seconds; after `patience` seconds without success the silence is too long.

    `beat` raises OSError where a sign cannot be given. The thread goes on trying until it is stopped: whatever `beat`
    raises, it never ends by itself.
    """

    def __init__(self, beat: Callable[[], None], *, every: float, patience: float, name: str) -> None:
        self._beat = beat
        self._every = every
        self._patience = patience
        self._is_over = threading.Event()
        self._beating = threading.Lock()
        self._reason: str | None = None
        self._last = (time.monotonic(), datetime.now(UTC))
        """When the last sign was begun that could be given."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin. Raises RuntimeError where the system allows no further thread."""
        start_thread(self._thread)

    def stop(self) -> bool:
        """Beat no more; False if the last sign is still being given, by a file system that does not answer."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS)
        return not self._thread.is_alive()

    def between_beats(self) -> AbstractContextManager[object]:
        """While the block runs no sign is given: for looking at what `beat` writes. It has to be short."""
        return self._beating

    def silence(self) -> Silence | None:
        """What is wrong; None while signs are given. One that hangs is wrong, too, and has no error to name."""
        began, at = self._last
        seconds = time.monotonic() - began
        reason = self._reason
        if reason is None:
            # A process that was stopped as a whole is not silent: it beats as soon as it goes on.
            if seconds < 2 * self._every or not self._beating.locked():
                return None
            reason = "the file system does not answer"
        return Silence(at, seconds, reason, is_too_long=seconds >= self._patience)

    def ensure(self) -> Silence | None:
        """Like `silence`, but where the last sign is too old another is given here and now, which may block."""
        if time.monotonic() - self._last[0] < self._patience:
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
        except Exception as error:  # noqa: BLE001 - a heart that ends by an error nobody has foreseen ends in silence
            self._reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        else:
            self._last, self._reason = began, None
