"""How often driver and workers poll the exchange, depending on what a poll costs there.

On a local disk a poll costs almost nothing, so it is frequent and nobody waits long. In an object store, mounted or
not, each is a request or two that are slow and cost money, and a file may be written only about once a second.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from statekeeper.config.sections.stores import FILE, scheme_of

_ROUND_TRIPS_PER_POLL = 25
"""The time between two polls, in round trips."""
_QUICKEST, _SLOWEST = 0.05, 1.0
_SAMPLES = 3


@dataclass(frozen=True)
class Pace:
    """Intervals in seconds.

    Attributes:
        poll: between two polls for news, at first.
        max_poll: the same, after a long time without news.
        watch: between a worker's checks whether it should stop.
        report: between two reports of rows read.
        heartbeat: between two heartbeats of the driver.
    """

    poll: float
    max_poll: float
    watch: float
    report: float
    heartbeat: float

    @classmethod
    def of(cls, round_trip: float) -> Self:
        """The pace for a file system whose round trip takes so many seconds, from a local disk to an object store."""
        poll = min(_SLOWEST, max(_QUICKEST, _ROUND_TRIPS_PER_POLL * round_trip))
        return cls(poll=poll, max_poll=2 * poll, watch=max(0.25, poll), report=max(0.5, 5 * poll),
                   heartbeat=max(1.0, 4 * poll))  # fmt: skip

    @property
    def answer(self) -> float:
        """How long it may take until a worker sees that it should stop, and the driver sees that it has stopped."""
        return self.watch + self.max_poll

    @property
    def is_quick(self) -> bool:
        """Whether a slot reports each outcome at once; otherwise one report has several."""
        return self.poll < _SLOWEST / 2

    def within(self, heartbeat_timeout: float) -> Self:
        """The same, but heartbeats and checks for them come at least every quarter of `heartbeat_timeout`."""
        return type(self)(self.poll, self.max_poll, min(self.watch, heartbeat_timeout / 4), self.report,
                          min(self.heartbeat, heartbeat_timeout / 4))  # fmt: skip


class Backoff:
    """Decides when to poll next: soon after there was news, later and later while there is none."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._wait = pace.poll
        self._last = float("-inf")

    def restart(self) -> None:
        """Poll at the shortest interval again."""
        self._wait = self._pace.poll

    def is_due(self) -> bool:
        """Whether to poll now. If so, the interval until the next poll grows."""
        now = time.monotonic()
        if now - self._last < self._wait:
            return False
        self._last = now
        self._wait = min(self._pace.max_poll, 1.5 * self._wait)
        return True


def round_trip(folder: Path) -> float:
    """Seconds that a file system takes to report that a file does not exist: the minimum of several measurements.

    Of an object store, however near, it is as much as of the slowest, since each request is paid for.
    """
    if scheme_of(folder) != FILE:
        return _SLOWEST
    taken = []
    for _ in range(_SAMPLES):
        nothing = folder / f"nothing-{uuid4().hex}"
        started = time.perf_counter()
        nothing.exists()
        taken.append(time.perf_counter() - started)
    return min(taken)
