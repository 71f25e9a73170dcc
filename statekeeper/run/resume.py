"""What a run does with an extraction as it finds it: the decision that makes every rerun idempotent.

`decide_resume` decides, and is pure. The rest gathers what it decides from: the record on disk, the damage of what is
published, and what the run's manifest knows. A run and its preview both ask here, so that a preview says what a run
does. Nothing here writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from statekeeper.config.resolved import ExtractionConfig, Verify
from statekeeper.errors import FailureKind, StateDamaged
from statekeeper.model.manifest import RunManifest
from statekeeper.model.record import State, StateRecord, Trigger
from statekeeper.runtime.context import Run
from statekeeper.runtime.fingerprint import changed_aspects, kept_fingerprint
from statekeeper.store.place import require_own_date
from statekeeper.store.state import StateStore
from statekeeper.verify import VerifySpec, damage_of_published

_CURED_BY_RESTART = frozenset({FailureKind.DATA, FailureKind.SNAPSHOT_LOST})
"""Failures that doing the rest of the same plan would only repeat."""


class Reprocess(Enum):
    """Which complete extractions, whose data is as it was published, are extracted again."""

    NONE = auto()
    STALE = auto()
    """Those whose configuration has changed since."""
    ALL = auto()


@dataclass(frozen=True)
class ResumeDecision:
    """The first trigger of a run for an extraction (None: it goes on as it is, or is skipped), and why.

    `stale` names what has changed in the configuration of a complete extraction that is skipped all the same.
    """

    trigger: Trigger | None
    reason: str | None = None
    stale: tuple[str, ...] = ()


def decide_resume(record: StateRecord, *, fingerprint: str, reprocess: Reprocess, damage: str | None) -> ResumeDecision:
    """Decide what a run does first with an extraction.

    `fingerprint` is that of the present configuration; `damage` is what re-verification of a complete extraction found.
    """
    if record.state is State.PENDING:
        return ResumeDecision(None)
    if reprocess is Reprocess.ALL:
        return ResumeDecision(Trigger.RESTART, "--force-reprocess")
    made_for = (
        record.published.fingerprint if record.state is State.COMPLETE and record.published else record.fingerprint
    )
    changed = changed_aspects(made_for, fingerprint)
    if record.state is State.COMPLETE and reprocess is Reprocess.NONE:
        return ResumeDecision(Trigger.RESTART, damage) if damage else ResumeDecision(None, stale=changed)
    if changed:
        return ResumeDecision(Trigger.RESTART, f"its configuration changed: {', '.join(changed)}")
    match record.state:
        case State.COMPLETE:
            return ResumeDecision(Trigger.RESTART, damage) if damage else ResumeDecision(None)
        case State.EXTRACTING | State.VALIDATING:
            return ResumeDecision(Trigger.RESUME, "taken up where it was left")
        case State.FAILED:
            if record.failure is None or record.failure.kind in _CURED_BY_RESTART:
                return ResumeDecision(Trigger.RESTART, "its last plan could not be finished")
            return ResumeDecision(Trigger.RETRY, f"it failed before: {record.failure.message}")
        case _ as never:
            assert_never(never)


async def resume_decision(
    config: ExtractionConfig, run: Run, record: StateRecord, *, fingerprint: str, reprocess: Reprocess
) -> ResumeDecision:
    """The decision on an extraction whose record was found on disk: what is complete is verified first.

    Raises:
        StorageError: a name of the extraction is a symbolic link, or the system does not let a file be read.
    """
    is_to_be_verified = record.state is State.COMPLETE and reprocess is not Reprocess.ALL
    damage = await _damage(config, run, record) if is_to_be_verified else None
    return decide_resume(record, fingerprint=fingerprint, reprocess=reprocess, damage=damage)


async def _damage(config: ExtractionConfig, run: Run, record: StateRecord) -> str | None:
    """What is wrong with what is published, by the state that says it is complete."""
    published = record.published
    snapshot = published.snapshot if published else None
    if outdated := await run.threads.disk.do(run.snapshots.why_outdated, config, snapshot):
        return outdated
    # What `verify` found may be more than a quick look sees.
    verify = Verify.FULL if config.table in run.manifest_failures else config.verify
    return await damage_of_published(config, run, VerifySpec(run.layout_of(config), published, verify))


def find_record(store: StateStore, config: ExtractionConfig, run: Run) -> StateRecord | None:
    """The record of a table in this run; None where it was never begun.

    Raises:
        StateDamaged: the file cannot be read, or is of another table or run.
        UsageError: the date belongs to another run.
        StorageError: the file system refused.
    """
    record = store.load()
    if record is None:
        require_own_date(run.disk, run.layout_of(config))
    if record is not None and not record.belongs_to(run.run_id, config.table):
        raise StateDamaged(
            f"{run.layout_of(config).state} is the state of {record.table.key} in run {record.run_id}, "
            f"and not of {config.table.key} in run {run.run_id}",
            hint="give the table another path_name, or move the file away",
        )
    return record


def first_record(config: ExtractionConfig, run: Run, *, fingerprint: str) -> StateRecord:
    """The record that a table begins with."""
    return StateRecord(
        run_id=run.run_id,
        pipeline=run.pipeline.name,
        extraction_date=run.extraction_date.isoformat(),
        table=config.table,
        fingerprint=kept_fingerprint(fingerprint, policies=frozenset()),
    )


async def recall(
    run: Run, manifest: RunManifest | None, *, tables: tuple[ExtractionConfig, ...], reprocess: Reprocess
) -> None:
    """Tell the run what its manifest knows: failures that no state tells, and which snapshots are taken anew."""
    run.manifest_failures.update((found.table, found) for found in (manifest.failures if manifest else ()))
    if reprocess is Reprocess.ALL:
        await run.threads.disk.do(run.snapshots.give_up, _read_anew(manifest, tables))


def _read_anew(manifest: RunManifest | None, tables: tuple[ExtractionConfig, ...]) -> set[str]:
    """The sources of which `tables` are all that the run has: forced together, they are read at a new snapshot."""
    given = {config.table for config in tables}
    left = {table.source_name for table in (manifest.tables if manifest else ()) if table not in given}
    return {config.table.source_name for config in tables if config.has_run_snapshot} - left
