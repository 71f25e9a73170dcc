"""The store `file`: mounted file systems, local or shared."""

from __future__ import annotations

from pathlib import Path

from statekeeper.config.sections.output import WritesKind
from statekeeper.store.files.disk import Disk, LocalDisk
from statekeeper.store.files.durable import Fence
from statekeeper.store.files.probe import disk_under
from statekeeper.store.protocol import StoreType
from statekeeper.store.state import LocalStateStore, StateStore


class FileStore(StoreType):
    """A store in the folders of this machine."""

    def reading(self, base_path: Path) -> Disk:
        del base_path  # every file system is read in the same way
        return LocalDisk()

    def writing(self, base_path: Path, writes: WritesKind) -> Disk:
        return disk_under(base_path, writes)

    def states(self, disk: Disk, path: Path, fence: Fence) -> StateStore:
        return LocalStateStore(disk, path, fence)


STORE = FileStore()
