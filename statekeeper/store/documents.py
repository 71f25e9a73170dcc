"""The documents besides the state: plan, receipts, metadata, a run's snapshots, the pointer to the last run.

Decides for each how it is written (created once, or replaced) and what damage to it means. A damaged receipt is
removed, and its work is done again: a partly written one, which can exist only on a disk without link, must not block
the work. Damage to anything else is an error that the caller handles. `store.receipts` has the receipts of chunks.
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
from statekeeper.store.files.disk import Access, Disk
from statekeeper.store.files.durable import NO_FENCE, Fence, create_once, replace, storage_errors
from statekeeper.store.files.links import refuse_links
from statekeeper.store.files.slots import damage_where_no_file_is, read_document, settle
from statekeeper.store.files.temps import is_abandoned, process_token, sweep_temps, temps_in
from statekeeper.store.layout import LAST_RUN, ExtractionLayout, run_snapshots_folder
from statekeeper.store.process import this_process
from statekeeper.store.staging import Staging, subfolders_for
from statekeeper.store.versions import ABSENT, Version, objects_disk

_RUN_SNAPSHOT = re.compile(r"(\d{4,})\.json")

D = TypeVar("D", bound=Document)


def save_plan(disk: Disk, staging: Staging, plan: Plan) -> None:
    """Make the staging folder of a plan, and write the plan to it, once.

    Workers make no folders, so that a late worker of a discarded plan finds no folder to write to.

    Raises:
        StateDamaged: the folder has another plan.
        StorageError: the file system refused.
    """
    with storage_errors(staging.folder, "make"):
        disk.make_folder(staging.parts, role="plan", access=Access.PRIVATE)
        disk.make_folder(staging.receipts, role="plan", access=Access.PRIVATE)
        if not disk.writes.creates_once and (names := subfolders_for(len(plan.chunks))):
            for folder in (staging.parts, staging.receipts):
                disk.make_folders(folder, names, role="plan", access=Access.PRIVATE)
    if not create_once(disk, staging.plan, plan.to_bytes(), role="plan", unique=process_token()):
        found = load_plan(disk, staging)
        if found != plan.model_copy(update={"checksum": found.checksum if found else ""}):
            raise StateDamaged(f"{staging.plan} holds another plan than the one to be saved; a plan never changes")


def load_plan(disk: Disk, staging: Staging) -> Plan | None:
    """The plan of a staging folder; None if it is missing.

    Raises:
        StateDamaged: it is not a whole document of this kind, or is the plan of another folder.
    """
    plan = load_once(disk, staging.plan, Plan)
    if plan is not None and plan.plan_id != staging.folder.name:
        raise StateDamaged(f"{staging.plan} is plan {plan.plan_id}, not the plan of its folder")
    return plan


def save_count(disk: Disk, staging: Staging, receipt: CountReceipt, *, attempt: str) -> bool:
    """Save the source's own count; False if there is one already, which stays."""
    return create_once(disk, staging.count_receipt, receipt.to_bytes(), role="count", unique=attempt)


def load_count(disk: Disk, staging: Staging, plan_id: str) -> CountReceipt | None:
    """The count of a plan; None if there is none. One that is damaged or belongs to another plan is removed."""
    return _load_or_remove(
        disk, staging.count_receipt, CountReceipt, is_wanted=lambda found: found.plan_id == plan_id, role="count"
    )


def save_split(disk: Disk, staging: Staging, receipt: SplitReceipt) -> None:
    """Save the receipt of a split part. If two workers split it at once, the first receipt stays."""
    create_once(
        disk, staging.split_receipt(receipt.chunk_id), receipt.to_bytes(), role="split_receipt", unique=receipt.attempt
    )


def load_split(disk: Disk, staging: Staging, plan_id: str, chunk_id: int) -> SplitReceipt | None:
    """The receipt of a split part; None if there is none. One that is damaged or belongs elsewhere is removed."""
    path, wanted = staging.split_receipt(chunk_id), (plan_id, chunk_id)
    return _load_or_remove(
        disk,
        path,
        SplitReceipt,
        is_wanted=lambda found: (found.plan_id, found.chunk_id) == wanted,
        role="split_receipt",
    )


def discard_split(disk: Disk, staging: Staging, chunk_id: int) -> None:
    """Durably remove the receipt of a split part, because it belongs to another part or its files are damaged."""
    remove_document(disk, staging.split_receipt(chunk_id), role="split_receipt")


def save_rejects(disk: Disk, staging: Staging, receipt: RejectsReceipt) -> None:
    """Save the receipt of all rejected rows. If two workers merged them at once, the first receipt stays."""
    create_once(disk, staging.rejects_receipt, receipt.to_bytes(), role="rejects_receipt", unique=receipt.attempt)


def load_rejects(disk: Disk, staging: Staging, plan_id: str) -> RejectsReceipt | None:
    """The receipt of all rejected rows; None if there is none. One that is damaged or belongs elsewhere is removed."""
    path = staging.rejects_receipt
    return _load_or_remove(
        disk, path, RejectsReceipt, is_wanted=lambda found: found.plan_id == plan_id, role="rejects_receipt"
    )


def discard_rejects(disk: Disk, staging: Staging) -> None:
    """Durably remove the receipt of all rejected rows, because the rows have changed or their file is damaged."""
    remove_document(disk, staging.rejects_receipt, role="rejects_receipt")


