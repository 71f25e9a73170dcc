"""The lock of a local disk: `flock` on `<run_id>.lock`, which the kernel frees when its owner dies, however it dies.

The file is never deleted, and its content is only for people: who holds it, readable while it is held, empty or torn
at worst. The epoch is 0, since nobody can take the lock from a living owner, be it stopped.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from statekeeper.errors import LockHeld, LockLost, StorageError
from statekeeper.model.record import Owner
from statekeeper.store.files.disk import Access, Disk
from statekeeper.store.files.durable import NO_FENCE, Fence, storage_errors
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.locks.holder import ExtractionLock, Holder, held, parse_holder
from statekeeper.store.process import Liveness, liveness

_EPOCH = 0
_LONGEST_HOLDER = 1 << 16
_STARTS = (b"{", b"\0")
"""How a lock file begins that was torn: by its owner's death, or by that of the machine."""
_PATIENCE_SECONDS = 0.25
_PAUSE_SECONDS = 0.01


class FileLock(ExtractionLock):
    """A held flock."""

    def __init__(self, holder: Holder, *, path: Path, descriptor: int) -> None:
        super().__init__(holder)
        self._path = path
        self._descriptor: int | None = descriptor

    def check(self) -> None:
        """Raise LockLost if it was released, or if the file was deleted, so that another runner can lock a new one."""
        if self._descriptor is None:
            raise LockLost(f"{self._path} was released, nothing may be written under it")
        if not _is_named(self._descriptor, self._path):
            raise LockLost(
                f"{self._path} was deleted or replaced while it was held",
                hint="lock files are never deleted while something runs; run again",
            )

    def for_workers(self) -> Fence:
        """None is needed: nobody can take the lock from a living owner, be it stopped."""
        return NO_FENCE

    def release(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        failpoint("unlock", "lock", "before")
        with suppress(OSError):  # the name in the file is only for people
            os.ftruncate(descriptor, 0)
        # A process forked from this one may have the descriptor open, so closing ours is not enough.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
        failpoint("unlock", "lock", "after")


def acquire_flock(
    disk: Disk, path: Path, *, owner: Owner, ttl: timedelta, take_over: Callable[[int], None]
) -> FileLock:
    """Take the flock at `path`; `take_over(0)` then removes what a dead owner left half written.

    Raises:
        LockHeld: another runner, in this process or another, has it.
        StorageError: the lock file cannot be made, or its file system has no flock.
    """
    failpoint("lock", "lock", "before")
    with storage_errors(path, "lock"):
        descriptor = _locked_descriptor(disk, path)
        try:
            _check_ours(descriptor, path)
            holder = Holder.of(owner, epoch=_EPOCH, ttl=ttl)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.to_bytes(), 0)
            failpoint("lock", "lock", "after")
            take_over(_EPOCH)
        except BaseException:
            os.close(descriptor)
            raise
    return FileLock(holder, path=path, descriptor=descriptor)


def flock_holder(disk: Disk, path: Path) -> Owner | None:
    """Who holds the flock now, without taking it."""
    try:
        holder = parse_holder(disk.read(path), path)
    except FileNotFoundError:
        return None
    if holder is None:
        return None
    match liveness(holder.owner):
        case Liveness.ALIVE:
            return holder.owner
        case Liveness.DEAD:
            return None
        case Liveness.UNKNOWN:
            return holder.owner if _is_locked(path) else None


def _locked_descriptor(disk: Disk, path: Path) -> int:
    """A descriptor of the file that has this name, locked."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        descriptor = _open(disk, path)
        try:
            _lock(descriptor, path)
            if _is_named(descriptor, path):
                return descriptor
        except LockHeld:
            os.close(descriptor)
            # `flock_holder` may have it for an instant, and a killed owner until its last process is gone.
            holder = parse_holder(disk.read(path), path)
            is_sure = holder is not None and liveness(holder.owner) is Liveness.ALIVE
            if is_sure or time.monotonic() >= deadline:
                raise held(path, holder) from None
            time.sleep(_PAUSE_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        else:  # deleted between our opening and our locking it
            os.close(descriptor)


def _open(disk: Disk, path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    mode = Access.PRIVATE.file_mode
    try:
        return os.open(path, flags, mode)
    except FileNotFoundError:
        # Made only when it is missing: that a lock file exists shows that its folder was made durable before.
        disk.make_folder(path.parent, role="lock")
        return os.open(path, flags, mode)


def _check_ours(descriptor: int, path: Path) -> None:
    """Refuse a file that no runner has written: its content is about to be replaced."""
    found = os.fstat(descriptor)
    start = os.pread(descriptor, _LONGEST_HOLDER, 0) if stat.S_ISREG(found.st_mode) else b"?"
    is_torn = start.startswith(_STARTS) and found.st_nlink == 1
    if start and not is_torn and parse_holder(start, path) is None:
        raise StorageError(
            f"{path} is not a lock file of statekeeper: it was not touched",
            hint=f"move {path} away, or choose another --run-id; then run again",
        )


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LockHeld(f"{path} is held") from error
    except OSError as error:
        raise StorageError(
            f"{path} cannot be locked by flock: {error.strerror}",
            hint="its file system may not offer flock; use leases (lock: lease)",
            code=errno.errorcode.get(error.errno or 0),
        ) from error


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
