"""What is done to a run's tables beside running them: preview, verification, reset."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial, reduce
from typing import TypeVar

from statekeeper.config.resolved import ExtractionConfig, Verify
from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job
from statekeeper.errors import (
    DataError,
    Interrupted,
    LockHeld,
    SnapshotLost,
    StateDamaged,
    StatekeeperError,
    Terminated,
)
from statekeeper.hints.next_command import quoted
from statekeeper.hints.next_steps import next_steps
from statekeeper.model.manifest import FoundBy, RunManifest, TableFailure
from statekeeper.model.plan import Snapshot
from statekeeper.model.preview import PlanReport, TablePlan, Verdict
from statekeeper.model.record import Failure, State, StateRecord
from statekeeper.plan.history import baseline_of, scope_or_watermarks
from statekeeper.plan.make_plan import PlanSpec, advise_on_table, compare_table, describe_table, make_plan
from statekeeper.publish.publication import sweep
from statekeeper.run.lifecycle import Lifecycle, Trigger
from statekeeper.run.report import Outcome, RunReport, TableReport, standing_of
from statekeeper.run.resume import Reprocess, opening_of
from statekeeper.run.runner import Interruption, Runner
from statekeeper.run.status import read_status
from statekeeper.runtime.context import Run
from statekeeper.runtime.fingerprint import fingerprint_of
from statekeeper.runtime.run_snapshots import described
from statekeeper.schemas.columns.differences import DiffReport, DiffVerdict, TableDiff
from statekeeper.schemas.model.load import load_model
from statekeeper.store.files.durable import NO_FENCE, move, storage_errors
from statekeeper.store.files.probe import disk_under
from statekeeper.store.locks.lock import acquire, peek
from statekeeper.store.manifest import load_manifest, update_manifest
from statekeeper.store.process import this_process
from statekeeper.store.state import LocalStateStore
from statekeeper.verify.published import VerifySpec
from statekeeper.verify.run import damage_of_published

_LOG = logging.getLogger("statekeeper.verify")
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class PreviewWish:
    """Of which run a preview is, and whether types are looked up that no plan needs: those of complete tables."""

    is_forced: bool = False
    has_all_types: bool = False


def preview_tables(runner: Runner, tables: tuple[ExtractionConfig, ...], wish: PreviewWish | None = None) -> PlanReport:
    """What a run would do with each table. Nothing is locked or written."""
    preview = partial(_preview, wish=wish or PreviewWish())
    return _plan_report(runner, _each(runner, tables, _or_refuse(preview)))


def look_at_tables(runner: Runner, tables: tuple[ExtractionConfig, ...]) -> PlanReport:
    """Log in to each source and look at each table's columns: can it be read, and held exactly?"""
    return _plan_report(runner, _each(runner, tables, _or_refuse(_look)))


def compare_tables(runner: Runner, tables: tuple[ExtractionConfig, ...]) -> DiffReport:
    """Hold each table's model beside the live table. A table that cannot be looked at says why."""
    return DiffReport(tables=_each(runner, tables, _compare))


def verify_tables(runner: Runner, tables: tuple[ExtractionConfig, ...]) -> RunReport:
    """Check in full what each table has published. A table that is not complete counts as failed.

    What is found is recorded in the run's manifest, so that `status` shows it until it is mended.
    """
    verified = _each(runner, tables, _verify)
    _record_found(runner, verified)
    reports = tuple(each.report for each in verified)
    return RunReport(
        run_id=runner.identity.run_id,
        pipeline=runner.pipeline.name,
        extraction_date=runner.identity.extraction_date.isoformat(),
        base_path=str(runner.pipeline.base_path),
        tables=reports,
        duration_seconds=0.0,
        next_steps=next_steps(map(standing_of, reports), runner.commands),
    )


