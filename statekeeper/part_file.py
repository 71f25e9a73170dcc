"""Writes one part: batches gathered into row groups, into a Parquet file whose bytes are summed up as they go.

Decides what the file looks like inside. Where it lies, and that it reaches the disk, is its caller's matter.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from statekeeper.schemas.arrow import arrow_schema, schema_digest

if TYPE_CHECKING:
    from hashlib import _Hash

    from statekeeper.config.extraction import OutputConfig
    from statekeeper.model.plan import PlannedColumn

BATCH_ROWS = 16_384
LARGE_VALUE_BATCH_ROWS = 2_048
"""Rows a batch where a column may hold values of many megabytes."""


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
    lineage: Mapping[str, str],
) -> WrittenPart:
    """Write all batches, each of the columns' types in the file; `lineage` becomes the footer's metadata."""
    schema = arrow_schema(columns)
    sink = Md5Sink(file)
    rows = 0
    repeating, batches = _repeating_columns(batches)
    with pq.ParquetWriter(
        sink,
        schema.with_metadata(dict(lineage)),
        compression=output.compression,
        version="2.6",
        use_dictionary=repeating,
    ) as writer:
        for group in _row_groups(batches, output, schema):
            writer.write_table(group, row_group_size=max(group.num_rows, 1))
            rows += group.num_rows
    return WrittenPart(rows=rows, bytes=sink.written, md5=sink.md5, schema=schema_digest(schema))


def batch_rows(columns: tuple[PlannedColumn, ...]) -> int:
    """How many rows a batch may have, so that memory stays bounded."""
    has_large_values = any(pa.types.is_binary(field.type) for field in arrow_schema(columns))
    return LARGE_VALUE_BATCH_ROWS if has_large_values else BATCH_ROWS


def _repeating_columns(batches: Iterator[pa.RecordBatch]) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """The columns whose values come back within the first batch, and all batches, that one too.

    Only these get dictionaries: of values that hardly repeat, one is built in vain and makes the file larger.
    """
    first = next(batches, None)
    if first is None:
        return [], batches
    repeating = [
        name
        for name, values in zip(first.schema.names, first.columns, strict=True)
        if 2 * pc.count_distinct(values).as_py() <= first.num_rows
    ]
    return repeating, chain([first], batches)


def _row_groups(batches: Iterator[pa.RecordBatch], output: OutputConfig, schema: pa.Schema) -> Iterator[pa.Table]:
    """Batches gathered until a row group is full by rows or by bytes in memory."""
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if gathered and (rows + batch.num_rows > output.row_group_rows or size + batch.nbytes > output.row_group_bytes):
            yield pa.Table.from_batches(gathered, schema)
            gathered, rows, size = [], 0, 0
        gathered.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if rows:
        yield pa.Table.from_batches(gathered, schema)


class Md5Sink(io.RawIOBase):
    """Passes bytes on to a file and sums them up, so that a part need not be read again for its md5."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._md5: _Hash = hashlib.md5(usedforsecurity=False)
        self.written = 0

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.written

    def write(self, data: object) -> int:
        view = memoryview(cast("bytes", data)).cast("B")
        self._file.write(view)
        self._md5.update(view)
        self.written += len(view)
        return len(view)
