"""The only place that changes the file system durably, step by step, with a failpoint around each step.

A method does what its name says and no more. After `rename`, `exchange`, `link`, `link_or_copy`, `unlink` and
`remove_folder` the caller syncs the folder; `make_folder` makes its result durable itself, `write_new` the content.
`store.files.durable` decides which order of steps is safe. Errors are the system's own. `role` is the kind of file, for
failpoints only.

If a path itself is a symbolic link, it is not followed to open, list or remove anything (`store.files.no_follow`).
Files and folders are created with `Access.PRIVATE` unless readers need them.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from statekeeper.store.files.exchange import exchange_names
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.files.no_follow import (
    NOT_EMPTY,
    can_be_opened,
    create_file,
    is_same_file,
    open_file,
    open_folder,
    read_blocks,
    remove_tree,
)

NOT_OFFERED = frozenset(
    {errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)
"""The errors by which a file system says that it has no such operation at all (a link, or a rename)."""
_FOLDER_SYNC_NOT_OFFERED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_BLOCK = 1 << 20


class Writes(StrEnum):
    """How a new file gets its name on a file system."""

    RENAME = "rename"
    """It is written under another name, then renamed or linked to its own in one step."""
    WHOLE = "whole"
    """There is no rename and no link: it is written under its own name, from beginning to end."""
    OBJECTS = "objects"
    """It is an object: there whole or not at all, and written on conditions (`store.versions`)."""

    @property
    def creates_once(self) -> bool:
        """Whether of several writers of a new file the first one wins, with a file that is whole."""
        return self is not Writes.WHOLE

    @property
    def has_rename(self) -> bool:
        """Whether a file or folder can get another name."""
        return self is Writes.RENAME


class Access(StrEnum):
    """Who may read a new file or folder."""

    PRIVATE = "private"
    """Only this user."""
    PUBLISHED = "published"
    """All readers that the umask allows."""

    @property
    def file_mode(self) -> int:
        return 0o600 if self is Access.PRIVATE else 0o666

    @property
    def folder_mode(self) -> int:
        return 0o700 if self is Access.PRIVATE else 0o777


class Disk(Protocol):
    """A file system, as a set of steps from which durable changes are made."""

    @property
    def writes(self) -> Writes:
        """Which steps it offers. Only `RENAME` has `rename`, `exchange` and `link`; `OBJECTS` has no `create`."""

    def read(self, path: Path) -> bytes:
        """The whole content. Raises FileNotFoundError."""

    def open(self, path: Path) -> BinaryIO:
        """Open a file to read it from any position. Raises FileNotFoundError."""

    def blocks(self, path: Path, size: int) -> Iterator[bytes]:
        """The content from beginning to end, in blocks of at most about `size` bytes. Raises FileNotFoundError."""

    def create(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> BinaryIO:
        """Create a file and open it for writing; call `sync_file` at the end.

        Raises FileExistsError.
        """

    def sync_file(self, file: BinaryIO, *, role: str) -> None:
        """Make the content of an open file durable."""

    def write_new(self, path: Path, data: bytes, *, role: str, access: Access = Access.PRIVATE) -> None:
        """Create a file with this content; the content is durable then, its name not yet. Raises FileExistsError."""

    def write_over(self, path: Path, content: BinaryIO, *, role: str, access: Access = Access.PRIVATE) -> None:
        """Write all of `content` to a new or existing file in one stream, and make it durable.

        Until this returns, the file may have its old content, a part of the new one, or all of it.
        """

    def rename(self, source: Path, dest: Path, *, role: str) -> None:
        """Rename a file or a folder; an existing file with that name is replaced."""

    def exchange(self, first: Path, second: Path, *, role: str) -> bool:
        """Swap two names atomically; False, with nothing changed, if the system has no such operation."""

    def link(self, source: Path, dest: Path, *, role: str) -> None:
        """Give a file a second name. Raises FileExistsError if another file has that name."""

    def link_or_copy(self, source: Path, dest: Path, *, role: str) -> None:
        """Like `link`; if the file system has no links, make a durable copy."""

    def unlink(self, path: Path, *, role: str) -> None:
        """Remove a file, if it exists."""

    def remove_folder(self, path: Path, *, role: str) -> None:
        """Remove a folder with everything in it, if it exists."""

    def remove_if_empty(self, path: Path) -> None:
        """Remove a folder if it exists and is empty. This is neither durable nor a failpoint."""

    def make_folder(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> None:
        """Make a folder and its parents, each durable in its own parent, unless they exist."""

    def make_folders(self, path: Path, names: Iterable[str], *, role: str, access: Access = Access.PUBLISHED) -> None:
        """Make folders in an existing one, all of them durable, unless they exist."""

    def sync_folder(self, path: Path, *, role: str) -> None:
        """Make the names in a folder durable."""

    def rewrite(self, path: Path, data: bytes) -> None:
        """Overwrite an existing file in place. This is neither durable nor a failpoint.

        Readers may find the old content, the new one or, for a moment, a mixture. Raises FileNotFoundError.
        """

    def names(self, path: Path) -> list[str]:
        """The sorted names in a folder; none if it does not exist."""

    def exists(self, path: Path) -> bool:
        """Whether anything has this name, even a broken link."""

    def is_folder(self, path: Path) -> bool:
        """Whether this is a folder; a link to one is not."""

    def size(self, path: Path) -> int:
        """The size of a file in bytes. Raises FileNotFoundError."""

    def file_size(self, path: Path) -> int | None:
        """The size in bytes if this is a regular file; None for a link, anything else, or nothing."""

    def changed_at(self, path: Path) -> float:
        """When a file was last changed, in seconds since 1970. Raises FileNotFoundError."""


class LocalDisk:
    """A mounted file system, local or shared.

    Folders above `base_path`, if it is given, are not ours: it may be impossible to open or list them.
    """

    writes = Writes.RENAME
    base_path: Path | None = None
    _folders_emptied_at_once = 1

    def __init__(self, base_path: Path | None = None) -> None:
        self.base_path = base_path

    def read(self, path: Path) -> bytes:
        with os.fdopen(open_file(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read()

    def open(self, path: Path) -> BinaryIO:
        return os.fdopen(open_file(path, os.O_RDONLY), "rb")

    def blocks(self, path: Path, size: int) -> Iterator[bytes]:
        return read_blocks(path, size)

    def create(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> BinaryIO:
        failpoint("create", role, "before")
        file = create_file(path, access.file_mode)
        failpoint("create", role, "after")
        return file

    def sync_file(self, file: BinaryIO, *, role: str) -> None:
        failpoint("fsync", role, "before")
        file.flush()
        self._fsync(file.fileno())
        failpoint("fsync", role, "after")

    def write_new(self, path: Path, data: bytes, *, role: str, access: Access = Access.PRIVATE) -> None:
        failpoint("write", role, "before")
        half = len(data) // 2
        with create_file(path, access.file_mode) as file:
            file.write(data[:half])
            file.flush()
            failpoint("write", role, "middle")
            file.write(data[half:])
            file.flush()
            failpoint("write", role, "after")
            self.sync_file(file, role=role)

    def write_over(self, path: Path, content: BinaryIO, *, role: str, access: Access = Access.PRIVATE) -> None:
        failpoint("write_over", role, "before")
        block = content.read(_BLOCK)
        half = len(block) // 2
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(open_file(path, flags, access.file_mode), "wb") as file:
            file.write(block[:half])
            file.flush()
            failpoint("write_over", role, "middle")
            file.write(block[half:])
            shutil.copyfileobj(content, file, _BLOCK)
            self.sync_file(file, role=role)
        failpoint("write_over", role, "after")

    def rename(self, source: Path, dest: Path, *, role: str) -> None:
        failpoint("rename", role, "before")
        source.replace(dest)
        failpoint("rename", role, "after")

    def exchange(self, first: Path, second: Path, *, role: str) -> bool:
        failpoint("exchange", role, "before")
        is_done = exchange_names(first, second)
        if is_done:
            failpoint("exchange", role, "after")
        return is_done

    def link(self, source: Path, dest: Path, *, role: str) -> None:
        failpoint("link", role, "before")
        try:
            os.link(source, dest)
        except FileExistsError:
            # Over NFS a link whose answer was lost is requested again, and then fails because it succeeded before.
            if not is_same_file(source, dest):
                raise
        failpoint("link", role, "after")

    def link_or_copy(self, source: Path, dest: Path, *, role: str) -> None:
        try:
            self.link(source, dest, role=role)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
            self._copy(source, dest, role=role)

    def unlink(self, path: Path, *, role: str) -> None:
        failpoint("unlink", role, "before")
        path.unlink(missing_ok=True)
        failpoint("unlink", role, "after")

    def remove_folder(self, path: Path, *, role: str) -> None:
        failpoint("remove_folder", role, "before")
        remove_tree(
            path, on_middle=lambda: failpoint("remove_folder", role, "middle"), at_once=self._folders_emptied_at_once
        )
        failpoint("remove_folder", role, "after")

    def remove_if_empty(self, path: Path) -> None:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in NOT_EMPTY:
                raise

    def make_folder(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> None:
        missing: list[Path] = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        if self._may_be_new(path):
            # (If we may not read the parent, we cannot have made the folder either.)
            with suppress(PermissionError):
                self._sync_name(path, role=role)
        for folder in reversed(missing):
            failpoint("mkdir", role, "before")
            folder.mkdir(mode=access.folder_mode, exist_ok=True)
            failpoint("mkdir", role, "after")
            self._sync_name(folder, role=role)

    def make_folders(self, path: Path, names: Iterable[str], *, role: str, access: Access = Access.PUBLISHED) -> None:
        for name in names:
            failpoint("mkdir", role, "before")
            (path / name).mkdir(mode=access.folder_mode, exist_ok=True)
            failpoint("mkdir", role, "after")
        self.sync_folder(path, role=role)

    def _may_be_new(self, found: Path) -> bool:
        """Whether a folder may have been made by a process that died, or will die, before it synced the parent.

        A folder above base_path was not, nor was base_path itself once it has content.
        """
        if not self._is_at_or_above_base(found):
            return True
        return found == self.base_path and self.writes is Writes.RENAME and not self.names(found)

    def _sync_name(self, folder: Path, *, role: str) -> None:
        """Make the name of a folder durable; that of base_path or a folder above it only if its parent can be opened.

        Without rename, folders above base_path belong to an object store, and are never touched.
        """
        if self._is_at_or_above_base(folder) and (self.writes is Writes.WHOLE or not can_be_opened(folder.parent)):
            return
        self.sync_folder(folder.parent, role=role)

    def _is_at_or_above_base(self, folder: Path) -> bool:
        return self.base_path is not None and folder in (self.base_path, *self.base_path.parents)

    def sync_folder(self, path: Path, *, role: str) -> None:
        failpoint("fsync_folder", role, "before")
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._fsync(descriptor)
        except OSError as error:
            if error.errno not in _FOLDER_SYNC_NOT_OFFERED:
                raise
        finally:
            os.close(descriptor)
        failpoint("fsync_folder", role, "after")

    def rewrite(self, path: Path, data: bytes) -> None:
        # Truncated only afterwards, so that no reader finds it empty.
        with os.fdopen(open_file(path, os.O_WRONLY), "wb") as file:
            file.write(data)
            file.truncate()

    def names(self, path: Path) -> list[str]:
        try:
            descriptor = open_folder(path)
        except FileNotFoundError:
            return []
        try:
            return sorted(os.listdir(descriptor))  # noqa: PTH208 - of the open folder itself
        finally:
            os.close(descriptor)

    def exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def is_folder(self, path: Path) -> bool:
        try:
            return stat.S_ISDIR(path.lstat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def size(self, path: Path) -> int:
        return path.lstat().st_size

    def file_size(self, path: Path) -> int | None:
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def changed_at(self, path: Path) -> float:
        return path.stat().st_mtime

    def _fsync(self, descriptor: int) -> None:
        """Every file and every folder is made durable by this call."""
        os.fsync(descriptor)

    def _copy(self, source: Path, dest: Path, *, role: str) -> None:
        failpoint("copy", role, "before")
        original = os.fdopen(open_file(source, os.O_RDONLY), "rb")
        with original, self.create(dest, role=role) as copy:
            shutil.copyfileobj(original, copy, _BLOCK)
            self.sync_file(copy, role=role)
        failpoint("copy", role, "after")


class WholeFileDisk(LocalDisk):
    """A mounted file system without rename and link, such as an object store: a file is written in one stream."""

    writes = Writes.WHOLE
    _folders_emptied_at_once = 16

    def rewrite(self, path: Path, data: bytes) -> None:
        with os.fdopen(open_file(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            file.write(data)