def reset_tables(runner: Runner, tables: tuple[ExtractionConfig, ...], *, only: State | None) -> tuple[str, ...]:
    """Put the tables that are in state `only` (None: in any) back to `pending`; returns their keys.

    Failed, too, is what the run's manifest says has failed.

    Raises:
        LockHeld: a run is at work on one of them; those before it were reset.
    """
    recorded = _recorded_failures(runner) if only is State.FAILED else frozenset()
    try:
        done = tuple(
            config.table
            for config in tables
            if _reset(runner, config, only=None if config.table.key in recorded else only)
        )
    except LockHeld as error:
        follow = quoted(runner.commands.watch())
        raise LockHeld(error.message, hint=f"let that run end, or stop it; {follow} follows it") from error

    def change(manifest: RunManifest | None) -> RunManifest | None:
        return reduce(RunManifest.without_failure, done, manifest) if manifest else None

    if done:
        update_manifest(runner.disk, runner.pipeline.output, runner.identity.run_id, change)
    return tuple(table.key for table in done)


def _recorded_failures(runner: Runner) -> frozenset[str]:
    """The keys of tables that `status` shows as failed because the run's manifest says so, not their states."""
    base_path, run_id = runner.pipeline.base_path, runner.identity.run_id
    manifest = load_manifest(runner.disk, base_path, run_id)
    if manifest is None or not manifest.failures:
        return frozenset()
    recorded = {found.table.key for found in manifest.failures}
    shown = {table.key for table in read_status(base_path, run_id).tables if table.state == State.FAILED.value}
    return frozenset(recorded & shown)


def _each(
    runner: Runner, tables: tuple[ExtractionConfig, ...], look: Callable[[ExtractionConfig, Run], Awaitable[Value]]
) -> tuple[Value, ...]:
    async def look_at(config: ExtractionConfig, run: Run) -> Value:
        return await look(config, run)

    async def work(run: Run, interruption: Interruption) -> tuple[Value, ...]:
        tasks = [asyncio.create_task(look_at(config, run)) for config in tables]
        interruption.cancels(tasks)
        if tasks:
            await asyncio.wait(tasks)
        match interruption.signal_number:
            case None:
                return tuple(task.result() for task in tasks)
            case signal.SIGTERM:
                raise Terminated("interrupted; nothing was changed")
            case _:
                raise Interrupted("interrupted; nothing was changed")

    return runner.within_engine(work, Interruption())


