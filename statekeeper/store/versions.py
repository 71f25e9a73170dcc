"""What an object store has instead of rename and link: whole objects, and writes on the condition of a version.

A write that depends on a version succeeds only if the object still has that version; `ABSENT` means that there must be
no object. So of several writers one wins, without any lock, and an owner that was stopped loses at its next write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NewType, Protocol, cast

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


class ObjectsDisk(Disk, Protocol):
    """A disk with `Writes.OBJECTS`: also conditional writes, and copies that the store makes itself."""

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

    def copy(self, source: Path, dest: Path, *, role: str) -> None:
        """Copy within the store. Raises FileNotFoundError, and FileExistsError if there is an object at `dest`."""

    def copy_over(self, source: Path, dest: Path, *, role: str) -> None:
        """Copy within the store; an existing object is replaced. Raises FileNotFoundError."""

    def is_proven(self, path: Path, *, size: int, md5: str) -> bool:
        """Whether the store's own checksum shows that an object has this content; False also if it has no such one."""


def objects_disk(disk: Disk) -> ObjectsDisk | None:
    """The disk with its further steps, if it is one of an object store."""
    return cast("ObjectsDisk", disk) if disk.writes is Writes.OBJECTS else None
