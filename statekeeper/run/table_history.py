"""The history of a table, read from the documents of its extractions alone, like the status of a run.

Decides which state a date has: that of its state file where its commit record agrees, else missing or damaged. Whatever
the index of windows says, the records are read, so what it lacks or has too much of is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from statekeeper.errors import UnreadableDocument
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.history import HistoryGap, HistoryOverlap, PastExtraction, TableHistory
from statekeeper.model.past_commit import PastCommit, PastState
from statekeeper.model.state import State
from statekeeper.model.table import Layout, TableRef
from statekeeper.model.windows import TableWindows, TakenWindow
from statekeeper.plan.coverage import Coverage, order, removed_windows
from statekeeper.plan.taken_window import taken_window, window_of, with_planned
from statekeeper.run.uncovered import what_is_uncovered
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.files.slots import read_document, read_listed
from statekeeper.store.layout import COMMIT_RECORD, STATE, ExtractionLayout
from statekeeper.store.layouts import layout_of
from statekeeper.store.registry import reading_disk
from statekeeper.text.places import with_addresses

if TYPE_CHECKING:
    from statekeeper.model.record import StateRecord


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
    indexed = _indexed(disk, files)
    removed = removed_windows(indexed, windows)
    known |= {window.extraction for window in removed}
    missing = [window for window in indexed if window.is_complete and window.extraction not in known]
    coverage = Coverage.of((*windows, *removed))
    gone = [(window, "removed") for window in removed] + [(window, "missing") for window in missing]
    extractions = (
        *(extraction for extraction, _ in found),
        *(_past(window.date, window.run_id, state, None, window) for window, state in gone),
    )
    return TableHistory(
        table=table,
        base_path=with_addresses(str(base_path)),
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
        documents = _Documents(disk, folder, frozenset(names_in(folder)))
        for run in documents.runs:
            yield _extraction(documents, day, run)


@dataclass(frozen=True)
class _Documents:
    """The documents in the folder of a date, whose names are known; each is read at most once, with one opening."""

    disk: Disk
    folder: Path
    names: frozenset[str]

    @property
    def runs(self) -> list[str]:
        ends, shown = (STATE, COMMIT_RECORD), [name for name in self.names if not name.startswith(".")]
        return sorted({name.removesuffix(end) for end in ends for name in shown if name.endswith(end)})

    def read(self, name: str) -> bytes | None:
        """The content of a document; None if there is none."""
        path = self.folder / name
        with storage_errors(path, "read"):
            try:
                return read_listed(self.disk, path, self.names)
            except FileNotFoundError:
                return None


def _extraction(documents: _Documents, day: date, run: str) -> tuple[PastExtraction, tuple[TakenWindow, ...]]:
    commit: PastCommit | None = None
    without_commit = "missing"
    try:
        data = documents.read(f"{run}{COMMIT_RECORD}")
        commit = None if data is None else PastCommit.model_validate_json(data)
    except (UnreadableDocument, ValidationError):
        without_commit = "damaged"
    published = window_of(commit) if commit is not None and commit.extraction_complete else None
    record: StateRecord | None = None
    state = "damaged"
    with suppress(UnreadableDocument):
        data = documents.read(f"{run}{STATE}")
        if commit is not None and commit.extraction_complete and _says_complete(data):
            return _past(day, commit.run_id, State.COMPLETE.value, commit, published), with_planned(published, None)
        record = None if data is None else _record(data, where=str(documents.folder / f"{run}{STATE}"))
    planned = None
    if record is not None:
        state = without_commit if record.state is State.COMPLETE else record.state.value
        if record.scope is not None and record.plan_id is not None:
            planned = taken_window(record.scope, record.run_id, day)
    past = _past(day, record.run_id if record else run, state, commit, published or planned)
    return past, with_planned(published, planned)


def _says_complete(data: bytes | None) -> bool:
    """Whether a state file says so. Its checksum is not looked at: a thousand dates are to be shown at once."""
    try:
        return data is not None and PastState.model_validate_json(data).state == State.COMPLETE.value
    except ValidationError:
        return False


def _record(data: bytes, *, where: str) -> StateRecord:
    from statekeeper.model.record import StateRecord  # few dates, or none, need it

    return StateRecord.from_bytes(data, where=where)


def _past(day: date, run_id: str, state: str, commit: PastCommit | None, window: TakenWindow | None) -> PastExtraction:
    return PastExtraction.model_validate(
        {
            "extraction_date": day.isoformat(),
            "run_id": run_id,
            "state": state,
            "records": commit.record_count if commit else None,
            "bytes": commit.file_size_bytes if commit else None,
            "start": window.start if window else None,
            "end": window.end if window else None,
            "ended_at": commit.end_time if commit else None,
        }
    )


def _overlap(first: TakenWindow, second: TakenWindow) -> HistoryOverlap:
    start = second.end if second.start is None else second.start
    end = min(first.end, second.end, key=order)
    return HistoryOverlap(start=start, end=end, run_ids=(first.run_id, second.run_id))


def _indexed(disk: Disk, files: ExtractionLayout) -> tuple[TakenWindow, ...]:
    with storage_errors(files.windows, "read"), suppress(FileNotFoundError, UnreadableDocument):
        data = read_document(disk, files.windows)
        return TableWindows.from_bytes(data, where=str(files.windows)).taken
    return ()
