"""With which published datasets the rows of a window are compared, to mark those that were taken before.

They are those of the table's other complete extractions whose windows meet this one, lookbacks included: nothing else
can have a row of it. Removed dates count no more, as they do for readers. It is decided with the plan, which is good
only as long as these datasets are what is published: if one was replaced, or another extraction was completed, the rows
have to be compared again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import DataError
from statekeeper.hints.next_command import quoted
from statekeeper.model.mark import ComparedDataset, Mark
from statekeeper.model.metadata import Metadata
from statekeeper.model.plan import Plan, ReadSpec
from statekeeper.model.table import Position, Scope
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.coverage import Coverage, Interval, order
from statekeeper.plan.plan_spec import windows_of
from statekeeper.plan.taken_window import window_of
from statekeeper.runtime.active_plan import ActivePlan
from statekeeper.runtime.context import Run
from statekeeper.sources.columns import named_column
from statekeeper.verify import VerifySpec, damage_of_published


def with_mark(plan: Plan, config: ExtractionConfig, run: Run, coverage: Coverage) -> Plan:
    """A new plan with its mark, if the table has one; `coverage` is by the table's other extractions.

    Raises:
        DataError: an extraction that may have its rows is lost.
        StateDamaged, StorageError: its commit record cannot be read.
    """
    if not config.mark_taken_before or config.incremental is None:
        return plan
    found = tuple(_met(plan.reading.scope, config, run, coverage))
    columns = plan.reading.columns
    mark = Mark(
        incremental_column=named_column(columns, config.incremental.column, "incremental_column").name,
        unique=tuple(tuple(named_column(columns, name, "unique").name for name in key) for key in config.keys.unique),
        compared=tuple(dataset for dataset, _ in found),
    )
    notes = (_note_on_replaced(plan.reading.scope, metadata, config, run) for _, metadata in found)
    reading = plan.reading.model_copy(update={"mark": mark})
    return plan.model_copy(
        update={"reading": reading, "notes": (*plan.notes, *(note for note in notes if note is not None))}
    )


def note_on_mark(reading: ReadSpec) -> tuple[str, ...]:
    """What `plan` says about the mark."""
    mark = reading.mark
    if mark is None:
        return ()
    if not mark.compared:
        return (f"no row is marked in {mark.column}: no complete extraction has read any of its window",)
    labels = ", ".join(dataset.label for dataset in mark.compared)
    return (f"{mark.column} marks the rows that are in {labels}, too",)


def why_compared_otherwise(plan: Plan, config: ExtractionConfig, run: Run) -> str | None:
    """Why the rows of a plan must be compared with other datasets than it names; None if it is still right.

    Raises:
        DataError, StateDamaged, StorageError: as `with_mark`.
    """
    mark = plan.reading.mark
    if mark is None:
        return None
    coverage = windows_of(config, run).coverage().without((run.extraction_date.isoformat(), run.run_id))
    now = tuple(dataset for dataset, _ in _met(plan.reading.scope, config, run, coverage))
    if now == mark.compared:
        return None
    changed = {dataset.label for dataset in now if dataset not in mark.compared}
    changed |= {dataset.label for dataset in mark.compared if dataset not in now}
    return f"its rows are compared with those of {', '.join(sorted(changed))}, which was completed or replaced since"


async def verify_compared(active: ActivePlan) -> None:
    """Verify the datasets with which the rows of a plan are compared, as the table's `verify` says.

    Raises:
        DataError: one of them is damaged.
        StorageError: the system refuses to read a file.
    """
    mark, config, run = active.plan.reading.mark, active.config, active.run
    for dataset, layout in zip(mark.compared if mark else (), active.compared_layouts, strict=True):
        damage = await damage_of_published(config, run, VerifySpec(layout, None, config.verify, run.disk))
        if damage is not None:
            raise _lost(dataset.date, dataset.run_id, damage, config, run)


def _met(
    scope: Scope, config: ExtractionConfig, run: Run, coverage: Coverage
) -> Iterator[tuple[ComparedDataset, Metadata]]:
    """The published datasets whose extractions have read a part of this scope, lookbacks included, in date order."""
    own, windows = scope.window, windows_of(config, run)
    if own is None:
        return
    alike = (window for window in coverage.complete.taken if type(window.end) is type(own.end))
    for window in sorted(alike, key=lambda each: each.extraction):
        both = _intersection(Interval(own.start, own.end), Interval(_read_from(window), window.end))
        if both is None or both.end is None:
            continue
        metadata = windows.record_of(window)
        if metadata is None and windows.is_removed(window):
            continue  # no reader finds its rows any more
        if metadata is None or not metadata.extraction_complete:
            raise _lost(window.date, window.run_id, "its commit record is missing", config, run)
        dataset = ComparedDataset(
            run_id=window.run_id,
            extraction_date=window.extraction_date,
            plan_id=metadata.plan_id,
            start=both.start,
            end=both.end,
        )
        yield dataset, metadata


def _read_from(window: TakenWindow) -> Position | None:
    return window.start if window.read_from is None else window.read_from


def _intersection(one: Interval[Position], other: Interval[Position]) -> Interval[Position] | None:
    if not one.meets(other):
        return None
    starts = [start for start in (one.start, other.start) if start is not None]
    ends = [end for end in (one.end, other.end) if end is not None]
    return Interval(max(starts, key=order, default=None), min(ends, key=order, default=None))


def _note_on_replaced(scope: Scope, metadata: Metadata, config: ExtractionConfig, run: Run) -> str | None:
    """A note if rows of a later window are marked because of what this extraction replaces.

    Of later ones alone: so whoever types the command comes to an end with the newest.
    """
    own, theirs = (run.extraction_date.isoformat(), run.run_id), window_of(metadata)
    if metadata.mark is None or all(each.extraction != own for each in metadata.mark.compared):
        return None
    if theirs is None or not _begins_after(scope.covered, theirs.start):
        return None
    commands = run.commands.of_extraction(theirs.date, theirs.run_id, pipeline=run.pipeline.name)
    return (
        f"rows of {theirs.run_id} of {theirs.extraction_date} are marked because of what this replaces: if they "
        f"changed since, {quoted(commands.force(table=config.table.key))} marks them anew, once this is complete"
    )


def _begins_after(own: Position | None, theirs: Position | None) -> bool:
    return theirs is not None and (own is None or order(own) < order(theirs))


def _lost(day: date, run_id: str, damage: str, config: ExtractionConfig, run: Run) -> DataError:
    key = config.table.key
    theirs = run.commands.of_extraction(day, run_id, pipeline=run.pipeline.name).run(table=key)
    return DataError(
        f"{key}: its rows are compared with those of {run_id} of {day}, whose dataset does not verify: {damage}",
        hint=f"extract that again with {quoted(theirs)}, then {quoted(run.commands.run(table=key))}",
    )
