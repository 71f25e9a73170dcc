"""The store that a place lies in, by the scheme of the base path: its disk, and where it keeps state records.

Only the store that a base path names is imported.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.config.sections import stores
from statekeeper.store.protocol import StoreType

if TYPE_CHECKING:
    from statekeeper.config.sections.output import WritesKind
    from statekeeper.store.files.disk import Disk
    from statekeeper.store.files.durable import Fence
    from statekeeper.store.state import StateStore

STORES = replace(
    stores.STORES, shipped={name: f"{__package__}.{place}" for name, place in stores.STORES.shipped.items()}
)
"""The stores, as what each brings."""


def store_of(place: Path) -> StoreType:
    """The store in which a place lies, a base path or any file below one.

    Raises:
        ConfigError: the package that brings the store is at fault.
    """
    scheme = stores.scheme_of(place)
    found: StoreType = STORES.instance(scheme, StoreType)
    return found


def reading_disk(place: Path) -> Disk:
    """The disk to look at what lies at a place, or below it."""
    return store_of(place).reading(place)


def writing_disk(base_path: Path, writes: WritesKind) -> Disk:
    """The disk that can write below a base path. Raises StorageError where nothing can."""
    return store_of(base_path).writing(base_path, writes)


def state_store(disk: Disk, path: Path, fence: Fence) -> StateStore:
    """Where the state record of one extraction is kept."""
    return store_of(path).states(disk, path, fence)
