"""Copies one file of a publication to its place, or reads one back that may be there: work for workers, on any machine.

Nothing can be renamed there, so a copy is opened under the name that readers will know. Therefore the order is

1. read back what is at its place; if it is what it should be, leave it alone: an attempt that comes late, or a second
   one, does not open for writing what may be published by now;
2. look at the fence: the owner of this work may have been stopped, and another may have published meanwhile;
3. write it, in one stream, to the end. Being told to stop does not break it off: what is closed half written is, on an
   object store, the object, and it would stand in place of one that another attempt has finished;
4. read it back: the writer gets no checksum from a mounted file system.

Which files are copied, and what follows from a proof, is decided by the parent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from statekeeper.engines.context import WorkContext
from statekeeper.errors import WorkerDied
from statekeeper.parquet.integrity import md5_of
from statekeeper.store.files.disk import Access, Disk
from statekeeper.store.files.durable import Fence, storage_errors
from statekeeper.store.files.failpoints import failpoint


class _Told(Protocol):
    """What a receipt or a commit record tells of a file."""

    @property
    def bytes(self) -> int: ...

    @property
    def md5(self) -> str: ...


@dataclass(frozen=True)
class FileProof:
    """What a file was when it was read back."""

    bytes: int
    md5: str

    @classmethod
    def of(cls, file: _Told) -> Self:
        """The proof that a file would give that is what it should be."""
        return cls(file.bytes, file.md5)


@dataclass(frozen=True)
class CopySpec:
    """A staged file, the place that it is copied to, and what is to be found there; paths are absolute."""

    source: Path
    dest: Path
    expected: FileProof
    rows: int
    role: str
    access: Access
    disk: Disk
    fence: Fence


@dataclass(frozen=True)
class ProofSpec:
    """A file that may be in place already."""

    path: Path
    disk: Disk


def copy_part(spec: CopySpec, context: WorkContext) -> FileProof:
    """Copy the file, unless it is in place, and read it back. It makes no folder.

    Raises:
        LockLost: another runner has taken over; nothing was written.
        WorkerDied: something else was read back, perhaps of another attempt that is at work; it may be done again.
        StorageError: the file system refused, or the folder is gone; the copy may be there, or half of it.
        Interrupted: it was asked to stop; the same.
    """
    with storage_errors(spec.dest, "look at"):
        may_be_in_place = has_size(spec.disk, spec.dest, spec.expected.bytes)
    if may_be_in_place and _read_back(spec.disk, spec.dest, context) == spec.expected:
        return spec.expected
    context.check_stop()
    with storage_errors(spec.source, "read"):
        content = spec.source.open("rb")
    with content, storage_errors(spec.dest, "publish"):
        failpoint("copy", spec.role, "before")
        spec.fence.check()
        spec.disk.write_over(spec.dest, content, role=spec.role, access=spec.access)
        failpoint("copy", spec.role, "after")
    found = _read_back(spec.disk, spec.dest, context)
    if found != spec.expected:  # the part was checked; what readers will see is its copy
        raise WorkerDied(
            f"{spec.dest} does not have the md5 of the part that was copied to it",
            hint="look at the file system under output.base_path, then run again",
        )
    return found


def prove_file(spec: ProofSpec, context: WorkContext) -> FileProof:
    """Read a file back. Raises StorageError, Interrupted."""
    return _read_back(spec.disk, spec.path, context)


def has_size(disk: Disk, path: Path, size: int) -> bool:
    """Whether a file of so many bytes is there: only then is it worth while to read it back. Raises OSError."""
    return disk.exists(path) and not disk.is_folder(path) and disk.size(path) == size


def _read_back(disk: Disk, path: Path, context: WorkContext) -> FileProof:
    md5 = md5_of(path, look=context.check_stop)
    with storage_errors(path, "look at"):
        return FileProof(disk.size(path), md5)
