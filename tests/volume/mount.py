"""A FUSE file system that offers what a Unity Catalog volume offers, and refuses the rest as one does.

Usage: python -m tests.volume.mount FOLDER MOUNTPOINT [--delay SECONDS] [--only PATTERN] [--log FILE]
[--swallow-times] [--closed NAME] (until it is unmounted)

Files lie in FOLDER. They can be created, overwritten from the beginning, read, listed and removed. Rename, link and
setting a time are answered with ENOSYS, appending and writing elsewhere than at the end of what was written since the
file was opened with ESPIPE: what public reports of volumes say (os error 38, "Illegal seek").

`--delay` is how long each round trip takes: each request but those that move a file's bytes, which stand for a stream.
Round trips take their time side by side, as those to an object store do. What was written is sent when the file is
synced or closed, whichever comes first: that is one round trip, `send`; that it replaces all there was is none. With
`--only` none takes time but those for paths that match. `--log` gets a line for each request: when, by this machine's
`time.monotonic`, its kind and the path below the mount. `tests.volume.requests` mounts, and counts them.

With `--swallow-times` setting a time succeeds and changes nothing, as some mounts of object stores have it. The folder
`--closed`, a name such as /main/erp, can be looked up and not opened, like the catalog and the schema above a volume.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import mfusepy

F = TypeVar("F", bound=Callable[..., Any])

_OF_BYTES = frozenset({"read", "write"})
_THREADS = "64"
_THREADS_ARE_BOUND_SINCE = (3, 12)
"""From this version on libfuse has ten threads by default."""


def _request(method: F) -> F:
    """A method that answers a request for a path, which is logged and takes its time."""

    @wraps(method)
    def answer(self: Volume, path: str, *arguments: Any) -> Any:
        self.take_time(method.__name__, path)
        return method(self, path, *arguments)

    return cast("F", answer)


class Volume(mfusepy.Operations):
    """The operations; whatever is not here libfuse answers with ENOSYS, too."""

    def __init__(
        self,
        root: str,
        *,
        delay: float = 0.0,
        only: str = "",
        log: Path | None = None,
        swallows_times: bool = False,
        closed: str | None = None,
    ) -> None:
        self._root = root
        self._swallows_times = swallows_times
        self._closed = closed
        self._delay = delay
        self._is_slow = re.compile(only).search
        self._log = None if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._written: dict[int, int] = {}
        self._unsent: set[int] = set()

    def take_time(self, kind: str, path: str) -> None:
        """Log a request, and wait as long as a round trip takes."""
        if self._log is not None:
            os.write(self._log, f"{time.monotonic():.4f} {kind} {path}\n".encode())
        if self._delay and kind not in _OF_BYTES and self._is_slow(path):
            time.sleep(self._delay)

    def _send(self, path: str, fh: int) -> int:
        """Send the data of an open file that is not sent yet."""
        if fh in self._unsent:
            self._unsent.discard(fh)
            self.take_time("send", path)
        return 0

    def _real(self, path: str) -> Path:
        return Path(f"{self._root}{path}")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if fh is None:  # else it was just opened or made, and that told
            self.take_time("getattr", path)
        found = self._real(path).lstat()
        names = ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")
        return {name: getattr(found, name) for name in names}

    def opendir(self, path: str) -> int:
        if path == self._closed:
            _refuse(errno.ENOTSUP)
        return 0

    @_request
    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(child.name for child in self._real(path).iterdir())]

    @_request
    def mkdir(self, path: str, mode: int) -> int:
        self._real(path).mkdir(mode)
        return 0

    @_request
    def rmdir(self, path: str) -> int:
        self._real(path).rmdir()
        return 0

    @_request
    def unlink(self, path: str) -> int:
        self._real(path).unlink()
        return 0

    @_request
    def create(self, path: str, mode: int, fi: Any = None) -> int:
        descriptor = os.open(self._real(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        self._written[descriptor] = 0
        return descriptor

    @_request
    def open(self, path: str, flags: int) -> int:
        if flags & os.O_APPEND:
            _refuse(errno.ESPIPE)
        descriptor = os.open(self._real(path), flags & ~os.O_EXCL)
        if flags & (os.O_WRONLY | os.O_RDWR):
            self._written[descriptor] = 0
        return descriptor

    @_request
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    @_request
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if self._written.get(fh) != offset:
            _refuse(errno.ESPIPE)
        self._unsent.add(fh)
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
        return self._send(path, fh)

    def flush(self, path: str, fh: int) -> int:
        return self._send(path, fh)

    def release(self, path: str, fh: int) -> int:
        self._written.pop(fh, None)
        os.close(fh)
        return 0

    @_request
    def rename(self, old: str, new: str) -> NoReturn:
        _refuse(errno.ENOSYS)

    @_request
    def link(self, target: str, source: str) -> NoReturn:
        _refuse(errno.ENOSYS)

    @_request
    def utimens(self, path: str, times: Any = None) -> int:
        if not self._swallows_times:
            _refuse(errno.ENOSYS)
        return 0


def _refuse(code: int) -> NoReturn:
    raise mfusepy.FuseOSError(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("mountpoint")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--only", default="", metavar="PATTERN")
    parser.add_argument("--log", type=Path, metavar="FILE")
    parser.add_argument("--swallow-times", action="store_true")
    parser.add_argument("--closed", metavar="NAME")
    asked = parser.parse_args()
    volume = Volume(
        asked.folder,
        delay=asked.delay,
        only=asked.only,
        log=asked.log,
        swallows_times=asked.swallow_times,
        closed=asked.closed,
    )
    version = (mfusepy.fuse_version_major, mfusepy.fuse_version_minor)
    threads = {"max_threads": _THREADS} if version >= _THREADS_ARE_BOUND_SINCE else {}
    # Without `hard_remove` a file that was closed a moment ago, and is open to libfuse still, is renamed, not removed.
    mfusepy.FUSE(volume, asked.mountpoint, foreground=True, hard_remove=True, **threads)


if __name__ == "__main__":
    main()
