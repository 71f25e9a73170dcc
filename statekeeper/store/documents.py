"""The documents beside the state: plan, receipts, metadata, a run's snapshots, the pointer to the last run.

Decides for each how it is written (created once or replaced) and what a damaged one means. Damage to a receipt costs
what it is the receipt of: a torn one, which only a disk without link can have, must not block the work. Damage to
anything else is an error for the caller to judge. The receipts of chunks are `store.receipts`' matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from statekeeper.config.sections.output import LockKind
from statekeeper.errors import StateDamaged
from statekeeper.model.base import Document
from statekeeper.model.manifest import LastRun
from statekeeper.model.metadata import Metadata, parse_metadata
from statekeeper.model.plan import Plan, RunSnapshot
from statekeeper.model.receipt import CountReceipt, RejectsReceipt, SplitReceipt
from statekeeper.store.files.disk import Access, Disk, Writes
from statekeeper.store.files.durable import NO_FENCE, Fence, create_once, replace, storage_errors
from statekeeper.store.files.links import refuse_links
from statekeeper.store.files.slots import damage_where_no_file_is, read_document, settle
from statekeeper.store.files.temps import is_abandoned, process_token, sweep_temps, temps_in
from statekeeper.store.layout import LAST_RUN, ExtractionLayout, run_snapshots_folder
from statekeeper.store.process import this_process
from statekeeper.store.staging import Staging, subfolders_for

_RUN_SNAPSHOT = re.compile(r"(\d{4,})\.json")

D = TypeVar("D", bound=Document)


def save_plan(disk: Disk, staging: Staging, plan: Plan) -> None:
    """Make the staging folder of a plan and keep the plan in it, once and for all.

    Workers make no folders, so that a late worker of a plan that was given up finds nothing to write into.

    Raises:
        StateDamaged: another plan stands there.
        StorageError: the file system refused.
    """
    with storage_errors(staging.folder, "make"):
        disk.make_folder(staging.parts, role="plan", access=Access.PRIVATE)
        disk.make_folder(staging.receipts, role="plan", access=Access.PRIVATE)
        if disk.writes is Writes.WHOLE and (names := subfolders_for(len(plan.chunks))):
            for folder in (staging.parts, staging.receipts):
                disk.make_folders(folder, names, role="plan", access=Access.PRIVATE)
    if not create_once(disk, staging.plan, plan.to_bytes(), role="plan", unique=process_token()):
        found = load_plan(disk, staging)
        if found != plan.model_copy(update={"checksum": found.checksum if found else ""}):
            raise StateDamaged(f"{staging.plan} holds another plan than the one to be kept; a plan is never changed")


def load_plan(disk: Disk, staging: Staging) -> Plan | None:
    """The plan of a staging folder; None if it is missing.

    Raises:
        StateDamaged: it is torn or foreign, or is the plan of another folder.
    """
    plan = load_once(disk, staging.plan, Plan)
    if plan is not None and plan.plan_id != staging.folder.name:
        raise StateDamaged(f"{staging.plan} is plan {plan.plan_id}, not the plan of its folder")
    return plan


def save_count(disk: Disk, staging: Staging, receipt: CountReceipt, *, attempt: str) -> bool:
    """Keep the source's own count; False if there is one already, which stands."""
    return create_once(disk, staging.count_receipt, receipt.to_bytes(), role="count", unique=attempt)


def load_count(disk: Disk, staging: Staging, plan_id: str) -> CountReceipt | None:
    """The count of a plan; None if it is not done. What is torn or belongs to another plan is removed."""
    return _load_or_remove(
        disk, staging.count_receipt, CountReceipt, is_wanted=lambda found: found.plan_id == plan_id, role="count"
    )


def save_split(disk: Disk, staging: Staging, receipt: SplitReceipt) -> None:
    """Keep the receipt of a split part; of two that split it at once, the first stands."""
    create_once(
        disk, staging.split_receipt(receipt.chunk_id), receipt.to_bytes(), role="split_receipt", unique=receipt.attempt
    )


def load_split(disk: Disk, staging: Staging, plan_id: str, chunk_id: int) -> SplitReceipt | None:
    """The receipt of a split part; None if there is none. What is torn or belongs elsewhere is removed."""
    path, wanted = staging.split_receipt(chunk_id), (plan_id, chunk_id)
    return _load_or_remove(
        disk,
        path,
        SplitReceipt,
        is_wanted=lambda found: (found.plan_id, found.chunk_id) == wanted,
        role="split_receipt",
    )


def discard_split(disk: Disk, staging: Staging, chunk_id: int) -> None:
    """Durably take back the receipt of a split part, because it is of another part or what it names is damaged."""
    remove_document(disk, staging.split_receipt(chunk_id), role="split_receipt")


def save_rejects(disk: Disk, staging: Staging, receipt: RejectsReceipt) -> None:
    """Keep the receipt of all rejected rows; of two that gathered them at once, the first stands."""
    create_once(disk, staging.rejects_receipt, receipt.to_bytes(), role="rejects_receipt", unique=receipt.attempt)


def load_rejects(disk: Disk, staging: Staging, plan_id: str) -> RejectsReceipt | None:
    """The receipt of all rejected rows; None if there is none. What is torn or belongs elsewhere is removed."""
    path = staging.rejects_receipt
    return _load_or_remove(
        disk, path, RejectsReceipt, is_wanted=lambda found: found.plan_id == plan_id, role="rejects_receipt"
    )


def discard_rejects(disk: Disk, staging: Staging) -> None:
    """Durably take back the receipt of all rejected rows, because they are others or their file is damaged."""
    remove_document(disk, staging.rejects_receipt, role="rejects_receipt")


