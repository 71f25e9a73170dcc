"""Where a dataset of several parts waits until it is exchanged for the one that readers see.

Its parts need their final names, so that one exchange of the folder publishes them. But while it waits, no
`**/*.parquet` under base_path may match them, nor later the parts of the replaced dataset. So it waits beside
base_path, in `.<name of base_path>.swap`, on the same file system and private to this user.

If that is impossible (base_path is a mount point, or the folder above it cannot be written), it waits in the staging
folder under concealed names. They are revealed for the exchange, and those of the replaced dataset are concealed after
it. During these renames a glob matches the parts of both.

Nothing in these folders must survive a crash: parts stay in staging until the extraction is complete, so whatever is
lost or stale is made again.
"""

from __future__ import annotations

import errno
from pathlib import Path

from statekeeper.store.files.disk import NOT_OFFERED, Access, Disk
from statekeeper.store.files.links import is_private
from statekeeper.store.layout import PART_NAME, ExtractionLayout
from statekeeper.store.staging import UNPUBLISHED

_NOT_THERE = NOT_OFFERED | {errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ELOOP}
"""The errors which mean that this user cannot use a folder beside base_path."""
_ATTEMPTS = 3


def moved_beside(disk: Disk, layout: ExtractionLayout, folder: Path) -> Path:
    """Move `folder` from the staging folder to beside base_path if possible; returns where it is now.

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
            )  # before it has parts, so that no power failure brings them back there
        except FileNotFoundError:  # another extraction has removed the shared folder, which was empty
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
    """The folders in which files may wait for publication: `staging`, and the folder beside base_path if it is ours."""
    swap = layout.swap
    return [staging, swap] if swap is not None and is_private(swap.parent) else [staging]


def remove_empty(disk: Disk, layout: ExtractionLayout) -> None:
    """Remove the extraction's folder beside base_path, and the shared folder above it, if they are empty."""
    if layout.swap is not None and is_private(layout.swap.parent):
        disk.remove_if_empty(layout.swap)
        disk.remove_if_empty(layout.swap.parent)


def _is_taken(disk: Disk, folder: Path) -> bool:
    """Whether somebody else has made the shared folder, or could replace our files in it."""
    return disk.exists(folder) and not is_private(folder)


def concealed(name: str) -> str:
    """The name of a part while it waits under base_path."""
    return f"{name}{UNPUBLISHED}"


def is_concealed(name: str) -> bool:
    """Whether a name belongs to a part that waits under base_path."""
    return name.endswith(UNPUBLISHED) and PART_NAME.match(name.removesuffix(UNPUBLISHED)) is not None


def reveal(disk: Disk, folder: Path) -> None:
    """Give concealed parts their final names, durably."""
    for name in filter(is_concealed, disk.names(folder)):
        disk.rename(folder / name, folder / name.removesuffix(UNPUBLISHED), role="publish")
    disk.sync_folder(folder, role="publish")


def conceal(disk: Disk, folder: Path) -> None:
    """Rename the parts of a replaced dataset so that no glob matches them."""
    for name in filter(PART_NAME.match, disk.names(folder)):
        disk.rename(folder / name, folder / concealed(name), role="publish")
