"""The lock of a local disk: `flock` on `<run_id>.lock`, which the kernel frees when its owner dies, however it dies.

The file is never deleted. Its content only tells people who holds the lock; at worst it is empty or partly written. The
epoch is 0, since the lock cannot be taken from a living owner, even a stopped one.
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
from statekeeper.model.state import Owner
from statekeeper.store.files.disk import Access, Disk
from statekeeper.store.files.durable import NO_FENCE, Fence, storage_errors
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.locks.holder import ExtractionLock, Holder, held, parse_holder
from statekeeper.store.process import Liveness, liveness

_EPOCH = 0
_LONGEST_HOLDER = 1 << 16
_STARTS = (b"{", b"\0")
"""How a partly written lock file begins, after its owner's death or a crash of the machine."""
_WAIT_SECONDS = 0.25
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
        """No fence is needed: the lock cannot be taken from a living owner, even a stopped one."""
        return NO_FENCE

    def release(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        failpoint("unlock", "lock", "before")
        with suppress(OSError):  # the content is only for people
            os.ftruncate(descriptor, 0)
        # A process forked from this one may have the descriptor open too, so closing it is not enough.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
        failpoint("unlock", "lock", "after")


def acquire_flock(
    disk: Disk, path: Path, *, owner: Owner, ttl: timedelta, take_over: Callable[[int], None]
) -> FileLock:
    """Take the flock at `path`; `take_over(0)` then removes unfinished files of a dead owner.

    Raises:
        LockHeld: another runner, in this process or another, holds it.
        StorageError: the lock file cannot be created, or its file system has no flock.
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
    """The current holder of the flock, without taking it; None if nobody holds it."""
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
    """A locked descriptor of the file at `path`."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        descriptor = _open(disk, path)
        try:
            _lock(descriptor, path)
            if _is_named(descriptor, path):
                return descriptor
        except LockHeld:
            os.close(descriptor)
            # `flock_holder` may hold it for an instant; a killed owner holds it until its last child has ended.
            holder = parse_holder(disk.read(path), path)
            is_sure = holder is not None and liveness(holder.owner) is Liveness.ALIVE
            if is_sure or time.monotonic() >= deadline:
                raise held(path, holder) from None
            time.sleep(_PAUSE_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        else:  # deleted after we opened it and before we locked it
            os.close(descriptor)


def _open(disk: Disk, path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    mode = Access.PRIVATE.file_mode
    try:
        return os.open(path, flags, mode)
    except FileNotFoundError:
        # Only if the file is missing: an existing lock file shows that its folder has been made durable.
        disk.make_folder(path.parent, role="lock")
        return os.open(path, flags, mode)


def _check_ours(descriptor: int, path: Path) -> None:
    """Refuse a file that no runner has written, since its content is about to be overwritten."""
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
