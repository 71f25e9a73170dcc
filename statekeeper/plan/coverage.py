"""Which part of an incremental column's axis a table's extractions have taken, and which they have not. Pure.

The windows of a table's extractions tile the axis: no value is in two of them, and none is passed over. So a window
starts where coverage ends, and a date that is covered already has no rows left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from statekeeper.model.table import Position
from statekeeper.model.windows import TakenWindow

P = TypeVar("P", bound=datetime | int)


@dataclass(frozen=True)
class Interval(Generic[P]):
    """`[start, end)` on the axis of aware times, or that of whole numbers; None is unbounded."""

    start: P | None
    end: P | None

    def meets(self, other: Interval[Any]) -> bool:
        """Whether they have a value in common."""
        return _before(self.start, other.end) and _before(other.start, self.end)


def order(position: Position) -> tuple[bool, Any]:
    """The key by which positions compare. Those of two axes never tile, but a table may have both for a while."""
    return isinstance(position, datetime), position


def _before(start: Position | None, end: Position | None) -> bool:
    return start is None or end is None or order(start) < order(end)


@dataclass(frozen=True)
class Coverage:
    """The windows that extractions have taken, complete or planned, in the order of their starts."""

    taken: tuple[TakenWindow, ...] = ()
    revision: str | None = None
    """The checksum of the document that it was read from; None if there was none."""
    claimed: Interval[Position] | None = None
    """The window of the extraction that is left out: the one that it has planned or, without one, its complete one."""

    @classmethod
    def of(cls, taken: Iterable[TakenWindow], revision: str | None = None) -> Coverage:
        """Coverage by these windows; empty ones are left out."""
        kept = (window for window in taken if window.start is None or _before(window.start, window.end))
        in_order = sorted(kept, key=lambda window: (window.start is not None, _start(window), order(window.end)))
        return cls(tuple(in_order), revision)

    def without(self, extraction: tuple[str, str]) -> Coverage:
        """Coverage by the other extractions than this one."""
        others = tuple(window for window in self.taken if window.extraction != extraction)
        owns = (window for window in self.taken if window.extraction == extraction)
        own = min(owns, key=lambda window: window.is_complete, default=None)
        return replace(self, taken=others, claimed=Interval(own.start, own.end) if own else None)

    def with_complete(self, window: TakenWindow) -> Coverage:
        """Coverage once the extraction of `window` is complete."""
        complete = window.model_copy(update={"is_complete": True})
        return Coverage.of((*self.without(window.extraction).taken, complete), self.revision)

    @property
    def complete(self) -> Coverage:
        """Coverage by complete extractions alone."""
        return Coverage(tuple(window for window in self.taken if window.is_complete))

    @property
    def gaps(self) -> tuple[Interval[Position], ...]:
        """What nobody has taken, in order. The last one is unbounded above, and starts where coverage ends."""
        found: list[Interval[Position]] = []
        reached: Position | None = None
        for window in self.taken:
            if reached is None:
                if window.start is not None:
                    found.append(Interval(None, window.start))
                reached = window.end
                continue
            if window.start is not None and _before(reached, window.start):
                found.append(Interval(reached, window.start))
            reached = max(reached, window.end, key=order)
        return (*found, Interval(reached, None))

    @property
    def holes(self) -> tuple[Interval[Position], ...]:
        """The gaps between windows, and before the first: the first extraction takes everything before its end."""
        return tuple(gap for gap in self.gaps if gap.end is not None)

    @property
    def through(self) -> Position | None:
        """Up to where every value is in a complete extraction's window; None without one."""
        return next((gap.start for gap in self.complete.gaps if gap.start is not None), None)

    @property
    def overlaps(self) -> tuple[tuple[TakenWindow, TakenWindow], ...]:
        """Neighbouring windows with a value in common."""
        found: list[tuple[TakenWindow, TakenWindow]] = []
        last: TakenWindow | None = None
        for window in self.taken:
            if last is not None and _before(window.start, last.end):
                found.append((last, window))
            if last is None or _before(last.end, window.end):
                last = window
        return tuple(found)

    def gap_in(self, window: Interval[P]) -> Interval[P] | None:
        """The first gap with values of `window`, as far as it reaches back and at most to the window's end.

        None: all of the window is taken. The windows taken must be on the axis of `window`.
        """
        for gap in self.gaps:
            if gap.meets(window):
                ends = [end for end in (gap.end, window.end) if end is not None]
                return Interval(cast("P | None", gap.start), cast("P | None", min(ends, key=order, default=None)))
        return None

    def leaves_hole_before(self, start: Position | None) -> bool:
        """Whether these extractions leave a hole that ends where a further one starts, or that goes on after it."""
        if start is None:
            return False
        return any(_before(gap.start, start) and (gap.end is None or not _before(gap.end, start)) for gap in self.gaps)

    def takers_of(self, window: Interval[Any]) -> tuple[TakenWindow, ...]:
        """The windows with values of `window`."""
        return tuple(each for each in self.taken if Interval(each.start, each.end).meets(window))


def _start(window: TakenWindow) -> tuple[bool, Any] | tuple[()]:
    return () if window.start is None else order(window.start)


def removed_windows(indexed: Iterable[TakenWindow], recorded: Sequence[TakenWindow]) -> tuple[TakenWindow, ...]:
    """What an index knows of complete extractions before the oldest one that is left: somebody removed their files.

    Their rows were extracted, and are not extracted again unless somebody asks for it. Windows of later dates whose
    files are gone, or whose values other extractions have taken since, are none of these.
    """
    if not recorded:
        return ()
    oldest, others = min(window.date for window in recorded), Coverage.of(recorded)
    old = (window for window in indexed if window.is_complete and window.date < oldest)
    return tuple(window for window in old if not others.takers_of(Interval(window.start, window.end)))
