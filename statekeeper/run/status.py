"""How a run stands: read from its manifest, the tables' state files and the names of their receipts.

Decides the state of a whole run, and which run is meant where none was named. It reads only JSON, connects to nothing
and changes nothing; it must never import Arrow or a database driver (a lint holds that), so that it answers at once.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from statekeeper.config.identity import ConfigIdentity
from statekeeper.config.outline import outline_of
from statekeeper.config.reading.text_file import WRITE_ONE
from statekeeper.config.root import expanded, folders_above
from statekeeper.errors import ConfigError, FailureKind, UnreadableDocument, UsageError
from statekeeper.hints.next_command import RunCommands, command, quoted
from statekeeper.hints.next_steps import Standing, next_steps
from statekeeper.model.activity import WaitStatus
from statekeeper.model.manifest import (
    ChunkProgress,
    FoundBy,
    LastRun,
    NextStep,
    ProcessStatus,
    RunManifest,
    RunStatus,
    TableFailure,
    TableStateFailure,
    TableStatus,
    run_id_of,
)
from statekeeper.model.record import Failure, Owner, State, StateRecord
from statekeeper.model.table import TableRef
from statekeeper.store import layout
from statekeeper.store.activity import load_activities
from statekeeper.store.files.disk import Disk, LocalDisk
from statekeeper.store.files.slots import read_document
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.process import Liveness, liveness

if TYPE_CHECKING:
    from statekeeper.config.resolved import Pipeline

_RECEIPT_NAME = re.compile(r"^chunk-(\d{5,})(\.[0-9a-z]+)?\.json$")
"""Where nothing can be linked each attempt has one."""
_FINISHED = frozenset({State.COMPLETE, State.FAILED})
_RUNS_NAMED = 5
_DISK: Disk = LocalDisk()

RunState = Literal["pending", "running", "complete", "failed", "incomplete"]


@dataclass(frozen=True)
class RunLocation:
    """Where a run's manifest is: `<base_path>/_runs/<run_id>.json`."""

    base_path: Path
    run_id: str


def find_run(
    cwd: Path,
    *,
    config: ConfigIdentity | None,
    base_path: Path | None,
    day: date | None = None,
    run_id: str | None = None,
) -> RunLocation:
    """The run that a command means.

    Without a config it is the one that the last run in `cwd` left word of; with one, whose base path the caller passes,
    the newest run of that config. With `day` it is the run of that extraction date: the one with the default run id,
    else the newest. `run_id` names any run under the same base path.

    Raises:
        UsageError: there is no such run.
    """
    known, path = None, config.path if config else None
    if base_path is None:
        last = last_run(cwd)
        if last is None:
            raise UsageError(
                f"no run is known here: there is no {layout.LAST_RUN} in {cwd}, nor above it",
                hint=f"name its config; {WRITE_ONE}",
            )
        base_path, known = cwd / last.base_path, last.run_id
        path = Path(last.config_path) if last.config_path else None
        if day is not None and path is not None:
            config = ConfigIdentity.of(path, environ=os.environ)
    if known is None or day is not None:
        known = _newest_run(base_path, config, day)
    wanted = run_id or known
    if wanted is None:
        of = f"run of {day}" if day else "run"
        raise UsageError(f"{path or cwd} has no {of} under {base_path}", hint=_run_first(path, day))
    if not layout.manifest_file(base_path, wanted).exists():
        others = [path.stem for path in _manifests(base_path)[:_RUNS_NAMED]]
        named = (str(path),) if path else ()
        shown = quoted(command("status", *named, "--run-id", *others[:1]))
        known_ones = f"the newest there: {', '.join(others)}; {shown}"
        raise UsageError(
            f"there is no run {wanted!r} under {base_path}", hint=known_ones if others else _run_first(path, day)
        )
    if run_id is not None and day is not None and (of := read_manifest(base_path, run_id).extraction_date) != f"{day}":
        raise UsageError(f"the run {run_id!r} is of {of}, and not of {day}", hint="leave out --date, or --run-id")
    return RunLocation(base_path=base_path, run_id=wanted)


def _run_first(config: Path | None, day: date | None) -> str:
    if config is None:
        return "the runs there were made in Python: repeat the call for it"
    return f"run {quoted(command('run', str(config), *(('--date', day.isoformat()) if day else ())))} first"


