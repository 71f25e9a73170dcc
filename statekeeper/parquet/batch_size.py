"""How much of a table a process holds at once: the bytes of a batch and of a row group, and the rows of the next batch.

Everything follows from `execution.memory_limit`, which bounds DuckDB too: a batch is a sixteenth of it, a row group at
most an eighth. The heaviest row of the last batches gives the number of rows. Before the first batch, a column counts
as wide as its declared type allows. If a type has no bound (CLOB, BLOB, LONG), reading starts with one row, doubles,
and never requests more rows than fit if an unseen one has `UNSEEN` bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from statekeeper.config.sections.quantities import format_size, parse_size
from statekeeper.errors import DataError

if TYPE_CHECKING:
    from statekeeper.model.plan import PlannedColumn

UNSEEN = 256 * 1024
"""Assumed bytes of an unseen value in a column whose type has no bound."""
_MAX_SCANNED_ROWS = 10_000
_BATCH_SHARE, _GROUP_SHARE = 16, 8
_HAS_LENGTHS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


@dataclass(frozen=True)
class MemoryBudget:
    """The bytes of a table that a process may hold: a batch, a row group, and the largest single value."""

    batch: int
    row_group: int
    value: int

    @classmethod
    def of(cls, memory_limit: str) -> Self:
        """The shares of a memory limit in DuckDB's notation."""
        limit = parse_size(memory_limit)
        return cls(max(1, limit // _BATCH_SHARE), max(1, limit // _GROUP_SHARE), limit)


class BatchSize:
    """How many `rows` the next batch of a stream has; call `weigh` with each batch before requesting the next.

    `widest_row` is the most bytes that the declared types allow in a row, None if one of them has no bound.
    """

    def __init__(self, *, widest_row: int | None, max_rows: int, max_bytes: int) -> None:
        self._max_rows, self._max_bytes = max_rows, max_bytes
        if widest_row is None:
            self._max_rows = self._fitting(UNSEEN)
        self._heaviest = widest_row or 0
        self.steady = self._fitting(self._heaviest)
        """The rows of every batch, for streams that cannot change it."""
        self.rows = 1 if widest_row is None else self.steady

    def weigh(self, arrays: Sequence[pa.Array]) -> None:
        """Learn from the columns of a batch. The weight of earlier, heavier rows halves with each batch."""
        self._heaviest = max(_heaviest_row(arrays), self._heaviest // 2)
        self.rows = min(2 * self.rows, self._fitting(self._heaviest))

    def _fitting(self, row_bytes: int) -> int:
        return min(self._max_rows, max(1, self._max_bytes // max(1, row_bytes)))


def _heaviest_row(arrays: Sequence[pa.Array]) -> int:
    """An upper bound of a row's bytes in a batch: the sum of each column's heaviest value."""
    return sum(_heaviest_value(array) for array in arrays)


def _heaviest_value(array: pa.Array) -> int:
    if not _has_lengths(array.type):
        return int(array.type.bit_width + 7) // 8
    return pc.max(pc.binary_length(array)).as_py() or 0


def _has_lengths(kind: pa.DataType) -> bool:
    return any(is_of_kind(kind) for is_of_kind in _HAS_LENGTHS)


def check_values_fit(batch: pa.RecordBatch, columns: tuple[PlannedColumn, ...], budget: MemoryBudget) -> None:
    """Raise DataError for a value that is too large even for a batch of one row."""
    if batch.nbytes <= budget.value:
        return
    for array, column in zip(batch.columns, columns, strict=True):
        size = _heaviest_value(array)
        if size > budget.value:
            raise DataError(
                f"column {column.name} ({column.database_type}): a value has {format_size(size)}, and "
                f"execution.memory_limit is {format_size(budget.value)}",
                hint=f"set execution.memory_limit to {format_size(2 * size)} or more, or leave {column.name} out, or "
                "select a part of it, in a custom_query",
            )


def rows_within(metadata: pq.FileMetaData, budget: MemoryBudget, *, most: int = _MAX_SCANNED_ROWS) -> int:
    """How many rows of a Parquet file fit into a batch, by its heaviest row group; not more than `most`."""
    return min(most, max(1, budget.batch // max(1, heaviest_row_of(metadata))))


def heaviest_row_of(metadata: pq.FileMetaData) -> int:
    """The average bytes of a row in the heaviest row group of a Parquet file."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)


def pieces(batch: pa.RecordBatch, max_bytes: int) -> Iterator[pa.RecordBatch]:
    """The batch in slices of at most `max_bytes` bytes, or of one row; no bytes are copied."""
    if batch.num_rows <= 1 or batch.nbytes <= max_bytes:
        yield batch
        return
    half = batch.num_rows // 2
    yield from pieces(batch.slice(0, half), max_bytes)
    yield from pieces(batch.slice(half), max_bytes)
