"""Inspects the tables of a run without running them: what a run would do, their columns, and their models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job
from statekeeper.errors import (
    SnapshotLost,
    StatekeeperError,
)
from statekeeper.model.plan import Snapshot
from statekeeper.model.preview import PlanReport, PreviewAction, TablePlan
from statekeeper.model.record import StateRecord, Trigger
from statekeeper.model.state import Failure, State
from statekeeper.plan.compared import note_on_mark, with_mark
from statekeeper.plan.dates import with_earlier_dates
from statekeeper.plan.inspect import advise_on_table, compare_table, describe_table
from statekeeper.plan.make_plan import make_plan
from statekeeper.plan.plan_spec import spec_of_look, spec_of_plan
from statekeeper.run.missing_dates import missing_dates_of
from statekeeper.run.on_each_table import on_each_table
from statekeeper.run.resume import Reprocess, find_record, first_record, recall, resume_decision
from statekeeper.run.runner import Runner
from statekeeper.runtime.context import Run
from statekeeper.runtime.fingerprint import fingerprint_of
from statekeeper.runtime.published_table import columns_to_fit
from statekeeper.runtime.run_snapshots import describe_snapshot
from statekeeper.schemas.columns.differences import DiffReport, DiffVerdict, TableDiff
from statekeeper.schemas.model.load import load_model
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.locks.lock import peek
from statekeeper.store.manifest import load_manifest
from statekeeper.store.place import require_layout, require_layout_of_table
from statekeeper.store.registry import state_store
from statekeeper.text.places import with_addresses


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """Whether to preview a forced run, and whether to look up the types of complete tables, which need no plan."""

    is_forced: bool = False
    has_all_types: bool = False

    @property
    def reprocess(self) -> Reprocess:
        """Which complete tables the run extracts again."""
        return Reprocess.ALL if self.is_forced else Reprocess.STALE


def preview_tables(
    runner: Runner, tables: tuple[ExtractionConfig, ...], options: PreviewOptions | None = None
) -> PlanReport:
    """What a run would do with each table. Nothing is locked or written."""
    options = options or PreviewOptions()
    manifest = load_manifest(runner.disk, runner.pipeline.base_path, runner.identity.run_id)
    require_layout(runner.disk, runner.pipeline.output, manifest)

    async def first(run: Run) -> None:
        await recall(run, manifest, tables=tables, reprocess=options.reprocess)

    look = _or_refuse(partial(_preview, options=options))
    return _plan_report(runner, on_each_table(runner, tables, look, first=first))


def look_at_tables(runner: Runner, tables: tuple[ExtractionConfig, ...]) -> PlanReport:
    """Log in to each source and describe each table: can it be read, and do its columns have exact types?"""
    return _plan_report(runner, on_each_table(runner, tables, _or_refuse(_look)))


def compare_tables(runner: Runner, tables: tuple[ExtractionConfig, ...]) -> DiffReport:
    """Compare each table's model with the live table. The result of a table that cannot be read says why."""
    return DiffReport(tables=on_each_table(runner, tables, _compare))


def _plan_report(runner: Runner, plans: tuple[TablePlan, ...]) -> PlanReport:
    return PlanReport(
        run_id=runner.identity.run_id,
        base_path=with_addresses(str(runner.pipeline.base_path)),
        extraction_date=runner.identity.extraction_date.isoformat(),
        tables=plans,
    )


def _or_refuse(
    look: Callable[[ExtractionConfig, Run], Awaitable[TablePlan]],
) -> Callable[[ExtractionConfig, Run], Awaitable[TablePlan]]:
    async def look_or_refuse(config: ExtractionConfig, run: Run) -> TablePlan:
        try:
            return await look(config, run)
        except StatekeeperError as error:
            failure = Failure.of(error, failed_in=State.PENDING)
            return TablePlan(table=config.table, verdict=PreviewAction.REFUSE, reason=error.message, failure=failure)

    return look_or_refuse


async def _look(config: ExtractionConfig, run: Run) -> TablePlan:
    await run.login_gate.ensure(config)
    spec = spec_of_look(config, run, table_columns=await run.threads.disk.do(columns_to_fit, config, run))
    source = JobSource.of(config)
    columns = await run.engine.run(Job(config.table.key, describe_table, spec, source=source))
    notes = await run.engine.run(Job(config.table.key, advise_on_table, spec, source=source))
    return TablePlan(table=config.table, verdict=PreviewAction.READABLE, columns=columns, notes=notes)


