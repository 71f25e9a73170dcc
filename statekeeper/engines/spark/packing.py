"""Which waiting work goes to which partition of a Spark job ("seat"). Pure: it submits nothing.

A seat is given several pieces of work at once: a share of what waits, small enough that the seats that are through
first find something left, and large enough that asking for more costs little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LEAST_ROWS = 2_000_000
"""What a seat is given at least, if there is as much: some seconds of reading, beside which the wait for the next load
(about 0.1 s) is little.
"""
ROWS_OF_AN_ITEM = 10_000
"""What a piece of work costs whatever its size, in rows that could be read meanwhile."""


def share(waiting_rows: int, seats: int) -> int:
    """How many rows each of `seats` is given of `waiting_rows`: half of its part, so that the rest evens out."""
    return max(LEAST_ROWS, waiting_rows // (2 * seats))


@dataclass
class PackedSeat:
    """What one seat will do, in this order; `sources` are those that it opens a session with, or has.

    `number` is that of a seat which is there already, and idle; None is a new one.
    """

    number: int | None = None
    sources: set[str] = field(default_factory=set)
    items: list[int] = field(default_factory=list)
    rows: int = 0


@dataclass
class Packing:
    """Seats being filled: those in `packed`, which are idle, and new ones, up to `seats` together.

    `room` is how many of them may have a session with a source (a source that is missing: all). Each takes work until
    it has `share_rows`, whatever the size of the last.
    """

    seats: int
    room: Mapping[str, int]
    share_rows: int
    packed: list[PackedSeat] = field(default_factory=list)

    @property
    def has_space(self) -> bool:
        return len(self.packed) < self.seats or any(self._has_space(seat) for seat in self.packed)

    def takes(self, source: str | None) -> bool:
        """Whether some seat can take work of a source."""
        return self._seat_for(source) is not None or (len(self.packed) < self.seats and self._has_room(source))

    def put(self, item: int, *, source: str | None, rows: int) -> None:
        """Give the work to an idle seat, else a new one, else the one with the least to do; `takes` must be true."""
        seat = self._seat_for(source)
        if (seat is None or seat.items) and len(self.packed) < self.seats and self._has_room(source):
            seat = PackedSeat()
            self.packed.append(seat)
        assert seat is not None, f"no seat can take work of {source}"
        seat.items.append(item)
        seat.rows += rows + ROWS_OF_AN_ITEM
        if source is not None:
            seat.sources.add(source)

    def _seat_for(self, source: str | None) -> PackedSeat | None:
        able = [
            seat
            for seat in self.packed
            if self._has_space(seat) and (source is None or source in seat.sources or self._has_room(source))
        ]
        return min(able, key=lambda seat: (seat.rows, source not in seat.sources), default=None)

    def _has_space(self, seat: PackedSeat) -> bool:
        return seat.rows < self.share_rows

    def _has_room(self, source: str | None) -> bool:
        if source is None or source not in self.room:
            return True
        return sum(source in seat.sources for seat in self.packed) < self.room[source]
