"""Removes what publications leave behind, and nothing that is not this extraction's own.

Decides what a left-over is: what no commit record, state or live plan names. When it is removed is decided by
`statekeeper.publish.publication`, before it stages, and by the run, before its work and after it.
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

_READY = ("publish.", "beside.", "fenced-")
"""How folders are named that this owner, or one that `store.locks.fencing` fenced off, has ready to publish."""
DATASET, QUARANTINE, VIOLATING = (f"{name}{UNPUBLISHED}" for name in ("dataset", "quarantine", "violations"))
"""The names of single files while they are ready."""


def sweep(
    disk: Disk, layout: ExtractionLayout, *, live_plan: str | None, fence: Fence, ownership: Ownership | None = None
) -> None:
    """Remove every left-over of this extraction but the staging folder of `live_plan`: replaced output, other plans,
    temps; and, where `ownership` is given, which says what is published, every other generation of the dataset.

    Raises:
        LockLost: what lies there is another runner's.
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
        # The lock's own epoch too: between two documents its owner has no temporary file.
        sweep_documents(disk, layout, older_than(fence.epoch + 1))


def sweep_others(disk: Disk, layout: ExtractionLayout, ownership: Ownership, *, dataset: Path | None) -> None:
    """Remove every other generation of a published dataset.

    What is not this extraction's own is kept; where it is in a folder that is, out of readers' sight.

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
    """Remove what was ready to be published; after an exchange it is the replaced dataset that lies there.

    Raises OSError.
    """
    for name in disk.names(folder):
        if name.startswith(_READY):
            sweep_replaced(disk, layout, folder / name)


def sweep_replaced(disk: Disk, layout: ExtractionLayout, path: Path) -> None:
    """Remove a replaced dataset, but keep files in it that are not ours: whoever put them there may want them.

    Raises OSError.
    """
    if not disk.is_folder(path):
        disk.unlink(path, role="sweep")
        return
    for name in disk.names(path):
        # A single file made ready, or the folder that was exchanged for it; or rows beside the dataset.
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
    """`path`, or the first of `path.2`, `path.3` and so on that nothing has."""
    numbered = (path if number == 1 else path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    return next(each for each in numbered if not disk.exists(each))