def _plan_report(runner: Runner, plans: tuple[TablePlan, ...]) -> PlanReport:
    return PlanReport(
        run_id=runner.identity.run_id,
        base_path=str(runner.pipeline.base_path),
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
            return TablePlan(table=config.table, verdict=Verdict.REFUSE, reason=error.message, failure=failure)

    return look_or_refuse


async def _look(config: ExtractionConfig, run: Run) -> TablePlan:
    await run.doors.enter(config)
    readers = run.pipeline.output.readers
    spec = PlanSpec(config, run.run_id, run.extraction_date, None, (), run.model_folder, readers=readers)
    source = JobSource.of(config)
    columns = await run.engine.run(Job(config.table.key, describe_table, spec, source=source))
    notes = await run.engine.run(Job(config.table.key, advise_on_table, spec, source=source))
    return TablePlan(table=config.table, verdict=Verdict.READABLE, columns=columns, notes=notes)


async def _compare(config: ExtractionConfig, run: Run) -> TableDiff:
    try:
        await run.doors.enter(config)
        spec = PlanSpec(config, run.run_id, run.extraction_date, None, (), run.model_folder)
        source = JobSource.of(config)
        compared = await run.engine.run(Job(config.table.key, compare_table, spec, source=source))
    except StatekeeperError as error:
        failure = Failure.of(error, failed_in=State.PENDING)
        return TableDiff(table=config.table, model=config.model.label, verdict=DiffVerdict.FAILED, failure=failure)
    return TableDiff.of(config.table, config.model, compared)


async def _preview(config: ExtractionConfig, run: Run, *, wish: PreviewWish) -> TablePlan:
    layout, do = run.layout_of(config), run.threads.disk.do
    holder = await do(peek, run.disk, layout)
    if holder is not None:
        return TablePlan(table=config.table, verdict=Verdict.HELD, reason=f"held by {holder}")
    record = await do(LocalStateStore(run.disk, layout.state, NO_FENCE).load)
    verdict, reason = Verdict.START, None
    fingerprint = fingerprint_of(config, await do(load_model, config.model, base=run.model_folder))
    if record is not None:
        damage = None
        if record.state is State.COMPLETE and not wish.is_forced:
            spec = VerifySpec(layout, record.published, config.verify)
            published = record.published
            damage = await do(run.snapshots.why_outdated, config, published.snapshot if published else None)
            damage = damage or await damage_of_published(config, run, spec)
        opening = opening_of(
            record,
            fingerprint=fingerprint,
            reprocess=Reprocess.ALL if wish.is_forced else Reprocess.STALE,
            damage=damage,
        )
        verdict, reason = _verdict(record, opening.trigger), opening.reason
    if verdict is Verdict.SKIP:
        skipped = TablePlan(table=config.table, verdict=verdict, reason="complete and verified")
        return await _with_types(skipped, config, run) if wish.has_all_types else skipped
    await run.doors.enter(config)
    scope, earlier = await do(scope_or_watermarks, run.disk, layout, config, record, fingerprint)
    baseline = await do(baseline_of, run.disk, layout, config, fingerprint)
    kept = await do(run.snapshots.kept, config)
    readers = run.pipeline.output.readers
    plan_spec = PlanSpec(
        config, run.run_id, run.extraction_date, scope, earlier, run.model_folder, kept, baseline, readers
    )
    source = JobSource.of(config)
    try:
        plan = await run.engine.run(Job(config.table.key, make_plan, plan_spec, source=source))
    except SnapshotLost as error:
        if kept is None:
            raise
        raise run.snapshots.lost(config, error) from error
    return TablePlan(
        table=config.table,
        verdict=verdict,
        reason=reason,
        scope=plan.reading.scope,
        columns=plan.reading.columns,
        chunks=len(plan.chunks),
        estimated_rows=sum(chunk.estimated_rows for chunk in plan.chunks),
        notes=(*_note_on_snapshot(config, kept), *config.keys.notes, *plan.notes),
    )


async def _with_types(plan: TablePlan, config: ExtractionConfig, run: Run) -> TablePlan:
    """The plan of a complete table with the types that it has now, if its source can be asked."""
    try:
        looked_at = await _look(config, run)
    except StatekeeperError as error:
        return plan.model_copy(update={"notes": (f"its types cannot be looked up: {error.message}",)})
    return plan.model_copy(update={"columns": looked_at.columns})


def _note_on_snapshot(config: ExtractionConfig, kept: Snapshot | None) -> tuple[str, ...]:
    if not config.has_run_snapshot:
        return ()
    which = f", {described(kept)}" if kept else ", which the first of them takes"
    return (f"all tables of the run from {config.table.source_name} read at one snapshot{which}",)


def _verdict(record: StateRecord, trigger: Trigger | None) -> Verdict:
    if trigger is None:
        return Verdict.SKIP if record.state is State.COMPLETE else Verdict.START
    return Verdict.RESTART if trigger is Trigger.RESTART else Verdict.RESUME


@dataclass(frozen=True)
class _Verified:
    """What came of verifying a table; `plan_id` is that of the published data that was looked at."""

    report: TableReport
    plan_id: str | None

    def found_in(self, manifest: RunManifest, *, at: datetime) -> RunManifest:
        """The manifest with what was found here. What a run found wrong is not mended by data that holds."""
        table, failure = self.report.table, self.report.failure
        if self.plan_id is None:
            return manifest
        if failure is not None:
            found = TableFailure(table=table, found_by=FoundBy.VERIFY, at=at, failure=failure, plan_id=self.plan_id)
            return manifest.with_failure(found)
        earlier = manifest.failure_of(table)
        return manifest.without_failure(table) if earlier and earlier.found_by is FoundBy.VERIFY else manifest


def _record_found(runner: Runner, verified: tuple[_Verified, ...]) -> None:
    output, run_id = runner.pipeline.output, runner.identity.run_id
    base_path, at = runner.pipeline.base_path, runner.clock()

    def change(manifest: RunManifest | None) -> RunManifest | None:
        if manifest is None:
            return None
        return reduce(lambda known, each: each.found_in(known, at=at), verified, manifest)

    try:
        manifest = load_manifest(runner.disk, base_path, run_id)
        if change(manifest) != manifest:  # else there is nothing to write, perhaps where nothing may be written
            update_manifest(disk_under(base_path, output.writes), output, run_id, change)
    except StatekeeperError as error:
        _LOG.warning("what was found could not be recorded, so `status` does not show it: %s", error.message)


async def _verify(config: ExtractionConfig, run: Run) -> _Verified:
    layout = run.layout_of(config)
    report = TableReport(table=config.table, outcome=Outcome.SKIPPED, reason="verified")
    plan_id = None
    try:
        do = run.threads.disk.do
        record = await do(LocalStateStore(run.disk, layout.state, NO_FENCE).load)
        if record is None or record.published is None:
            resume = quoted(run.commands.resume())
            raise DataError(f"{config.table.key} is not complete: nothing is published", hint=f"extract it: {resume}")
        plan_id = record.published.plan_id if record.state is State.COMPLETE else None
        spec = VerifySpec(layout, record.published, Verify.FULL)
        damage = await do(run.snapshots.why_outdated, config, record.published.snapshot)
        damage = damage or await damage_of_published(config, run, spec)
        if damage:
            again = quoted(run.commands.run(table=config.table.key))
            raise DataError(f"{config.table.key}: {damage}", hint=f"extract it anew: {again}")
    except StatekeeperError as error:
        failure = Failure.of(error, failed_in=State.COMPLETE)
        failed = {"outcome": Outcome.FAILED, "failure": failure, "reason": error.message}
        return _Verified(report.model_copy(update=failed), plan_id)
    published = record.published
    holds = {"records": published.records, "bytes": published.bytes, "output_path": published.output_path}
    return _Verified(report.model_copy(update=holds), plan_id)


def _reset(runner: Runner, config: ExtractionConfig, *, only: State | None) -> bool:
    run_id, disk, output = runner.identity.run_id, runner.disk, runner.pipeline.output
    layout = runner.layout_of(config)
    if not disk.exists(layout.state):
        return False
    owner = this_process()
    with acquire(disk, layout, kind=output.lock, owner=owner, ttl=output.lease_lifetime) as lock:
        store = LocalStateStore(disk, layout.state, lock)
        try:
            record = store.load()
            is_damaged = record is not None and not record.is_of(run_id, config.table)
        except StateDamaged:
            record, is_damaged = None, True
        if is_damaged:
            if only is None:
                _keep_evidence(runner, config)
            return only is None
        if record is None or record.state is State.PENDING or (only is not None and record.state is not only):
            return False
        lifecycle = Lifecycle(record, save=store.save, owner=owner, clock=runner.clock)
        lifecycle.fire(
            Trigger.RESTART,
            change=lambda old: old.given_up_plan(is_snapshot_lost=False),
            reason=f"statekeeper reset of {run_id}",
        )
        sweep(disk, layout, live_plan=None, fence=lock)
    return True


def _keep_evidence(runner: Runner, config: ExtractionConfig) -> None:
    """Move a state file that cannot be read, or is of another table, aside, so that the extraction can begin again."""
    layout = runner.layout_of(config)
    aside = layout.state.with_name(f"{layout.state.name}.damaged-{runner.clock():%Y%m%dT%H%M%S}")
    with storage_errors(layout.state, "move aside"):
        move(runner.disk, layout.state, aside, role="state")
        runner.disk.sync_folder(layout.folder, role="state")
