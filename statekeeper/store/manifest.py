"""The manifest of a run: how it is read, and the only way in which it changes.

Several processes may be at work in one run, each with some of its tables; `statekeeper.store.locked_change` says how
they change it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from statekeeper.config.sections.output import OutputConfig
from statekeeper.model.manifest import RunManifest
from statekeeper.store.documents import load_document
from statekeeper.store.files.disk import Disk
from statekeeper.store.layout import manifest_file, manifest_lock
from statekeeper.store.locked_change import SharedDocument

ManifestChange = Callable[[RunManifest | None], RunManifest | None]
"""Makes the next manifest from the one on disk (None: there is none). If it returns the same one, or None, nothing is
written."""


def load_manifest(disk: Disk, base_path: Path, run_id: str) -> RunManifest | None:
    """The manifest of a run; None if it is missing. Raises StateDamaged if it is not a whole manifest."""
    return load_document(disk, manifest_file(base_path, run_id), RunManifest)


def update_manifest(disk: Disk, output: OutputConfig, run_id: str, change: ManifestChange) -> RunManifest | None:
    """Change the manifest of a run; returns it as it is then, durable. See `SharedDocument.change`."""
    base_path = Path(output.base_path)
    shared = SharedDocument(
        RunManifest, manifest_file(base_path, run_id), manifest_lock(base_path, run_id), role="manifest"
    )
    return shared.change(disk, output, change)
