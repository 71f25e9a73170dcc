"""A table of plain Parquet files and a list of those that count, into which extractions are merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from statekeeper.config.sections.output import OutputConfig
from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.publish.merge import MergeKey, MergeSpec, merge_files
from statekeeper.publish.table_merge import Replacement, TableMerge
from statekeeper.store.files.disk import LocalDisk
from statekeeper.table_formats.protocol import NewFile, TableFile


@dataclass
class PlainTable:
    """Its files lie in `folder`; `columns` are the table's, which grow."""

    folder: Path
    columns: pa.Schema
    memory_limit: str = "100MB"
    output: OutputConfig = field(default_factory=OutputConfig)
    files: tuple[TableFile, ...] = ()
    numbers: int = 0
    jobs: list[MergeSpec] = field(default_factory=list)

    def written(self, rows: pa.Table, **options) -> NewFile:
        """A new file with these rows, which is not in the table."""
        self.numbers += 1
        path = self.folder / f"part-{self.numbers:05d}.parquet"
        pq.write_table(rows, path, **options)
        return NewFile(path.name, path.stat().st_size, pq.read_metadata(path))

    def add(self, rows: pa.Table, **options) -> TableFile:
        """Another writer's commit."""
        new = self.written(rows, **options)
        file = TableFile(new.path, new.bytes, new.rows)
        self.files += (file,)
        return file

    def merge_of(self, parts, *key: str, order: str | None = None) -> TableMerge:
        return TableMerge(
            table="shop.T",
            key=MergeKey(key, order),
            parts=tuple(parts),
            table_folder=self.folder,
            folder=self.folder,
            prefix=f"rest-{self.numbers}",
            lineage=(("statekeeper.table", "shop.T"),),
            output=self.output,
            disk=LocalDisk(),
        )

    def work(self, merge: TableMerge) -> None:
        """Do what is pending for the present version."""
        while specs := merge.pending(self.files, self.columns):
            self.jobs += specs
            merge.note([(spec, merge_files(spec, self._context())) for spec in specs], self.files)

    def commit(self, merge: TableMerge) -> Replacement:
        done = merge.replacement(self.files)
        rests = [(rest.name, rest.bytes, rest.rows) for rest in done.rests]
        added = [TableFile(*each) for each in [(part.path, part.bytes, part.rows) for part in done.parts] + rests]
        kept = [file for file in self.files if file not in done.removed]
        self.files = tuple({file.path: file for file in [*kept, *added]}.values())
        return done

    def merge(self, *parts: pa.Table, key: tuple[str, ...] = ("id",), order: str | None = None) -> Replacement:
        """Merge an extraction that has these parts."""
        merge = self.merge_of([self.written(rows) for rows in parts], *key, order=order)
        self.work(merge)
        return self.commit(merge)

    def rows(self, *sorted_by: str) -> pa.Table:
        """The rows of all files, with the table's columns."""
        tables = [pq.read_table(self.folder / file.path).replace_schema_metadata(None) for file in self.files]
        whole = pa.concat_tables([self.columns.empty_table(), *tables], promote_options="permissive")
        return whole.sort_by([(name, "ascending") for name in sorted_by]) if sorted_by else whole

    def rest(self, done: Replacement) -> pa.Table:
        """The rows of the only rest file of a commit."""
        (rest,) = done.rests
        return pq.read_table(self.folder / rest.name)

    def _context(self) -> ProcessContext:
        limit = self.memory_limit
        return ProcessContext(Sessions(limit), memory_limit=limit, is_stopping=lambda: False, report=lambda _rows: None)
