"""The documents beside the state: plan, receipts, metadata, a run's snapshots, the pointer to the last run.

Decides for each how it is written (created once or replaced) and what a damaged one means. Damage to a receipt costs
its chunk: a torn one, which only a disk without link can have, must not block the chunk. Damage to anything else is an
error for the caller to judge.

Which receipt of a chunk counts is decided by link() where there is one: the first has the name. Without it every
attempt leaves a receipt under a name of its own, and the parent process records those that it goes by, all in one
document; until then it is the one that was finished first.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from statekeeper.config.sections.output import LockKind
from statekeeper.errors import StateDamaged
from statekeeper.model.base import Document
from statekeeper.model.manifest import LastRun
from statekeeper.model.metadata import Metadata, parse_metadata
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Plan
from statekeeper.model.receipt import CountReceipt, Receipt, RecordedReceipts, RejectsReceipt, SplitReceipt
from statekeeper.model.run_snapshot import RunSnapshot
from statekeeper.store.files.disk import Access, Disk, Writes
from statekeeper.store.files.durable import NO_FENCE, Fence, create_once, replace, storage_errors
from statekeeper.store.files.links import refuse_links
from statekeeper.store.files.slots import damage_where_no_file_is, read_document, settle
from statekeeper.store.files.temps import is_abandoned, process_token, sweep_temps, temps_in
from statekeeper.store.layout import LAST_RUN, ExtractionLayout, Staging, run_snapshots_folder
from statekeeper.store.locks.lock import acquire_lock
from statekeeper.store.process import this_process

_RECEIPT = re.compile(r"chunk-(\d{5,})\.json")
_OF_ATTEMPT = re.compile(r"chunk-(\d{5,})\.[0-9a-z]+\.json")
_RUN_SNAPSHOT = re.compile(r"(\d{4,})\.json")

_READERS = 16

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
    if not create_once(disk, staging.plan, plan.to_bytes(), role="plan", unique=process_token()):
        found = load_plan(disk, staging)
        if found != plan.model_copy(update={"checksum": found.checksum if found else ""}):
            raise StateDamaged(f"{staging.plan} holds another plan than the one to be kept; a plan is never changed")


def load_plan(disk: Disk, staging: Staging) -> Plan | None:
    """The plan of a staging folder; None if it is missing.

    Raises:
        StateDamaged: it is torn or foreign, or is the plan of another folder.
    """
    plan = _load_once(disk, staging.plan, Plan)
    if plan is not None and plan.plan_id != staging.folder.name:
        raise StateDamaged(f"{staging.plan} is plan {plan.plan_id}, not the plan of its folder")
    return plan


def save_receipt(disk: Disk, staging: Staging, receipt: Receipt) -> bool:
    """Keep the receipt of a finished chunk; False if another attempt was first, whose receipt stands.

    Raises:
        StorageError: the file system refused, or the plan was given up and its folder is gone. The receipt may stand
        all the
            same, so the part that it names must stay.
    """
    path = staging.receipt(receipt.chunk_id)
    if disk.writes is Writes.WHOLE:
        path = staging.receipt_of_attempt(receipt.chunk_id, receipt.attempt)
    return create_once(disk, path, receipt.to_bytes(), role="receipt", unique=receipt.attempt)


def are_recorded(disk: Disk) -> bool:
    """Whether receipts count only once the parent process has recorded them."""
    return disk.writes is Writes.WHOLE


def record_receipts(disk: Disk, staging: Staging, plan_id: str, receipts: Iterable[Receipt]) -> None:
    """Make receipts those that count for their chunks; for the parent process alone.

    Where receipts are linked into place they do already.
    """
    if not are_recorded(disk):
        return
    path = staging.recorded_receipts
    ordered = Packed(Receipt, sorted(receipts, key=lambda each: each.chunk_id))
    recorded = RecordedReceipts(plan_id=plan_id, receipts=ordered)
    with storage_errors(path, "save"):
        disk.write_over(path, io.BytesIO(recorded.to_bytes()), role="receipt")
        disk.sync_folder(path.parent, role="receipt")


def load_receipt(disk: Disk, staging: Staging, plan_id: str, chunk_id: int) -> Receipt | None:
    """The receipt of a chunk, for whoever is about to do it; None if there is none (yet). What is torn or belongs
    elsewhere is removed.

    Where each attempt leaves one, only a look at those of all chunks would tell, and the parent process, which has had
    that look, does not have a chunk done again: so there is none.
    """
    if disk.writes is Writes.WHOLE:
        return None
    return _load_receipt(disk, staging.receipt(chunk_id), plan_id, chunk_id)


def _load_receipt(disk: Disk, path: Path, plan_id: str, chunk_id: int) -> Receipt | None:
    try:
        receipt = _load_once(disk, path, Receipt)
        if receipt is None or (receipt.plan_id, receipt.chunk_id) == (plan_id, chunk_id):
            return receipt
    except StateDamaged:
        pass
    # Removed only after it was seen: one that was missing may have been made since.
    if disk.writes is Writes.RENAME:
        _remove(disk, path, role="receipt")
    return None


def load_receipts(disk: Disk, staging: Staging, plan_id: str) -> dict[int, Receipt]:
    """The receipts of a plan by chunk id; where each attempt leaves one, the recorded one, else the first finished.

    What is torn or belongs to another plan or chunk is removed: that chunk is not done. Where it is an attempt's it is
    passed over, for it may be in the writing.
    """
    names = disk.names(staging.receipts)
    if disk.writes is Writes.WHOLE:
        return _counting(disk, staging, plan_id, names)
    linked = filter(None, map(_RECEIPT.fullmatch, names))
    found = (_load_receipt(disk, staging.receipts / name[0], plan_id, int(name[1])) for name in linked)
    return {receipt.chunk_id: receipt for receipt in found if receipt is not None}


def _counting(disk: Disk, staging: Staging, plan_id: str, names: Collection[str]) -> dict[int, Receipt]:
    """The receipts that count, of those that attempts left under these names: read side by side, since each is slow."""
    receipts = _recorded(disk, staging, plan_id)
    left = [name for name in names if (chunk := _chunk_of(name)) is not None and chunk not in receipts]
    with ThreadPoolExecutor(_READERS) as pool:
        read = pool.map(lambda name: _load_receipt(disk, staging.receipts / name, plan_id, _chunk_of(name) or 0), left)
        # One without an attempt in its name was recorded by a version before this one, which had a file for each.
        found = [(bool(_OF_ATTEMPT.fullmatch(name)), each) for name, each in zip(left, read, strict=True) if each]
    for _, receipt in sorted(found, key=lambda each: (each[0], each[1].ended_at, each[1].attempt)):
        receipts.setdefault(receipt.chunk_id, receipt)
    return receipts


def _recorded(disk: Disk, staging: Staging, plan_id: str) -> dict[int, Receipt]:
    try:
        recorded = _load_once(disk, staging.recorded_receipts, RecordedReceipts)
    except StateDamaged:  # torn: attempts' receipts tell it, too
        recorded = None
    if recorded is None or recorded.plan_id != plan_id:
        return {}
    return {receipt.chunk_id: receipt for receipt in recorded.receipts}


def _chunk_of(name: str) -> int | None:
    """The chunk whose receipt has a name; None where it is another file."""
    match = _RECEIPT.fullmatch(name) or _OF_ATTEMPT.fullmatch(name)
    return int(match[1]) if match else None


def count_receipts(disk: Disk, staging: Staging) -> int:
    """How many chunks have a receipt, by the names alone: for showing progress."""
    return len(_receipt_ids(disk, staging))


def discard_receipt(disk: Disk, staging: Staging, plan_id: str, chunk_id: int) -> None:
    """Durably take back a chunk's receipt, because its part is damaged; where each attempt has one, all of them."""
    if disk.writes is Writes.WHOLE:
        recorded = _recorded(disk, staging, plan_id)
        if recorded.pop(chunk_id, None):
            record_receipts(disk, staging, plan_id, recorded.values())
        for name in disk.names(staging.receipts):
            if _OF_ATTEMPT.fullmatch(name) and _chunk_of(name) == chunk_id:
                _remove(disk, staging.receipts / name, role="receipt")
    _remove(disk, staging.receipt(chunk_id), role="receipt")


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
    _remove(disk, staging.split_receipt(chunk_id), role="split_receipt")


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
    _remove(disk, staging.rejects_receipt, role="rejects_receipt")


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
    ttl = timedelta(seconds=10)
    lock = path.with_suffix(".lock")
    with acquire_lock(disk, lock, kind=LockKind.LEASE, owner=this_process(), ttl=ttl, take_over=lambda _: None) as held:
        replace(disk, path, data, role="last_run", fence=held)


