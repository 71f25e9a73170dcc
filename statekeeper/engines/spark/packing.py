"""Which waiting work goes into which partition of a Spark job. Pure: it submits nothing.

A partition ("seat") takes its work with it when it is submitted, so what it is given is decided by guess: a share of
what waits, small enough that the seats that end first find something left to take, and large enough that a hundred
small tables are one Spark job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LEAST_ROWS = 2_000_000
"""What a seat is given at least, if there is as much: some seconds of reading, beside which a Spark job of its own
(about 0.2 s) is little.
"""
ROWS_OF_AN_ITEM = 10_000
"""What a piece of work costs whatever its size, in rows that could be read meanwhile."""


def share(waiting_rows: int, seats: int) -> int:
    """How many rows each of `seats` is given of `waiting_rows`: half of its part, so that the rest evens out."""
    return max(LEAST_ROWS, waiting_rows // (2 * seats))


def fills(waiting_rows: int, waiting_items: int, *, seats: int) -> bool:
    """Whether what waits is enough to fill so many seats, so that there is nothing to wait for."""
    return waiting_rows + waiting_items * ROWS_OF_AN_ITEM >= seats * LEAST_ROWS


@dataclass
class PackedSeat:
    """What one partition will do, in this order; `sources` are those that it opens a session with."""

    items: list[int] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    rows: int = 0


@dataclass
class Packing:
    """Partitions being filled.

    `room` is how many of them may open a session with a source (a source that is missing: all). Each takes work until
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
        """Give the work to the seat with the least to do that can take it; `takes` must be true."""
        seat = self._seat_for(source)
        if len(self.packed) < self.seats and self._has_room(source):
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
        return min(able, key=lambda seat: seat.rows, default=None)

    def _has_space(self, seat: PackedSeat) -> bool:
        return seat.rows < self.share_rows

    def _has_room(self, source: str | None) -> bool:
        if source is None or source not in self.room:
            return True
        return sum(source in seat.sources for seat in self.packed) < self.room[source]
