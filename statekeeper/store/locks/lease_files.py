"""The files of a lease: `<run_id>.lock.<epoch>`, of which the one with the highest epoch holds.

Each is made once and from then on only written over in place, by its holder (`store.locks.lease`). So a reader may meet
one torn: nothing follows from that.
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
LOST_HINT = (
    "this process was stopped for longer than the lease's ttl; what it had not finished is up to the other runner"
)


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
        """The epoch whose file has a name; None where it is another file."""
        match = _EPOCH.fullmatch(name, len(self.lock.name)) if name.startswith(self.lock.name) else None
        return int(match[1]) if match else None

    def highest(self) -> int:
        """The epoch that holds; 0 if there has been none."""
        return max(self.epochs(), default=0)

    def content(self, epoch: int) -> bytes:
        """The file of an epoch. Raises FileNotFoundError."""
        return self.disk.read(self.file(epoch))

    def holder(self, epoch: int) -> Holder | None:
        """What the file of an epoch says; None if it is damaged, or just being written. Raises FileNotFoundError."""
        return parse_holder(self.content(epoch), self.file(epoch))

    def lost(self, epoch: int, *, to: int) -> LockLost:
        """The error of the owner of an epoch, when another is the highest."""
        successor = "another runner"
        with suppress(FileNotFoundError):
            holder = self.holder(to)
            successor = str(holder.owner) if holder else successor
        return LockLost(f"{self.file(epoch)} was taken over by {successor} (epoch {to})", hint=LOST_HINT)

    def sweep(self, epoch: int) -> None:
        """Remove what epochs before `epoch` left, except the last of them, which tells whom this one followed."""
        for older in self.epochs():
            if older < epoch - 1:
                self.disk.unlink(self.file(older), role="lock")
        for name, token in temps_in(self.disk, self.lock.parent):
            of = self._epoch_of(name)
            if of is not None and (of < epoch or is_abandoned(token)):
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