def require_output_of_earlier_runs(pipeline: Pipeline, config: Path, cwd: Path) -> None:
    """Refuse a config whose runs lie where version 0.1 began its relative paths: at the working directory.

    Elsewhere than there, everything would be extracted anew.

    Raises:
        ConfigError: its paths start elsewhere now, and the config does not say that they should.
    """
    former, present = cwd / expanded(pipeline.written_output.base_path), pipeline.base_path.absolute()
    if pipeline.is_root_named or former == present or not _has_run_of(config, former):
        return
    there, here = (os.path.relpath(folder, config.resolve().parent) for folder in (cwd, pipeline.root))
    raise ConfigError(
        f"{config}: its earlier runs are in {former}, and its relative paths start at {pipeline.root} now: everything "
        f"would be extracted anew to {present}",
        hint=f"write `root: {there}` into it to go on with them, or `root: {here}` to extract anew",
    )


def _has_run_of(config: Path, base_path: Path) -> bool:
    for path in _manifests(base_path):
        try:
            manifest = RunManifest.from_bytes(read_document(_DISK, path), where=str(path))
        except (OSError, UnreadableDocument):
            continue
        if manifest.config_path is not None and Path(manifest.config_path).resolve() == config.resolve():
            return True
    return False


def last_run(cwd: Path) -> LastRun | None:
    """The run that was last started in the nearest root, from `cwd` upward; None where there is none.

    Raises:
        UsageError: the pointer to it cannot be read.
    """
    for folder in folders_above(cwd):
        path = folder / layout.LAST_RUN
        try:
            return LastRun.model_validate_json(read_document(_DISK, path))
        except FileNotFoundError:
            continue
        except (OSError, ValidationError) as error:
            raise UsageError(f"{path} cannot be read", hint=f"remove it and name a config; {error}") from error
    return None


def read_manifest(base_path: Path, run_id: str) -> RunManifest:
    """The manifest of a run. Raises UsageError where there is none, StateDamaged where it is damaged."""
    path = layout.manifest_file(base_path, run_id)
    try:
        return RunManifest.from_bytes(read_document(_DISK, path), where=str(path))
    except OSError as error:
        raise UsageError(f"the run {run_id!r} cannot be read: {error}") from error


def read_status(
    base_path: Path,
    run_id: str,
    *,
    working_folder: Path | None = None,
    liveness_of: Callable[[Owner], Liveness] = liveness,
) -> RunStatus:
    """How the run `run_id` stands now, also as to tables of its config that it was never asked to extract.

    `working_folder` is where the next steps are typed.

    Raises:
        UsageError, StateDamaged: there is no manifest, or it is damaged. A table's damaged state is part of the answer.
    """
    manifest, looked_up = read_manifest(base_path, run_id), functools.cache(liveness_of)
    waits = _waits(base_path, run_id, looked_up)
    day = date.fromisoformat(manifest.extraction_date)
    tables: list[TableStatus] = []
    owners: dict[Owner, bool] = {}
    failures = {failure.table: failure for failure in manifest.failures}
    refs = tuple(dict.fromkeys((*manifest.tables, *_listed_now(manifest))))
    for table in refs:
        files = ExtractionLayout.of(base_path=base_path, table=table, extraction_date=day, run_id=run_id)
        record, damage = _read_record(files, table, run_id)
        status = _table_status(table, record, damage, files).model_copy(update={"waiting": waits.get(table.key)})
        is_at_work = record is not None and record.owner is not None and record.state not in _FINISHED
        if record is not None and record.owner is not None:
            owners[record.owner] = owners.get(record.owner, False) or is_at_work
            is_at_work = is_at_work and looked_up(record.owner) is Liveness.ALIVE
        tables.append(status if is_at_work else _with_found(status, record, failures.get(table)))
    # The owner of a finished table alone says nothing after the run's end: it may be a notebook that lives on.
    at_work = [owner for owner, has_unfinished in owners.items() if has_unfinished or manifest.ended_at is None]
    since = {process.owner: process.since for process in manifest.processes}
    processes = tuple(
        _process(owner, since.get(owner), looked_up(owner)) for owner in {**since, **dict.fromkeys(at_work)}
    )
    state = _run_state({table.state for table in tables}, is_running=any(one.liveness == "alive" for one in processes))
    if state == "complete":  # what did not say that it ended, perhaps on another machine, has left nothing to do
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
    """The tables of a run that are not complete. Raises as `read_status`."""
    manifest = read_manifest(base_path, run_id)
    complete = {table.key for table in read_status(base_path, run_id).tables if table.state == "complete"}
    return tuple(table for table in (*manifest.tables, *_listed_now(manifest)) if table.key not in complete)


def _waits(base_path: Path, run_id: str, liveness_of: Callable[[Owner], Liveness]) -> dict[str, WaitStatus]:
    """What tables wait for, by their keys, as the processes that work on the run have written it down."""
    activities = load_activities(_DISK, base_path, run_id)
    return {
        wait.table: WaitStatus(kind=wait.kind, what=wait.what, since=wait.since)
        for activity in activities
        if liveness_of(activity.owner) is not Liveness.DEAD
        for wait in activity.waits
    }


