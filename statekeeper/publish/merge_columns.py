"""A file of a table against the table's columns: which of them it has, and their values as the table's types.

Files of one version differ: earlier ones lack columns that were added later, which means NULL, or have narrower types
that were widened later; other writers have their own forms of one type. A value is never changed: what has no exact
conversion is refused, and so is a column that the table does not have, since its values might be in the table under
another name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from statekeeper.errors import DataError
from statekeeper.parquet.types import is_checked_cast

_BY_ITS_OWN_MEANS = (
    "let the program that wrote the file write the table's files anew, with the columns that the table has now"
)
_TEXTS = frozenset({pa.string(), pa.large_string(), pa.string_view()})
_BYTES = frozenset({pa.binary(), pa.large_binary(), pa.binary_view()})


@dataclass(frozen=True)
class FileColumns:
    """The columns of one file. `shape` is equal for files whose columns are the same, also in their physical types."""

    path: Path
    names: frozenset[str]
    shape: tuple[tuple[str, str, str], ...]
    table: pa.Schema

    @classmethod
    def of(cls, path: Path, file: pq.ParquetFile, table: pa.Schema) -> FileColumns:
        """The columns of a file of a table with these columns. Raises DataError."""
        leaves = [file.schema.column(index) for index in range(len(file.schema))]
        physical = {leaf.path: leaf.physical_type for leaf in leaves}
        for field in file.schema_arrow:
            if field.name not in table.names:
                raise DataError(
                    f"{path} cannot be merged: it has the column {field.name}, which its table does not have",
                    hint=_BY_ITS_OWN_MEANS,
                )
            target = table.field(field.name).type
            if not _is_exact(field.type, target, is_int96=physical.get(field.name) == "INT96"):
                raise DataError(
                    f"{path} cannot be merged: {field.name} is {field.type} in it, and {target} in its table",
                    hint=_BY_ITS_OWN_MEANS,
                )
        shape = tuple((leaf.path, leaf.physical_type, str(leaf.logical_type)) for leaf in leaves)
        return cls(path, frozenset(file.schema_arrow.names), shape, table)

    def conformed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of the file with all columns of the table, in its order and types. Raises DataError."""
        return pa.RecordBatch.from_arrays([self._column(batch, field) for field in self.table], schema=self.table)

    def _column(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        if field.name not in self.names:
            return pa.nulls(batch.num_rows, field.type)
        values = batch.column(field.name)
        if values.type == field.type:
            return values
        try:
            return _decoded(values).cast(field.type, safe=True)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{self.path} cannot be merged: {field.name} has a value that {field.type} does not hold",
                hint=_BY_ITS_OWN_MEANS,
            ) from error


def _decoded(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _is_exact(source: pa.DataType, target: pa.DataType, *, is_int96: bool) -> bool:
    """Whether a cast keeps every value or fails."""
    if pa.types.is_dictionary(source):
        return _is_exact(source.value_type, target, is_int96=is_int96)
    if is_int96:  # without a zone in the file, and an instant in every table that has such files
        return bool(pa.types.is_timestamp(target) and target.unit == "us")
    if pa.types.is_timestamp(source) and pa.types.is_timestamp(target) and source.tz and target.tz:
        return is_checked_cast(source, pa.timestamp(target.unit, source.tz))
    return (
        is_checked_cast(source, target)
        or {source, target} <= _TEXTS
        or {source, target} <= _BYTES
        or (pa.types.is_fixed_size_binary(source) and target in _BYTES)
    )
