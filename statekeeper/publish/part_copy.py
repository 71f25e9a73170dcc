"""Copies files of a publication to their places, or reads one back that may be there: work for workers, on any machine.

Nothing can be renamed there, so a copy is opened under the name that readers will know. Therefore the order is, for
each file,

1. look at the fence: the owner of this work may have been stopped, and another may have published meanwhile;
2. make the file, which is refused where one has the name already. That one is read back; if it is what it should be, it
   is left alone: an attempt that comes late, or a second one, does not open for writing what may be published by now.
   Else look at the fence once more, and write over it;
3. write it, in one stream, to the end. Being told to stop does not break it off: what is closed half written is, on an
   object store, the object, and it would stand in place of one that another attempt has finished;
4. read it back: the writer gets no checksum from a mounted file system.

Every look at a name is a request, and a system answers one name of a folder at a time: so what is made is not looked
for before, and what is read is not looked at besides. The requests of small files take longer than their bytes: some
are copied side by side.

Which files are copied, and what follows from a proof, is decided by the parent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from statekeeper.engines.context import WorkContext
from statekeeper.errors import WorkerDied
from statekeeper.store.files.disk import Access, Disk
from statekeeper.store.files.durable import Fence, storage_errors
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.files.no_follow import open_file, read_blocks

_BLOCK = 1 << 20
_MOST_TOGETHER, _BYTES_TOGETHER = 4, 32 << 20


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
class CopiesSpec:
    """Files that are copied side by side."""

    copies: tuple[CopySpec, ...]

    @property
    def rows(self) -> int:
        return sum(copy.rows for copy in self.copies)

    def __str__(self) -> str:
        first = self.copies[0].dest.name
        return f"the copy to {first}" if len(self.copies) == 1 else f"the {len(self.copies)} copies to {first} and on"


@dataclass(frozen=True)
class CopiesProof:
    """What the files of a `CopiesSpec` were, in its order."""

    files: tuple[FileProof, ...]


@dataclass(frozen=True)
class ProofSpec:
    """A file that may be in place already."""

    path: Path


def side_by_side(copies: tuple[CopySpec, ...]) -> tuple[CopiesSpec, ...]:
    """The same copies, in order, a few together as long as they are small."""
    together: list[list[CopySpec]] = []
    room = 0
    for copy in copies:
        if room <= 0 or len(together[-1]) == _MOST_TOGETHER:
            together.append([])
            room = _BYTES_TOGETHER
        together[-1].append(copy)
        room -= copy.expected.bytes
    return tuple(CopiesSpec(tuple(each)) for each in together)


def copy_parts(spec: CopiesSpec, context: WorkContext) -> CopiesProof:
    """Copy files side by side. Raises as `copy_part`, of the first that failed, once all have come to an end."""
    turn = threading.Lock()
    with ThreadPoolExecutor(len(spec.copies), "statekeeper-copy") as pool:
        return CopiesProof(tuple(pool.map(lambda each: _copied(each, context, turn), spec.copies)))


def copy_part(spec: CopySpec, context: WorkContext) -> FileProof:
    """Copy the file, unless it is in place, and read it back. It makes no folder.

    Raises:
        LockLost: another runner has taken over; nothing was written.
        WorkerDied: something else was read back, perhaps of another attempt that is at work; it may be done again.
        StorageError: the file system refused, or the folder is gone; the copy may be there, or half of it.
        Interrupted: it was asked to stop; the same.
    """
    return _copied(spec, context, nullcontext())


def _copied(spec: CopySpec, context: WorkContext, turn: AbstractContextManager[object]) -> FileProof:
    """The same; the file is made within `turn`: the system makes one name of a folder at a time in any case, and who
    waits there cannot be told to stop.
    """
    context.check_stop()
    with storage_errors(spec.source, "read"):
        content = os.fdopen(open_file(spec.source, os.O_RDONLY), "rb")
    with content:
        failpoint("copy", spec.role, "before")
        if not _is_made(spec, content, context, turn):
            if _is_in_place(spec, context):
                return spec.expected
            _write_over(spec, content, context)
        failpoint("copy", spec.role, "after")
    found = _read_back(spec.dest, context)
    if found != spec.expected:  # the part was checked; what readers will see is its copy
        raise WorkerDied(
            f"{spec.dest} does not have the md5 of the part that was copied to it",
            hint="look at the file system under output.base_path, then run again",
        )
    return found


def _is_made(spec: CopySpec, content: BinaryIO, context: WorkContext, turn: AbstractContextManager[object]) -> bool:
    """Make the file and write it; False where one has its name."""
    with storage_errors(spec.dest, "publish"):
        try:
            with turn:
                context.check_stop()
                spec.fence.check()
                file = spec.disk.create(spec.dest, role=spec.role, access=spec.access)
        except FileExistsError:
            return False
        with file:
            shutil.copyfileobj(content, file, _BLOCK)
            spec.disk.sync_file(file, role=spec.role)
    return True


def _write_over(spec: CopySpec, content: BinaryIO, context: WorkContext) -> None:
    context.check_stop()
    with storage_errors(spec.dest, "publish"):
        spec.fence.check()
        spec.disk.write_over(spec.dest, content, role=spec.role, access=spec.access)


def _is_in_place(spec: CopySpec, context: WorkContext) -> bool:
    """Whether what has the name is what should be there; only what has the size is read."""
    with storage_errors(spec.dest, "look at"):
        may_be_it = spec.disk.file_size(spec.dest) == spec.expected.bytes
    return may_be_it and _read_back(spec.dest, context) == spec.expected


def prove_file(spec: ProofSpec, context: WorkContext) -> FileProof:
    """Read a file back. Raises StorageError, Interrupted."""
    return _read_back(spec.path, context)


def _read_back(path: Path, context: WorkContext) -> FileProof:
    """What a file is, by its bytes alone."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with storage_errors(path, "read"):
        for block in read_blocks(path, _BLOCK):
            digest.update(block)
            size += len(block)
            context.check_stop()
    return FileProof(size, digest.hexdigest())