def _listed_now(manifest: RunManifest) -> tuple[TableRef, ...]:
    """The tables that the run is to have: what its config says now or, where it cannot be read, what it said last."""
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
    """What to type next; `resume` is of the tables that the run was last started with, those of other files are run."""
    own, others = [], {}
    lists = {table: each.tables_path for each in manifest.lists for table in each.tables}
    for table, status in tables:
        path = lists.get(table, manifest.tables_path)
        if path == manifest.tables_path:
            of_run = layout.run_snapshots_folder(base_path, manifest.run_id, table.source_name).exists()
            own.append(_standing(status, has_run_snapshot=of_run))
        elif status.state != "complete":
            others[path] = NextStep(command=commands_of(manifest, path, working_folder).run())
    if others and state != "running" and all(standing.is_complete for standing in own):
        return tuple(others.values())
    commands = commands_of(manifest, manifest.tables_path, working_folder)
    return (*next_steps(own, commands, is_running=state == "running"), *others.values())


def commands_of(manifest: RunManifest, tables_path: str | None, working_folder: Path) -> RunCommands:
    """The commands about a run on disk and a list of its tables, as they are typed in `working_folder`."""
    return RunCommands.of(
        pipeline=manifest.pipeline,
        extraction_date=date.fromisoformat(manifest.extraction_date),
        run_id=manifest.run_id,
        config_path=Path(manifest.config_path) if manifest.config_path else None,
        tables_path=Path(tables_path) if tables_path else None,
        working_folder=working_folder,
    )


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


def _with_found(status: TableStatus, record: StateRecord | None, found: TableFailure | None) -> TableStatus:
    """The status with the failure that the manifest has of the table, if it still says something of it.

    What `verify` found is of the data that was published then.
    """
    if found is None or status.state == "damaged":
        return status
    published = record.published if record is not None and record.state is State.COMPLETE else None
    if found.found_by is FoundBy.VERIFY and (published is None or published.plan_id != found.plan_id):
        return status
    return status.model_copy(update={"state": State.FAILED.value, "failure": _failure(found.failure)})


def _run_state(states: set[str], *, is_running: bool) -> RunState:
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
    """The record of a table, or why it cannot be read; neither where the table was not begun."""
    where = str(files.state)
    try:
        record = StateRecord.from_bytes(read_document(_DISK, files.state), where=where)
    except FileNotFoundError:
        return None, None
    except UnreadableDocument as error:
        return None, TableStateFailure(kind=error.kind.value, code=error.code, message=error.message, hint=error.hint)
    except OSError as error:
        return None, TableStateFailure(kind=FailureKind.STORAGE.value, code=None, message=str(error), hint=None)
    if not record.is_of(run_id, table):
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
    )


def _failure(failure: Failure) -> TableStateFailure:
    return TableStateFailure(kind=failure.kind.value, code=failure.code, message=failure.message, hint=failure.hint)


def _chunk_progress(record: StateRecord, files: ExtractionLayout) -> ChunkProgress:
    total = record.chunks_total
    if record.state is State.COMPLETE:
        return ChunkProgress(done=total, total=total)
    if record.plan_id is None:
        return ChunkProgress(done=0, total=0)
    # Receipts appear whole under their names, so their names are enough.
    try:
        receipts = [path.name for path in files.staging(record.plan_id).receipts.iterdir()]
    except OSError:
        receipts = []
    return ChunkProgress(done=len({match[1] for match in map(_RECEIPT_NAME.match, receipts) if match}), total=total)


def _newest_run(base_path: Path, config: ConfigIdentity | None, day: date | None) -> str | None:
    """The newest run of a config (None: of Python); of those of a `day`, the one with the default id."""
    newest: str | None = None
    for path in _manifests(base_path):
        try:
            manifest = RunManifest.from_bytes(read_document(_DISK, path), where=str(path))
        except (OSError, UnreadableDocument):
            continue  # it can be named by --run-id, which then says what is wrong with it
        is_meant = manifest.config_path is None if config is None else config.owns(manifest)
        if not is_meant or (day and manifest.extraction_date != day.isoformat()):
            continue
        newest = newest or manifest.run_id
        if day is None or manifest.run_id == run_id_of(manifest.pipeline, day):
            return manifest.run_id
    return newest


def _manifests(base_path: Path) -> list[Path]:
    """The manifests under a base path, the last written first."""
    paths = layout.runs_folder(base_path).glob("*.json")
    return sorted((path for path in paths if not path.name.startswith(".")), key=_written, reverse=True)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
