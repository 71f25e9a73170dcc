"""What no complete extraction of an incremental table has, as sentences with the command that takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.hints.next_command import RunCommands, quoted
from statekeeper.model.manifest import run_id_of
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.coverage import Coverage, Interval
from statekeeper.runtime.context import Run

_MOST = 5
"""So many sentences say what is wrong with a lake; the rest are counted."""


def uncovered_rows(coverage: Coverage, config: ExtractionConfig, run: Run) -> tuple[str, ...]:
    """A sentence for each hole between windows, and for each unfinished window of another extraction; the first few."""
    found = (*_holes(coverage, config, run), *_unfinished(coverage, config, run))
    if len(found) <= _MOST:
        return found
    return (*found[:_MOST], f"{len(found) - _MOST} more windows like these are missing")


def _holes(coverage: Coverage, config: ExtractionConfig, run: Run) -> Iterator[str]:
    for hole in coverage.holes:
        yield f"{_rows(hole)} are in no extraction: {quoted(_filling(hole, coverage, config, run))} takes them"


def _filling(hole: Interval, coverage: Coverage, config: ExtractionConfig, run: Run) -> str:
    """The command that takes a hole: its last day or, if that day has an extraction, the one after the hole again."""
    assert hole.end is not None
    assert config.incremental is not None
    last = hole.end.astimezone(ZoneInfo(config.incremental.zone)) - timedelta(microseconds=1)
    day, key = last.date(), config.table.key
    if all(window.date != day for window in coverage.taken):
        commands = replace(run.commands, extraction_date=day, run_id=None)
        return commands.run(table=key)
    commands = _commands_of(next(window for window in coverage.taken if window.start == hole.end), run)
    return commands.force(table=key)


def _unfinished(coverage: Coverage, config: ExtractionConfig, run: Run) -> Iterator[str]:
    own = (run.extraction_date.isoformat(), run.run_id)
    for window in coverage.taken:
        if not window.is_complete and window.extraction != own:
            rows = _rows(Interval(window.start, window.end))
            commands = _commands_of(window, run)
            typed = quoted(commands.run(table=config.table.key))
            extraction = f"{window.run_id} of {window.extraction_date}"
            yield f"{rows} belong to {extraction}, which is not complete: {typed} goes on"


def _commands_of(window: TakenWindow, run: Run) -> RunCommands:
    """The commands for the run of another window."""
    is_default = window.run_id == run_id_of(run.pipeline.name, window.date)
    return replace(run.commands, extraction_date=window.date, run_id=None if is_default else window.run_id)


def _rows(window: Interval) -> str:
    start = "the beginning" if window.start is None else window.start.isoformat()
    end = "the end" if window.end is None else window.end.isoformat()
    return f"the rows from {start} to before {end}"