def save_metadata(disk: Disk, layout: ExtractionLayout, data: bytes, *, fence: Fence) -> None:
    """Put the commit record in place; `data` is its bytes, whose md5 the state keeps."""
    replace(disk, layout.metadata, data, role="metadata", fence=fence, access=Access.PUBLISHED)


def load_metadata(disk: Disk, path: Path) -> Metadata | None:
    """The commit record in a file; None if it is missing. Raises StateDamaged if it is not one that can be read."""
    data = _read(disk, path)
    if data is None:
        return None
    return parse_metadata(data, where=str(path))


def newest_run_snapshot(disk: Disk, base_path: Path, run_id: str, source_name: str) -> int:
    """The number of the newest snapshot that a run has of a source, by the names alone; 0 where it has none."""
    names = disk.names(run_snapshots_folder(base_path, run_id, source_name))
    return max((int(match[1]) for match in map(_RUN_SNAPSHOT.fullmatch, names) if match), default=0)


def load_run_snapshot(disk: Disk, base_path: Path, run_id: str, source_name: str) -> RunSnapshot | None:
    """The newest snapshot that a run has of a source; None if it has none. Raises StateDamaged if it is not one."""
    number = newest_run_snapshot(disk, base_path, run_id, source_name)
    path = _run_snapshot_file(base_path, run_id, source_name, number)
    found = load_document(disk, path, RunSnapshot)
    if found is not None and (found.run_id, found.source_name, found.number) != (run_id, source_name, number):
        raise StateDamaged(
            f"{path} is snapshot {found.number} of {found.source_name} in run {found.run_id}, "
            f"and not {number} of {source_name} in run {run_id}",
            hint="move the file away, or give the source another name",
        )
    return found


def save_run_snapshot(disk: Disk, base_path: Path, snapshot: RunSnapshot) -> bool:
    """Keep a snapshot of a run; False if another process has kept one of this number, which stands.

    Raises:
        StorageError: the file system refused.
    """
    path = _run_snapshot_file(base_path, snapshot.run_id, snapshot.source_name, snapshot.number)
    refuse_links(base_path, path)
    with storage_errors(path, "save"):
        disk.make_folder(path.parent, role="run_snapshot")
        settle(disk, path, role="run_snapshot")
    if disk.writes is Writes.WHOLE:  # through slots: one that were torn could not be told from one that was damaged
        if disk.exists(path):
            return False
        replace(disk, path, snapshot.to_bytes(), role="run_snapshot", fence=NO_FENCE)
        return True
    return create_once(disk, path, snapshot.to_bytes(), role="run_snapshot", unique=process_token())


def tidy_run_snapshots(disk: Disk, base_path: Path, run_id: str, source_name: str) -> None:
    """Remove the temporary files of processes that died while they kept a snapshot."""
    folder = run_snapshots_folder(base_path, run_id, source_name)
    with storage_errors(folder, "tidy"):
        names = {name for name, _ in temps_in(disk, folder)}
        sweep_temps(disk, folder, names, is_abandoned)
        for name in filter(_RUN_SNAPSHOT.fullmatch, disk.names(folder)):
            settle(disk, folder / name, role="sweep")


def _run_snapshot_file(base_path: Path, run_id: str, source_name: str, number: int) -> Path:
    return run_snapshots_folder(base_path, run_id, source_name) / f"{number:04d}.json"


def save_last_run(disk: Disk, folder: Path, last_run: LastRun) -> None:
    """Remember the last run of a working directory; of several that start at once, one.

    Raises:
        LockHeld: another process has been writing it for long. StorageError: the file system refused.
    """
    path, data = folder / LAST_RUN, (last_run.model_dump_json(indent=2) + "\n").encode()
    if disk.writes is Writes.RENAME:
        with storage_errors(path, "save"):
            disk.make_folder(path.parent, role="last_run")
            sweep_temps(disk, path.parent, {path.name}, is_abandoned)
            settle(disk, path, role="last_run")
        replace(disk, path, data, role="last_run", fence=NO_FENCE)
        return
    # Without rename, two that write at once could leave a mixture.
    from statekeeper.store.locks.lock import acquire_lock  # not for `status`, which only reads

    ttl = timedelta(seconds=10)
    lock = path.with_suffix(".lock")
    with acquire_lock(disk, lock, kind=LockKind.LEASE, owner=this_process(), ttl=ttl, take_over=lambda _: None) as held:
        replace(disk, path, data, role="last_run", fence=held)


def remove_document(disk: Disk, path: Path, *, role: str) -> None:
    """Remove a document durably; a missing one is fine. Raises StorageError."""
    with storage_errors(path, "remove"):
        disk.unlink(path, role=role)
        disk.sync_folder(path.parent, role=role)


def load_document(disk: Disk, path: Path, kind: type[D]) -> D | None:
    """A document that is replaced, or None."""
    data = _read(disk, path)
    return None if data is None else kind.from_bytes(data, where=str(path))


def load_once(disk: Disk, path: Path, kind: type[D]) -> D | None:
    """A document that is created once, or None. Raises StateDamaged, StorageError."""
    with storage_errors(path, "read"), damage_where_no_file_is(path):
        try:
            data = disk.read(path)
        except FileNotFoundError:
            return None
    return kind.from_bytes(data, where=str(path))


def _load_or_remove(disk: Disk, path: Path, kind: type[D], *, is_wanted: Callable[[D], bool], role: str) -> D | None:
    """A document that is created once; what is torn, or is not the one that is wanted, is removed, and is None."""
    try:
        found = load_once(disk, path, kind)
        if found is None or is_wanted(found):
            return found
    except StateDamaged:
        pass
    remove_document(disk, path, role=role)
    return None


def _read(disk: Disk, path: Path) -> bytes | None:
    with storage_errors(path, "read"):
        try:
            return read_document(disk, path)
        except FileNotFoundError:
            return None
