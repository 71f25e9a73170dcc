"""Writes one part: gathers batches into row groups of a Parquet file, and computes its md5 while writing.

Decides the file's format. Its place, and that it reaches the disk, are up to the caller.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from statekeeper.parquet.batch_size import pieces
from statekeeper.parquet.types import arrow_schema, schema_digest

if TYPE_CHECKING:
    from hashlib import _Hash

    from statekeeper.config.resolved import OutputConfig
    from statekeeper.model.plan import PlannedColumn
    from statekeeper.parquet.batch_size import MemoryBudget

_DICTIONARY_ROWS = 16_384
"""How many of the first rows are sampled to choose the columns with dictionaries."""
_DICTIONARY_BYTES = 4096
"""From this many bytes per value on, a column gets no dictionary: its bounded size would hold too few values."""
_PAGE_BYTES, _PAGE_ROWS = 1 << 20, 1024
"""Parquet's writer checks the size of a page only once per write batch of rows."""


@dataclass(frozen=True)
class WrittenPart:
    """A part, as recorded in its receipt; `schema` is the digest of its Arrow schema."""

    rows: int
    bytes: int
    md5: str
    schema: str


def write_part(
    file: BinaryIO,
    batches: Iterator[pa.RecordBatch],
    *,
    columns: tuple[PlannedColumn, ...],
    output: OutputConfig,
    budget: MemoryBudget,
    lineage: Mapping[str, str],
) -> WrittenPart:
    """Write all batches, already cast to the file's types; `lineage` becomes the footer's metadata."""
    schema = arrow_schema(columns)
    gathered = RowGroups(schema, output, budget)
    groups = chain.from_iterable(gathered.add(batch) for batch in batches)
    groups = chain(groups, iter(gathered.rest, None))
    first = next(groups, None)
    sink = Md5Sink(file)
    rows = 0
    row_bytes = first.nbytes // first.num_rows if first else 0
    described = schema.with_metadata(dict(lineage))
    with parquet_writer(sink, described, output, dictionaries=_repeating_columns(first), row_bytes=row_bytes) as writer:
        for group in chain([first] if first else [], groups):
            writer.write_table(group, row_group_size=group.num_rows)
            rows += group.num_rows
    return WrittenPart(rows=rows, bytes=sink.written, md5=sink.md5, schema=schema_digest(schema))


@contextmanager
def parquet_writer(
    sink: Md5Sink, schema: pa.Schema, output: OutputConfig, *, dictionaries: list[str] | bool, row_bytes: int
) -> Iterator[pq.ParquetWriter]:
    """A writer for our files. `row_bytes`, the bytes of a row, decides after how many rows a page may end."""
    writer = pq.ParquetWriter(
        sink,
        schema,
        compression=output.compression,
        version="2.6",
        use_dictionary=dictionaries,
        write_batch_size=max(1, min(_PAGE_ROWS, _PAGE_BYTES // max(1, row_bytes))),
    )
    try:
        yield writer
        writer.close()
    except BaseException:
        # Otherwise garbage collection would write the footer of a discarded file, and its error would go unseen.
        writer.is_open = False
        sink.discard()
        raise


def _repeating_columns(first: pa.Table | None) -> list[str]:
    """The columns whose values repeat within the first rows.

    Only these get dictionaries: for values that hardly repeat, one costs time and makes the file larger.
    """
    if first is None:
        return []
    sample = first.slice(0, _DICTIONARY_ROWS)
    return [
        name
        for name, values in zip(sample.schema.names, sample.columns, strict=True)
        if values.nbytes < _DICTIONARY_BYTES * sample.num_rows
        and 2 * pc.count_distinct(values).as_py() <= sample.num_rows
    ]


class RowGroups:
    """Gathers batches until a row group is full, by rows or by bytes in memory."""

    def __init__(self, schema: pa.Schema, output: OutputConfig, budget: MemoryBudget) -> None:
        self._schema = schema
        self._max_rows = output.row_group_rows
        self._max_bytes = min(output.row_group_bytes, budget.row_group)
        self._gathered: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        """Add rows, and yield the row groups that are now full."""
        for piece in pieces(batch, self._max_bytes):
            rows, size = self._rows + piece.num_rows, self._bytes + piece.nbytes
            if self._gathered and (rows > self._max_rows or size > self._max_bytes):
                yield self._taken()
            if piece.num_rows:
                self._gathered.append(piece)
                self._rows += piece.num_rows
                self._bytes += piece.nbytes

    def rest(self) -> pa.Table | None:
        """The last, partial row group; None if nothing is left."""
        return self._taken() if self._gathered else None

    def _taken(self) -> pa.Table:
        table = pa.Table.from_batches(self._gathered, self._schema)
        self._gathered, self._rows, self._bytes = [], 0, 0
        return table


class Md5Sink(io.RawIOBase):
    """Writes bytes to a file and computes their md5, so that the part need not be read again."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._md5: _Hash = hashlib.md5(usedforsecurity=False)
        self.written = 0
        self._is_discarded = False

    def discard(self) -> None:
        """Ignore all further writes."""
        self._is_discarded = True

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.written

    def write(self, data: object) -> int:
        view = memoryview(cast("bytes", data)).cast("B")
        if self._is_discarded:
            return len(view)
        self._file.write(view)
        self._md5.update(view)
        self.written += len(view)
        return len(view)
