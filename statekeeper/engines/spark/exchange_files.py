"""How the files of an exchange are read and written: in a folder, or as the objects of a store.

Each step is one operation or request, because on a volume and in an object store each one takes time and costs money.
Nothing is made durable: nothing in an exchange is state.
"""

from __future__ import annotations

import io
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from statekeeper.config.sections.stores import FILE, scheme_of
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.no_follow import read_blocks, write_blocks
from statekeeper.store.registry import reading_disk

_BLOCK = 1 << 20
_ATTEMPTS = 3


class ExchangeFiles(Protocol):
    """What an exchange does with files. Methods raise OSError if the store fails, unless they say otherwise."""

    @property
    def has_folders(self) -> bool:
        """Whether a file can be written only while its folder exists."""

    def make_folder(self, folder: Path) -> None:
        """Make the folder. Raises FileExistsError."""

    def read(self, path: Path) -> bytes:
        """The whole content, which may be partly written. Raises FileNotFoundError."""

    def write(self, path: Path, data: bytes) -> None:
        """Write a new or existing file whole."""

    def unlink(self, path: Path) -> None:
        """Remove a file, if it exists."""

    def names(self, folder: Path) -> list[str]:
        """The sorted names in a folder; none if it does not exist."""

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder with everything in it. Never raises."""


class FolderFiles:
    """Files on a file system that executors and driver have mounted at the same path."""

    has_folders: ClassVar = True

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True)

    def read(self, path: Path) -> bytes:
        return b"".join(read_blocks(path, _BLOCK))

    def write(self, path: Path, data: bytes) -> None:
        write_blocks(path, [data], 0o666)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def names(self, folder: Path) -> list[str]:
        try:
            return sorted(child.name for child in folder.iterdir())
        except FileNotFoundError:
            return []

    def remove_folder(self, folder: Path) -> None:
        for _ in range(_ATTEMPTS):  # a late worker may write a file while the others are removed
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return


@dataclass(frozen=True)
class StoredFiles:
    """Objects of a store, which is reached as `disk` does."""

    disk: Disk

    has_folders: ClassVar = False

    def make_folder(self, folder: Path) -> None:
        self.disk.make_folder(folder, role="exchange")

    def read(self, path: Path) -> bytes:
        return self.disk.read(path)

    def write(self, path: Path, data: bytes) -> None:
        self.disk.write_over(path, io.BytesIO(data), role="exchange")

    def unlink(self, path: Path) -> None:
        self.disk.unlink(path, role="exchange")

    def names(self, folder: Path) -> list[str]:
        return self.disk.names(folder)

    def remove_folder(self, folder: Path) -> None:
        with suppress(OSError):
            self.disk.remove_folder(folder, role="exchange")


def files_at(folder: Path) -> ExchangeFiles:
    """The files of an exchange at this place. Raises ConfigError if the library of its store is not installed."""
    return FolderFiles() if scheme_of(folder) == FILE else StoredFiles(reading_disk(folder))
