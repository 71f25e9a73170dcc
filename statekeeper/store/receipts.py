"""The receipts of a plan's chunks: which one counts, where attempts write theirs, and what a damaged one means.

A chunk with a damaged receipt is extracted again: a partly written receipt, which can exist only on a disk without
link, must not block the chunk.

On a disk with link(), the first receipt that is linked to the chunk's name counts; in an object store, the
first object. Without link(), every attempt writes a receipt under its own name, and the parent process records in one
document those that count. Until then the receipt that was finished first counts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from statekeeper.errors import StateDamaged
from statekeeper.model.packed import Packed
from statekeeper.model.receipt import Receipt, RecordedReceipts
from statekeeper.store.documents import load_once, remove_document
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import create_once, storage_errors
from statekeeper.store.staging import Staging, is_subfolder

_RECEIPT = re.compile(r"chunk-(\d{5,})\.json")
_OF_ATTEMPT = re.compile(r"chunk-(\d{5,})\.[0-9a-z]+\.json")
_READERS = 16


def subfolders_of(disk: Disk, staging: Staging) -> tuple[str, ...]:
    """The subfolders for parts in a plan's staging folder."""
    if disk.writes.creates_once:
        return ()
    with storage_errors(staging.parts, "list"):
        return tuple(filter(is_subfolder, disk.names(staging.parts)))


def save_receipt(disk: Disk, staging: Staging, receipt: Receipt) -> bool:
    """Save the receipt of a finished chunk; False if another attempt was first, whose receipt stays.

    Raises:
        StorageError: the file system refused, or the plan was discarded and its folder is gone. The receipt may exist
            nevertheless, so the part that it names must stay.
    """
    path = staging.receipt(receipt.chunk_id)
    if not disk.writes.creates_once:
        path = staging.receipt_of_attempt(receipt.chunk_id, receipt.attempt, part=receipt.part)
    return create_once(disk, path, receipt.to_bytes(), role="receipt", unique=receipt.attempt)


def are_recorded(disk: Disk) -> bool:
    """Whether receipts count only once the parent process has recorded them."""
    return not disk.writes.creates_once


def record_receipts(disk: Disk, staging: Staging, plan_id: str, receipts: Iterable[Receipt]) -> None:
    """Make these receipts count for their chunks. Only the parent process calls this.

    On a disk with link() they count already, and nothing is done.
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
    """The receipt of a chunk, for a worker that is about to extract it; None if there is none.

    A receipt that is damaged or belongs elsewhere is removed. Without link() this is always None: finding the receipt
    would take a listing of the receipts of all chunks, and the parent process, which has made one, does not send a
    finished chunk.
    """
    if not disk.writes.creates_once:
        return None
    return _load_receipt(disk, staging.receipt(chunk_id), plan_id, chunk_id)


def _load_receipt(disk: Disk, path: Path, plan_id: str, chunk_id: int) -> Receipt | None:
    try:
        receipt = load_once(disk, path, Receipt)
        if receipt is None or (receipt.plan_id, receipt.chunk_id) == (plan_id, chunk_id):
            return receipt
    except StateDamaged:
        pass
    # Removed only if it was read: one that was missing may have been created since.
    if disk.writes.creates_once:
        remove_document(disk, path, role="receipt")
    return None


def load_receipts(disk: Disk, staging: Staging, plan_id: str) -> dict[int, Receipt]:
    """The receipts of a plan by chunk id; without link(), the recorded ones, else the first finished ones.

    A receipt that is damaged or belongs to another plan or chunk is removed: its chunk is not done. Without link() it
    is ignored instead, since it may be one that is being written.
    """
    if not disk.writes.creates_once:
        return _counting(disk, staging, plan_id)
    linked = filter(None, map(_RECEIPT.fullmatch, disk.names(staging.receipts)))
    wanted = [(staging.receipts / name[0], int(name[1])) for name in linked]
    if disk.writes.has_rename:
        found = [_load_receipt(disk, path, plan_id, chunk) for path, chunk in wanted]
    else:
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(lambda each: _load_receipt(disk, each[0], plan_id, each[1]), wanted))
    return {receipt.chunk_id: receipt for receipt in found if receipt is not None}


def _counting(disk: Disk, staging: Staging, plan_id: str) -> dict[int, Receipt]:
    """The receipts that count on a disk without link(). They are read concurrently, since each read is slow."""
    receipts = _recorded(disk, staging, plan_id)
    left = [(path, chunk) for path, chunk in _receipts_in(disk, staging) if chunk not in receipts]
    with ThreadPoolExecutor(_READERS) as pool:
        read = pool.map(lambda each: _load_receipt(disk, each[0], plan_id, each[1]), left)
        # One without an attempt in its name was recorded by an earlier version, which had a file for each.
        found = [
            (bool(_OF_ATTEMPT.fullmatch(path.name)), each) for (path, _), each in zip(left, read, strict=True) if each
        ]
    for _, receipt in sorted(found, key=lambda each: (each[0], each[1].ended_at, each[1].attempt)):
        receipts.setdefault(receipt.chunk_id, receipt)
    return receipts


def _recorded(disk: Disk, staging: Staging, plan_id: str) -> dict[int, Receipt]:
    try:
        recorded = load_once(disk, staging.recorded_receipts, RecordedReceipts)
    except StateDamaged:  # partly written: the receipts of attempts still say which chunks are done
        recorded = None
    if recorded is None or recorded.plan_id != plan_id:
        return {}
    return {receipt.chunk_id: receipt for receipt in recorded.receipts}


def _receipts_in(disk: Disk, staging: Staging) -> list[tuple[Path, int]]:
    """Every file with the name of a chunk's receipt, in subfolders too, with the chunk's id."""
    names = disk.names(staging.receipts)
    folders = [staging.receipts / name for name in filter(is_subfolder, names)]
    paths = [staging.receipts / name for name in names]
    if folders:
        with ThreadPoolExecutor(_READERS) as pool:
            listed = pool.map(disk.names, folders)
            paths += [folder / name for folder, names in zip(folders, listed, strict=True) for name in names]
    matches = ((path, _RECEIPT.fullmatch(path.name) or _OF_ATTEMPT.fullmatch(path.name)) for path in paths)
    return [(path, int(match[1])) for path, match in matches if match]


def count_receipts(disk: Disk, staging: Staging) -> int:
    """How many chunks have a receipt, by file names alone, to show progress. Raises OSError."""
    return len({chunk for _, chunk in _receipts_in(disk, staging)})


def discard_receipt(disk: Disk, staging: Staging, plan_id: str, chunk_id: int) -> None:
    """Durably remove a chunk's receipts, those of all attempts, because its part is damaged."""
    if not disk.writes.creates_once:
        recorded = _recorded(disk, staging, plan_id)
        if recorded.pop(chunk_id, None):
            record_receipts(disk, staging, plan_id, recorded.values())
        for path, chunk in _receipts_in(disk, staging):
            if chunk == chunk_id and _OF_ATTEMPT.fullmatch(path.name):
                remove_document(disk, path, role="receipt")
    remove_document(disk, staging.receipt(chunk_id), role="receipt")
