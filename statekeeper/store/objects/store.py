"""The object stores: a bucket of S3, or of a store that speaks its protocol, of Azure or of Google."""

from __future__ import annotations

import uuid
from importlib import import_module
from pathlib import Path

from statekeeper.config.sections.output import WritesKind
from statekeeper.config.sections.storage import storage_of
from statekeeper.errors import StorageError, UsageError
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import Fence, storage_errors
from statekeeper.store.layout import runs_folder
from statekeeper.store.objects.disk import ObjectStoreDisk
from statekeeper.store.protocol import StoreType
from statekeeper.store.state import LocalStateStore, StateStore
from statekeeper.store.versions import ABSENT, Version, VersionConflict

_TRIED_ON = ".conditions"
"""The name of the object on which each run tries whether the store keeps conditions."""
_MAY_REMOVE = ".removed"
"""A name that no object has: each run tries whether it might be removed."""


class BucketStore(StoreType):
    """A store in a bucket."""

    def reading(self, base_path: Path) -> Disk:
        return ObjectStoreDisk(base_path, storage_of(base_path))

    def writing(self, base_path: Path, writes: WritesKind) -> Disk:
        if writes is WritesKind.RENAME:
            raise UsageError("an object store has no rename", hint="leave `output.writes` out")
        import_module("fsspec")  # for the checks: without it a run would fail after it has read everything
        disk = ObjectStoreDisk(base_path, storage_of(base_path))
        _require_conditions(disk, base_path)
        return disk

    def states(self, disk: Disk, path: Path, fence: Fence) -> StateStore:
        return LocalStateStore(disk, path, fence)


def _require_conditions(disk: ObjectStoreDisk, base_path: Path) -> None:
    """Check that the store keeps the conditions of writes: everything that several runners do depends on them.

    It is tried on one object that stays: so a run that dies meanwhile leaves nothing, and none needs to remove it.

    Raises:
        StorageError: it does not, or it cannot be reached or written to.
    """
    path = runs_folder(base_path) / _TRIED_ON
    with storage_errors(path, "write"):
        first = _written(disk, path, over=disk.version(path))
        second = _written(disk, path, over=first) if first else None
        # Of several runs that try at the same time one wins; the others see in their loss that conditions are kept.
        keeps = not (first and second) or not any(_written(disk, path, over=stale) for stale in (ABSENT, first))
        disk.unlink(path.with_name(_MAY_REMOVE), role="probe")  # where that is forbidden, every lock would stay
    if not keeps:
        raise StorageError(
            f"the store of {base_path} ignores the conditions of writes (If-None-Match, If-Match)",
            hint="two runs could overwrite each other there; choose a store that keeps them (docs/objects.md)",
        )


def _written(disk: ObjectStoreDisk, path: Path, *, over: Version) -> Version | None:
    """The version of new content over this one; None if the store refused it."""
    try:
        return disk.replace(path, uuid.uuid4().hex.encode(), over, role="probe")
    except VersionConflict:
        return None


STORE = BucketStore()
