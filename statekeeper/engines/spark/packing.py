"""Which waiting jobs go to which slot, a partition of a Spark job. Pure: it submits nothing.

A slot is given a batch of several jobs: a share of what waits. The share is small enough that slots that finish first
find more to do, and large enough that the wait for the next batch costs little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MIN_ROWS = 2_000_000
"""The minimum size of a batch, if as much waits: some seconds of reading, against about 0.1 s until the next batch."""
ROWS_OF_AN_ITEM = 10_000
"""The fixed cost of a job, as a number of rows that could be read in that time."""


def share(waiting_rows: int, slots: int) -> int:
    """How many of `waiting_rows` each of `slots` is given: half of an equal part, so that the rest evens out."""
    return max(MIN_ROWS, waiting_rows // (2 * slots))


@dataclass
class PackedSlot:
    """The jobs for one slot, in this order; `sources` are those with which it has a session, or opens one.

    `number` is the number of an existing, idle slot; None is a new one.
    """

    number: int | None = None
    sources: set[str] = field(default_factory=set)
    items: list[int] = field(default_factory=list)
    rows: int = 0


@dataclass
class Packing:
    """Fills slots with jobs: the idle ones in `packed`, and new ones, up to `slots` together.

    `room` limits how many slots may have a session with a source; sources that it does not name have no limit. A slot
    takes jobs until it has `share_rows`; the last job may exceed that.
    """

    slots: int
    room: Mapping[str, int]
    share_rows: int
    packed: list[PackedSlot] = field(default_factory=list)

    @property
    def has_space(self) -> bool:
        return len(self.packed) < self.slots or any(self._has_space(slot) for slot in self.packed)

    def can_take(self, source: str | None) -> bool:
        """Whether some slot can take a job of a source."""
        return self._slot_for(source) is not None or (len(self.packed) < self.slots and self._has_room(source))

    def put(self, item: int, *, source: str | None, rows: int) -> None:
        """Give the job to an idle slot, else a new one, else the one with the fewest rows; `can_take` must be true."""
        slot = self._slot_for(source)
        if (slot is None or slot.items) and len(self.packed) < self.slots and self._has_room(source):
            slot = PackedSlot()
            self.packed.append(slot)
        assert slot is not None, f"no slot can take a job of {source}"
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
