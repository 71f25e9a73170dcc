"""Verifies the published data of each table of a run in full, and records the damage that it finds."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from statekeeper.config.resolved import ExtractionConfig, Verify
from statekeeper.errors import (
    DataError,
    StatekeeperError,
)
from statekeeper.hints.next_command import quoted
from statekeeper.hints.next_steps import next_steps
from statekeeper.model.manifest import FoundBy, RunManifest, TableFailure
from statekeeper.model.state import Failure, State
from statekeeper.run.on_each_table import on_each_table
from statekeeper.run.report import Outcome, RunReport, TableReport, standing_of
from statekeeper.run.runner import Runner
from statekeeper.runtime.context import Run
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.manifest import load_manifest, update_manifest
from statekeeper.store.place import require_layout_of_run
from statekeeper.store.registry import state_store, writing_disk
from statekeeper.text.places import with_addresses
from statekeeper.verify import VerifySpec, damage_of_published

_LOG = logging.getLogger("statekeeper.verify")


def verify_tables(runner: Runner, tables: tuple[ExtractionConfig, ...]) -> RunReport:
    """Check the published data of each table in full. A table that is not complete counts as failed.

    Damage is recorded in the run's manifest, so that `status` shows it until it is repaired.
    """
    require_layout_of_run(runner.disk, runner.pipeline.output, runner.identity.run_id)
    verified = on_each_table(runner, tables, _verify)
    _record_found(runner, verified)
    reports = tuple(each.report for each in verified)
    return RunReport(
        run_id=runner.identity.run_id,
        pipeline=runner.pipeline.name,
        extraction_date=runner.identity.extraction_date.isoformat(),
        base_path=with_addresses(str(runner.pipeline.base_path)),
        tables=reports,
        duration_seconds=0.0,
        next_steps=next_steps(map(standing_of, reports), runner.commands),
    )


@dataclass(frozen=True)
class _Verified:
    """The result of verifying a table; `plan_id` is that of the published data that was checked."""

    report: TableReport
    plan_id: str | None

    def found_in(self, manifest: RunManifest, *, at: datetime) -> RunManifest:
        """The manifest with this result. Good data does not remove a failure that a run has recorded."""
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
        if change(manifest) != manifest:  # otherwise write nothing: the folder may be read-only
            update_manifest(writing_disk(base_path, output.writes), output, run_id, change)
    except StatekeeperError as error:
        _LOG.warning("the results could not be recorded, so `status` does not show them: %s", error.message)


async def _verify(config: ExtractionConfig, run: Run) -> _Verified:
    layout = run.layout_of(config)
    report = TableReport(table=config.table, outcome=Outcome.SKIPPED, reason="verified")
    plan_id = None
    try:
        do = run.threads.disk.do
        record = await do(state_store(run.disk, layout.state, NO_FENCE).load)
        if record is None or record.published is None:
            resume = quoted(run.commands.resume())
            raise DataError(f"{config.table.key} is not complete: nothing is published", hint=f"extract it: {resume}")
        plan_id = record.published.plan_id if record.state is State.COMPLETE else None
        spec = VerifySpec(layout, record.published, Verify.FULL, run.disk)
        damage = await do(run.snapshots.why_outdated, config, record.published.snapshot)
        damage = damage or await damage_of_published(config, run, spec)
        if damage:
            again = quoted(run.commands.run(table=config.table.key))
            raise DataError(f"{config.table.key}: {damage}", hint=f"extract it again: {again}")
    except StatekeeperError as error:
        failure = Failure.of(error, failed_in=State.COMPLETE)
        failed = {"outcome": Outcome.FAILED, "failure": failure, "reason": error.message}
        return _Verified(report.model_copy(update=failed), plan_id)
    published = record.published
    verified = {"records": published.records, "bytes": published.bytes, "output_path": published.output_path}
    return _Verified(report.model_copy(update=verified), plan_id)
