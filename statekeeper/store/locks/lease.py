"""The lock of a shared disk: `<run_id>.lock.<epoch>`, made by link(), held by whoever made the highest epoch.

A holder shows that it lives by writing the file anew, with a number that grows, every quarter of its ttl: a file system
may take a new time for a file and keep nothing of it. An observer takes over at once from an owner that it knows to be
dead, and from one whose file did not change for a whole ttl by the observer's own monotonic clock, by making the next
epoch. Neither file times nor the clocks of different machines are ever compared.

A holder that was only stopped wakes up to a higher epoch: `check` tells it so, and what it had ready to rename is gone
(`store.locks.fencing`). One that cannot write its sign of life has lost the lock before another can have it: after
three quarters of the ttl.

The file is made once and from then on only written over in place, by its holder. A torn one is nobody's sign of death:
it is a change like any other, and if nothing follows it, it is taken over after a ttl.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from statekeeper.errors import LockLost, StorageError
from statekeeper.model.record import Owner
from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.files.durable import Fence, create_once, storage_errors
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.files.temps import process_token
from statekeeper.store.locks.heartbeat import Heartbeat, Silence
from statekeeper.store.locks.holder import ExtractionLock, Holder, LockTrouble
from statekeeper.store.locks.lease_files import LOST_HINT, EpochFence, LeaseFiles
from statekeeper.store.locks.lease_watch import LeaseWatch

_LOG = logging.getLogger("statekeeper.lock")

_BEATS_PER_TTL = 4
_LOST_AFTER = 0.75
"""The part of its ttl after which a holder that cannot write has lost its lock: nobody else can have it by then."""
_OBJECT_WRITES_EVERY_SECONDS = 1.0
"""Object stores take one write a second for an object (Google Cloud Storage refuses more)."""
_SILENT_HINT = "look at the file system, and at who may write there; then run again"


class Lease(ExtractionLock):
    """A held lease, kept alive by a thread of this process from `keep_alive` on."""

    def __init__(self, holder: Holder, *, files: LeaseFiles) -> None:
        super().__init__(holder)
        self._files = files
        self._path = files.file(holder.epoch)
        self._is_over = False
        self._heart = Heartbeat(
            self._beat,
            every=beats_every(holder.ttl_seconds, files.disk.writes),
            patience=holder.ttl_seconds * _LOST_AFTER,
            name=f"lease {self._path.name}",
        )

    def keep_alive(self) -> None:
        """Begin to give signs of life. Raises RuntimeError where the system allows no further thread."""
        self._heart.start()

    def check(self) -> None:
        """Raise LockLost if it was released, if no sign of life can be written, or if a higher epoch exists."""
        with storage_errors(self._path, "check the lease"):
            if self._is_over:
                raise LockLost(f"{self._path} is no longer held, nothing may be written under it")
            silence = self._heart.ensure()
            if silence and silence.is_too_long:
                raise self._loss(silence)
            highest = self._files.highest()
            if highest != self.epoch:
                raise self._files.lost(self.epoch, to=highest)
            try:
                self._refuse_another(self._files.holder(self.epoch) or self._mended())
            except FileNotFoundError as error:
                raise LockLost(f"{self._path} was removed while it was held", hint=LOST_HINT) from error

    def for_workers(self) -> Fence:
        return EpochFence(LeaseFiles(self._files.disk, self._files.lock.absolute()), self.epoch)

    def trouble(self) -> LockTrouble | None:
        silence = self._heart.silence()
        if silence is None:
            return None
        loss = self._loss(silence) if silence.is_too_long else None
        left = self._holder.ttl_seconds * _LOST_AFTER - silence.seconds
        end = "the lock is lost" if loss else f"if that lasts for another {left:.0f} s, the lock is lost"
        return LockTrouble(f"{self._said(silence)}; {end}", loss)

    def release(self) -> None:
        if self._is_over:
            return
        failpoint("unlock", "lock", "before")
        try:
            self._write_released()
        except LockLost:
            pass  # it is not ours to release
        except StorageError as error:
            _LOG.warning("others wait for %.0f s until this lock is free: %s", self._holder.ttl_seconds, error.message)
        finally:
            self._is_over = True
        failpoint("unlock", "lock", "after")

    def _write_released(self) -> None:
        if not self._heart.stop():
            raise StorageError(f"{self._path} is still being written: the file system does not answer")
        self.check()
        with storage_errors(self._path, "release"):
            self._files.disk.rewrite(self._path, self._holder.released().to_bytes())

    def _beat(self) -> None:
        """Write the file anew, unless it is another's. Raises OSError, LockLost."""
        found = self._files.holder(self.epoch)
        if found is not None:  # a torn one is ours: nobody else writes this name
            self._refuse_another(found)
        self._holder = self._holder.beaten()
        self._files.disk.rewrite(self._path, self._holder.to_bytes())

    def _mended(self) -> Holder | None:
        """What the file says that was torn when it was looked at: it was being written, or is now."""
        with self._heart.between_beats():
            self._beat()
            return self._files.holder(self.epoch)

    def _refuse_another(self, found: Holder | None) -> None:
        if found is None or found.token != self._holder.token:
            raise LockLost(f"{self._path} was replaced while it was held", hint=LOST_HINT)

    def _loss(self, silence: Silence) -> LockLost:
        return LockLost(f"{self._said(silence)}; another runner may have taken it over", hint=_SILENT_HINT)

    def _said(self, silence: Silence) -> str:
        """What happened, where, and since when."""
        return (
            f"{self._path}: no sign of life could be written for {silence.seconds:.0f} s, "
            f"since {silence.since:%Y-%m-%d %H:%M:%S} UTC: {silence.reason}"
        )


def beats_every(ttl: float, writes: Writes) -> float:
    """After how many seconds a lease of so many seconds is written anew."""
    if writes is Writes.WHOLE:
        return max(ttl / _BEATS_PER_TTL, min(_OBJECT_WRITES_EVERY_SECONDS, ttl / 2))
    return ttl / _BEATS_PER_TTL


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


def _taken(files: LeaseFiles, holder: Holder, take_over: Callable[[int], None]) -> Lease:
    lease = Lease(holder, files=files)
    try:
        lease.keep_alive()
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
