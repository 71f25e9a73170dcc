"""Where the state record of an extraction is kept.

Decides when a record counts as saved (durable before `save` returns) and what a bad file means (an error, never "no
state"). Which transitions are allowed is decided in `statekeeper.run.lifecycle`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from statekeeper.model.record import StateRecord
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import Fence, replace, storage_errors
from statekeeper.store.files.slots import read_document


class StateStore(Protocol):
    """Keeps the state record of one extraction."""

    def load(self) -> StateRecord | None:
        """The record as last saved, None if there never was one.

        Raises:
            StateDamaged: what is there is torn (an empty file, too), foreign or from a newer version; it stays as it
            is. StorageError: it cannot be read.
        """

    def save(self, record: StateRecord) -> StateRecord:
        """Keep `record` with the next revision, durable when this returns, and return it as it was kept.

        Raises:
            LockLost: another runner has taken over; nothing was changed.
            StorageError: it cannot be written; the record saved before is intact.
        """


class LocalStateStore:
    """The state file on a file system."""

    def __init__(self, disk: Disk, path: Path, fence: Fence) -> None:
        self._disk = disk
        self._path = path
        self._fence = fence

    def load(self) -> StateRecord | None:
        with storage_errors(self._path, "read"):
            try:
                data = read_document(self._disk, self._path)
            except FileNotFoundError:
                return None
        return StateRecord.from_bytes(data, where=str(self._path))

    def save(self, record: StateRecord) -> StateRecord:
        kept = record.with_revision(record.revision + 1)
        role = "state" if kept.intent is None else "intent"
        replace(self._disk, self._path, kept.to_bytes(), role=role, fence=self._fence)
        return kept
