"""How files are written: a document is replaced as a whole or created once, a part is streamed once.

Decides the order of steps, and so what a crash can leave: the old document or the new one, never a mixture and never
none. The order in `replace` also keeps a stopped owner from writing. It checks its fence after its temporary file
exists and before the rename. A takeover first becomes visible to the fence, and then removes the temporary files of
older epochs (`store.locks.fencing`). However the two interleave, the stale owner either fails its check or finds
nothing to rename.

In an object store (`Writes.OBJECTS`) a document is one object, written on the condition of the version that was read:
an owner that was stopped loses at its write. The order is version, fence, write: what a successor writes in between is
a conflict, and what it wrote before is seen by the fence.

Without rename and link (`Writes.WHOLE`) a replacement goes through a second slot (`store.files.slots`). A document that
is created once is written under its own name: a crash can leave it partly written, which only its content shows. There,
an owner that was stopped between its check of the fence and its write is not kept from writing.

`store.state` and `store.documents` decide what documents mean.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from statekeeper.errors import LockLost, StorageError
from statekeeper.store.files.disk import Access, Disk, Writes
from statekeeper.store.files.slots import settle, write_through_slots
from statekeeper.store.files.temps import process_token, temp_file
from statekeeper.store.versions import ObjectsDisk, Version, VersionConflict, objects_disk
from statekeeper.system_errors import storage_error

_BLOCK = 1 << 20
_ATTEMPTS = 5


class Fence(Protocol):
    """Keeps an owner that has lost its lock from writing."""

    @property
    def epoch(self) -> int:
        """Grows with every takeover; 0 if the lock cannot be taken from a living owner."""

    def check(self) -> None:
        """Raise LockLost if another runner has taken over."""

    def for_workers(self) -> Fence:
        """A fence that can be pickled, for other processes on this or another machine."""


class _NoFence:
    epoch = 0

    def check(self) -> None:
        """Never raises: there is no lock to lose."""

    def for_workers(self) -> Fence:
        return self


NO_FENCE: Final[Fence] = _NoFence()
"""The fence for documents without a lock: several processes may write them at once, and the last one wins."""


def replace(disk: Disk, path: Path, data: bytes, *, role: str, fence: Fence, access: Access = Access.PRIVATE) -> None:
    """Replace the document at `path` by `data`, durably before this returns.

    Raises:
        LockLost: another runner has taken over; the document at `path` belongs to it and was not touched.
        StorageError: the file system refused. The old document is intact. Only after a failed sync of the folder (the
            last step; without rename, after any failure) may a later crash leave either of the two.
    """
    temp = temp_file(path, process_token() if fence is NO_FENCE else str(fence.epoch))
    with storage_errors(path, "save"):
        if (objects := objects_disk(disk)) is not None:
            _replace_object(objects, path, data, role=role, fence=fence, over=None)
            return
        if disk.writes is Writes.WHOLE:
            settle(disk, path, role=role, access=access)
            fence.check()
            write_through_slots(disk, path, data, role=role, access=access)
            return
        try:
            _write_temp(disk, temp, data, role=role, access=access)
            fence.check()
            _rename(disk, temp, path, role=role, fence=fence)
        except Exception:
            with suppress(OSError):
                disk.unlink(temp, role=role)
            raise
        disk.sync_folder(path.parent, role=role)


def replace_version(
    disk: Disk, path: Path, data: bytes, *, role: str, fence: Fence, over: Version | None
) -> Version | None:
    """Like `replace`, for `data` that is based on the version `over` (None: on the present one).

    Returns the new version. A disk without versions, on which the lock keeps others from writing, returns None.
    """
    objects = objects_disk(disk)
    if objects is None:
        replace(disk, path, data, role=role, fence=fence)
        return None
    with storage_errors(path, "save"):
        return _replace_object(objects, path, data, role=role, fence=fence, over=over)


def _replace_object(
    disk: ObjectsDisk, path: Path, data: bytes, *, role: str, fence: Fence, over: Version | None
) -> Version:
    for _ in range(_ATTEMPTS):
        known = disk.version(path) if over is None else over
        fence.check()
        try:
            return disk.replace(path, data, known, role=role)
        except VersionConflict:
            fence.check()  # says which runner has taken over
            if over is not None:
                raise LockLost(
                    f"{path} was changed by another runner since it was read",
                    hint="that runner had been stopped for longer than its lease; run again",
                ) from None
    raise StorageError(f"cannot save {path}: others write it all the time", hint="run again")


def create_once(disk: Disk, path: Path, data: bytes, *, role: str, unique: str) -> bool:
    """Create the document at `path` as a whole; False if there is one already, which stays.

    `unique` distinguishes simultaneous writers (letters, digits, - and _). This never makes a folder, so that a late
    writer fails if the folder was removed.

    Raises:
        StorageError: the file system refused, or the folder is gone. The document may exist nevertheless (after a
            failure that followed the link), so files that it names must not be removed.
    """
    temp = temp_file(path, unique)
    with storage_errors(path, "create"):
        if disk.writes is Writes.OBJECTS:
            return _created_object(disk, path, data, role=role)
        if disk.writes is Writes.WHOLE:
            return _created_in_place(disk, path, data, role=role)
        try:
            _write_temp(disk, temp, data, role=role, access=Access.PRIVATE)
            is_first = _link(disk, temp, path, role=role)
        except Exception:
            with suppress(OSError):
                disk.unlink(temp, role=role)
            raise
        disk.unlink(temp, role=role)
        # Also if another writer was first: it may have died before its sync, and we are about to rely on its document.
        disk.sync_folder(path.parent, role=role)
    return is_first


@contextmanager
def streamed_once(disk: Disk, path: Path, *, role: str, unique: str) -> Iterator[BinaryIO]:
    """A file to write to in one stream; when the block ends without an error, it is at `path`, whole and durable.

    Nobody else may use `path`. Without rename the stream goes to this machine's temporary folder and is copied at the
    end: a file that grows for hours on a mounted object store is easily lost. To an object store it goes up while it is
    written. This never makes a folder.

    Raises:
        StorageError: the file system refused, or the folder is gone; nothing is left at `path`.
    """
    temp = temp_file(path, unique) if disk.writes.has_rename else path
    try:
        with storage_errors(path, "write"):
            if (objects := objects_disk(disk)) is not None:
                with objects.upload(path, role=role) as upload:
                    yield cast("BinaryIO", upload)
            elif disk.writes is Writes.WHOLE:
                with tempfile.TemporaryFile(prefix="statekeeper-") as file:
                    yield cast("BinaryIO", file)
                    file.seek(0)
                    with disk.create(path, role=role) as stored:
                        shutil.copyfileobj(cast("BinaryIO", file), stored, _BLOCK)
                        disk.sync_file(stored, role=role)
            else:
                with disk.create(temp, role=role) as file:
                    yield file
                    disk.sync_file(file, role=role)
                disk.rename(temp, path, role=role)
            disk.sync_folder(path.parent, role=role)
    except BaseException:
        with suppress(OSError):
            disk.unlink(temp, role=role)
        raise


@contextmanager
def read_more_than_once(disk: Disk, path: Path) -> Iterator[Path]:
    """The path at which to read a file several times.

    On a mounted object store each read would go over the network. So there it is a copy with the same name in this
    machine's temporary folder, which exists while the block runs. If the file cannot be copied, it is `path` itself,
    and reading it reports why. An object has no other path: its pieces are read as they are needed.
    """
    if disk.writes is not Writes.WHOLE:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="statekeeper-") as folder:
        copy = Path(folder) / path.name
        with suppress(OSError), disk.open(path) as original, copy.open("xb") as file:
            shutil.copyfileobj(original, file, _BLOCK)
        yield copy if copy.exists() else path


@contextmanager
def storage_errors(path: Path, action: str) -> Iterator[None]:
    """Turn OSErrors about `path` into StorageError, with the error's name as its code; `action` is a verb."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, action) from error