def save_metadata(disk: Disk, layout: ExtractionLayout, data: bytes, *, fence: Fence) -> None:
    """Write the commit record. `data` is its bytes, whose md5 the state holds."""
    replace(disk, layout.metadata, data, role="metadata", fence=fence, access=Access.PUBLISHED)


def load_metadata(disk: Disk, path: Path) -> Metadata | None:
    """The commit record in a file; None if it is missing. Raises StateDamaged if it cannot be read as one."""
    data = _read(disk, path)
    if data is None:
        return None
    return parse_metadata(data, where=str(path))


def newest_run_snapshot(disk: Disk, base_path: Path, run_id: str, source_name: str) -> int:
    """The number of the newest snapshot that a run has of a source, by file names alone; 0 if it has none."""
    names = disk.names(run_snapshots_folder(base_path, run_id, source_name))
    return max((int(match[1]) for match in map(_RUN_SNAPSHOT.fullmatch, names) if match), default=0)


def load_run_snapshot(disk: Disk, base_path: Path, run_id: str, source_name: str) -> RunSnapshot | None:
    """The newest snapshot that a run has of a source; None if it has none. Raises StateDamaged if it is damaged."""
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
    """Save a snapshot of a run; False if another process has saved one of this number, which stays.

    Raises:
        StorageError: the file system refused.
    """
    path = _run_snapshot_file(base_path, snapshot.run_id, snapshot.source_name, snapshot.number)
    refuse_links(base_path, path)
    with storage_errors(path, "save"):
        disk.make_folder(path.parent, role="run_snapshot")
        settle(disk, path, role="run_snapshot")
    if not disk.writes.creates_once:  # through slots: otherwise a partly written snapshot would look like a damaged one
        if disk.exists(path):
            return False
        replace(disk, path, snapshot.to_bytes(), role="run_snapshot", fence=NO_FENCE)
        return True
    return create_once(disk, path, snapshot.to_bytes(), role="run_snapshot", unique=process_token())


def tidy_run_snapshots(disk: Disk, base_path: Path, run_id: str, source_name: str) -> None:
    """Remove the temporary files of processes that died while they saved a snapshot."""
    folder = run_snapshots_folder(base_path, run_id, source_name)
    with storage_errors(folder, "tidy"):
        names = {name for name, _ in temps_in(disk, folder)}
        sweep_temps(disk, folder, names, is_abandoned)
        for name in filter(_RUN_SNAPSHOT.fullmatch, disk.names(folder)):
            settle(disk, folder / name, role="sweep")


def _run_snapshot_file(base_path: Path, run_id: str, source_name: str, number: int) -> Path:
    return run_snapshots_folder(base_path, run_id, source_name) / f"{number:04d}.json"


def save_last_run(disk: Disk, folder: Path, last_run: LastRun) -> None:
    """Record the last run of a working directory. If several start at once, one of them is recorded.

    Raises:
        LockHeld: another process holds the lock of this file.
        StorageError: the file system refused.
    """
    path, data = folder / LAST_RUN, (last_run.model_dump_json(indent=2) + "\n").encode()
    if disk.writes.has_rename:
        with storage_errors(path, "save"):
            disk.make_folder(path.parent, role="last_run")
            sweep_temps(disk, path.parent, {path.name}, is_abandoned)
            settle(disk, path, role="last_run")
        replace(disk, path, data, role="last_run", fence=NO_FENCE)
        return
    # Without rename, two processes that write at once could leave a mixture.
    from statekeeper.store.locks.lock import acquire_lock  # not for `status`, which only reads

    ttl = timedelta(seconds=10)
    lock = path.with_suffix(".lock")
    with acquire_lock(disk, lock, kind=LockKind.LEASE, owner=this_process(), ttl=ttl, take_over=lambda _: None) as held:
        replace(disk, path, data, role="last_run", fence=held)


def remove_document(disk: Disk, path: Path, *, role: str) -> None:
    """Remove a document durably, if it exists. Raises StorageError."""
    with storage_errors(path, "remove"):
        disk.unlink(path, role=role)
        disk.sync_folder(path.parent, role=role)


def load_document(disk: Disk, path: Path, kind: type[D]) -> D | None:
    """A document of a kind that is replaced; None if it is missing. Raises StateDamaged, StorageError."""
    data = _read(disk, path)
    return None if data is None else kind.from_bytes(data, where=str(path))


def load_version(disk: Disk, path: Path, kind: type[D]) -> tuple[D | None, Version | None]:
    """Like `load_document`, with the version that was read, if the disk has versions."""
    objects = objects_disk(disk)
    if objects is None:
        return load_document(disk, path, kind), None
    with storage_errors(path, "read"):
        try:
            data, version = objects.read_version(path)
        except FileNotFoundError:
            return None, ABSENT
    return kind.from_bytes(data, where=str(path)), version


def load_once(disk: Disk, path: Path, kind: type[D]) -> D | None:
    """A document of a kind that is created once; None if it is missing. Raises StateDamaged, StorageError."""
    with storage_errors(path, "read"), damage_where_no_file_is(path):
        try:
            data = disk.read(path)
        except FileNotFoundError:
            return None
    return kind.from_bytes(data, where=str(path))


def _load_or_remove(disk: Disk, path: Path, kind: type[D], *, is_wanted: Callable[[D], bool], role: str) -> D | None:
    """A document that is created once. If it is damaged or not the wanted one, it is removed, and None is returned."""
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
