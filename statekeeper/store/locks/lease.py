"""The lock of a shared disk: the file `<run_id>.lock.<epoch>`. Whoever created the highest epoch holds the lock.

The holder sends heartbeats: every quarter of its ttl it rewrites the file with a number that grows. (It does not set
the file's time, since some file systems accept a new time and do not store it.) An observer takes the lock over by
creating the next epoch. It does so at once if it knows that the owner is dead, or if the file did not change for a
whole ttl by the observer's own monotonic clock. File times and the clocks of different machines are never compared.

A holder that was stopped and continues finds a higher epoch: `check` raises, and the files that it was about to rename
are gone (`store.locks.fencing`). A holder that cannot write heartbeats considers its lock lost after three quarters of
the ttl, before another runner can have it.

The file is created once; after that only its holder overwrites it, in place. A partly written file does not mean that
the holder is dead: it counts as a change like any other, and if nothing follows, it is taken over after a ttl.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from statekeeper.errors import LockLost, StorageError
from statekeeper.model.state import Owner
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
"""The fraction of its ttl after which a holder that cannot write has lost its lock; no other can have it by then."""
_OBJECT_WRITES_EVERY_SECONDS = 1.0
"""Object stores accept one write per second for an object (Google Cloud Storage refuses more)."""
_SILENT_HINT = "check the file system and its permissions; then run again"


class Lease(ExtractionLock):
    """A held lease. After `keep_alive` a thread of this process sends its heartbeats."""

    def __init__(self, holder: Holder, *, files: LeaseFiles) -> None:
        super().__init__(holder)
        self._files = files
        self._path = files.file(holder.epoch)
        self._is_over = False
        self._heartbeat = Heartbeat(
            self._beat,
            every=heartbeat_interval(holder.ttl_seconds, files.disk.writes),
            timeout=holder.ttl_seconds * _LOST_AFTER,
            name=f"lease {self._path.name}",
        )

    def keep_alive(self) -> None:
        """Start the heartbeats. Raises RuntimeError if the system allows no further thread."""
        self._heartbeat.start()

    def check(self) -> None:
        """Raise LockLost if it was released, if no heartbeat can be written, or if a higher epoch exists."""
        with storage_errors(self._path, "check the lease"):
            if self._is_over:
                raise LockLost(f"{self._path} is no longer held, nothing may be written under it")
            silence = self._heartbeat.ensure()
            if silence and silence.is_too_long:
                raise self._loss(silence)
            highest = self._files.highest()
            if highest != self.epoch:
                raise self._files.lost(self.epoch, to=highest)
            try:
                self._refuse_another(self._files.holder(self.epoch) or self._rewritten())
            except FileNotFoundError as error:
                raise LockLost(f"{self._path} was removed while it was held", hint=LOST_HINT) from error

    def for_workers(self) -> Fence:
        return EpochFence(LeaseFiles(self._files.disk, self._files.lock.absolute()), self.epoch)

    def trouble(self) -> LockTrouble | None:
        silence = self._heartbeat.silence()
        if silence is None:
            return None
        loss = self._loss(silence) if silence.is_too_long else None
        left = self._holder.ttl_seconds * _LOST_AFTER - silence.seconds
        end = "the lock is lost" if loss else f"if that lasts for another {left:.0f} s, the lock is lost"
        return LockTrouble(f"{self._silence_text(silence)}; {end}", loss)

    def release(self) -> None:
        if self._is_over:
            return
        failpoint("unlock", "lock", "before")
        try:
            self._write_released()
        except LockLost:
            pass  # it is not ours to release
        except StorageError as error:
            _LOG.warning("other runs wait %.0f s until this lock is free: %s", self._holder.ttl_seconds, error.message)
        finally:
            self._is_over = True
        failpoint("unlock", "lock", "after")

    def _write_released(self) -> None:
        if not self._heartbeat.stop():
            raise StorageError(f"{self._path} is still being written: the file system does not answer")
        self.check()
        with storage_errors(self._path, "release"):
            self._files.disk.rewrite(self._path, self._holder.released().to_bytes())

    def _beat(self) -> None:
        """Rewrite the file, unless it belongs to another holder. Raises OSError, LockLost."""
        found = self._files.holder(self.epoch)
        if found is not None:  # a partly written one is ours: nobody else writes this name
            self._refuse_another(found)
        self._holder = self._holder.beaten()
        self._files.disk.rewrite(self._path, self._holder.to_bytes())

    def _rewritten(self) -> Holder | None:
        """Rewrite a file that was only partly written when it was read, and return its content."""
        with self._heartbeat.between_beats():
            self._beat()
            return self._files.holder(self.epoch)

    def _refuse_another(self, found: Holder | None) -> None:
        if found is None or found.token != self._holder.token:
            raise LockLost(f"{self._path} was replaced while it was held", hint=LOST_HINT)

    def _loss(self, silence: Silence) -> LockLost:
        return LockLost(f"{self._silence_text(silence)}; another runner may have taken it over", hint=_SILENT_HINT)

    def _silence_text(self, silence: Silence) -> str:
        """What happened, where, and since when."""
        return (
            f"{self._path}: no heartbeat could be written for {silence.seconds:.0f} s, "
            f"since {silence.since:%Y-%m-%d %H:%M:%S} UTC: {silence.reason}"
        )


def heartbeat_interval(ttl: float, writes: Writes) -> float:
    """The seconds between two heartbeats of a lease with a ttl of so many seconds."""
    if not writes.has_rename:
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
    """Take the lease at `path`, waiting for up to a ttl to see whether the current holder lives.

    `take_over` is called with the new epoch, and fences off the holders of lower ones. A `watch` that has observed the
    lease before shortens the wait.

    Raises:
        LockHeld: another runner holds it and lives.
        StorageError: a lock file cannot be created.
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
            # If another runner was quicker, the next look is at its file.
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
    """Whether `holder` has created its epoch, and so holds the lease."""
    path = files.file(holder.epoch)
    try:
        if not create_once(files.disk, path, holder.to_bytes(), role="lock", unique=process_token()):
            return False
    except StorageError as error:
        if error.code == "ENOENT":  # our temporary file was removed: we were stopped, and this epoch is over
            return False
        raise
    # We may have been stopped before the link for so long that this epoch had been created, replaced and removed.
    if files.highest() == holder.epoch:
        return True
    files.disk.unlink(path, role="lock")
    return False
