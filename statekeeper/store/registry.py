"""Finds the store of a path by the scheme of its base path, and opens its disk and state store.

Only the store that a base path names is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.config.sections import stores
from statekeeper.errors import ConfigError
from statekeeper.store.protocol import StoreType

if TYPE_CHECKING:
    from statekeeper.config.sections.output import WritesKind
    from statekeeper.store.files.disk import Disk
    from statekeeper.store.files.durable import Fence
    from statekeeper.store.state import StateStore

STORES = replace(
    stores.STORES, shipped={name: f"{__package__}.{place}" for name, place in stores.STORES.shipped.items()}
)
"""The registry of stores; each entry is a StoreType."""


def store_of(place: Path) -> StoreType:
    """The store of a path: a base path, or any path below one.

    Raises:
        ConfigError: the package that provides the store is faulty, or an object store's library is not installed.
    """
    scheme = stores.scheme_of(place)
    with _libraries():
        found: StoreType = STORES.instance(scheme, StoreType)
    return found


@contextmanager
def _libraries() -> Iterator[None]:
    """Turn the error of a missing library into one that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"output.base_path is in an object store, and {error.name} is not installed",
            hint="pip install 'statekeeper[objects]'",
        ) from error


def reading_disk(place: Path) -> Disk:
    """A disk for reading a path, or below it."""
    return store_of(place).reading(place)


def writing_disk(base_path: Path, writes: WritesKind) -> Disk:
    """A disk that can write below a base path.

    Raises:
        StorageError: nothing can be written there.
        ConfigError: as `store_of`; also if a library is missing that only the checks of what is written need.
    """
    store = store_of(base_path)
    with _libraries():
        return store.writing(base_path, writes)


def state_store(disk: Disk, path: Path, fence: Fence) -> StateStore:
    """The store of the state record of one extraction."""
    return store_of(path).states(disk, path, fence)
