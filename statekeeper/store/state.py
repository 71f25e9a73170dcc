"""Stores the state record of an extraction.

Decides when a record counts as saved (it is durable before `save` returns) and what a damaged file means (an error,
never "no state"). `statekeeper.run.lifecycle` decides which transitions are allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from statekeeper.model.record import StateRecord
from statekeeper.store.documents import load_version
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import Fence, replace_version
from statekeeper.store.versions import Version


class StateStore(Protocol):
    """Stores the state record of one extraction."""

    def load(self) -> StateRecord | None:
        """The record as last saved; None if there never was one.

        Raises:
            StateDamaged: the file is only partly written (or empty), not a state record, or from a newer version; it
                stays as it is.
            StorageError: it cannot be read.
        """

    def save(self, record: StateRecord) -> StateRecord:
        """Save `record` with the next revision, durably before this returns, and return it as saved.

        Raises:
            LockLost: another runner has taken over; nothing was changed.
            StorageError: it cannot be written; the record saved before is intact.
        """


class LocalStateStore:
    """A state document on a disk. In an object store each save depends on the version that was loaded or saved last."""

    def __init__(self, disk: Disk, path: Path, fence: Fence) -> None:
        self._disk = disk
        self._path = path
        self._fence = fence
        self._version: Version | None = None

    def load(self) -> StateRecord | None:
        record, self._version = load_version(self._disk, self._path, StateRecord)
        return record

    def save(self, record: StateRecord) -> StateRecord:
        saved = record.with_revision(record.revision + 1)
        role = "state" if saved.intent is None else "intent"
        known, self._version = self._version, None  # after a failure the version is unknown
        self._version = replace_version(
            self._disk, self._path, saved.to_bytes(), role=role, fence=self._fence, over=known
        )
        return saved
