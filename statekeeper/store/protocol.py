"""The interface of a store: where output is written, with the state beside it.

Everything else in a run (documents, locks, publication) uses the steps of a `Disk` (`statekeeper.store.files.disk`),
which is the contract that each store must fulfil.
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
    """A kind of store. An instance is registered by the entry point `statekeeper.stores`, whose name is the scheme of
    the store's base paths.
    """

    @abstractmethod
    def reading(self, base_path: Path) -> Disk:
        """A disk for reading below a base path. This does not yet probe, create or connect to anything."""

    @abstractmethod
    def writing(self, base_path: Path, writes: WritesKind) -> Disk:
        """A disk that can write below a base path, as configured or, for `auto`, as probing shows.

        Raises:
            StorageError: nothing can be written there.
        """

    @abstractmethod
    def states(self, disk: Disk, path: Path, fence: Fence) -> StateStore:
        """The store of the state record of one extraction, at `path`; `fence` guards writes."""
