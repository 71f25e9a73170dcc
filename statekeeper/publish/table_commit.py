"""The commit that makes a dataset part of a table: what it adds, what it removes, and that it happens exactly once.

Decides nothing about a format: `statekeeper.table_formats` has those. The files are at their places already.

Exactly once: the number of the commit is saved in the publish intent before anything happens, and the table records it
in the same step as the files. Each commit is made on a version in which that number was looked for and not found. If
another writer was first, or an answer was lost, the table is read again, and everything is decided anew.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from statekeeper.config.sections.table_formats import WriteMode
from statekeeper.errors import StorageError
from statekeeper.model.column import RelationComments
from statekeeper.model.metadata import Metadata, TableCommit
from statekeeper.model.record import StateRecord
from statekeeper.publish.merge import MergedFiles, MergeSpec
from statekeeper.publish.merge_commit import MergeWriter
from statekeeper.runtime.published_table import LATEST, PublishedTable, dataset_in_table, number_of
from statekeeper.store.documents import load_metadata
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import Fence, storage_errors
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.layout import ExtractionLayout
from statekeeper.table_formats.protocol import Change, Definition, LakeTable, NewFile, TableConflict, TableFile

if TYPE_CHECKING:
    import pyarrow as pa

_PUBLICATIONS_OF_AN_OWNER = 1000
_ATTEMPTS = 30
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_FOOTERS_AT_ONCE = 8


def _all_pauses() -> Iterator[float]:
    """The longest pause after each conflict; the last one has none."""
    pause = _FIRST_PAUSE
    for _ in range(_ATTEMPTS - 1):
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


@dataclass(frozen=True)
class TableWriter:
    """Commits the datasets of one extraction to its table. `merging` is for `write: merge` alone."""

    target: PublishedTable
    disk: Disk
    layout: ExtractionLayout
    comments: RelationComments = field(default_factory=RelationComments)
    """What a new table is told about itself."""
    merging: MergeWriter | None = None
    _pauses: Iterator[float] = field(default_factory=_all_pauses, repr=False)

    def next_commit(self, record: StateRecord, epoch: int) -> TableCommit:
        """The commit of the next publication, with a number that neither the state nor the table has yet.

        No two owners of the extraction choose the same number, since each has a greater `epoch` than the one before: a
        stopped owner that commits late is not taken for the new one.

        Raises:
            StorageError: the table cannot be read. DataError: this extraction must not be written to it.
        """
        table, published = self.target.find(), record.published
        if table is not None:
            self.target.check(table, self.layout, load_metadata(self.disk, self.layout.metadata))
        known = [table.sequence(self.target.application_id) if table is not None else 0]
        known += [published.table.sequence] if published and published.table else []
        return TableCommit(
            format=self.target.format_name,
            write=self.target.write.value,
            application_id=self.target.application_id,
            sequence=max(max(known) + 1, epoch * _PUBLICATIONS_OF_AN_OWNER),
        )

    def commit(self, metadata: Metadata, fence: Fence) -> tuple[MergeSpec, ...]:
        """Commit the dataset that `metadata` describes; does nothing if the table has this commit.

        Returns the work that must be done before, whose results go to `merged`; after that, this is called again.

        Raises:
            StorageError: the store or the catalog refused, or other writers were first again and again; the dataset is
                not in the table, and it can be repeated.
            DataError: this extraction must not be written to the table.
            LockLost: another runner has taken over.
        """
        commit = metadata.table
        assert commit is not None, "only what is published into a table is committed to it"
        added, last = self._new_files(metadata), load_metadata(self.disk, self.layout.metadata)
        while True:
            fence.check()
            table = self._table(added)
            if table.sequence(commit.application_id) >= commit.sequence:
                self._sync_log(table)
                return ()
            self.target.check(table, self.layout, last)
            try:
                table = self._with_columns(table, added[0].footer.schema.to_arrow_schema())
                if self.merging and (work := self.merging.pending(table, metadata, added)):
                    return work
                table.commit(self._change(table, metadata, commit, added))
            except TableConflict as conflict:
                self._pause_after(conflict)
            else:
                failpoint("commit", "table", "after")
                self._sync_log(table)
                if self.merging:
                    self.merging.tidy(self.merging.replacement(table))
                return ()

    def _pause_after(self, conflict: TableConflict) -> None:
        pause = next(self._pauses, None)
        if pause is not None:
            time.sleep(random.uniform(0, pause))  # noqa: S311 - so that writers do not meet again
            return
        raise StorageError(
            f"{self.target.place.name}: other writers have changed the table {_ATTEMPTS} times while this extraction "
            "was to be committed",
            hint="run again when fewer programs write to the table; what was extracted is kept",
        ) from conflict

    def merged(self, results: Sequence[tuple[MergeSpec, MergedFiles]]) -> None:
        """Take the results of the work that `commit` has returned. Raises DataError."""
        assert self.merging is not None, "nothing else needs work"
        self.merging.note(results)

    def _table(self, added: Sequence[NewFile]) -> LakeTable:
        table = self.target.find()
        if table is not None:
            return table
        failpoint("create", "table", "before")
        definition = Definition(
            columns=added[0].footer.schema.to_arrow_schema(),
            is_by_date=self.target.write.is_by_date,
            comment=self.comments.text,
            comments=self.comments.columns,
            properties={"statekeeper.table": self.target.place.name},
        )
        table = self.target.format.create(self.target.place, definition)
        self._sync_log(table)
        failpoint("create", "table", "after")
        return table

    def _sync_log(self, table: LakeTable) -> None:
        """Make the log durable: libraries of formats leave that to the system, which may take half a minute.

        Until then a loss of power may leave the commit's file without content, while the state says `complete`.
        """
        if table.log_folder is None or not self.disk.writes.has_rename:
            return
        folder = self.layout.table_folder / table.log_folder
        with storage_errors(folder, "sync"):
            if not self.disk.exists(folder):
                return
            for name in self.disk.names(folder):
                if self.disk.file_size(folder / name) is not None:
                    with self.disk.open(folder / name) as file:
                        self.disk.sync_file(file, role="table")
            for each in (folder, folder.parent):
                self.disk.sync_folder(each, role="table")

    def _with_columns(self, table: LakeTable, columns: pa.Schema) -> LakeTable:
        """The table with every column that the files have, of a type that holds theirs."""
        known = {field.name.casefold(): field.type for field in table.columns}
        if new := [field for field in columns if field.name.casefold() not in known]:
            table = table.add_columns(_schema(new))
        kinds = self.target.format
        wider = [
            field
            for field in columns
            if (kind := known.get(field.name.casefold())) is not None
            and not kinds.is_read_as(field.type, kind)
            and kinds.can_widen(kind, field.type)
        ]
        return table.widened(_schema(wider)) if wider else table

    def _change(self, table: LakeTable, metadata: Metadata, commit: TableCommit, added: tuple[NewFile, ...]) -> Change:
        failpoint("commit", "table", "before")
        sequences = {commit.application_id: commit.sequence}
        removed: tuple[TableFile, ...]
        if self.merging:
            replacement = self.merging.replacement(table)
            rests = [(rest.name, rest.bytes) for rest in replacement.rests]
            added, removed = (*replacement.parts, *self._files_of(metadata, rests)), replacement.removed
            sequences |= self.merging.sequences(table, metadata)
        else:
            removed = self._removed(table, {file.path for file in added})
        if self.target.write is WriteMode.REPLACE:
            sequences[LATEST] = number_of(self.target.extraction_date)
        return Change(
            added=added,
            removed=removed,
            sequences=sequences,
            date=self.target.extraction_date if self.target.write.is_by_date else None,
            properties={
                "statekeeper.run_id": metadata.run_id,
                "statekeeper.plan_id": metadata.plan_id,
                "statekeeper.snapshot": metadata.snapshot.token,
            },
        )

    def _removed(self, table: LakeTable, added: set[str]) -> tuple[TableFile, ...]:
        """The files that the added ones replace."""
        return tuple(file for file in self._replaced(table) if file.path not in added)

    def _replaced(self, table: LakeTable) -> tuple[TableFile, ...]:
        match self.target.write:
            case WriteMode.APPEND:
                return self.target.own_files(table, self.layout)
            case WriteMode.REPLACE_DATE:
                return tuple(file for file in table.files() if file.date == self.target.extraction_date)
            case WriteMode.REPLACE:
                return table.files()
            case WriteMode.MERGE:
                return ()
            case _ as never:
                assert_never(never)

    def _new_files(self, metadata: Metadata) -> tuple[NewFile, ...]:
        return self._files_of(metadata, [(file.name, file.bytes) for file in metadata.files])

    def _files_of(self, metadata: Metadata, files: Sequence[tuple[str, int]]) -> tuple[NewFile, ...]:
        """Files in the folder of the dataset, by their names and sizes."""
        folder, dataset = dataset_in_table(self.layout, metadata), self.layout.dataset_named(metadata.output_path)
        assert dataset is not None, "a commit record names a dataset of its extraction"
        with storage_errors(dataset, "read"):
            footers = self.footers([dataset / name for name, _ in files])
        return tuple(
            NewFile(f"{folder}/{name}", size, footer) for (name, size), footer in zip(files, footers, strict=True)
        )

    def footers(self, paths: Sequence[Path]) -> list[Any]:
        """The footers of files, each a `pyarrow.parquet.FileMetaData`; several are read at once. Raises OSError."""
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE, "statekeeper-footer") as pool:
            return list(pool.map(self._footer, paths))

    def _footer(self, path: Path) -> Any:
        import pyarrow.parquet as pq

        with self.disk.open(path) as file:
            return pq.read_metadata(file)


def _schema(fields: list[pa.Field]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(fields)