def _created_object(disk: Disk, path: Path, data: bytes, *, role: str) -> bool:
    try:
        disk.write_new(path, data, role=role)
    except FileExistsError:
        return False
    return True


def _created_in_place(disk: Disk, path: Path, data: bytes, *, role: str) -> bool:
    try:
        disk.write_new(path, data, role=role)
    except FileExistsError:
        return False
    except Exception:
        with suppress(OSError):
            disk.unlink(path, role=role)
        raise
    disk.sync_folder(path.parent, role=role)
    return True


def move(disk: Disk, source: Path, dest: Path, *, role: str) -> None:
    """Move a file or folder to a free name; without rename, by copying, so that a crash may leave both."""
    if disk.writes.has_rename:
        disk.rename(source, dest, role=role)
        return
    if disk.is_folder(source):
        disk.make_folder(dest, role=role)
        for name in disk.names(source):
            move(disk, source / name, dest / name, role=role)
        disk.remove_folder(source, role=role)
        return
    if (objects := objects_disk(disk)) is not None:
        objects.copy_over(source, dest, size=disk.size(source), role=role)
        disk.unlink(source, role=role)
        return
    with source.open("rb") as content:
        disk.write_over(dest, content, role=role)
    disk.sync_folder(dest.parent, role=role)
    disk.unlink(source, role=role)


def _write_temp(disk: Disk, temp: Path, data: bytes, *, role: str, access: Access) -> None:
    try:
        disk.write_new(temp, data, role=role, access=access)
    except FileExistsError:  # left by a dead process that had our token; nobody else can have made it
        disk.unlink(temp, role=role)
        disk.write_new(temp, data, role=role, access=access)


def _rename(disk: Disk, temp: Path, path: Path, *, role: str, fence: Fence) -> None:
    try:
        disk.rename(temp, path, role=role)
    except FileNotFoundError:
        fence.check()  # says which runner removed our temporary file
        raise


def _link(disk: Disk, temp: Path, path: Path, *, role: str) -> bool:
    try:
        disk.link(temp, path, role=role)
    except FileExistsError:
        return False
    return True
