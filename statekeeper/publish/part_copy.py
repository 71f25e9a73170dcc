"""Work for workers on any machine: copies files of a publication to their places, or reads back one that may be there.

Without rename, a copy is opened under its final name, which readers know. Therefore each file is copied in this order:

1. Check the fence: the owner of this work may have been stopped, and another may have published meanwhile.
2. Create the file, which fails if the name exists. Then read the existing file back. If it is right, leave it alone: a
   late or second attempt must not open for writing what may already be published. Otherwise check the fence again, and
   overwrite it.
3. Write it to the end in one stream. A request to stop does not interrupt the write: on an object store, closing a
   half-written file makes it the object, in place of one that another attempt has finished.
4. Read it back: a mounted file system gives the writer no checksum.

Every check of a name is a request, and a file system answers one name of a folder at a time. So a file is created
without looking for it first, and read without further checks. The requests for small files take longer than their
bytes, so several small files are copied concurrently.

The parent decides which files are copied, and what follows from a proof.
"""

from __future__ import annotations

import hashlib
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
from statekeeper.store.versions import ObjectsDisk, objects_disk

_BLOCK = 1 << 20
_MAX_TOGETHER, _BYTES_TOGETHER = 4, 32 << 20


class _HasProof(Protocol):
    """A file's entry in a receipt or a commit record."""

    @property
    def bytes(self) -> int: ...

    @property
    def md5(self) -> str: ...


@dataclass(frozen=True)
class FileProof:
    """Size and md5 of a file when it was read back."""

    bytes: int
    md5: str

    @classmethod
    def of(cls, file: _HasProof) -> Self:
        """The proof that the right file would give."""
        return cls(file.bytes, file.md5)


@dataclass(frozen=True)
class CopySpec:
    """A staged file, its destination, and the proof expected there; paths are absolute."""

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
    """Files that are copied concurrently."""

    copies: tuple[CopySpec, ...]

    @property
    def rows(self) -> int:
        return sum(copy.rows for copy in self.copies)

    def __str__(self) -> str:
        first = self.copies[0].dest.name
        return f"the copy to {first}" if len(self.copies) == 1 else f"the {len(self.copies)} copies to {first} and on"


@dataclass(frozen=True)
class CopiesProof:
    """The proofs for the files of a `CopiesSpec`, in its order."""

    files: tuple[FileProof, ...]


@dataclass(frozen=True)
class ProofSpec:
    """A file that may already be in place."""

    path: Path
    disk: Disk


def grouped(copies: tuple[CopySpec, ...]) -> tuple[CopiesSpec, ...]:
    """The copies in order, small ones in groups."""
    together: list[list[CopySpec]] = []
    room = 0
    for copy in copies:
        if room <= 0 or len(together[-1]) == _MAX_TOGETHER:
            together.append([])
            room = _BYTES_TOGETHER
        together[-1].append(copy)
        room -= copy.expected.bytes
    return tuple(CopiesSpec(tuple(each)) for each in together)


def copy_parts(spec: CopiesSpec, context: WorkContext) -> CopiesProof:
    """Copy files concurrently. Raises like `copy_part` for the first failure, after all have ended."""
    turn = threading.Lock()
    with ThreadPoolExecutor(len(spec.copies), "statekeeper-copy") as pool:
        return CopiesProof(tuple(pool.map(lambda each: _copied(each, context, turn), spec.copies)))


def copy_part(spec: CopySpec, context: WorkContext) -> FileProof:
    """Copy the file, unless it is in place, and read it back. It creates no folder.

    Raises:
        LockLost: another runner has taken over; nothing was written.
        WorkerDied: something else was read back, perhaps from another attempt at work; it may be repeated.
        StorageError: the file system refused, or the folder is gone; the copy, or a part of it, may be there.
        Interrupted: it was asked to stop; the copy, or a part of it, may be there.
    """
    return _copied(spec, context, nullcontext())


def _copied(spec: CopySpec, context: WorkContext, turn: AbstractContextManager[object]) -> FileProof:
    """Like `copy_part`, but creates the file within `turn`: the system creates one name of a folder at a time anyway,
    and a thread that waits for it could not be told to stop.
    """
    context.check_stop()
    if (objects := objects_disk(spec.disk)) is not None:
        return _copied_in_store(spec, objects, context)
    with storage_errors(spec.source, "read"):
        content = spec.disk.open(spec.source)
    with content:
        failpoint("copy", spec.role, "before")
        if not _is_made(spec, content, context, turn):
            if _is_in_place(spec, context):
                return spec.expected
            _write_over(spec, content, context)
        failpoint("copy", spec.role, "after")
    found = _read_back(spec.disk, spec.dest, context)
    if found != spec.expected:  # the part was checked; what readers will see is its copy
        raise _differs(spec)
    return found


def _copied_in_store(spec: CopySpec, disk: ObjectsDisk, context: WorkContext) -> FileProof:
    """Let the store copy an object. Its bytes are read back only if the store has no checksum that proves them."""
    with storage_errors(spec.dest, "publish"):
        spec.fence.check()
        try:
            disk.copy(spec.source, spec.dest, size=spec.expected.bytes, role=spec.role)
        except FileExistsError:
            if _proof_in_store(spec, disk, context) == spec.expected:
                return spec.expected
            spec.fence.check()
            disk.copy_over(spec.source, spec.dest, size=spec.expected.bytes, role=spec.role)
    found = _proof_in_store(spec, disk, context)
    if found != spec.expected:
        raise _differs(spec)
    return found


def _proof_in_store(spec: CopySpec, disk: ObjectsDisk, context: WorkContext) -> FileProof:
    with storage_errors(spec.dest, "look at"):
        is_proven = disk.is_proven(spec.dest, size=spec.expected.bytes, md5=spec.expected.md5)
    return spec.expected if is_proven else _read_back(disk, spec.dest, context)


def _differs(spec: CopySpec) -> WorkerDied:
    return WorkerDied(
        f"{spec.dest} does not have the md5 of the part that was copied to it",
        hint="look at the file system under output.base_path, then run again",
    )


def _is_made(spec: CopySpec, content: BinaryIO, context: WorkContext, turn: AbstractContextManager[object]) -> bool:
    """Create and write the file; False if its name exists."""
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
    """Whether the existing file is the right one; it is read only if it has the right size."""
    with storage_errors(spec.dest, "look at"):
        has_right_size = spec.disk.file_size(spec.dest) == spec.expected.bytes
    return has_right_size and _read_back(spec.disk, spec.dest, context) == spec.expected


def prove_file(spec: ProofSpec, context: WorkContext) -> FileProof:
    """Read a file back. Raises StorageError, Interrupted."""
    return _read_back(spec.disk, spec.path, context)


def _read_back(disk: Disk, path: Path, context: WorkContext) -> FileProof:
    """The proof of a file, from its bytes."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with storage_errors(path, "read"):
        for block in disk.blocks(path, _BLOCK):
            digest.update(block)
            size += len(block)
            context.check_stop()
    return FileProof(size, digest.hexdigest())
