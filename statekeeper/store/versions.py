"""What an object store has instead of rename and link: whole objects, and writes on the condition of a version.

A write that depends on a version succeeds only if the object still has that version; `ABSENT` means that there must be
no object. So of several writers one wins, without any lock, and an owner that was stopped loses at its next write.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NewType, Protocol, cast

from statekeeper.store.files.disk import Disk, Writes

Version = NewType("Version", str)
"""A version of an object, as its store names it. Two contents never have the same; a version may come back with its
content."""
ABSENT: Final = Version("")
"""The version of an object that does not exist."""


class VersionConflict(Exception):
    """The object does not have the expected version; nothing was written."""


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it: its name relative to the folder that was listed, and its size in bytes."""

    name: str
    size: int
    version: Version


class UploadFile(io.RawIOBase):
    """An object while it is written in one stream."""

    @property
    def e_tag(self) -> str | None:
        """The ETag that a store gives to what was written, if it is made of md5s of several pieces; else None."""
        return None


class ObjectFile(io.RawIOBase):
    """An object that is read from any position: its size in bytes, and its version when it was opened."""

    size: int
    version: Version

    def again(self) -> ObjectFile:
        """The same object at its beginning; the store is not asked."""
        raise NotImplementedError


def e_tag_of(file: BinaryIO) -> str | None:
    """The ETag of what was written to a file, if it is one of an object that went up in several pieces."""
    return file.e_tag if isinstance(file, UploadFile) else None


def shows_bytes(version: Version, *, md5: str, e_tag: str | None = None) -> bool:
    """Whether a version shows that an object has these bytes: if it is S3's ETag, a checksum of the content.

    Args:
        version: of the object.
        md5: of the bytes.
        e_tag: that of `e_tag_of`, if they went up in several pieces.
    """
    of_one_piece = hashlib.md5(bytes.fromhex(md5), usedforsecurity=False).hexdigest()
    return version.strip('"') in {md5, f"{of_one_piece}-1", e_tag}


class ObjectsDisk(Disk, Protocol):
    """A disk with `Writes.OBJECTS`: also conditional writes, uploads, and copies within the store."""

    def read_version(self, path: Path) -> tuple[bytes, Version]:
        """The whole content with its version. Raises FileNotFoundError."""

    def version(self, path: Path) -> Version:
        """The current version; `ABSENT` if there is no object."""

    def listed(self, folder: Path) -> Iterator[Listed]:
        """Every object below a folder, at any depth, in one request per 1,000 objects."""

    def replace(self, path: Path, data: bytes, over: Version, *, role: str) -> Version:
        """Write the content over this version, and return the new one.

        Raises VersionConflict; an earlier attempt of this call, whose answer was lost, is recognised.
        """

    def object(self, path: Path) -> ObjectFile:
        """Like `open`: what it returns can be opened again without a request. Raises FileNotFoundError."""

    def upload(self, path: Path, *, role: str) -> AbstractContextManager[UploadFile]:
        """A file whose content goes up while it is written; when the block ends without an error, it is the object.

        Only one writer uses a path. After an error there is no object, and the upload was aborted.
        """

    def copy(self, source: Path, dest: Path, *, size: int, role: str) -> None:
        """Copy an object of `size` bytes. Raises FileNotFoundError, and FileExistsError if there is one at `dest`.

        The store copies; only an object that is too large for that is read and written by this machine.
        """

    def copy_over(self, source: Path, dest: Path, *, size: int, role: str) -> None:
        """Like `copy`; an existing object is replaced."""

    def abort_uploads(self, folder: Path, is_own: Callable[[Path], bool]) -> None:
        """Abort unfinished uploads of objects below a folder, where the store tells of them. Raises OSError."""

    def is_proven(self, path: Path, *, size: int, md5: str) -> bool:
        """Whether the store's own checksum shows that an object has this content; False also if it has no such one."""


def objects_disk(disk: Disk) -> ObjectsDisk | None:
    """The disk with its further steps, if it is one of an object store."""
    return cast("ObjectsDisk", disk) if disk.writes is Writes.OBJECTS else None


def object_at(disk: Disk, path: Path) -> ObjectFile | None:
    """An object to read, if the disk is an object store. Raises FileNotFoundError."""
    objects = objects_disk(disk)
    return None if objects is None else objects.object(path)
