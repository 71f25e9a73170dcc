"""What a plan takes from earlier extractions of its table: its own scope or the watermarks of other runs, and columns.

Reads only state and commit records; `statekeeper.plan.window` decides the window from the watermarks.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from statekeeper.config.resolved import ExtractionConfig, WindowKind
from statekeeper.errors import StateDamaged
from statekeeper.model.drift import Baseline
from statekeeper.model.metadata import Metadata
from statekeeper.model.record import StateRecord
from statekeeper.model.table import Scope
from statekeeper.runtime.fingerprint import changed_aspects
from statekeeper.store.documents import load_metadata
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.layout import ExtractionLayout


def scope_or_watermarks(
    disk: Disk, layout: ExtractionLayout, config: ExtractionConfig, record: StateRecord, fingerprint: str
) -> tuple[Scope | None, tuple[datetime, ...]]:
    """The scope that this extraction already has, or else the watermarks from which to decide it.

    If the window's configuration has changed, the scope is decided again, from earlier dates only. By now there may be
    later ones, and with those the table's first, full extraction would become a single day.

    Raises:
        StateDamaged: a commit record of another run cannot be read.
    """
    scope = _kept_scope(record, fingerprint)
    if scope is not None or config.incremental is None:
        return scope, ()
    is_decided_anew = record.scope is not None
    if not is_decided_anew and (scope := _published_scope(disk, layout, fingerprint)):
        return scope, ()
    before = date.fromisoformat(record.extraction_date) if is_decided_anew else None
    found = _watermarks(disk, layout, before=before)
    # A day's window only needs to know whether there is one; there may be years of them.
    return None, tuple(found if config.incremental.kind is WindowKind.WATERMARK else islice(found, 1))


def _kept_scope(record: StateRecord, fingerprint: str) -> Scope | None:
    """The scope of the last plan, unless the configuration of the window has changed since."""
    return None if "window" in changed_aspects(record.fingerprint, fingerprint) else record.scope


def _published_scope(disk: Disk, layout: ExtractionLayout, fingerprint: str) -> Scope | None:
    """The scope of this extraction's published data, for the case that its state was lost."""
    try:
        metadata = load_metadata(disk, layout.metadata)
    except StateDamaged:  # it is about to be replaced
        return None
    if metadata and "window" not in changed_aspects(metadata.config_fingerprint, fingerprint):
        return metadata.table_config.scope
    return None


def _watermarks(disk: Disk, layout: ExtractionLayout, *, before: date | None) -> Iterator[datetime]:
    """The watermarks of the table's other complete extractions, the newest dates first."""
    for path, day in _records(disk, layout):
        if path == layout.metadata or (before and day >= before):
            continue
        # An unreadable record is an error: a window guessed from the others could lose rows.
        metadata = load_metadata(disk, path)
        if metadata and metadata.extraction_complete:
            yield metadata.table_config.scope.watermark or metadata.snapshot.taken_at


def baseline_of(disk: Disk, layout: ExtractionLayout, config: ExtractionConfig, fingerprint: str) -> Baseline | None:
    """The columns of the table's last complete extraction, including the extraction of `layout`.

    The last extraction is that of the newest date; of several runs of one date, the one with the latest snapshot. One
    with another query or schema is ignored: its columns differ for other reasons than drift.

    Raises:
        StateDamaged: a commit record of another run cannot be read, and there is no model to compare with instead.
    """
    for _, records in groupby(_records(disk, layout), key=lambda record: record[1]):
        found = [_comparable(disk, path, layout, config, fingerprint) for path, _ in records]
        complete = [metadata for metadata in found if metadata is not None]
        if complete:
            last = max(complete, key=lambda metadata: metadata.snapshot.taken_at)
            return Baseline(run_id=last.run_id, columns=last.columns, database_types=last.database_types)
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


def _records(disk: Disk, layout: ExtractionLayout) -> Iterator[tuple[Path, date]]:
    """Every commit record of the table, with its date; the newest dates first."""
    names_in = partial(_names, disk)
    for folder, day in layout.record_folders(names_in):
        for name in names_in(folder):
            if name.endswith("_metadata.json"):
                yield folder / name, day


def _names(disk: Disk, folder: Path) -> list[str]:
    with storage_errors(folder, "list"):
        return disk.names(folder)
