"""The manifest of a run: how it is read, and the only way in which it changes.

Several processes may work on one run, each on some of its tables. So a change reads the manifest, changes it and
writes it back, all under the manifest's own lock. That lock is of the same kind as the locks of the run's tables.
It is held only for that long, so a change waits for it, for up to a minute in case the holder is stopped. The lock of a
dead holder is taken over, like that of an extraction.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from statekeeper.config.sections.output import OutputConfig
from statekeeper.errors import LockHeld, LockLost
from statekeeper.model.manifest import RunManifest
from statekeeper.store.documents import load_document
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import replace
from statekeeper.store.files.links import refuse_links
from statekeeper.store.files.slots import settle
from statekeeper.store.files.temps import left_before, sweep_temps
from statekeeper.store.layout import manifest_file, manifest_lock
from statekeeper.store.locks.lock import acquire_lock
from statekeeper.store.process import this_process

_WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.02

ManifestChange = Callable[[RunManifest | None], RunManifest | None]
"""Makes the next manifest from the one on disk (None: there is none). If it returns the same one, or None, nothing is
written."""


def load_manifest(disk: Disk, base_path: Path, run_id: str) -> RunManifest | None:
    """The manifest of a run; None if it is missing. Raises StateDamaged if it is not a whole manifest."""
    return load_document(disk, manifest_file(base_path, run_id), RunManifest)


def update_manifest(disk: Disk, output: OutputConfig, run_id: str, change: ManifestChange) -> RunManifest | None:
    """Change the manifest of a run durably, and return the result. This blocks: never call it on an event loop.

    `change` must be pure: it is called again, with the then current manifest, if the lock was lost before the write.

    Raises:
        LockHeld: another process, which the message names, has held the lock for a minute.
        StateDamaged: the manifest on disk is not a whole manifest; it stays as it is.
        StorageError: the file system refused; the manifest is as it was.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            return _change_once(disk, output, run_id, change)
        except (LockHeld, LockLost):
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _change_once(disk: Disk, output: OutputConfig, run_id: str, change: ManifestChange) -> RunManifest | None:
    base_path = Path(output.base_path)
    path, lock_path = manifest_file(base_path, run_id), manifest_lock(base_path, run_id)
    refuse_links(base_path, path, lock_path)

    def take_over(epoch: int) -> None:
        sweep_temps(disk, path.parent, {path.name}, left_before(epoch))
        settle(disk, path, role="manifest")

    with acquire_lock(
        disk,
        lock_path,
        kind=output.lock,
        owner=this_process(),
        ttl=output.lease_lifetime,
        take_over=take_over,
    ) as lock:
        found = load_manifest(disk, base_path, run_id)
        changed = change(found)
        if changed is None or changed == found:
            return found
        replace(disk, path, changed.to_bytes(), role="manifest", fence=lock)
        return changed
