"""Which windows of an incremental table its extractions have taken: read, made again from the records, and added to.

An extraction writes its window down before it reads a row of it, so no other one takes the same rows, and none that
completes is ever missing. Whether it did complete, its commit record says. So a plan reads one document, the records of
what was planned and not yet seen complete, and those of the newest date, however many dates there are. If the document
and these records disagree, all records are read; the document is still believed on dates before the oldest of them,
whose files were removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from statekeeper.config.sections.output import OutputConfig
from statekeeper.errors import StateDamaged
from statekeeper.model.metadata import Metadata
from statekeeper.model.record import StateRecord
from statekeeper.model.state import State
from statekeeper.model.table import TableRef, safe_name
from statekeeper.model.windows import TableWindows, TakenWindow
from statekeeper.plan.coverage import Coverage, order, removed_windows
from statekeeper.plan.history import records_of
from statekeeper.plan.taken_window import taken_window, window_of, with_planned
from statekeeper.store.documents import load_document, load_metadata
from statekeeper.store.files.disk import Disk
from statekeeper.store.layout import COMMIT_RECORD, STATE, ExtractionLayout
from statekeeper.store.layouts import layout_of
from statekeeper.store.locked_change import SharedDocument


@dataclass(frozen=True)
class WindowIndex:
    """The windows of a table; `layout` is that of any of its extractions."""

    disk: Disk
    output: OutputConfig
    table: TableRef
    layout: ExtractionLayout

    def coverage(self) -> Coverage:
        """What the table's extractions have taken, complete ones and planned ones.

        Raises:
            StateDamaged: a commit record that must be looked at cannot be read: what is guessed could lose rows.
            StorageError: the file system refused.
        """
        found = self._document.load(self.disk)
        if found is None or found.table != self.table:
            return Coverage.of(self._recorded(), _revision(found))
        coverage = Coverage.of(self._seen(found.taken), _revision(found))
        complete = coverage.complete.taken
        newest = max(complete, key=lambda window: order(window.end), default=None)
        if self._has_unknown(coverage) or (newest is not None and self._completed(newest) != newest):
            recorded = tuple(self._recorded())
            return Coverage.of((*removed_windows(found.taken, recorded), *recorded), _revision(found))
        return coverage

    def take(self, window: TakenWindow, *, decided_by: Coverage) -> bool:
        """Write down the window of an extraction that is about to read it, durably.

        False, and nothing is written, if the document has changed since `decided_by` was read.

        Raises:
            LockHeld, StorageError: as `SharedDocument.change`.
        """
        others = decided_by.without(window.extraction).taken
        is_taken = False

        def change(found: TableWindows | None) -> TableWindows | None:
            nonlocal is_taken
            is_taken = _revision(found) == decided_by.revision
            return TableWindows(table=self.table, taken=Coverage.of((*others, window)).taken) if is_taken else None

        self._document.change(self.disk, self.output, change)
        return is_taken

    def taken_null_rows(self, coverage: Coverage) -> int | None:
        """Of the rows without a value at the last complete extraction: how many an extraction has taken.

        The last one is the newest window or, if it was extracted again later, the first load, which takes them all.
        None: there is none, or it did not count them.
        """
        complete = coverage.complete.taken
        newest = max(complete, key=lambda window: order(window.end), default=None)
        looked_at = [window for window in complete if window is newest or window.start is None]
        found = [load_metadata(self.disk, self._layout_of(window).metadata) for window in looked_at]
        last = max((one for one in found if one), key=lambda one: one.snapshot.taken_at, default=None)
        if last is None or last.validation.null_incremental_rows is None:
            return None
        return last.validation.null_incremental_rows - (last.validation.untaken_null_rows or 0)

    def record_of(self, window: TakenWindow) -> Metadata | None:
        """The commit record of the extraction of a window; None if it is missing. Raises StateDamaged."""
        return load_metadata(self.disk, self._layout_of(window).metadata)

    def is_removed(self, window: TakenWindow) -> bool:
        """Whether no commit record is left that is as old as the extraction of a window: somebody removed old dates."""
        return all(day > window.date for _, day in records_of(self.disk, self.layout))

    def _has_unknown(self, coverage: Coverage) -> bool:
        """Whether a commit record of the newest known date, or of a later one, has a window that is not covered.

        An older statekeeper writes no window down, and a document may have been restored from a backup.
        """
        known = {(window.date, safe_name(window.run_id)) for window in coverage.taken}
        newest = max((window.date for window in coverage.taken), default=date.min)
        for path, day in records_of(self.disk, self.layout):
            if day < newest:
                return False
            if (day, path.name.removesuffix(COMMIT_RECORD)) not in known:
                metadata = load_metadata(self.disk, path)
                taken = window_of(metadata) if metadata and metadata.extraction_complete else None
                if taken and Coverage.of((taken,)).taken:  # an empty window covers nothing
                    return True
        return False

    @property
    def _document(self) -> SharedDocument[TableWindows]:
        path = self.layout.windows
        return SharedDocument(TableWindows, path, path.with_suffix(".lock"), role="windows", is_index=True)

    def _seen(self, taken: tuple[TakenWindow, ...]) -> Iterator[TakenWindow]:
        """The windows; those of extractions that have planned one, as their commit records have them."""
        planning = {window.extraction for window in taken if not window.is_complete}
        for window in taken:
            if not window.is_complete:
                yield from with_planned(self._completed(window), window)
            elif window.extraction not in planning:
                yield window

    def _completed(self, window: TakenWindow) -> TakenWindow | None:
        """The window of the same extraction as its commit record has it; None if it is not complete."""
        metadata = self.record_of(window)
        return None if metadata is None or not metadata.extraction_complete else window_of(metadata)

    def _layout_of(self, window: TakenWindow) -> ExtractionLayout:
        return layout_of(
            self.output.layout,
            base_path=Path(self.output.base_path),
            table=self.table,
            extraction_date=window.date,
            run_id=window.run_id,
        )

    def _recorded(self) -> Iterator[TakenWindow]:
        """The windows as commit records have them and, of extractions that are not complete, as their states do."""
        for path, day in records_of(self.disk, self.layout, end=COMMIT_RECORD):
            metadata = load_metadata(self.disk, path)
            taken = window_of(metadata) if metadata and metadata.extraction_complete else None
            state = path.with_name(path.name.removesuffix(COMMIT_RECORD) + STATE)
            planned = self._planned(state, day, is_published=taken is not None)
            yield from with_planned(taken, planned)
        for path, day in records_of(self.disk, self.layout, end=STATE):
            if not self.disk.exists(path.with_name(path.name.removesuffix(STATE) + COMMIT_RECORD)):
                yield from with_planned(None, self._planned(path, day, is_published=False))

    def _planned(self, path: Path, day: date, *, is_published: bool) -> TakenWindow | None:
        """The window of an extraction's plan; None if it has none, or has published what it had planned."""
        try:
            record = load_document(self.disk, path, StateRecord)
        except StateDamaged:  # its next run says so, and plans anew
            return None
        if record is None or record.plan_id is None or record.scope is None:
            return None
        is_done = is_published and record.state is State.COMPLETE
        return None if is_done else taken_window(record.scope, record.run_id, day)


def _revision(found: TableWindows | None) -> str | None:
    return None if found is None else found.checksum
