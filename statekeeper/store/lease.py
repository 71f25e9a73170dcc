"""The lock of a shared disk: `<run_id>.lock.<epoch>`, made by link(), held by whoever made the highest epoch.

A holder shows that it lives by moving the file's time every quarter of its ttl. An observer takes over at once from
an owner that it knows to be dead, and from one whose heartbeat did not move for a whole ttl by the observer's own
monotonic clock, by making the next epoch. A holder that was only stopped wakes up to a higher epoch: `check` tells it
so, and what it had ready to rename is gone (`store.fencing`). Clocks of different machines are never compared.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from statekeeper.errors import LockLost, StorageError
from statekeeper.model.record import Owner
from statekeeper.store.disk import Disk, open_file
from statekeeper.store.durable import Fence, create_once, replace, storage_errors
from statekeeper.store.holder import ExtractionLock, Holder, held, parse_holder
from statekeeper.store.owner import Liveness, liveness
from statekeeper.store.slots import read_document, second_slot
from statekeeper.store.temps import is_abandoned, process_token, temp_file, temps_in

_LOST_HINT = (
    "this process was stopped for longer than the lease's ttl; what it had not finished is up to the other runner"
)
_BEATS_PER_TTL = 4
_LOOKS_PER_TTL = 20
_LONGEST_PAUSE_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class LeaseFiles:
    """The lock files of one extraction."""

    disk: Disk
    lock: Path

    def file(self, epoch: int) -> Path:
        return self.lock.with_name(f"{self.lock.name}.{epoch}")

    def epochs(self) -> list[int]:
        """The epochs that have a file, ascending."""
        pattern = re.compile(re.escape(self.lock.name) + r"\.(\d+)")
        found = (pattern.fullmatch(name) for name in self.disk.names(self.lock.parent))
        return sorted(int(match[1]) for match in found if match)

    def highest(self) -> int:
        """The epoch that holds; 0 if there has been none."""
        return max(self.epochs(), default=0)

    def holder(self, epoch: int) -> Holder | None:
        """What the file of an epoch says; None if it is damaged. Raises FileNotFoundError."""
        path = self.file(epoch)
        return parse_holder(read_document(self.disk, path), path)

    def lost(self, epoch: int, *, to: int) -> LockLost:
        """The error of the owner of an epoch, when another is the highest."""
        successor = "another runner"
        with suppress(FileNotFoundError):
            holder = self.holder(to)
            successor = str(holder.owner) if holder else successor
        return LockLost(f"{self.file(epoch)} was taken over by {successor} (epoch {to})", hint=_LOST_HINT)

    def sweep(self, epoch: int) -> None:
        """Remove what epochs before `epoch` left, except the last of them, which tells whom this one followed."""
        for older in self.epochs():
            if older < epoch:
                self.disk.unlink(second_slot(self.file(older)), role="lock")
            if older < epoch - 1:
                self.disk.unlink(self.file(older), role="lock")
        pattern = re.compile(re.escape(self.lock.name) + r"\.(\d+)")
        for name, token in temps_in(self.disk, self.lock.parent):
            match = pattern.fullmatch(name)
            if match and (int(match[1]) < epoch or is_abandoned(token)):
                self.disk.unlink(temp_file(self.lock.with_name(name), token), role="sweep")


@dataclass(frozen=True)
class EpochFence:
    """A lease as workers of its owner look at it: it is lost where its epoch is not the highest.

    They leave the file itself alone, which its owner may be writing at that moment for a sign of life.
    """

    files: LeaseFiles
    epoch: int

    def check(self) -> None:
        with storage_errors(self.files.file(self.epoch), "check the lease"):
            highest = self.files.highest()
            if highest != self.epoch:
                raise self.files.lost(self.epoch, to=highest)

    def for_workers(self) -> Fence:
        return self


class Lease(ExtractionLock):
    """A held lease, kept alive by a thread of this process."""

    def __init__(self, holder: Holder, *, files: LeaseFiles) -> None:
        super().__init__(holder)
        self._files = files
        self._path = files.file(holder.epoch)
        self._is_over = threading.Event()
        # A sign of life may be given by writing the file again: not while it is looked at.
        self._file = threading.RLock()
        self._heart = threading.Thread(target=self._beat, name=f"lease {self._path.name}", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Raise LockLost if it was released or a higher epoch exists."""
        with storage_errors(self._path, "check the lease"):
            if self._is_over.is_set():
                raise LockLost(f"{self._path} is no longer held, nothing may be written under it")
            highest = self._files.highest()
            if highest != self.epoch:
                raise self._files.lost(self.epoch, to=highest)
            try:
                with self._file:
                    found = self._files.holder(self.epoch)
            except FileNotFoundError as error:
                raise LockLost(f"{self._path} was removed while it was held", hint=_LOST_HINT) from error
            if found is None or found.token != self._holder.token:
                raise LockLost(f"{self._path} was replaced while it was held", hint=_LOST_HINT)

    def for_workers(self) -> Fence:
        return EpochFence(LeaseFiles(self._files.disk, self._files.lock.absolute()), self.epoch)

    def release(self) -> None:
        if self._is_over.is_set():
            return
        released = self._holder.released().to_bytes()
        try:
            # Where this fails the lease is not ours any more, or it runs out by itself.
            with suppress(LockLost, StorageError), self._file:
                replace(self._files.disk, self._path, released, role="lock", fence=self)
        finally:
            self._is_over.set()
            self._heart.join()

    def _beat(self) -> None:
        while not self._is_over.wait(self._holder.ttl_seconds / _BEATS_PER_TTL):
            try:
                with self._file:
                    self._files.disk.touch(self._path)
            except FileNotFoundError:
                return  # `check` will say the same
            except OSError:
                continue  # a network file system that is away for a moment; if it stays away, the lease runs out