async def _compare(config: ExtractionConfig, run: Run) -> TableDiff:
    try:
        await run.login_gate.ensure(config)
        job = Job(config.table.key, compare_table, spec_of_look(config, run), source=JobSource.of(config))
        compared = await run.engine.run(job)
    except StatekeeperError as error:
        failure = Failure.of(error, failed_in=State.PENDING)
        return TableDiff(table=config.table, model=config.model.label, verdict=DiffVerdict.FAILED, failure=failure)
    return TableDiff.of(config.table, config.model, compared)


async def _preview(config: ExtractionConfig, run: Run, *, options: PreviewOptions) -> TablePlan:
    layout, do = run.layout_of(config), run.threads.disk.do
    await do(require_layout_of_table, run.disk, layout)
    holder = await do(peek, run.disk, layout)
    if holder is not None:
        return TablePlan(table=config.table, verdict=PreviewAction.HELD, reason=f"held by {holder}")
    found = await do(find_record, state_store(run.disk, layout.state, NO_FENCE), config, run)
    fingerprint = fingerprint_of(config, await do(load_model, config.model, base=run.model_folder))
    record = found or first_record(config, run, fingerprint=fingerprint)
    first = await resume_decision(config, run, record, fingerprint=fingerprint, reprocess=options.reprocess)
    verdict = _verdict(record, first.trigger)
    if verdict is PreviewAction.SKIP:
        skipped = TablePlan(table=config.table, verdict=verdict, reason="complete and verified")
        return await _with_types(skipped, config, run) if options.has_all_types else skipped
    await run.login_gate.ensure(config)
    kept = await do(run.snapshots.kept, config)
    spec = await spec_of_plan(config, run, record, fingerprint=fingerprint, run_snapshot=kept)
    missing = await missing_dates_of(config, run)
    if missing:
        spec = replace(spec, coverage=with_earlier_dates(config, run.extraction_date, spec.coverage))
    try:
        plan = await run.engine.run(Job(config.table.key, make_plan, spec, source=JobSource.of(config)))
    except SnapshotLost as error:
        if kept is None:
            raise
        raise run.snapshots.lost(config, error) from error
    plan = await do(with_mark, plan, config, run, spec.coverage)
    reading = plan.reading
    return TablePlan(
        table=config.table,
        verdict=verdict,
        reason=first.reason,
        scope=reading.scope,
        columns=reading.file_columns,
        chunks=len(plan.chunks),
        estimated_rows=sum(chunk.estimated_rows for chunk in plan.chunks),
        notes=(
            *_note_on_missing(missing),
            *_note_on_snapshot(config, kept),
            *config.keys.notes,
            *note_on_mark(reading),
            *plan.notes,
        ),
    )


async def _with_types(plan: TablePlan, config: ExtractionConfig, run: Run) -> TablePlan:
    """The plan of a complete table with its current types, or with a note if its source cannot be read."""
    try:
        looked_at = await _look(config, run)
    except StatekeeperError as error:
        return plan.model_copy(update={"notes": (f"its types cannot be looked up: {error.message}",)})
    return plan.model_copy(update={"columns": looked_at.columns})


def _note_on_snapshot(config: ExtractionConfig, kept: Snapshot | None) -> tuple[str, ...]:
    if not config.has_run_snapshot:
        return ()
    which = f", {describe_snapshot(kept)}" if kept else ", which the first of them takes"
    return (f"all tables of the run from {config.table.source_name} read at one snapshot{which}",)


def _note_on_missing(dates: tuple[date, ...]) -> tuple[str, ...]:
    if not dates:
        return ()
    which = f"{dates[0]} is" if len(dates) == 1 else f"the {len(dates)} dates from {dates[0]} to {dates[-1]} are"
    return (f"{which} extracted first, each under its own path (on_gap: backfill)",)


def _verdict(record: StateRecord, trigger: Trigger | None) -> PreviewAction:
    if trigger is None:
        return PreviewAction.SKIP if record.state is State.COMPLETE else PreviewAction.START
    return PreviewAction.RESTART if trigger is Trigger.RESTART else PreviewAction.RESUME
