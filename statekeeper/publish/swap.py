"""Where a dataset of several parts waits to be exchanged for the one that readers see.

Its parts must bear the names that readers know, so that one exchange of the folder publishes them; and while it waits
no `**/*.parquet` under base_path may meet them, nor those of the replaced dataset afterwards. So it waits beside
base_path, in `.<name of base_path>.swap`, on the same file system and private to this user.

Where that cannot be (base_path is a mount point, or the folder above it cannot be written) it waits in the staging
folder with concealed names. They are revealed for the exchange and concealed again after it: for the time of these
renames a glob meets the parts of both.

Nothing in here needs to survive a crash: parts stay in staging until the extraction is complete, so what is lost or
stale is made anew.
"""

from __future__ import annotations

import errno
from pathlib import Path

from statekeeper.store.files.disk import NOT_OFFERED, Access, Disk
from statekeeper.store.files.links import is_private
from statekeeper.store.layout import PART_NAME, ExtractionLayout
from statekeeper.store.staging import UNPUBLISHED

_NOT_THERE = NOT_OFFERED | {errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ELOOP}
"""How the system says that base_path has no place beside it for this user."""
_ATTEMPTS = 3


def moved_beside(disk: Disk, layout: ExtractionLayout, folder: Path) -> Path:
    """Where `folder`, made within the staging folder, waits: beside base_path if that can be, else where it is.

    Raises OSError.
    """
    swap = layout.swap
    if swap is None or _is_taken(disk, swap.parent):
        return folder
    for _ in range(_ATTEMPTS):
        try:
            disk.make_folder(swap, role="ready", access=Access.PRIVATE)
            if _is_taken(disk, swap.parent):
                return folder
            disk.rename(folder, swap / folder.name, role="ready")
            disk.sync_folder(
                folder.parent, role="ready"
            )  # before it has parts: no power failure brings them back there
        except FileNotFoundError:  # another extraction has removed the folder of all, which was empty
            if not disk.exists(folder):
                raise
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            remove_empty(disk, layout)
            return folder
        else:
            return swap / folder.name
    return folder


def places_of(layout: ExtractionLayout, staging: Path) -> list[Path]:
    """The folders in which what waits to be put in place may lie: `staging`, and the one beside base_path if ours."""
    swap = layout.swap
    return [staging, swap] if swap is not None and is_private(swap.parent) else [staging]


def remove_empty(disk: Disk, layout: ExtractionLayout) -> None:
    """Remove the extraction's folder beside base_path, and that of all extractions, if nothing is in them."""
    if layout.swap is not None and is_private(layout.swap.parent):
        disk.remove_if_empty(layout.swap)
        disk.remove_if_empty(layout.swap.parent)


def _is_taken(disk: Disk, folder: Path) -> bool:
    """Whether somebody else has made the folder of all extractions, or could put something in place of ours there."""
    return disk.exists(folder) and not is_private(folder)


def concealed(name: str) -> str:
    """The name of a part while it waits under base_path."""
    return f"{name}{UNPUBLISHED}"


def is_concealed(name: str) -> bool:
    """Whether a name is that of a part which waits under base_path."""
    return name.endswith(UNPUBLISHED) and PART_NAME.match(name.removesuffix(UNPUBLISHED)) is not None


def reveal(disk: Disk, folder: Path) -> None:
    """Give concealed parts the names that readers know, durably."""
    for name in filter(is_concealed, disk.names(folder)):
        disk.rename(folder / name, folder / name.removesuffix(UNPUBLISHED), role="publish")
    disk.sync_folder(folder, role="publish")


def conceal(disk: Disk, folder: Path) -> None:
    """Take from the parts of a replaced dataset the names that globs match."""
    for name in filter(PART_NAME.match, disk.names(folder)):
        disk.rename(folder / name, folder / concealed(name), role="publish")
