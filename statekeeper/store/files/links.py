"""Refuses symbolic links on the path to a file below base_path; statekeeper makes none there.

Otherwise a user who can write there could make this process write, move or remove files elsewhere, with its rights.
`base_path` itself and the folders above it may be links: they are what the configuration says. `store.files.disk` also
guards the last name of a path when it opens it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from statekeeper.errors import StorageError
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.layout import ExtractionLayout


def refuse_links_to(layout: ExtractionLayout) -> None:
    """Check that no folder on the path to an extraction's folder, and none of its files, is a symbolic link.

    Raises:
        StorageError: one is; the message names it.
    """
    base_path = layout.base_path or layout.folder.parent
    refuse_links(base_path, layout.folder, *layout.names)


def refuse_links(base_path: Path, *paths: Path) -> None:
    """Check that none of `paths`, and no folder between base_path and them, is a symbolic link.

    Raises:
        StorageError: one is; the message names it.
    """
    above = len(base_path.parts)
    below = (path for path in paths if path.is_relative_to(base_path))
    on_the_way = {each for path in below for each in (path, *path.parents)[: len(path.parts) - above]}
    missing: Path | None = None
    for path in sorted(on_the_way):  # sorted, so that a folder comes before its content
        if missing is not None and path.is_relative_to(missing):
            continue
        with storage_errors(path, "look at"):
            try:
                is_link = stat.S_ISLNK(path.lstat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                missing = path
                continue
        if is_link:
            raise StorageError(
                f"{path} is a symbolic link, and statekeeper follows none under base_path: its target was not touched",
                hint=f"remove the link, or replace it by its target (ls -l {path}); then run again",
                code="ELOOP",
            )


def is_private(folder: Path) -> bool:
    """Whether this is a folder of this user in which no other user can replace our files."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
