"""The files of a lease: `<run_id>.lock.<epoch>`. The one with the highest epoch belongs to the holder.

Each is created once; after that only its holder overwrites it, in place (`store.locks.lease`). So a reader may find one
partly written, which means nothing.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from statekeeper.errors import LockLost
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import Fence, storage_errors
from statekeeper.store.files.temps import is_abandoned, temp_file, temps_in
from statekeeper.store.locks.holder import Holder, parse_holder

_EPOCH = re.compile(r"\.(\d+)")
LOST_HINT = "this process was stopped for longer than the lease's ttl; the other runner does what it had not finished"


@dataclass(frozen=True)
class LeaseFiles:
    """The lock files of one extraction."""

    disk: Disk
    lock: Path

    def file(self, epoch: int) -> Path:
        return self.lock.with_name(f"{self.lock.name}.{epoch}")

    def epochs(self) -> list[int]:
        """The epochs that have a file, ascending."""
        found = map(self._epoch_of, self.disk.names(self.lock.parent))
        return sorted(epoch for epoch in found if epoch is not None)

    def _epoch_of(self, name: str) -> int | None:
        """The epoch of a file by its name; None if the file is no lock file of this lease."""
        match = _EPOCH.fullmatch(name, len(self.lock.name)) if name.startswith(self.lock.name) else None
        return int(match[1]) if match else None

    def highest(self) -> int:
        """The highest epoch; 0 if there has been none."""
        return max(self.epochs(), default=0)

    def content(self, epoch: int) -> bytes:
        """The content of an epoch's file. Raises FileNotFoundError."""
        return self.disk.read(self.file(epoch))

    def holder(self, epoch: int) -> Holder | None:
        """The holder in an epoch's file; None if it is damaged or being written. Raises FileNotFoundError."""
        return parse_holder(self.content(epoch), self.file(epoch))

    def lost(self, epoch: int, *, to: int) -> LockLost:
        """The error for the owner of an epoch, when another epoch is the highest."""
        successor = "another runner"
        with suppress(FileNotFoundError):
            holder = self.holder(to)
            successor = str(holder.owner) if holder else successor
        return LockLost(f"{self.file(epoch)} was taken over by {successor} (epoch {to})", hint=LOST_HINT)

    def sweep(self, epoch: int) -> None:
        """Remove the files of epochs before `epoch`, except the last of them, which says who held the lease before."""
        for older in self.epochs():
            if older < epoch - 1:
                self.disk.unlink(self.file(older), role="lock")
        for name, token in temps_in(self.disk, self.lock.parent):
            of = self._epoch_of(name)
            if of is not None and (of < epoch or is_abandoned(token)):
                self.disk.unlink(temp_file(self.lock.with_name(name), token), role="sweep")


@dataclass(frozen=True)
class EpochFence:
    """A lease as the owner's workers check it: it is lost if its epoch is not the highest.

    They do not read the file itself, since its owner may be writing a heartbeat to it.
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
