"""A disk whose files keep the names under which they were written: no rename, no link, no append, no seeking.

Otherwise it is real. It refuses everything else with ENOSYS, like a mounted object store.
"""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import BinaryIO, NoReturn

from statekeeper.store.files.disk import Access, WholeFileDisk

from .lossy_disk import LossyDisk


class _Stream(io.BufferedWriter):
    """A file that is written from beginning to end, and then only closed."""

    def seek(self, _offset: int, _whence: int = 0) -> NoReturn:
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))

    def truncate(self, _size: int | None = None) -> NoReturn:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


class NamelessDisk(WholeFileDisk):
    """A local disk that refuses what an object store does not offer."""

    def create(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> BinaryIO:
        return _Stream(super().create(path, role=role, access=access).detach())

    def rename(self, source: Path, dest: Path, *, role: str) -> None:
        _refuse(source, dest, role)

    def exchange(self, first: Path, second: Path, *, role: str) -> bool:
        _refuse(first, second, role)

    def link(self, source: Path, dest: Path, *, role: str) -> None:
        _refuse(source, dest, role)


class LossyNamelessDisk(NamelessDisk, LossyDisk):
    """A nameless disk that loses in a crash what was not synced."""


def _refuse(*asked: object) -> NoReturn:
    raise OSError(errno.ENOSYS, f"{os.strerror(errno.ENOSYS)}: {asked}")
