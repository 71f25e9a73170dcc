"""Which waiting work goes to which partition of a Spark job ("slot"). Pure: it submits nothing.

A slot is given several pieces of work at once: a share of what waits, small enough that the slots that are through
first find something left, and large enough that asking for more costs little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LEAST_ROWS = 2_000_000
"""What a slot is given at least, if there is as much: some seconds of reading, beside which the wait for the next batch
(about 0.1 s) is little.
"""
ROWS_OF_AN_ITEM = 10_000
"""What a piece of work costs whatever its size, in rows that could be read meanwhile."""


def share(waiting_rows: int, slots: int) -> int:
    """How many rows each of `slots` is given of `waiting_rows`: half of its part, so that the rest evens out."""
    return max(LEAST_ROWS, waiting_rows // (2 * slots))


@dataclass
class PackedSlot:
    """What one slot will do, in this order; `sources` are those that it opens a session with, or has.

    `number` is that of a slot which is there already, and idle; None is a new one.
    """

    number: int | None = None
    sources: set[str] = field(default_factory=set)
    items: list[int] = field(default_factory=list)
    rows: int = 0


@dataclass
class Packing:
    """Slots being filled: those in `packed`, which are idle, and new ones, up to `slots` together.

    `room` is how many of them may have a session with a source (a source that is missing: all). Each takes work until
    it has `share_rows`, whatever the size of the last.
    """

    slots: int
    room: Mapping[str, int]
    share_rows: int
    packed: list[PackedSlot] = field(default_factory=list)

    @property
    def has_space(self) -> bool:
        return len(self.packed) < self.slots or any(self._has_space(slot) for slot in self.packed)

    def takes(self, source: str | None) -> bool:
        """Whether some slot can take work of a source."""
        return self._slot_for(source) is not None or (len(self.packed) < self.slots and self._has_room(source))

    def put(self, item: int, *, source: str | None, rows: int) -> None:
        """Give the work to an idle slot, else a new one, else the one with the least to do; `takes` must be true."""
        slot = self._slot_for(source)
        if (slot is None or slot.items) and len(self.packed) < self.slots and self._has_room(source):
            slot = PackedSlot()
            self.packed.append(slot)
        assert slot is not None, f"no slot can take work of {source}"
        slot.items.append(item)
        slot.rows += rows + ROWS_OF_AN_ITEM
        if source is not None:
            slot.sources.add(source)

    def _slot_for(self, source: str | None) -> PackedSlot | None:
        able = [
            slot
            for slot in self.packed
            if self._has_space(slot) and (source is None or source in slot.sources or self._has_room(source))
        ]
        return min(able, key=lambda slot: (slot.rows, source not in slot.sources), default=None)

    def _has_space(self, slot: PackedSlot) -> bool:
        return slot.rows < self.share_rows

    def _has_room(self, source: str | None) -> bool:
        if source is None or source not in self.room:
            return True
        return sum(source in slot.sources for slot in self.packed) < self.room[source]
