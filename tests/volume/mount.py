"""A FUSE file system that offers what a Unity Catalog volume offers, and refuses the rest as one does.

Usage: python -m tests.volume.mount FOLDER MOUNTPOINT   (in the foreground, until it is unmounted)

Files lie in FOLDER. They can be created, overwritten from the beginning, read, listed and removed. Rename, link and
setting a time are answered with ENOSYS, appending and writing elsewhere than at the end of what was written since the
file was opened with ESPIPE: what public reports of volumes say (os error 38, "Illegal seek").
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import mfusepy


class Volume(mfusepy.Operations):
    """The operations; whatever is not here libfuse answers with ENOSYS, too."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._written: dict[int, int] = {}

    def _real(self, path: str) -> Path:
        return Path(f"{self._root}{path}")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = self._real(path).lstat()
        names = ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")
        return {name: getattr(found, name) for name in names}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(child.name for child in self._real(path).iterdir())]

    def mkdir(self, path: str, mode: int) -> int:
        self._real(path).mkdir(mode)
        return 0

    def rmdir(self, path: str) -> int:
        self._real(path).rmdir()
        return 0

    def unlink(self, path: str) -> int:
        self._real(path).unlink()
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        descriptor = os.open(self._real(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        self._written[descriptor] = 0
        return descriptor

    def open(self, path: str, flags: int) -> int:
        if flags & os.O_APPEND:
            _refuse(errno.ESPIPE)
        descriptor = os.open(self._real(path), flags & ~os.O_EXCL)
        if flags & (os.O_WRONLY | os.O_RDWR):
            self._written[descriptor] = 0
        return descriptor

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if self._written.get(fh) != offset:
            _refuse(errno.ESPIPE)
        written = os.pwrite(fh, data, offset)
        self._written[fh] += written
        return written

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        if length:
            _refuse(errno.ENOSYS)
        os.truncate(self._real(path), 0)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        self._written.pop(fh, None)
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> NoReturn:
        _refuse(errno.ENOSYS)

    def link(self, target: str, source: str) -> NoReturn:
        _refuse(errno.ENOSYS)

    def utimens(self, path: str, times: Any = None) -> NoReturn:
        _refuse(errno.ENOSYS)


def _refuse(code: int) -> NoReturn:
    raise mfusepy.FuseOSError(code)


if __name__ == "__main__":
    mfusepy.FUSE(Volume(sys.argv[1]), sys.argv[2], foreground=True, nothreads=True)
