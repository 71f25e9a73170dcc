"""What no complete extraction of an incremental table has, as sentences with the command that takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from statekeeper.hints.next_command import RunCommands, quoted
from statekeeper.model.table import Position, position_text
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.coverage import Coverage, Interval

if TYPE_CHECKING:  # `history` is quicker without them
    from statekeeper.config.resolved import ExtractionConfig
    from statekeeper.runtime.context import Run

_MOST = 5
"""So many sentences say what is wrong with a lake; the rest are counted."""


def uncovered_rows(coverage: Coverage, config: ExtractionConfig, run: Run) -> tuple[str, ...]:
    """A sentence for each hole between windows, and for each unfinished window of another extraction; the first few."""
    own = (run.extraction_date.isoformat(), run.run_id)
    return _Uncovered(coverage, config.table.key, run.pipeline.name, run.commands, own).sentences


def what_is_uncovered(coverage: Coverage, *, key: str, pipeline: str, commands: RunCommands) -> tuple[str, ...]:
    """The same for a table outside of a run: every unfinished window is that of another extraction."""
    return _Uncovered(coverage, key, pipeline, commands).sentences


@dataclass(frozen=True)
class _Uncovered:
    """What is uncovered of a table; `commands` are those of any of its runs, and `own` is the extraction at work."""

    coverage: Coverage
    key: str
    pipeline: str
    commands: RunCommands
    own: tuple[str, str] | None = None

    @property
    def sentences(self) -> tuple[str, ...]:
        found = (*self._holes(), *self._unfinished())
        shown = found if len(found) <= _MOST else (*found[:_MOST], f"{len(found) - _MOST} more windows are missing")
        return (*shown, *self._all_holes())

    def _holes(self) -> Iterator[str]:
        for hole in self.coverage.holes:
            rows, typed = _rows(hole), quoted(self._filling(hole))
            if hole.start is None:
                yield f"{rows} are in no extraction, or theirs were removed: {typed} takes them"
            else:
                yield f"{rows} are in no extraction: {typed} takes them"

    def _unfinished(self) -> Iterator[str]:
        """What is left of a window that other extractions have taken whole needs no command, and could not be run."""
        complete = self.coverage.complete
        for window in self.coverage.taken:
            is_left = not window.is_complete and complete.gap_in(Interval(window.start, window.end)) is not None
            if is_left and window.extraction != self.own:
                commands = self._of(window)
                typed = quoted(commands.run(table=self.key))
                extraction = f"{window.run_id} of {window.extraction_date}"
                rows = _rows(Interval(window.start, window.end))
                yield f"{rows} belong to {extraction}, which is not complete: {typed} goes on"

    def _all_holes(self) -> Iterator[str]:
        """One command for all holes that dates without an extraction take."""
        days = [
            (hole.start.date(), last)
            for hole in self.coverage.holes
            if isinstance(hole.start, datetime) and (last := self._free_day(hole)) is not None
        ]
        if len(days) > 1 and self.commands.config is not None:
            (first, _), *_, (_, last) = days
            typed = self.commands.backfill(first, last, (self.key,))
            yield f"{len(days)} of these holes at once: {quoted(typed)}"

    def _filling(self, hole: Interval[Position]) -> str:
        """The command that takes a hole: its last day or, if that day has an extraction, the one after it again."""
        if (day := self._free_day(hole)) is not None:
            commands = replace(self.commands, extraction_date=day, run_id=None)
            return commands.run(table=self.key)
        commands = self._of(self._after(hole))
        return commands.force(table=self.key)

    def _after(self, hole: Interval[Position]) -> TakenWindow:
        return next(window for window in self.coverage.taken if window.start == hole.end)

    def _free_day(self, hole: Interval[Position]) -> date | None:
        """The date whose window ends with the hole, if it has no extraction; numbers have no dates."""
        if not isinstance(hole.end, datetime):
            return None
        zone = self._after(hole).timezone
        end = hole.end.astimezone(ZoneInfo(zone)) if zone else hole.end
        day = (end - timedelta(microseconds=1)).date()
        return None if any(window.date == day for window in self.coverage.taken) else day

    def _of(self, window: TakenWindow) -> RunCommands:
        """The commands for the run of another window."""
        return self.commands.of_extraction(window.date, window.run_id, pipeline=self.pipeline)


def _rows(window: Interval[Position]) -> str:
    start = "the beginning" if window.start is None else position_text(window.start)
    end = "the end" if window.end is None else position_text(window.end)
    return f"the rows from {start} to before {end}"
