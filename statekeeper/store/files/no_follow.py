"""Files and folders opened, and trees removed, by their own names: never through a symbolic link in their place.

We make no links, so a link means another file. Links among the folders above are `store.files.links`' matter.
Errors are the system's own.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

NO_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENODEV})
"""How `open_file` says that a link, a folder, or a pipe, socket or device lies in the place of a file."""
NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST})
"""How the system says that a folder cannot be removed, since something is in it."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def link_error(path: Path) -> OSError:
    """The error for a symbolic link where a file or a folder of ours belongs."""
    return OSError(errno.ELOOP, "it is a symbolic link, and statekeeper follows none under base_path", os.fspath(path))


def open_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of the file of this name itself. Raises OSError for a link, a folder, a pipe or a device."""
    try:
        found = path.lstat().st_mode
        if stat.S_ISLNK(found):
            raise link_error(path)
        if not stat.S_ISREG(found):
            raise _not_a_file(path, found)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    try:
        # A pipe that was put there since is opened without waiting for its other end.
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise link_error(path) from error
        raise


def _not_a_file(path: Path, mode: int) -> OSError:
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, "it is a folder, and a file belongs there", os.fspath(path))
    return OSError(errno.ENODEV, "it is a pipe, a socket or a device, and a file belongs there", os.fspath(path))


def create_file(path: Path, mode: int) -> BinaryIO:
    """A new file, open for writing; the caller closes it. Raises FileExistsError, for a link too."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return open(os.open(path, flags, mode), "wb")  # noqa: PTH123 - a descriptor; the caller closes


def open_folder(path: Path, *, within: int | None = None) -> int:
    """A descriptor of the folder of this name itself, in the open folder `within`. Raises OSError for a link."""
    try:
        return os.open(path, _FOLDER, dir_fd=within)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP} and within is None and path.is_symlink():
            raise link_error(path) from error
        raise


def remove_tree(path: Path, *, on_middle: Callable[[], None], within: int | None = None) -> None:
    """Remove a folder with all that is in it, by its name in the open folder `within`; a missing one is fine.

    A link that is put on the way meanwhile leads nowhere else. `on_middle` is called when half of a folder is gone.
    """
    for is_last in (False, False, True):
        try:
            descriptor = open_folder(path, within=within)
        except FileNotFoundError:
            return
        try:
            _empty(descriptor, on_middle)
        finally:
            os.close(descriptor)
        try:
            os.rmdir(path, dir_fd=within)
        except FileNotFoundError:
            return
        except OSError as error:
            # A late worker has put a file there meanwhile; without the folder it can put no other.
            if is_last or error.errno not in NOT_EMPTY:
                raise
        else:
            return


def _empty(folder: int, on_middle: Callable[[], None]) -> None:
    names = sorted(os.listdir(folder))
    for position, name in enumerate(names):
        if position == len(names) // 2:
            on_middle()
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                remove_tree(Path(name), on_middle=on_middle, within=folder)
            else:
                os.unlink(name, dir_fd=folder)
