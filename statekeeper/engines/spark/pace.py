"""How often driver and workers look into the exchange, by what a look costs there.

On a disk of this machine a look costs nothing, and nobody should wait for it. On a mounted object store each is a
request or two that take long and cost money, and a file may be written only about once a second.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

_LOOKS_PER_ROUND_TRIP = 25
"""So many times what a round trip takes is waited between two looks."""
_QUICKEST, _SLOWEST = 0.05, 1.0
_SAMPLES = 3


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks for what is new, at first (`look`) and when there was nothing for long (`look_most`);
    between two looks of a worker whether it is to end (`watch`), two reports of rows (`report`), two signs of life
    (`beat`). What a slot has done is said at once where `is_quick`, else in one report with what follows.
    """

    look: float
    look_most: float
    watch: float
    report: float
    beat: float

    @classmethod
    def of(cls, round_trip: float) -> Self:
        """The pace where a round trip takes so many seconds: from a disk's to that of an object store."""
        look = min(_SLOWEST, max(_QUICKEST, _LOOKS_PER_ROUND_TRIP * round_trip))
        return cls(look=look, look_most=2 * look, watch=max(0.25, look), report=max(0.5, 5 * look),
                   beat=max(1.0, 4 * look))  # fmt: skip

    @property
    def answer(self) -> float:
        """How long it may take until a worker sees that its work is to stop, and the driver that it has."""
        return self.watch + self.look_most

    @property
    def is_quick(self) -> bool:
        return self.look < _SLOWEST / 2

    def within(self, heartbeat_timeout: float) -> Self:
        """The same, but no sign of life, or look for one, comes later than a fraction of
        `heartbeat_timeout`.
        """
        return type(self)(self.look, self.look_most, min(self.watch, heartbeat_timeout / 4), self.report,
                          min(self.beat, heartbeat_timeout / 4))  # fmt: skip


class Backoff:
    """The time of the next look: soon after something was done, later and later when nothing is."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._wait = pace.look
        self._last = float("-inf")

    def restart(self) -> None:
        """Look soon again, from now on."""
        self._wait = self._pace.look

    def is_due(self) -> bool:
        """Whether to look now; then the next look is later."""
        now = time.monotonic()
        if now - self._last < self._wait:
            return False
        self._last = now
        self._wait = min(self._pace.look_most, 1.5 * self._wait)
        return True


def round_trip(folder: Path) -> float:
    """Seconds that a file system takes to say that a file is not there: the least of some, as others may be at it."""
    taken = []
    for _ in range(_SAMPLES):
        nothing = folder / f"nothing-{uuid4().hex}"
        started = time.perf_counter()
        nothing.exists()
        taken.append(time.perf_counter() - started)
    return min(taken)
