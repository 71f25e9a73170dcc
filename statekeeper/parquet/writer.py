"""Writes one part: batches gathered into row groups, into a Parquet file whose bytes are summed up as they go.

Decides what the file looks like inside. Where it lies, and that it reaches the disk, is its caller's matter.
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
"""How many of the first rows tell which columns get dictionaries."""
_DICTIONARY_BYTES = 4096
"""Bytes of a value from which on a dictionary, which is bounded, would hold too few."""
_PAGE_BYTES, _PAGE_ROWS = 1 << 20, 1024
"""Parquet's writer looks at the size of a page only every so many rows."""


@dataclass(frozen=True)
class WrittenPart:
    """A part as its receipt tells it; `schema` is the digest of its Arrow schema."""

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
    """Write all batches, each of the columns' types in the file; `lineage` becomes the footer's metadata."""
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
    """A writer of our files. What a row weighs, `row_bytes`, says after how many of them a page may end."""
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
        # It would write the footer of a file that is given up when it is collected, and fail where nobody hears of it.
        writer.is_open = False
        sink.give_up()
        raise


def _repeating_columns(first: pa.Table | None) -> list[str]:
    """The columns whose values come back within the first rows.

    Only these get dictionaries: of values that hardly repeat, one is built in vain and makes the file larger.
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
        self._most_rows = output.row_group_rows
        self._most_bytes = min(output.row_group_bytes, budget.row_group)
        self._gathered: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        """Take the rows; the row groups that are full by now."""
        for piece in pieces(batch, self._most_bytes):
            rows, size = self._rows + piece.num_rows, self._bytes + piece.nbytes
            if self._gathered and (rows > self._most_rows or size > self._most_bytes):
                yield self._taken()
            if piece.num_rows:
                self._gathered.append(piece)
                self._rows += piece.num_rows
                self._bytes += piece.nbytes

    def rest(self) -> pa.Table | None:
        """What is not full; None where nothing is left."""
        return self._taken() if self._gathered else None

    def _taken(self) -> pa.Table:
        table = pa.Table.from_batches(self._gathered, self._schema)
        self._gathered, self._rows, self._bytes = [], 0, 0
        return table


class Md5Sink(io.RawIOBase):
    """Passes bytes on to a file and sums them up, so that a part need not be read again for its md5."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._md5: _Hash = hashlib.md5(usedforsecurity=False)
        self.written = 0
        self._is_given_up = False

    def give_up(self) -> None:
        """Take no notice of what is still written."""
        self._is_given_up = True

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.written

    def write(self, data: object) -> int:
        view = memoryview(cast("bytes", data)).cast("B")
        if self._is_given_up:
            return len(view)
        self._file.write(view)
        self._md5.update(view)
        self.written += len(view)
        return len(view)
