"""The history of a table, read from the documents of its extractions alone, like the status of a run.

Decides which state a date has: that of its state file, where its commit record agrees. Whatever the index of windows
says, the records are read, so what it lacks or has too much of is seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

from statekeeper.errors import StatekeeperError, UnreadableDocument
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.history import HistoryGap, HistoryOverlap, PastExtraction, TableHistory
from statekeeper.model.metadata import Metadata
from statekeeper.model.record import State, StateRecord
from statekeeper.model.table import Layout, TableRef
from statekeeper.model.windows import TableWindows, TakenWindow
from statekeeper.plan.coverage import Coverage, order
from statekeeper.plan.taken_window import taken_window, window_of, with_planned
from statekeeper.run.uncovered import what_is_uncovered
from statekeeper.store.documents import load_document, load_metadata
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.files.slots import read_document
from statekeeper.store.layout import COMMIT_RECORD, STATE, ExtractionLayout
from statekeeper.store.layouts import layout_of
from statekeeper.store.registry import reading_disk


def read_history(
    base_path: Path, table: TableRef, *, layout: Layout, pipeline: str, commands: RunCommands
) -> TableHistory:
    """Every extraction of a table under `base_path`, of whichever run.

    `commands` are those of any run of the pipeline; the remarks type them for other dates.

    Raises:
        StorageError: the system refuses to list or read the files.
    """
    files = layout_of(layout, base_path=base_path, table=table, extraction_date=date.min, run_id="any")
    disk = reading_disk(base_path)
    found = tuple(_found(disk, files))
    windows = [window for _, taken in found for window in taken]
    known = {window.extraction for window in windows}
    missing = [window for window in _indexed(disk, files) if window.is_complete and window.extraction not in known]
    coverage = Coverage.of(windows)
    extractions = (*(extraction for extraction, _ in found), *map(_missing, missing))
    return TableHistory(
        table=table,
        base_path=str(base_path),
        incremental_column=next((window.column for window in windows), None),
        covered_through=coverage.through,
        extractions=tuple(sorted(extractions, key=lambda each: (each.extraction_date, each.run_id))),
        holes=tuple(HistoryGap(start=hole.start, end=hole.end) for hole in coverage.holes if hole.end is not None),
        overlaps=tuple(_overlap(*pair) for pair in coverage.overlaps),
        remarks=what_is_uncovered(coverage, key=table.key, pipeline=pipeline, commands=commands),
    )


def _found(disk: Disk, files: ExtractionLayout) -> Iterator[tuple[PastExtraction, tuple[TakenWindow, ...]]]:
    """Each extraction on disk, with its window: with two if it is being extracted again with another."""

    def names_in(folder: Path) -> list[str]:
        with storage_errors(folder, "list"):
            return disk.names(folder)

    for folder, day in files.record_folders(names_in):
        names = {name for name in names_in(folder) if not name.startswith(".")}
        runs = {name.removesuffix(end) for end in (STATE, COMMIT_RECORD) for name in names if name.endswith(end)}
        for run in sorted(runs):
            yield _extraction(disk, folder, day, run)


def _extraction(disk: Disk, folder: Path, day: date, run: str) -> tuple[PastExtraction, tuple[TakenWindow, ...]]:
    metadata: Metadata | None = None
    with suppress(StatekeeperError):
        metadata = load_metadata(disk, folder / f"{run}{COMMIT_RECORD}")
    published = window_of(metadata) if metadata is not None and metadata.extraction_complete else None
    path = folder / f"{run}{STATE}"
    if metadata is not None and metadata.extraction_complete and _says_complete(disk, path):
        return _past(day, metadata.run_id, State.COMPLETE.value, metadata, published), with_planned(published, None)
    try:
        record, state = load_document(disk, path, StateRecord), "damaged"
    except UnreadableDocument:
        record, state = None, "damaged"
    planned = None
    if record is not None:
        state = record.state.value
        if record.scope is not None and record.plan_id is not None:
            planned = taken_window(record.scope, record.run_id, day)
    past = _past(day, record.run_id if record else run, state, metadata, published or planned)
    return past, with_planned(published, planned)


def _says_complete(disk: Disk, path: Path) -> bool:
    """Whether a state file says so. Its checksum is not looked at: a thousand dates are to be shown at once."""
    try:
        return bool(json.loads(read_document(disk, path))["state"] == State.COMPLETE.value)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, StatekeeperError):
        return False


def _past(day: date, run_id: str, state: str, metadata: Metadata | None, window: TakenWindow | None) -> PastExtraction:
    return PastExtraction.model_validate(
        {
            "extraction_date": day.isoformat(),
            "run_id": run_id,
            "state": state,
            "records": metadata.record_count if metadata else None,
            "bytes": metadata.file_size_bytes if metadata else None,
            "start": window.start if window else None,
            "end": window.end if window else None,
            "ended_at": metadata.end_time if metadata else None,
        }
    )


def _missing(window: TakenWindow) -> PastExtraction:
    return _past(window.date, window.run_id, "missing", None, window)


def _overlap(first: TakenWindow, second: TakenWindow) -> HistoryOverlap:
    start = second.end if second.start is None else second.start
    end = min(first.end, second.end, key=order)
    return HistoryOverlap(start=start, end=end, run_ids=(first.run_id, second.run_id))


def _indexed(disk: Disk, files: ExtractionLayout) -> tuple[TakenWindow, ...]:
    try:
        found = load_document(disk, files.windows, TableWindows)
    except UnreadableDocument:
        return ()
    return found.taken if found else ()
