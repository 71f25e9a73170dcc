"""How a worker learns that it should stop: the driver says so, or the driver is lost."""

from __future__ import annotations

import threading
import time
from enum import StrEnum

from statekeeper.engines.spark.exchange import Exchange


class WatchResult(StrEnum):
    """Whether a worker should go on."""

    GO_ON = "go on"
    STOPPED = "stopped"
    """The driver said to stop."""
    DRIVER_LOST = "driver lost"
    """The driver sent no heartbeat for too long, or its exchange is gone."""


class Watch:
    """Watches the exchange for a slot's worker. It reads files at most once in `every` seconds. Thread-safe.

    `heartbeat_timeout` (seconds, by this machine's own clock) is how long the pulse may stay unchanged.
    """

    def __init__(self, exchange: Exchange, *, slot: int, heartbeat_timeout: float, every: float) -> None:
        self._exchange = exchange
        self._slot = slot
        self._heartbeat_timeout = heartbeat_timeout
        self._every = every
        self._pulse: bytes | None = b""
        self._dropped: frozenset[int] = frozenset()
        self._heard_at = self._looked_at = float("-inf")
        self._result = WatchResult.GO_ON
        self._item: int | None = None
        self._looking = threading.Lock()

    def begin(self, item: int) -> WatchResult:
        """Make `item` the current item; returns whether it should be begun."""
        self._item = item
        return self.check()

    def check(self) -> WatchResult:
        """Whether the current item should go on."""
        with self._looking:
            now = time.monotonic()
            return self._current if now - self._looked_at < self._every else self._look(now)

    @property
    def is_over(self) -> bool:
        """Whether the whole slot should end, not only the current item."""
        self.check()
        return self._result is not WatchResult.GO_ON

    @property
    def _current(self) -> WatchResult:
        is_dropped = self._item in self._dropped
        return WatchResult.STOPPED if is_dropped and self._result is WatchResult.GO_ON else self._result

    def _look(self, now: float) -> WatchResult:
        self._looked_at = now
        if self._result is WatchResult.GO_ON:
            self._result = self._look_for_driver(now)
        return self._current

    def _look_for_driver(self, now: float) -> WatchResult:
        try:
            pulse = self._exchange.read_pulse()
            if pulse is None:
                return WatchResult.DRIVER_LOST
            if pulse != self._pulse and (sign := self._exchange.parse_sign(pulse)) is not None:
                self._pulse, self._heard_at, self._dropped = pulse, now, frozenset(sign.dropped)
                if sign.is_stopped or self._slot in sign.abandoned:
                    return WatchResult.STOPPED
        except OSError:  # a file system that keeps failing is treated like a driver without a heartbeat
            pass
        if self._heard_at == float("-inf"):
            self._heard_at = now
        return WatchResult.DRIVER_LOST if now - self._heard_at > self._heartbeat_timeout else WatchResult.GO_ON
