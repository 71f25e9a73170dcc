"""Fencing: the first thing that a new holder of a lock does, so that earlier holders can no longer change what readers
see.

An earlier holder that was stopped between its last check and a rename must find nothing to rename. So temporary files
of documents are removed, and datasets that are ready for publication are renamed. They are renamed because that is one
step: removing a folder takes time, in which half of it could still be published.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from statekeeper.store.files.disk import Access, Disk, Writes
from statekeeper.store.files.links import is_private
from statekeeper.store.files.slots import settle
from statekeeper.store.files.temps import left_before, older_than, sweep_temps
from statekeeper.store.layout import ExtractionLayout

_READY = ("publish.", "beside.")


def sweep_documents(disk: Disk, layout: ExtractionLayout, is_left_over: Callable[[str], bool]) -> None:
    """Remove left-over temporary files of an extraction's documents, and finish interrupted replacements."""
    documents = (layout.state, layout.metadata, layout.violations)
    names = {path.name for path in (*documents, layout.violating_rows_of_0_1)}
    sweep_temps(disk, layout.folder, names, is_left_over)
    for path in documents:
        is_published = path == layout.metadata
        settle(disk, path, role="sweep", access=Access.PUBLISHED if is_published else Access.PRIVATE)


def fence_off(disk: Disk, layout: ExtractionLayout, *, epoch: int) -> None:
    """Remove or rename everything that owners of epochs below `epoch` (with a flock: all) may be about to rename.

    A `publish.<older>` becomes `fenced-<epoch>.publish.<older>` in the same folder, and likewise `beside.`. It may hold
    the output that its owner exchanged for the new one, so publication decides what happens to it.
    """
    if disk.writes is Writes.OBJECTS:  # nothing waits for a rename: an earlier holder loses at its conditional write
        return
    sweep_documents(disk, layout, left_before(epoch))
    folders = [layout.staging_root / plan_id for plan_id in disk.names(layout.staging_root)]
    if layout.swap is not None and is_private(layout.swap.parent):
        folders.append(layout.swap)
    for folder in filter(disk.is_folder, folders):
        for name in disk.names(folder):
            if name.startswith(_READY) and older_than(epoch)(name.partition(".")[2]):
                with suppress(FileNotFoundError):  # just published by its owner, which is fine
                    disk.rename(folder / name, folder / f"fenced-{epoch}.{name}", role="lock")
