"""The one place that changes the file system durably, step by step, with a failpoint around each step.

A method does what its name says and no more: only `make_folder` and `write_new` make durable what they did; after
`rename`, `exchange`, `link`, `link_or_copy`, `unlink` and `remove_folder` it is the caller who syncs the folder.
Which order of steps is safe is decided in `store.files.durable`. Errors are the system's own; `role` says what kind of
file it is and is only for failpoints.

No file is opened, and no folder listed or removed, through a symbolic link of its name (`store.files.no_follow`). What
is made is `Access.PRIVATE` unless readers need it.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from statekeeper.store.files.exchange import exchange_names
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.files.no_follow import NOT_EMPTY, create_file, open_file, open_folder, remove_tree

NOT_OFFERED = frozenset(
    {errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)
"""How a file system says that it does not do such a thing at all: a link, or a rename."""
_FOLDER_SYNC_NOT_OFFERED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_BLOCK = 1 << 20


class Writes(StrEnum):
    """How what is new gets its name on a file system."""

    RENAME = "rename"
    """It is written under another name, then renamed or linked into place in one step."""
    WHOLE = "whole"
    """There is no rename and no link: it is written under its own name, from beginning to end."""


class Access(StrEnum):
    """For whom a file or a folder is made."""

    PRIVATE = "private"
    """For this user alone."""
    PUBLISHED = "published"
    """For readers, as far as the umask allows."""

    @property
    def file_mode(self) -> int:
        return 0o600 if self is Access.PRIVATE else 0o666

    @property
    def folder_mode(self) -> int:
        return 0o700 if self is Access.PRIVATE else 0o777


class Disk(Protocol):
    """Durable steps on a file system."""

    @property
    def writes(self) -> Writes:
        """Which steps it offers; without rename, neither `rename` nor `exchange` nor `link` may be asked for."""

    def read(self, path: Path) -> bytes:
        """The whole content. Raises FileNotFoundError."""

    def create(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> BinaryIO:
        """A new file, open for writing in a stream; end it with `sync_file`.

        Raises FileExistsError.
        """

    def sync_file(self, file: BinaryIO, *, role: str) -> None:
        """Make what was written to an open file durable."""

    def write_new(self, path: Path, data: bytes, *, role: str, access: Access = Access.PRIVATE) -> None:
        """Create a file with this content, and make the content durable (its name is not). Raises FileExistsError."""

    def write_over(self, path: Path, content: BinaryIO, *, role: str, access: Access = Access.PRIVATE) -> None:
        """Write all of `content` to a file, new or over what it was, in one stream, and make it durable.

        Nothing is promised of the time until this returns: the file may be the old one, a torn one or the new one.
        """

    def rename(self, source: Path, dest: Path, *, role: str) -> None:
        """Give a file or a folder another name, in place of a file of that name."""

    def exchange(self, first: Path, second: Path, *, role: str) -> bool:
        """Swap two names atomically; False, with nothing touched, where the system cannot."""

    def link(self, source: Path, dest: Path, *, role: str) -> None:
        """Give a file a second name. Raises FileExistsError if another file has that name."""

    def link_or_copy(self, source: Path, dest: Path, *, role: str) -> None:
        """Like `link`; where links are refused, a durable copy."""

    def unlink(self, path: Path, *, role: str) -> None:
        """Take a name away; a missing one is fine."""

    def remove_folder(self, path: Path, *, role: str) -> None:
        """Remove a folder with all that is in it; a missing one is fine."""

    def remove_if_empty(self, path: Path) -> None:
        """Remove a folder in which there is nothing; any other, and a missing one, is fine.

        Neither durable, nor a failpoint.
        """

    def make_folder(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> None:
        """Make a folder and its parents, each durable in its own parent; an existing one is fine."""

    def make_folders(self, path: Path, names: Iterable[str], *, role: str, access: Access = Access.PUBLISHED) -> None:
        """Make folders in one that is there, all of them durable; an existing one is fine."""

    def sync_folder(self, path: Path, *, role: str) -> None:
        """Make the names in a folder durable."""

    def rewrite(self, path: Path, data: bytes) -> None:
        """Write all of `data` over a file that is there, in its place: not durable, and no failpoint.

        Readers may find the old content, the new one or, for a moment, a mixture. Raises FileNotFoundError.
        """

    def names(self, path: Path) -> list[str]:
        """The sorted names in a folder; none if it is missing."""

    def exists(self, path: Path) -> bool:
        """Whether anything has this name, be it a link that leads nowhere."""

    def is_folder(self, path: Path) -> bool:
        """Whether it is a folder itself; a link to one is not."""

    def size(self, path: Path) -> int:
        """The size of a file in bytes. Raises FileNotFoundError."""

    def file_size(self, path: Path) -> int | None:
        """The size in bytes of the file itself that has this name; None where there is none."""


class LocalDisk:
    """A mounted file system, local or shared.

    Folders above `base_path`, where it is given, are not ours: they may be such that nobody can open or list them.
    """

    writes = Writes.RENAME
    base_path: Path | None = None
    _folders_emptied_at_once = 1

    def __init__(self, base_path: Path | None = None) -> None:
        self.base_path = base_path

    def read(self, path: Path) -> bytes:
        with os.fdopen(open_file(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read()

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
            # Over NFS a link whose answer was lost is asked for again, and is then refused by its own success.
            if not _is_same_file(source, dest):
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
            # (Where we may not read the parent, we could not have made the folder either.)
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
        """Whether a folder may be the work of a process that died, or is about to, before it synced the parent.

        One above base_path is not, nor is base_path itself once there is something in it.
        """
        if not self._is_at_or_above_base(found):
            return True
        return found == self.base_path and self.writes is Writes.RENAME and not self.names(found)

    def _sync_name(self, folder: Path, *, role: str) -> None:
        """Make the name of a folder durable; that of base_path, or above it, where its parent can be opened for that.

        Without rename, folders above base_path are an object store's, and never touched.
        """
        if self._is_at_or_above_base(folder) and (self.writes is Writes.WHOLE or not _can_be_opened(folder.parent)):
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
        # Cut only afterwards, so that no reader finds it empty.
        with os.fdopen(open_file(path, os.O_WRONLY), "wb") as file:
            file.write(data)
            file.truncate()

    def names(self, path: Path) -> list[str]:
        try:
            descriptor = open_folder(path)
        except FileNotFoundError:
            return []
        try:
            return sorted(os.listdir(descriptor))  # noqa: PTH208 - of the very folder that was opened
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

    def _fsync(self, descriptor: int) -> None:
        """Everything that becomes durable does so through this call, be it a file or a folder."""
        os.fsync(descriptor)

    def _copy(self, source: Path, dest: Path, *, role: str) -> None:
        failpoint("copy", role, "before")
        original = os.fdopen(open_file(source, os.O_RDONLY), "rb")
        with original, self.create(dest, role=role) as copy:
            shutil.copyfileobj(original, copy, _BLOCK)
            self.sync_file(copy, role=role)
        failpoint("copy", role, "after")


class WholeFileDisk(LocalDisk):
    """A mounted file system without rename and link, such as an object store's: a file is written in one stream."""

    writes = Writes.WHOLE
    _folders_emptied_at_once = 16

    def rewrite(self, path: Path, data: bytes) -> None:
        with os.fdopen(open_file(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            file.write(data)


def _can_be_opened(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _is_same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except FileNotFoundError:
        return False
