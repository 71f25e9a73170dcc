"""The receipts of a plan's chunks: which counts, where attempts leave theirs, and what a damaged one means.

Damage to a receipt costs its chunk: a torn one, which only a disk without link can have, must not block the chunk.

Which receipt of a chunk counts is decided by link() where there is one: the first has the name. Without it every
attempt leaves a receipt under a name of its own, and the parent process records those that it goes by, all in one
document; until then it is the one that was finished first.
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
from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.files.durable import create_once, storage_errors
from statekeeper.store.staging import Staging, is_subfolder

_RECEIPT = re.compile(r"chunk-(\d{5,})\.json")
_OF_ATTEMPT = re.compile(r"chunk-(\d{5,})\.[0-9a-z]+\.json")
_READERS = 16


def subfolders_of(disk: Disk, staging: Staging) -> tuple[str, ...]:
    """The subfolders for parts that the plan of a staging folder was given."""
    if disk.writes is Writes.RENAME:
        return ()
    with storage_errors(staging.parts, "list"):
        return tuple(filter(is_subfolder, disk.names(staging.parts)))


def save_receipt(disk: Disk, staging: Staging, receipt: Receipt) -> bool:
    """Keep the receipt of a finished chunk; False if another attempt was first, whose receipt stands.

    Raises:
        StorageError: the file system refused, or the plan was given up and its folder is gone. The receipt may stand
        all the
            same, so the part that it names must stay.
    """
    path = staging.receipt(receipt.chunk_id)
    if disk.writes is Writes.WHOLE:
        path = staging.receipt_of_attempt(receipt.chunk_id, receipt.attempt, part=receipt.part)
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
        receipt = load_once(disk, path, Receipt)
        if receipt is None or (receipt.plan_id, receipt.chunk_id) == (plan_id, chunk_id):
            return receipt
    except StateDamaged:
        pass
    # Removed only after it was seen: one that was missing may have been made since.
    if disk.writes is Writes.RENAME:
        remove_document(disk, path, role="receipt")
    return None


def load_receipts(disk: Disk, staging: Staging, plan_id: str) -> dict[int, Receipt]:
    """The receipts of a plan by chunk id; where each attempt leaves one, the recorded one, else the first finished.

    What is torn or belongs to another plan or chunk is removed: that chunk is not done. Where it is an attempt's it is
    passed over, for it may be in the writing.
    """
    if disk.writes is Writes.WHOLE:
        return _counting(disk, staging, plan_id)
    linked = filter(None, map(_RECEIPT.fullmatch, disk.names(staging.receipts)))
    found = (_load_receipt(disk, staging.receipts / name[0], plan_id, int(name[1])) for name in linked)
    return {receipt.chunk_id: receipt for receipt in found if receipt is not None}


def _counting(disk: Disk, staging: Staging, plan_id: str) -> dict[int, Receipt]:
    """The receipts that count, of those that attempts left: read side by side, since each is slow."""
    receipts = _recorded(disk, staging, plan_id)
    left = [(path, chunk) for path, chunk in _receipts_in(disk, staging) if chunk not in receipts]
    with ThreadPoolExecutor(_READERS) as pool:
        read = pool.map(lambda each: _load_receipt(disk, each[0], plan_id, each[1]), left)
        # One without an attempt in its name was recorded by a version before this one, which had a file for each.
        found = [
            (bool(_OF_ATTEMPT.fullmatch(path.name)), each) for (path, _), each in zip(left, read, strict=True) if each
        ]
    for _, receipt in sorted(found, key=lambda each: (each[0], each[1].ended_at, each[1].attempt)):
        receipts.setdefault(receipt.chunk_id, receipt)
    return receipts


def _recorded(disk: Disk, staging: Staging, plan_id: str) -> dict[int, Receipt]:
    try:
        recorded = load_once(disk, staging.recorded_receipts, RecordedReceipts)
    except StateDamaged:  # torn: attempts' receipts tell it, too
        recorded = None
    if recorded is None or recorded.plan_id != plan_id:
        return {}
    return {receipt.chunk_id: receipt for receipt in recorded.receipts}


def _receipts_in(disk: Disk, staging: Staging) -> list[tuple[Path, int]]:
    """Every receipt of a chunk by its name, in subfolders too, with the chunk."""
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
    """How many chunks have a receipt, by the names alone: for showing progress. Raises OSError."""
    return len({chunk for _, chunk in _receipts_in(disk, staging)})


def discard_receipt(disk: Disk, staging: Staging, plan_id: str, chunk_id: int) -> None:
    """Durably take back a chunk's receipt, because its part is damaged; where each attempt has one, all of them."""
    if disk.writes is Writes.WHOLE:
        recorded = _recorded(disk, staging, plan_id)
        if recorded.pop(chunk_id, None):
            record_receipts(disk, staging, plan_id, recorded.values())
        for path, chunk in _receipts_in(disk, staging):
            if chunk == chunk_id and _OF_ATTEMPT.fullmatch(path.name):
                remove_document(disk, path, role="receipt")
    remove_document(disk, staging.receipt(chunk_id), role="receipt")
