"""The state of a database file at one moment, which serves as the snapshot of a source without snapshots.

Decides which facts identify a file's state, and describes how two states differ. It reads only the file's first bytes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime

HEADER_BYTES = 12 * 1024
"""DuckDB's main header and its two database headers, which every checkpoint rewrites with a higher iteration."""
_COMPANIONS = (".wal", ".wal.recovery", ".wal.checkpoint")


@dataclass(frozen=True)
class Companion:
    """A log beside the database file, with committed changes that are not in the file itself yet."""

    suffix: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class FileState:
    """The facts that change when the database does."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    header: str
    companions: tuple[Companion, ...]

    @property
    def token(self) -> str:
        """All facts as one sha256."""
        facts = (self.device, self.inode, self.size, self.mtime_ns, self.header)
        logs = ((log.suffix, log.size, log.mtime_ns) for log in self.companions)
        return hashlib.sha256(repr((facts, *logs)).encode()).hexdigest()

    @property
    def written_at(self) -> str:
        """When the file was last written, to the second."""
        return _when(self.mtime_ns)

    def difference_to(self, now: FileState) -> str:
        """What changed between this state and a later one, as text."""
        if (self.device, self.inode) != (now.device, now.inode):
            return f"it was replaced by another file ({now.size} bytes, last written {now.written_at})"
        if self.size != now.size:
            return f"its size went from {self.size} to {now.size} bytes, written {now.written_at}"
        if self.header != now.header:
            return f"its header was rewritten by a checkpoint, at {now.written_at}"
        if self.mtime_ns != now.mtime_ns:
            return f"it was written at {now.written_at}, before that at {self.written_at}"
        return "its write-ahead log changed: another process committed to it"


class WatchedFile:
    """A database file, held open so that its first bytes can be read repeatedly.

    One descriptor serves for the whole session. It is closed only after DuckDB has closed the file: on POSIX a process
    loses its locks on a file as soon as it closes any descriptor of it, and a writer could then open the file.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def state(self) -> FileState | None:
        """The state of the file at the path now; None if there is none, if it cannot be read, or after `close`."""
        if self._descriptor is None:
            return None
        try:
            at_path = os.stat(self.path)  # noqa: PTH116 - beside os.fstat and os.pread
            held = os.fstat(self._descriptor)
            is_held = (at_path.st_dev, at_path.st_ino) == (held.st_dev, held.st_ino)
            header = os.pread(self._descriptor, HEADER_BYTES, 0) if is_held else b""
        except OSError:
            return None
        return FileState(
            device=at_path.st_dev,
            inode=at_path.st_ino,
            size=at_path.st_size,
            mtime_ns=at_path.st_mtime_ns,
            header=hashlib.sha256(header).hexdigest(),
            companions=_companions(self.path),
        )


def _companions(path: str) -> tuple[Companion, ...]:
    found = []
    for suffix in _COMPANIONS:
        try:
            status = os.stat(path + suffix)  # noqa: PTH116 - beside os.fstat and os.pread
        except OSError:
            continue
        found.append(Companion(suffix, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _when(mtime_ns: int) -> str:
    return datetime.fromtimestamp(mtime_ns / 1e9, UTC).isoformat(timespec="seconds")
