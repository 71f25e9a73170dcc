"""A document that several processes change, such as the manifest of a run.

A change reads the document, changes it and writes it back, all under the document's own lock. That lock is of the same
kind as the locks of tables. It is held only for that long, so a change waits for it, for up to a minute in case the
holder is stopped. The lock of a dead holder is taken over, like that of an extraction.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from statekeeper.config.sections.output import OutputConfig
from statekeeper.errors import LockHeld, LockLost, StateDamaged
from statekeeper.model.base import Document
from statekeeper.store.documents import load_version
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import replace_version
from statekeeper.store.files.links import refuse_links
from statekeeper.store.files.slots import settle
from statekeeper.store.files.temps import left_before, sweep_temps
from statekeeper.store.locks.lock import acquire_lock
from statekeeper.store.process import this_process
from statekeeper.store.versions import Version

_WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.02

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class SharedDocument(Generic[D]):
    """A document, its lock, and the role of both in the records of durable steps."""

    kind: type[D]
    path: Path
    lock: Path
    role: str
    is_index: bool = False
    """Whether it can be made again from other documents, so that a damaged one counts as missing."""

    def load(self, disk: Disk) -> D | None:
        """The document on disk; None if there is none. Raises StateDamaged if it is torn or foreign."""
        return self._load(disk)[0]

    def _load(self, disk: Disk) -> tuple[D | None, Version | None]:
        try:
            return load_version(disk, self.path, self.kind)
        except StateDamaged:
            if self.is_index:
                return None, None
            raise

    def change(self, disk: Disk, output: OutputConfig, change: Callable[[D | None], D | None]) -> D | None:
        """Change the document durably, and return the result. This blocks: never call it on an event loop.

        `change` makes the next document from the one on disk (None: there is none). If it returns the same one, or
        None, nothing is written. It must be pure: it is called again, with the then current document, if the lock was
        lost before the write.

        Raises:
            LockHeld: another process, which the message names, has held the lock for a minute.
            StateDamaged: the document on disk is not a whole one of its kind; it stays as it is.
            StorageError: the file system refused; the document is as it was.
        """
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                return self._change_once(disk, output, change)
            except (LockHeld, LockLost):
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def _change_once(self, disk: Disk, output: OutputConfig, change: Callable[[D | None], D | None]) -> D | None:
        refuse_links(Path(output.base_path), self.path, self.lock)

        def take_over(epoch: int) -> None:
            sweep_temps(disk, self.path.parent, {self.path.name}, left_before(epoch))
            settle(disk, self.path, role=self.role)

        with acquire_lock(
            disk,
            self.lock,
            kind=output.lock,
            owner=this_process(),
            ttl=output.lease_lifetime,
            take_over=take_over,
        ) as lock:
            found, version = self._load(disk)
            changed = change(found)
            if changed is None or changed == found:
                return found
            replace_version(disk, self.path, changed.to_bytes(), role=self.role, fence=lock, over=version)
            return changed