def _receipt_ids(disk: Disk, staging: Staging) -> list[int]:
    chunks = map(_chunk_of, disk.names(staging.receipts))
    return sorted({chunk for chunk in chunks if chunk is not None})


def _remove(disk: Disk, path: Path, *, role: str) -> None:
    with storage_errors(path, "remove"):
        disk.unlink(path, role=role)
        disk.sync_folder(path.parent, role=role)


def load_document(disk: Disk, path: Path, kind: type[D]) -> D | None:
    """A document that is replaced, or None."""
    data = _read(disk, path)
    return None if data is None else kind.from_bytes(data, where=str(path))


def _load_once(disk: Disk, path: Path, kind: type[D]) -> D | None:
    """A document that is created once, or None."""
    with storage_errors(path, "read"), damage_where_no_file_is(path):
        try:
            data = disk.read(path)
        except FileNotFoundError:
            return None
    return kind.from_bytes(data, where=str(path))


def _load_or_remove(disk: Disk, path: Path, kind: type[D], *, is_wanted: Callable[[D], bool], role: str) -> D | None:
    """A document that is created once; what is torn, or is not the one that is wanted, is removed, and is None."""
    try:
        found = _load_once(disk, path, kind)
        if found is None or is_wanted(found):
            return found
    except StateDamaged:
        pass
    _remove(disk, path, role=role)
    return None


def _read(disk: Disk, path: Path) -> bytes | None:
    with storage_errors(path, "read"):
        try:
            return read_document(disk, path)
        except FileNotFoundError:
            return None
