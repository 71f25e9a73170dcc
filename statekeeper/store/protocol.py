"""What statekeeper asks of a store: somewhere that output lies, with the state beside it.

Everything else of a run (documents, locks, publication) is made of the steps of a `Disk`
(`statekeeper.store.files.disk`), which is the contract that each store must keep.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from statekeeper.config.sections.output import WritesKind
    from statekeeper.store.files.disk import Disk
    from statekeeper.store.files.durable import Fence
    from statekeeper.store.state import StateStore


class StoreType(ABC):
    """What a kind of store brings. An instance is registered by the entry point `statekeeper.stores`, whose name is the
    scheme of the base paths that lie in it.
    """

    @abstractmethod
    def reading(self, base_path: Path) -> Disk:
        """The disk to look at what lies there; nothing is tried, made or connected to yet."""

    @abstractmethod
    def writing(self, base_path: Path, writes: WritesKind) -> Disk:
        """The disk that can write there, as configured or, for `auto`, as the place proves to be.

        Raises:
            StorageError: nothing can be written there.
        """

    @abstractmethod
    def states(self, disk: Disk, path: Path, fence: Fence) -> StateStore:
        """Where the state record of one extraction is kept, under the name `path`; `fence` guards writes."""
