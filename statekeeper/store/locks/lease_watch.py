"""Observes a lease without holding it: whether it may be taken, and who holds it.

A lease may be taken at once from an owner that is known to be dead, and from one whose file did not change for a whole
ttl by this machine's own monotonic clock. Only the file's content counts (`Holder.beats`), not its times.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from statekeeper.model.state import Owner
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.locks.holder import held, parse_holder
from statekeeper.store.locks.lease_files import LeaseFiles
from statekeeper.store.process import Liveness, liveness

_LOOKS_PER_TTL = 20
_LONGEST_PAUSE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.01
_TORN_LOOKS = 5
_TORN_PAUSE_SECONDS = 0.02


class LeaseWatch:
    """Finds out whether a lease may be taken, by repeated looks. It takes nothing and never waits."""

    def __init__(self, disk: Disk, path: Path, *, ttl: timedelta) -> None:
        self._files = LeaseFiles(disk, path)
        self._ttl = ttl.total_seconds()
        self.epoch = 0
        """The highest epoch at the last look; 0 if there was none."""
        self.pause = _FIRST_PAUSE_SECONDS
        """The seconds to wait before the next look. It grows: a lease is free soon, or not for long."""
        self._content = b""
        self._sign: tuple[str, int] | None = None
        self._lifetime = self._waited = self._looked_at = 0.0

    def look(self) -> bool:
        """Whether the lease may be taken now, by creating the epoch after `epoch`.

        Raises:
            LockHeld: its holder lives.
            StorageError: it cannot be read.
        """
        with storage_errors(self._files.lock, "lock"):
            epoch = self._files.highest()
            try:
                return not epoch or self._may_follow(epoch, self._files.content(epoch))
            except FileNotFoundError:  # it was just removed: a higher epoch exists
                return False
            finally:
                self.epoch, self._looked_at = epoch, time.monotonic()

    def _may_follow(self, epoch: int, content: bytes) -> bool:
        path = self._files.file(epoch)
        holder = parse_holder(content, path)
        if epoch != self.epoch:
            self._sign, self._waited, self._lifetime, self.pause = None, 0.0, self._ttl, _FIRST_PAUSE_SECONDS
        elif content != self._content:  # also if it is partly written: then the next look may say by whom
            self._waited = 0.0
        else:
            # If this process was stopped, perhaps the whole machine and the owner were: count only a little of that.
            self._waited += min(time.monotonic() - self._looked_at, 2 * self.pause)
            self.pause = min(2 * self.pause, self._lifetime / _LOOKS_PER_TTL, _LONGEST_PAUSE_SECONDS)
        self._content = content
        if holder is not None:
            if holder.released_at or liveness(holder.owner) is Liveness.DEAD:
                return True
            self._lifetime = max(self._lifetime, holder.ttl_seconds)
            sign = (holder.token, holder.beats)
            if self._sign not in {None, sign}:
                raise held(path, holder)
            self._sign = sign
        return self._waited >= self._lifetime


def lease_holder(disk: Disk, lock: Path) -> Owner | None:
    """The current holder of the lease, as far as is known without waiting for a heartbeat; None if nobody holds it."""
    files = LeaseFiles(disk, lock)
    highest = files.highest()
    if not highest:
        return None
    try:
        holder = files.holder(highest)
        for _ in range(_TORN_LOOKS):
            if holder is None:  # usually the file is being written
                time.sleep(_TORN_PAUSE_SECONDS)
                holder = files.holder(highest)
    except FileNotFoundError:
        return None
    if holder is None or holder.released_at or liveness(holder.owner) is Liveness.DEAD:
        return None
    return holder.owner
