"""Removes leftovers of publications, and nothing that does not belong to this extraction.

A leftover is a file that no commit record, state or live plan names. `statekeeper.publish.publication` calls this
before it stages, and the run before and after its work.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from statekeeper.publish.ownership import Ownership
from statekeeper.publish.swap import is_concealed, places_of, remove_empty
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import Fence, move, storage_errors
from statekeeper.store.files.temps import older_than
from statekeeper.store.layout import PART_NAME, ExtractionLayout
from statekeeper.store.locks.fencing import sweep_documents
from statekeeper.store.staging import UNPUBLISHED
from statekeeper.store.versions import objects_disk

_READY = ("publish.", "beside.", "fenced-")
"""Prefixes of folders with files ready to publish, of this owner or of one that `store.locks.fencing` fenced off."""
DATASET, QUARANTINE, VIOLATING = (f"{name}{UNPUBLISHED}" for name in ("dataset", "quarantine", "violations"))
"""The names of single files that are ready to publish."""


def sweep(
    disk: Disk, layout: ExtractionLayout, *, live_plan: str | None, fence: Fence, ownership: Ownership | None = None
) -> None:
    """Remove every leftover of this extraction: replaced output, temporary files, and staging except for `live_plan`.

    With `ownership`, which knows the published dataset, every other generation of the dataset is removed as well. Else
    unfinished uploads are aborted: a complete extraction has none, see `CopiedPublication.commit`.

    Raises:
        LockLost: another runner has taken over.
        StorageError: the file system refused.
    """
    fence.check()
    with storage_errors(layout.folder, "tidy"):
        for name in disk.names(layout.folder):
            if name.startswith(f".{layout.run_id}.replaced-"):
                sweep_replaced(disk, layout, layout.folder / name)
        if ownership is not None and (published := ownership.record.published):
            sweep_others(disk, layout, ownership, dataset=layout.dataset_named(published.output_path))
        for name in disk.names(layout.staging_root):
            if name != live_plan:
                _sweep_plan(disk, layout, layout.staging_root / name)
        if live_plan is None:
            disk.remove_folder(layout.staging_root, role="sweep")
        for folder in places_of(layout, layout.staging_root)[1:]:
            for name in disk.names(folder):
                sweep_replaced(disk, layout, folder / name)
            remove_empty(disk, layout)
        if ownership is None:
            sweep_uploads(disk, layout)
        # The lock's own epoch too: its owner has no temporary file between two documents.
        sweep_documents(disk, layout, older_than(fence.epoch + 1))


def sweep_uploads(disk: Disk, layout: ExtractionLayout) -> None:
    """Abort this extraction's unfinished uploads, all of dead processes: its owner is uploading nothing now.

    Raises OSError.
    """
    if (objects := objects_disk(disk)) is not None:
        for folder in layout.upload_folders:
            objects.abort_uploads(folder, layout.is_own_upload)


def sweep_others(disk: Disk, layout: ExtractionLayout, ownership: Ownership, *, dataset: Path | None) -> None:
    """Remove every other generation of a published dataset.

    A file that does not belong to this extraction is kept; within a folder of the extraction it is moved to where
    readers do not find it.

    Raises OSError.
    """
    if dataset is None:
        return
    for path in layout.others_than(dataset, disk.names):
        if ownership.owns(path):
            sweep_replaced(disk, layout, path)
        elif path.parent in layout.folders_around(dataset):
            _keep_foreign(disk, layout, path)


def _sweep_plan(disk: Disk, layout: ExtractionLayout, folder: Path) -> None:
    sweep_ready(disk, layout, folder)
    disk.remove_folder(folder, role="sweep")


def sweep_ready(disk: Disk, layout: ExtractionLayout, folder: Path) -> None:
    """Remove what was ready to publish; after an exchange, that is the replaced dataset.

    Raises OSError.
    """
    for name in disk.names(folder):
        if name.startswith(_READY):
            sweep_replaced(disk, layout, folder / name)


def sweep_replaced(disk: Disk, layout: ExtractionLayout, path: Path) -> None:
    """Remove a replaced dataset, but keep foreign files in it: their owner may want them.

    Raises OSError.
    """
    if not disk.is_folder(path):
        disk.unlink(path, role="sweep")
        return
    for name in disk.names(path):
        # A single file that was ready, or the folder that was exchanged for it; or rows beside the dataset.
        is_ready = name in {DATASET, QUARANTINE, VIOLATING, layout.output.name} or layout.is_quarantine_name(name)
        if is_ready or layout.is_inner_generation(name):
            sweep_replaced(disk, layout, path / name)
        elif not PART_NAME.match(name) and not is_concealed(name):
            _keep_foreign(disk, layout, path / name)
    disk.remove_folder(path, role="sweep")


def _keep_foreign(disk: Disk, layout: ExtractionLayout, path: Path) -> None:
    disk.make_folder(layout.foreign_files, role="sweep")
    kept = f"{path.name}{UNPUBLISHED}" if path.name.endswith(".parquet") else path.name
    move(disk, path, _free_name(disk, layout.foreign_files / kept), role="sweep")


def _free_name(disk: Disk, path: Path) -> Path:
    """The first free one of `path`, `path.2`, `path.3` and so on."""
    numbered = (path if number == 1 else path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    return next(each for each in numbered if not disk.exists(each))
