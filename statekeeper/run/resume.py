"""What a run does first with an extraction that it finds: the decision that makes every rerun idempotent.

`decide_resume` is a pure decision. The other functions collect its inputs: the record on disk, the damage of the
published data, and the failures in the run's manifest. A run and its preview use the same functions, so that a preview
shows what a run does. Nothing here writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from statekeeper.config.resolved import ExtractionConfig, Verify
from statekeeper.errors import FailureKind, StateDamaged
from statekeeper.model.manifest import RunManifest
from statekeeper.model.record import StateRecord, Trigger
from statekeeper.model.state import State
from statekeeper.runtime.context import Run
from statekeeper.runtime.fingerprint import changed_aspects, kept_fingerprint
from statekeeper.store.place import require_own_date
from statekeeper.store.state import StateStore
from statekeeper.verify import VerifySpec, damage_of_published

_CURED_BY_RESTART = frozenset({FailureKind.DATA, FailureKind.SNAPSHOT_LOST})
"""Failures that would only repeat if the same plan continued."""


class Reprocess(Enum):
    """Which complete extractions with undamaged data are extracted again."""

    NONE = auto()
    STALE = auto()
    """Those whose configuration has changed since."""
    ALL = auto()


@dataclass(frozen=True)
class ResumeDecision:
    """The first trigger of a run for an extraction, and why; None: it starts as it is, or is skipped.

    `stale` names what has changed in the configuration of a complete extraction that is skipped anyway.
    """

    trigger: Trigger | None
    reason: str | None = None
    stale: tuple[str, ...] = ()


def decide_resume(record: StateRecord, *, fingerprint: str, reprocess: Reprocess, damage: str | None) -> ResumeDecision:
    """Decide what a run does first with an extraction.

    `fingerprint` describes the current configuration; `damage` is the result of verifying a complete extraction.
    """
    if record.state is State.PENDING:
        return ResumeDecision(None)
    if reprocess is Reprocess.ALL:
        return ResumeDecision(Trigger.RESTART, "--force-reprocess")
    earlier = (
        record.published.fingerprint if record.state is State.COMPLETE and record.published else record.fingerprint
    )
    changed = changed_aspects(earlier, fingerprint)
    if record.state is State.COMPLETE and reprocess is Reprocess.NONE:
        return ResumeDecision(Trigger.RESTART, damage) if damage else ResumeDecision(None, stale=changed)
    if changed:
        return ResumeDecision(Trigger.RESTART, f"its configuration changed: {', '.join(changed)}")
    match record.state:
        case State.COMPLETE:
            return ResumeDecision(Trigger.RESTART, damage) if damage else ResumeDecision(None)
        case State.EXTRACTING | State.VALIDATING:
            return ResumeDecision(Trigger.RESUME, "continued where it was left")
        case State.FAILED:
            if record.failure is None or record.failure.kind in _CURED_BY_RESTART:
                return ResumeDecision(Trigger.RESTART, "its last plan could not be finished")
            return ResumeDecision(Trigger.RETRY, f"it failed before: {record.failure.message}")
        case _ as never:
            assert_never(never)


async def resume_decision(
    config: ExtractionConfig, run: Run, record: StateRecord, *, fingerprint: str, reprocess: Reprocess
) -> ResumeDecision:
    """The decision for an extraction whose record is on disk; a complete one is verified first.

    Raises:
        StorageError: a path of the extraction is a symbolic link, or the system refuses to read a file.
    """
    needs_verification = record.state is State.COMPLETE and reprocess is not Reprocess.ALL
    damage = await _damage(config, run, record) if needs_verification else None
    return decide_resume(record, fingerprint=fingerprint, reprocess=reprocess, damage=damage)


async def _damage(config: ExtractionConfig, run: Run, record: StateRecord) -> str | None:
    """What is wrong with the published data of a complete extraction; None if nothing is."""
    published = record.published
    snapshot = published.snapshot if published else None
    if outdated := await run.threads.disk.do(run.snapshots.why_outdated, config, snapshot):
        return outdated
    # `verify` may have found damage that a quick check does not see.
    verify = Verify.FULL if config.table in run.manifest_failures else config.verify
    return await damage_of_published(config, run, VerifySpec(run.layout_of(config), published, verify, run.disk))


def find_record(store: StateStore, config: ExtractionConfig, run: Run) -> StateRecord | None:
    """The record of a table in this run; None if it was never started.

    Raises:
        StateDamaged: the file cannot be read, or belongs to another table or run.
        UsageError: the date belongs to another run.
        StorageError: the file system refused.
    """
    record = store.load()
    if record is None:
        require_own_date(run.disk, run.layout_of(config))
    if record is not None and not record.belongs_to(run.run_id, config.table):
        raise StateDamaged(
            f"{run.layout_of(config).state} is the state of {record.table.key} in run {record.run_id}, "
            f"not of {config.table.key} in run {run.run_id}",
            hint="give the table another path_name, or move the file away",
        )
    return record


def first_record(config: ExtractionConfig, run: Run, *, fingerprint: str) -> StateRecord:
    """The first record of a table."""
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
    """Load failures that are in no state from the manifest; if all is forced, drop snapshots that are taken again."""
    run.manifest_failures.update((found.table, found) for found in (manifest.failures if manifest else ()))
    if reprocess is Reprocess.ALL:
        await run.threads.disk.do(run.snapshots.give_up, _sources_with_new_snapshot(manifest, tables))


def _sources_with_new_snapshot(manifest: RunManifest | None, tables: tuple[ExtractionConfig, ...]) -> set[str]:
    """The sources whose tables of the run are all in `tables`: forced together, they are read at a new snapshot."""
    given = {config.table for config in tables}
    left = {table.source_name for table in (manifest.tables if manifest else ()) if table not in given}
    return {config.table.source_name for config in tables if config.has_run_snapshot} - left
