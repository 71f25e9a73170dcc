"""The ways in which files reach the disk: a document replaced as a whole or created once, a part streamed once.

Decides the order of steps, and with it what a crash can leave: the old document or the new one, never a mixture,
never none. The order in `replace` also makes a stopped owner lose. It looks at its fence after its temporary file
exists and before the rename; a takeover first makes itself visible to the fence and then removes the temporary files
of older epochs (`store.locks.fencing`). Whichever way the two interleave, the stale owner is either seen by its own
check or finds nothing to rename.

Without rename and link (`Writes.WHOLE`) a replacement goes through a second slot (`store.files.slots`), and what is
created once is written under its own name: a crash can leave it torn, which only its content can tell. There an owner
that was stopped between its look at the fence and its write is not kept from writing.

It leaves the meaning of documents to `store.state` and `store.documents`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from statekeeper.store.files.disk import Access, Disk, Writes
from statekeeper.store.files.no_follow import open_file
from statekeeper.store.files.slots import settle, write_through_slots
from statekeeper.store.files.temps import process_token, temp_file
from statekeeper.system_errors import storage_error

_BLOCK = 1 << 20


class Fence(Protocol):
    """What keeps an owner that lost its lock from writing."""

    @property
    def epoch(self) -> int:
        """Grows with every takeover; 0 where the lock cannot be taken over from a living owner."""

    def check(self) -> None:
        """Raise LockLost if another runner has taken over."""

    def for_workers(self) -> Fence:
        """The fence as another process looks at it, on whichever machine: it can be pickled."""


class _NoFence:
    epoch = 0

    def check(self) -> None:
        """Nobody can take it over."""

    def for_workers(self) -> Fence:
        return self


NO_FENCE: Final[Fence] = _NoFence()
"""For documents that no lock guards: several processes may write them at once, and the last one wins."""


def replace(disk: Disk, path: Path, data: bytes, *, role: str, fence: Fence, access: Access = Access.PRIVATE) -> None:
    """Put `data` in place of the document at `path`, durable when this returns.

    Raises:
        LockLost: another runner has taken over; what stands at `path` is theirs and was not touched. StorageError:
        the file system refused. The old document is intact, except that after a failed sync of the folder (the
            last step) either of the two may be found after a crash; without rename, after any failure.
    """
    temp = temp_file(path, process_token() if fence is NO_FENCE else str(fence.epoch))
    with storage_errors(path, "save"):
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


def create_once(disk: Disk, path: Path, data: bytes, *, role: str, unique: str) -> bool:
    """Create the document at `path` whole; False if there is one already, which then stands.

    `unique` tells simultaneous writers apart (letters, digits, - and _). It never makes a folder, so that a late
    writer to one that was removed fails.

    Raises:
        StorageError: the file system refused, or the folder is gone. The document may stand all the same (a failure
        after the
            link), so what it names must not be removed.
    """
    temp = temp_file(path, unique)
    with storage_errors(path, "create"):
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
        # Also when another was first: it may have died before its own sync, and we are about to rely on its document.
        disk.sync_folder(path.parent, role=role)
    return is_first


@contextmanager
def streamed_once(disk: Disk, path: Path, *, role: str, unique: str) -> Iterator[BinaryIO]:
    """A file to write to in one stream; when the block ends well it stands at `path`, whole and durable.

    `path` is used by nobody else. Where there is no rename the stream goes to this machine's own temporary folder, and
    is copied in at the end: a file that grows for hours on a mounted object store is easily lost. It never makes a
    folder.

    Raises:
        StorageError: the file system refused, or the folder is gone; nothing is left at `path`.
    """
    temp = path if disk.writes is Writes.WHOLE else temp_file(path, unique)
    try:
        with storage_errors(path, "write"):
            if disk.writes is Writes.WHOLE:
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
    """Where to read a file that is read several times.

    On a mounted object store each time would come over the network, so there it is a copy under the same name, for a
    while, in this machine's own temporary folder. A file that cannot be copied is left where it is: whoever reads it
    is told why.
    """
    if disk.writes is Writes.RENAME:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="statekeeper-") as folder:
        copy = Path(folder) / path.name
        with suppress(OSError):
            original = open(open_file(path, os.O_RDONLY), "rb")  # noqa: SIM115, PTH123 - a descriptor; closed below
            with original, copy.open("xb") as file:
                shutil.copyfileobj(original, file, _BLOCK)
        yield copy if copy.exists() else path


@contextmanager
def storage_errors(path: Path, action: str) -> Iterator[None]:
    """Turn the system's errors on `path` into StorageError with the error's name as its code; `action` is a verb."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, action) from error


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
    """Give a file or folder another name that nothing has; without rename, by copies: a crash may leave both."""
    if disk.writes is Writes.RENAME:
        disk.rename(source, dest, role=role)
        return
    if disk.is_folder(source):
        disk.make_folder(dest, role=role)
        for name in disk.names(source):
            move(disk, source / name, dest / name, role=role)
        disk.remove_folder(source, role=role)
        return
    with source.open("rb") as content:
        disk.write_over(dest, content, role=role)
    disk.sync_folder(dest.parent, role=role)
    disk.unlink(source, role=role)


def _write_temp(disk: Disk, temp: Path, data: bytes, *, role: str, access: Access) -> None:
    try:
        disk.write_new(temp, data, role=role, access=access)
    except FileExistsError:  # left by a process that died; only one with our token could have made it
        disk.unlink(temp, role=role)
        disk.write_new(temp, data, role=role, access=access)


def _rename(disk: Disk, temp: Path, path: Path, *, role: str, fence: Fence) -> None:
    try:
        disk.rename(temp, path, role=role)
    except FileNotFoundError:
        fence.check()  # says who swept our temporary file away
        raise


def _link(disk: Disk, temp: Path, path: Path, *, role: str) -> bool:
    try:
        disk.link(temp, path, role=role)
    except FileExistsError:
        return False
    return True
