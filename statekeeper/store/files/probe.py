"""Finds out which operations the file system of a folder offers, by trying them there.

Decides between `Writes.RENAME` and `Writes.WHOLE`. Everything that a run relies on is tried once, with files that are
removed at the end: a rename over an existing file, a rename of a folder, a link that fails if the name is taken. An
error that is only temporary or about permissions is not an answer, and is raised.
"""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

from statekeeper.config.databricks import is_mounted_object_store
from statekeeper.config.sections.output import WritesKind
from statekeeper.store.files.disk import NOT_OFFERED, Access, Disk, LocalDisk, WholeFileDisk, Writes
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.files.links import refuse_links
from statekeeper.store.files.temps import is_abandoned, process_token
from statekeeper.store.layout import runs_folder

_PREFIX = ".probe-"
_DISKS: dict[Writes, type[LocalDisk]] = {Writes.RENAME: LocalDisk, Writes.WHOLE: WholeFileDisk}


def disk_under(base_path: Path, configured: WritesKind) -> Disk:
    """A disk that can write under `base_path`, as configured or, for `auto`, as probing shows.

    Raises:
        StorageError: nothing can be written there.
    """
    if configured is WritesKind.AUTO:
        return _DISKS[_tried(base_path)](base_path)
    return _DISKS[Writes(configured.value)](base_path)


def _tried(base_path: Path) -> Writes:
    if is_mounted_object_store(str(base_path.absolute())):
        return Writes.WHOLE
    disk, folder = LocalDisk(base_path), runs_folder(base_path)
    refuse_links(base_path, folder)
    with storage_errors(folder, "write to"):
        disk.make_folder(folder, role="probe")
        for name in disk.names(folder):
            if name.startswith(_PREFIX) and is_abandoned(name.removeprefix(_PREFIX)):
                disk.remove_folder(folder / name, role="probe")
        place = folder / f"{_PREFIX}{process_token()}"
        try:
            return writes_in(disk, place)
        finally:
            with suppress(OSError):
                disk.remove_folder(place, role="probe")


def writes_in(disk: Disk, place: Path) -> Writes:
    """Which operations `disk` offers, tried in the folder `place`, which is created for it. Raises OSError."""
    disk.make_folder(place / "folder", role="probe", access=Access.PRIVATE)
    for name in ("first", "second"):
        disk.write_over(place / name, io.BytesIO(name.encode()), role="probe")
    try:
        disk.link(place / "first", place / "linked", role="probe")
        with suppress(FileExistsError):
            disk.link(place / "second", place / "linked", role="probe")
            return Writes.WHOLE  # a link replaced a taken name, so that the first writer does not win
        disk.rename(place / "second", place / "first", role="probe")
        disk.rename(place / "folder", place / "renamed", role="probe")
    except OSError as error:
        if error.errno in NOT_OFFERED:
            return Writes.WHOLE
        raise
    is_correct = disk.read(place / "first") == b"second" and disk.read(place / "linked") == b"first"
    return Writes.RENAME if is_correct else Writes.WHOLE