class LeaseWatch:
    """Finds out whether a lease may be taken, by looking at it again and again; it takes nothing and never waits."""

    def __init__(self, disk: Disk, path: Path, *, ttl: timedelta) -> None:
        self._files = LeaseFiles(disk, path)
        self._ttl = ttl.total_seconds()
        self.epoch = 0
        """The highest epoch when it was last looked at; 0: there was none."""
        self.pause = _FIRST_PAUSE_SECONDS
        """After how many seconds another look is worth while."""
        self._pulse: int | None = None
        self._lifetime = self._waited = self._looked_at = 0.0

    def look(self) -> bool:
        """Whether it may be taken now, by making the epoch after `epoch`.

        Raises:
            LockHeld: its holder lives.
            StorageError: it cannot be looked at.
        """
        with storage_errors(self._files.lock, "lock"):
            epoch = self._files.highest()
            path = self._files.file(epoch)
            try:
                return not epoch or self._may_follow(epoch, path, _pulse(path), self._files.holder(epoch))
            except FileNotFoundError:  # it was just swept: a higher one is there
                return False
            finally:
                self.epoch, self._looked_at = epoch, time.monotonic()

    def _may_follow(self, epoch: int, path: Path, pulse: int, holder: Holder | None) -> bool:
        if epoch != self.epoch:
            self._pulse, self._waited = pulse, 0.0
            self._lifetime = max(self._ttl, holder.ttl_seconds if holder else 0.0)
            self.pause = min(self._lifetime / _LOOKS_PER_TTL, _LONGEST_PAUSE_SECONDS)
        else:
            # If we were stopped ourselves, so perhaps was the owner, with the whole machine: count little of that.
            self._waited += min(time.monotonic() - self._looked_at, 2 * self.pause)
        if holder is not None and (holder.released_at or liveness(holder.owner) is Liveness.DEAD):
            return True
        if pulse != self._pulse:
            raise held(path, holder)
        return self._waited >= self._lifetime


def acquire_lease(
    disk: Disk,
    path: Path,
    *,
    owner: Owner,
    ttl: timedelta,
    take_over: Callable[[int], None],
    watch: LeaseWatch | None = None,
) -> Lease:
    """Take the lease at `path`, waiting for up to a ttl to see whether the present holder lives.

    `take_over` is called with the epoch that it has, and takes from the holders of lower ones what they left. `watch`
    has looked at the lease already, for as long as it was.

    Raises:
        LockHeld: another runner has it and lives.
        StorageError: a lock file cannot be made.
    """
    watch = watch or LeaseWatch(disk, path, ttl=ttl)
    files = LeaseFiles(disk, path)
    while True:
        while not watch.look():
            time.sleep(watch.pause)
        with storage_errors(path, "lock"):
            if not watch.epoch:
                disk.make_folder(path.parent, role="lock")
            holder = Holder.of(owner, epoch=watch.epoch + 1, ttl=ttl)
            # Another may have been quicker; then the next look is at that one.
            if _made(files, holder):
                return _taken(files, holder, take_over)


def lease_holder(disk: Disk, lock: Path) -> Owner | None:
    """Who holds the lease now, as far as can be told without waiting for a heartbeat."""
    files = LeaseFiles(disk, lock)
    highest = files.highest()
    if not highest:
        return None
    try:
        holder = files.holder(highest)
    except FileNotFoundError:
        return None
    if holder is None or holder.released_at or liveness(holder.owner) is Liveness.DEAD:
        return None
    return holder.owner


def _taken(files: LeaseFiles, holder: Holder, take_over: Callable[[int], None]) -> Lease:
    lease = Lease(holder, files=files)
    try:
        take_over(holder.epoch)
        files.sweep(holder.epoch)
    except BaseException:
        lease.release()
        raise
    return lease


def _made(files: LeaseFiles, holder: Holder) -> bool:
    """Whether `holder` has made its epoch and holds by it."""
    path = files.file(holder.epoch)
    try:
        if not create_once(files.disk, path, holder.to_bytes(), role="lock", unique=process_token()):
            return False
    except StorageError as error:
        if error.code == "ENOENT":  # our temporary file was swept: we were stopped, and this epoch is long past
            return False
        raise
    # We may have been stopped before the link for so long that this epoch had come, gone and been swept.
    if files.highest() == holder.epoch:
        return True
    files.disk.unlink(path, role="lock")
    return False


def _pulse(path: Path) -> int:
    """The file's time, read through an open file: over NFS, opening it is what asks the server."""
    descriptor = open_file(path, os.O_RDONLY)
    try:
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)
