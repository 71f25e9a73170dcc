"""How a worker learns that it should end: it was told to, or nobody is there any more who waits for it."""

from __future__ import annotations

import threading
import time
from enum import StrEnum

from statekeeper.engines.spark.exchange import Exchange


class WatchResult(StrEnum):
    """Whether work goes on."""

    GO_ON = "go on"
    STOPPED = "stopped"
    """The driver said so."""
    DRIVER_LOST = "driver lost"
    """The driver gave no sign of life for too long, or its exchange is gone."""


class Watch:
    """The eye of a slot's worker on the exchange; it looks every so many seconds, however often, and from whichever
    thread, it is asked.

    `heartbeat_timeout` (seconds, by this machine's own clock) is how long the pulse may stand still.
    """

    def __init__(self, exchange: Exchange, *, slot: int, heartbeat_timeout: float, every: float) -> None:
        self._exchange = exchange
        self._slot = slot
        self._heartbeat_timeout = heartbeat_timeout
        self._every = every
        self._pulse: bytes | None = b""
        self._dropped: frozenset[int] = frozenset()
        self._heard_at = self._looked_at = float("-inf")
        self._verdict = WatchResult.GO_ON
        self._item: int | None = None
        self._looking = threading.Lock()

    def begin(self, item: int) -> WatchResult:
        """Whether an item is to be begun, and from now on whether it is to go on."""
        self._item = item
        return self.verdict()

    def verdict(self) -> WatchResult:
        """Whether the present item goes on."""
        with self._looking:
            now = time.monotonic()
            return self._current if now - self._looked_at < self._every else self._look(now)

    @property
    def is_over(self) -> bool:
        """Whether not only the present item ends, but everything."""
        self.verdict()
        return self._verdict is not WatchResult.GO_ON

    @property
    def _current(self) -> WatchResult:
        is_dropped = self._item in self._dropped
        return WatchResult.STOPPED if is_dropped and self._verdict is WatchResult.GO_ON else self._verdict

    def _look(self, now: float) -> WatchResult:
        self._looked_at = now
        if self._verdict is WatchResult.GO_ON:
            self._verdict = self._look_for_driver(now)
        return self._current

    def _look_for_driver(self, now: float) -> WatchResult:
        try:
            pulse = self._exchange.pulse()
            if pulse is None:
                return WatchResult.DRIVER_LOST
            if pulse != self._pulse and (sign := self._exchange.sign_in(pulse)) is not None:
                self._pulse, self._heard_at, self._dropped = pulse, now, frozenset(sign.dropped)
                if sign.is_stopped or self._slot in sign.abandoned:
                    return WatchResult.STOPPED
        except (
            OSError
        ):  # a file system with a moment of weakness; if it lasts, the heartbeat_timeout is as good as the driver's
            pass
        if self._heard_at == float("-inf"):
            self._heard_at = now
        return WatchResult.DRIVER_LOST if now - self._heard_at > self._heartbeat_timeout else WatchResult.GO_ON
