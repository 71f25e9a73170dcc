"""Opens files and folders, and removes trees, without following a symbolic link that has their name.

We make no links, so a link leads to a file of someone else. `store.files.links` checks the folders above. Errors are
the system's own.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

NO_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENODEV})
"""The errors of `open_file` for a link, for a folder, and for a pipe, socket or device."""
NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST})
"""The system's errors for removing a folder that is not empty."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def link_error(path: Path) -> OSError:
    """The error for a symbolic link that has the name of a file or folder of ours."""
    return OSError(errno.ELOOP, "it is a symbolic link, and statekeeper follows none under base_path", os.fspath(path))


def open_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of the file at `path`. Raises OSError for a link, a folder, a pipe or a device."""
    # The kind is checked after opening: a check before would be one more request, and the file could change after it.
    descriptor = _open(path, flags, mode)
    found = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(found):
        os.close(descriptor)
        raise _not_a_file(path, found)
    return descriptor


def read_blocks(path: Path, size: int) -> Iterator[bytes]:
    """The content of the file at `path`, in blocks of at most `size`, with no requests but open and read.

    A pipe has no content. Raises OSError for a link or a folder.
    """
    descriptor = _open(path, os.O_RDONLY)
    try:
        while block := os.read(descriptor, size):
            yield block
    finally:
        os.close(descriptor)


def write_blocks(path: Path, blocks: Iterable[bytes], mode: int = 0o600) -> None:
    """Create or overwrite the file at `path`, with no requests but open and write.

    Raises OSError for a link or a folder.
    """
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        for block in blocks:
            left = memoryview(block)
            while left:
                left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int, mode: int = 0o600) -> int:
    try:
        # O_NONBLOCK: opening a pipe does not wait for its other end.
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise link_error(path) from error
        refused_as = {errno.EISDIR: stat.S_IFDIR, errno.ENXIO: stat.S_IFIFO}  # the latter of a socket, too
        if error.errno in refused_as:
            raise _not_a_file(path, refused_as[error.errno]) from error
        raise


def _not_a_file(path: Path, mode: int) -> OSError:
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, "it is a folder, and a file belongs there", os.fspath(path))
    return OSError(errno.ENODEV, "it is a pipe, a socket or a device, and a file belongs there", os.fspath(path))


def create_file(path: Path, mode: int) -> BinaryIO:
    """Create a file and open it for writing; the caller closes it. Raises FileExistsError, for a link too."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return open(os.open(path, flags, mode), "wb")  # noqa: PTH123 - a descriptor; the caller closes


def open_folder(path: Path, *, within: int | None = None) -> int:
    """A descriptor of the folder at `path`, relative to the open folder `within`. Raises OSError for a link."""
    try:
        return os.open(path, _FOLDER, dir_fd=within)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP} and within is None and path.is_symlink():
            raise link_error(path) from error
        raise


def can_be_opened(folder: Path) -> bool:
    """Whether this user may open a folder, or a link to one."""
    try:
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def is_same_file(first: Path, second: Path) -> bool:
    """Whether both names are of one file; False if one of them is missing."""
    try:
        return first.samefile(second)
    except FileNotFoundError:
        return False


def remove_tree(path: Path, *, on_middle: Callable[[], None], at_once: int = 1, within: int | None = None) -> None:
    """Remove a folder with everything in it, if it exists; `path` is relative to the open folder `within`.

    A link that is created on the path meanwhile is not followed. `on_middle` is called when half of a folder is
    removed. `at_once` is how many folders are emptied concurrently, each by a thread: a system removes one name of a
    folder at a time.
    """
    for is_last in (False, False, True):
        try:
            descriptor = open_folder(path, within=within)
        except FileNotFoundError:
            return
        try:
            _empty(descriptor, on_middle, at_once)
        finally:
            os.close(descriptor)
        try:
            os.rmdir(path, dir_fd=within)
        except FileNotFoundError:
            return
        except OSError as error:
            # A late worker has created a file meanwhile; once the folder is gone it cannot create another.
            if is_last or error.errno not in NOT_EMPTY:
                raise
        else:
            return


def _empty(folder: int, on_middle: Callable[[], None], at_once: int) -> None:
    """Remove the files of an open folder, then its folders."""
    names, folders = sorted(os.listdir(folder)), []
    for position, name in enumerate(names):
        if position == len(names) // 2:
            on_middle()
        if not _is_unlinked(name, folder):
            folders.append(Path(name))
    threads = min(at_once, len(folders))
    if threads <= 1:
        for each in folders:
            remove_tree(each, on_middle=on_middle, at_once=at_once, within=folder)
        return
    remove = partial(remove_tree, on_middle=on_middle, at_once=at_once // threads, within=folder)
    with ThreadPoolExecutor(threads, "statekeeper-remove") as pool:
        list(pool.map(remove, folders))


def _is_unlinked(name: str, folder: int) -> bool:
    """Remove a name from an open folder; False if it is a folder. It does not ask first what it is."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    except PermissionError:  # some systems raise this for a folder
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise
        return False
    return True
