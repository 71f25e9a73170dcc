"""A Parquet file that is written from the rows of others, a row group at a time, and is whole and durable at its end.

Decides when rows are written, and what is left after a failure: nothing. Which rows they are is up to the caller.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq

from statekeeper.parquet.batch_size import MemoryBudget, heaviest_row_of
from statekeeper.parquet.types import schema_digest
from statekeeper.parquet.writer import Md5Sink, RowGroups, WrittenPart, parquet_writer
from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.files.durable import storage_errors, streamed_once

if TYPE_CHECKING:
    from statekeeper.config.resolved import OutputConfig

_READ_BYTES = 1 << 20
_PIECE = 10_000
"""The rows that are added to a row group at a time."""


def opened(disk: Disk, path: Path) -> pq.ParquetFile:
    """A file that is read as a stream: no column of a row group is in memory as a whole. Raises OSError.

    Timestamps of 96 bits, as Spark writes them, are read as microseconds: nanoseconds reach only to the year 2262.
    """
    source = disk.open(path) if disk.writes is Writes.OBJECTS else path
    return pq.ParquetFile(source, buffer_size=_READ_BYTES, pre_buffer=False, coerce_int96_timestamp_unit="us")


def dictionaries_of(footer: pq.FileMetaData) -> list[str]:
    """The columns for which a file has dictionaries, by its first row group."""
    if not footer.num_row_groups:
        return []
    group = footer.row_group(0)
    columns = (group.column(index) for index in range(group.num_columns))
    return [column.path_in_schema for column in columns if column.has_dictionary_page]


@dataclass
class StreamedFile:
    """Writes a file at `path` while its block runs; `finished` makes it durable and gives it its name.

    `unique` is in the name of the temporary file. `like` is the footer of a file with rows of the same size as those
    that will be written; `dictionaries` are the columns that get some.
    """

    disk: Disk
    path: Path
    schema: pa.Schema
    output: OutputConfig
    budget: MemoryBudget
    role: str
    unique: str
    like: pq.FileMetaData
    dictionaries: list[str] | bool = True
    rows: int = 0

    def __enter__(self) -> Self:
        self._groups = RowGroups(self.schema, self.output, self.budget)
        with ExitStack() as opening:
            stream = streamed_once(self.disk, self.path, role=self.role, unique=self.unique)
            self._sink = Md5Sink(opening.enter_context(stream))
            row_bytes = heaviest_row_of(self.like)
            writer = parquet_writer(
                self._sink, self.schema, self.output, dictionaries=self.dictionaries, row_bytes=row_bytes
            )
            self._writer = opening.enter_context(writer)
            self._open = opening.pop_all()
        return self

    def add(self, batch: pa.RecordBatch) -> None:
        """Write rows, a row group at a time. Raises StorageError."""
        self.rows += batch.num_rows
        for start in range(0, batch.num_rows, _PIECE):
            for group in self._groups.add(batch.slice(start, _PIECE)):
                self._write(group)

    def note(self, key: str, value: str) -> None:
        """Add an entry to the footer."""
        self._writer.add_key_value_metadata({key: value})

    def finished(self) -> WrittenPart:
        """Write what is left, and end the file. Raises StorageError."""
        rest = self._groups.rest()
        if rest is not None:
            self._write(rest)
        self._open.close()
        return WrittenPart(self.rows, self._sink.written, self._sink.md5, schema_digest(self.schema))

    def _write(self, group: pa.Table) -> None:
        with storage_errors(self.path, "write"):
            self._writer.write_table(group, row_group_size=group.num_rows)

    def __exit__(self, *_: object) -> None:
        """Remove an unfinished file; if that fails, it is removed later with its plan."""
        self._open.__exit__(_Unfinished, _Unfinished(), None)


class _Unfinished(Exception):
    """Ends the stream of a file that is abandoned."""
