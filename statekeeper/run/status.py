"""The status of a run, read from its manifest, its tables' state files and the names of their receipts.

Decides the state of a whole run. It reads only JSON, connects to nothing and changes nothing. It must never import
Arrow or a database driver (a lint checks that), so that it answers at once.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from statekeeper.config.outline import outline_of
from statekeeper.errors import FailureKind, UnreadableDocument
from statekeeper.hints.next_command import RunCommands
from statekeeper.hints.next_steps import Standing, next_steps
from statekeeper.model.activity import WaitStatus
from statekeeper.model.manifest import (
    ChunkProgress,
    FoundBy,
    NextStep,
    ProcessStatus,
    RunManifest,
    RunStatus,
    TableFailure,
    TableStateFailure,
    TableStatus,
)
from statekeeper.model.record import StateRecord
from statekeeper.model.state import Failure, Owner, State
from statekeeper.model.table import TableRef
from statekeeper.run.find_run import read_manifest
from statekeeper.store import layout
from statekeeper.store.activity import load_activities
from statekeeper.store.files.slots import read_document
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.layouts import layout_of
from statekeeper.store.process import Liveness, liveness
from statekeeper.store.receipts import count_receipts
from statekeeper.store.registry import reading_disk

_FINISHED = frozenset({State.COMPLETE, State.FAILED})

RunState = Literal["pending", "running", "complete", "failed", "incomplete"]


def read_status(
    base_path: Path,
    run_id: str,
    *,
    working_folder: Path | None = None,
    liveness_of: Callable[[Owner], Liveness] = liveness,
) -> RunStatus:
    """The current status of the run `run_id`, including tables of its config that it was never asked to extract.

    `working_folder` is the folder in which the next steps are typed.

    Raises:
        UsageError, StateDamaged: there is no manifest, or it is damaged. A table's damaged state is part of the result.
    """
    manifest, liveness_once = read_manifest(base_path, run_id), functools.cache(liveness_of)
    waits = _waits(base_path, run_id, liveness_once)
    day = date.fromisoformat(manifest.extraction_date)
    tables: list[TableStatus] = []
    owners: dict[Owner, bool] = {}
    failures = {failure.table: failure for failure in manifest.failures}
    refs = tuple(dict.fromkeys((*manifest.tables, *_listed_now(manifest))))
    for table in refs:
        files = layout_of(manifest.layout, base_path=base_path, table=table, extraction_date=day, run_id=run_id)
        record, damage = _read_record(files, table, run_id)
        status = _table_status(table, record, damage, files).model_copy(update={"waiting": waits.get(table.key)})
        is_at_work = record is not None and record.owner is not None and record.state not in _FINISHED
        if record is not None and record.owner is not None:
            owners[record.owner] = owners.get(record.owner, False) or is_at_work
            is_at_work = is_at_work and liveness_once(record.owner) is Liveness.ALIVE
        tables.append(status if is_at_work else _with_recorded(status, record, failures.get(table)))
    # After the end of the run, the owner of a finished table proves nothing: it may be a notebook that still lives.
    at_work = [owner for owner, has_unfinished in owners.items() if has_unfinished or manifest.ended_at is None]
    since = {process.owner: process.since for process in manifest.processes}
    processes = tuple(
        _process(owner, since.get(owner), liveness_once(owner)) for owner in {**since, **dict.fromkeys(at_work)}
    )
    state = state_of_tables(
        {table.state for table in tables}, is_running=any(one.liveness == "alive" for one in processes)
    )
    if state == "complete":  # a process that did not record its end, perhaps on another machine, left nothing to do
        processes = tuple(one for one in processes if one.liveness == "alive")
    return RunStatus(
        run_id=run_id,
        pipeline=manifest.pipeline,
        extraction_date=manifest.extraction_date,
        state=state,
        tables=tuple(tables),
        counts=dict(Counter(table.state for table in tables).most_common()),
        processes=processes,
        next_steps=_next_steps(
            base_path, manifest, tuple(zip(refs, tables, strict=True)), working_folder or Path.cwd(), state
        ),
    )


def unfinished_tables(base_path: Path, run_id: str) -> tuple[TableRef, ...]:
    """The tables of a run that are not complete. Raises like `read_status`."""
    manifest = read_manifest(base_path, run_id)
    complete = {table.key for table in read_status(base_path, run_id).tables if table.state == "complete"}
    return tuple(table for table in (*manifest.tables, *_listed_now(manifest)) if table.key not in complete)


def _waits(base_path: Path, run_id: str, liveness_of: Callable[[Owner], Liveness]) -> dict[str, WaitStatus]:
    """What tables wait for, by their keys, as written by the processes that work on the run."""
    activities = load_activities(reading_disk(base_path), base_path, run_id)
    return {
        wait.table: WaitStatus(kind=wait.kind, what=wait.what, since=wait.since)
        for activity in activities
        if liveness_of(activity.owner) is not Liveness.DEAD
        for wait in activity.waits
    }


def _listed_now(manifest: RunManifest) -> tuple[TableRef, ...]:
    """The tables that the run should have: those in its config now, or if that cannot be read, those in it last."""
    if manifest.config_path is None:
        return manifest.listed
    tables_path = Path(manifest.tables_path) if manifest.tables_path else None
    outline = outline_of(Path(manifest.config_path), environ=os.environ, tables_path=tables_path)
    if outline is None or outline.tables is None:
        return manifest.listed
    others = (each for each in manifest.lists if each.tables_path != manifest.tables_path)
    return (*outline.tables, *(table for each in others for table in each.tables))


def _next_steps(
    base_path: Path,
    manifest: RunManifest,
    tables: tuple[tuple[TableRef, TableStatus], ...],
    working_folder: Path,
    state: RunState,
) -> tuple[NextStep, ...]:
    """What to type next: `resume` for the tables of the last start, `run` for tables of other files."""
    own, others = [], {}
    lists = {table: each.tables_path for each in manifest.lists for table in each.tables}
    for table, status in tables:
        path = lists.get(table, manifest.tables_path)
        if path == manifest.tables_path:
            snapshots = layout.run_snapshots_folder(base_path, manifest.run_id, table.source_name)
            of_run = reading_disk(base_path).exists(snapshots)
            own.append(_standing(status, has_run_snapshot=of_run))
        elif status.state != "complete":
            others[path] = NextStep(command=RunCommands.of_manifest(manifest, path, working_folder).run())
    if others and state != "running" and all(standing.is_complete for standing in own):
        return tuple(others.values())
    commands = RunCommands.of_manifest(manifest, manifest.tables_path, working_folder)
    return (*next_steps(own, commands, is_running=state == "running"), *others.values())


def _process(owner: Owner, since: datetime | None, found: Liveness) -> ProcessStatus:
    return ProcessStatus(host=owner.host, pid=owner.pid, since=since, liveness=found.value)


def _standing(table: TableStatus, *, has_run_snapshot: bool) -> Standing:
    kind = FailureKind(table.failure.kind) if table.failure else None
    return Standing(
        table.key,
        is_complete=table.state == "complete",
        failure=FailureKind.STATE_DAMAGED if table.state == "damaged" else kind,
        has_run_snapshot=has_run_snapshot,
    )


def _with_recorded(status: TableStatus, record: StateRecord | None, found: TableFailure | None) -> TableStatus:
    """The status with the table's failure from the manifest, if that still applies.

    A failure that `verify` found applies only to the data that was published then.
    """
    if found is None or status.state == "damaged":
        return status
    published = record.published if record is not None and record.state is State.COMPLETE else None
    if found.found_by is FoundBy.VERIFY and (published is None or published.plan_id != found.plan_id):
        return status
    return status.model_copy(update={"state": State.FAILED.value, "failure": _failure(found.failure)})


def state_of_tables(states: set[str], *, is_running: bool) -> RunState:
    """The state of a run whose tables have these states."""
    if states <= {"complete"}:
        return "complete"
    if is_running:
        return "running"
    if states & {"failed", "damaged"}:
        return "failed"
    return "pending" if states == {"pending"} else "incomplete"


def _read_record(
    files: ExtractionLayout, table: TableRef, run_id: str
) -> tuple[StateRecord | None, TableStateFailure | None]:
    """The record of a table, or why it cannot be read; neither if the table was not started."""
    where = str(files.state)
    try:
        record = StateRecord.from_bytes(read_document(reading_disk(files.state), files.state), where=where)
    except FileNotFoundError:
        return None, None
    except UnreadableDocument as error:
        return None, TableStateFailure(kind=error.kind.value, code=error.code, message=error.message, hint=error.hint)
    except OSError as error:
        return None, TableStateFailure(kind=FailureKind.STORAGE.value, code=None, message=str(error), hint=None)
    if not record.belongs_to(run_id, table):
        message = (
            f"{where} is the state of {record.table.key} in the run {record.run_id}, not of {table.key} in {run_id}"
        )
        return None, TableStateFailure(kind=FailureKind.STATE_DAMAGED.value, code=None, message=message, hint=None)
    return record, None


def _table_status(
    table: TableRef, record: StateRecord | None, damage: TableStateFailure | None, files: ExtractionLayout
) -> TableStatus:
    if record is None:
        return TableStatus(
            source_name=table.source_name,
            schema_name=table.schema_name,
            table_name=table.table_name,
            state="pending" if damage is None else "damaged",
            records=None,
            bytes=None,
            chunks=ChunkProgress(done=0, total=0),
            attempts=0,
            started_at=None,
            ended_at=None,
            duration_seconds=None,
            output_path=None,
            failure=damage,
        )
    published = record.published
    duration = record.ended_at - record.started_at if record.ended_at and record.started_at else None
    return TableStatus(
        source_name=table.source_name,
        schema_name=table.schema_name,
        table_name=table.table_name,
        state=record.state.value,
        records=published.records if published else None,
        bytes=published.bytes if published else None,
        chunks=_chunk_progress(record, files),
        attempts=record.attempts,
        started_at=record.started_at,
        ended_at=record.ended_at,
        duration_seconds=duration.total_seconds() if duration else None,
        output_path=published.output_path if published else None,
        failure=_failure(record.failure) if record.failure else None,
        remarks=published.remarks if published else (),
        covered_through=published.covered_through if published else None,
    )


def _failure(failure: Failure) -> TableStateFailure:
    return TableStateFailure(kind=failure.kind.value, code=failure.code, message=failure.message, hint=failure.hint)


def _chunk_progress(record: StateRecord, files: ExtractionLayout) -> ChunkProgress:
    total = record.chunks_total
    if record.state is State.COMPLETE:
        return ChunkProgress(done=total, total=total)
    if record.plan_id is None:
        return ChunkProgress(done=0, total=0)
    # A receipt gets its name only when it is complete, so the names are enough.
    done = 0
    with suppress(OSError):
        done = count_receipts(reading_disk(files.folder), files.staging(record.plan_id))
    return ChunkProgress(done=done, total=total)
