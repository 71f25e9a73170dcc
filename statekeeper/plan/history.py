"""What a table's earlier extractions leave to the next plan: its own scope, and the columns that the table had.

Reads state and commit records only. Which windows of the table are taken is `statekeeper.plan.window_index`' matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import partial
from itertools import groupby
from pathlib import Path

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import StateDamaged
from statekeeper.model.drift import Baseline
from statekeeper.model.metadata import Metadata
from statekeeper.model.record import StateRecord
from statekeeper.model.table import Scope, Window
from statekeeper.runtime.fingerprint import changed_aspects
from statekeeper.store.documents import load_metadata
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.layout import COMMIT_RECORD, ExtractionLayout


def kept_scope(
    disk: Disk, layout: ExtractionLayout, config: ExtractionConfig, record: StateRecord, fingerprint: str
) -> Scope | None:
    """The scope that this extraction has already, from its state or, where that was lost, from what it has published.

    None if it has none, or if its window is configured otherwise than it was then.
    """
    if "window" in changed_aspects(record.fingerprint, fingerprint):
        return None
    found = record.scope or _published_scope(disk, layout, fingerprint)
    return found if found is None else _bounded(found, config)


def _bounded(scope: Scope, config: ExtractionConfig) -> Scope:
    """A scope with a window: version 0.1 read everything there was at a first extraction, later days' rows too."""
    if config.incremental is None or config.is_full_extract or scope.window is not None or scope.watermark is None:
        return scope
    incremental = config.incremental
    window = Window(column=incremental.column, start=None, end=scope.watermark, timezone=incremental.zone)
    return scope.model_copy(update={"window": window})


def _published_scope(disk: Disk, layout: ExtractionLayout, fingerprint: str) -> Scope | None:
    """The scope of this extraction's published data, for the case that its state was lost."""
    try:
        metadata = load_metadata(disk, layout.metadata)
    except StateDamaged:  # it is about to be replaced
        return None
    if metadata and "window" not in changed_aspects(metadata.config_fingerprint, fingerprint):
        return metadata.table_config.scope
    return None


def baseline_of(disk: Disk, layout: ExtractionLayout, config: ExtractionConfig, fingerprint: str) -> Baseline | None:
    """The columns of the table's last complete extraction, including the extraction of `layout`.

    The last extraction is that of the newest date; of several runs of one date, the one with the latest snapshot. One
    with another query or schema is ignored: its columns differ for other reasons than drift.

    Raises:
        StateDamaged: a commit record of another run cannot be read, and there is no model to compare with instead.
    """
    for _, records in groupby(records_of(disk, layout), key=lambda record: record[1]):
        found = [_comparable(disk, path, layout, config, fingerprint) for path, _ in records]
        complete = [metadata for metadata in found if metadata is not None]
        if complete:
            last = max(complete, key=lambda metadata: metadata.snapshot.taken_at)
            own = {name: kind for name, kind in last.columns.items() if last.mark is None or name != last.mark.column}
            return Baseline(run_id=last.run_id, columns=own, database_types=last.database_types)
    return None


def _comparable(
    disk: Disk, path: Path, layout: ExtractionLayout, config: ExtractionConfig, fingerprint: str
) -> Metadata | None:
    try:
        metadata = load_metadata(disk, path)
    except StateDamaged:
        if path == layout.metadata or config.model.is_declared:
            return None
        raise
    if metadata is None or not metadata.extraction_complete:
        return None
    is_same = not {"query", "schema"} & set(changed_aspects(metadata.config_fingerprint, fingerprint))
    return metadata if is_same else None


def records_of(disk: Disk, layout: ExtractionLayout, end: str = COMMIT_RECORD) -> Iterator[tuple[Path, date]]:
    """Every document of the table whose name has this end, with its date; the newest dates first."""
    names_in = partial(_names, disk)
    for folder, day in layout.record_folders(names_in):
        for name in names_in(folder):
            if name.endswith(end) and not name.startswith("."):
                yield folder / name, day


def _names(disk: Disk, folder: Path) -> list[str]:
    with storage_errors(folder, "list"):
        return disk.names(folder)
