"""Arrow types as text, the schema of a file, and the checked cast from the source's types to the file's.

Decides which types statekeeper knows, and refuses every cast that would change a value. Which type a column gets is
decided in `schemas.columns.reconcile`.
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from statekeeper.errors import DataError

if TYPE_CHECKING:
    from statekeeper.model.plan import PlannedColumn

_SIMPLE = {
    str(kind): kind
    for kind in (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.bool_(), pa.date32(), pa.time64("us")),
        *(pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns")),
        pa.timestamp("us", tz="UTC"),
    )
}
_DECIMAL = re.compile(r"^decimal(128|256)\((\d{1,2}), ?(\d{1,2})\)$")
_INTEGER_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
_EXACT_IN_DOUBLE = 32
"""Integers of up to this many bits are exact as double."""


@lru_cache(maxsize=512)
def parse_type(text: str) -> pa.DataType:
    """The Arrow type that `text` names, in Arrow's spelling. Raises ValueError for a type outside our closed set."""
    simple = _SIMPLE.get(text)
    if simple is not None:
        return simple
    found = _DECIMAL.match(text)
    if found is None:
        known = ", ".join([*_SIMPLE, "decimal128(p, s)", "decimal256(p, s)"])
        raise ValueError(f"{text!r} is not an Arrow type that statekeeper writes; it knows {known}")
    width, precision, scale = (int(group) for group in found.groups())
    if scale > precision:
        raise ValueError(f"{text!r} has a scale beyond its precision")
    return pa.decimal128(precision, scale) if width == 128 else pa.decimal256(precision, scale)


def format_type(kind: pa.DataType) -> str:
    """The text that `parse_type` reads back. Raises ValueError for a type outside our closed set."""
    text = str(kind)
    parse_type(text)
    return text


def arrow_schema(columns: tuple[PlannedColumn, ...]) -> pa.Schema:
    """The file's schema: every column under its database name, nullable, in the plan's order."""
    return pa.schema([pa.field(column.name, parse_type(column.arrow_type)) for column in columns])


def schema_digest(schema: pa.Schema) -> str:
    """SHA-256 (hexadecimal) over names and types in order only."""
    digest = hashlib.sha256()
    for field in schema:
        for part in (field.name, str(field.type)):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def is_checked_cast(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether `cast_batch` can convert one type to the other and refuse each value that does not fit exactly.

    Arrow's `safe=True` is not enough: it rounds double to float and cuts the time off a timestamp.
    """
    types = pa.types
    if source == target:
        return True
    if types.is_integer(source):
        narrow = types.is_float64(target) and source.bit_width <= _EXACT_IN_DOUBLE
        return bool(types.is_integer(target) or types.is_decimal(target) or narrow)
    if types.is_decimal(source):
        return bool(types.is_decimal(target) or types.is_integer(target))
    if types.is_timestamp(source):
        return bool(types.is_timestamp(target) and source.tz == target.tz)
    return bool(types.is_float32(source) and types.is_float64(target))


def cast_batch(batch: pa.RecordBatch, columns: tuple[PlannedColumn, ...]) -> pa.RecordBatch:
    """The batch, cast to the types of the file.

    Args:
        batch: what the source delivered: exactly the planned columns, each of its `read_type`.
        columns: the planned columns, in order.

    Raises:
        DataError: names, lengths or types differ from the plan, or a value does not fit its file type exactly.
    """
    _check_names(batch, columns)
    arrays = [_cast_column(batch, index, column) for index, column in enumerate(columns)]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(columns))


def _check_names(batch: pa.RecordBatch, columns: tuple[PlannedColumn, ...]) -> None:
    expected = [column.name for column in columns]
    if batch.schema.names == expected:
        return
    missing = [name for name in expected if name not in batch.schema.names]
    added = [name for name in batch.schema.names if name not in expected]
    raise DataError(
        f"the source delivered other columns than planned: missing {missing}, not planned {added}, "
        f"expected in this order {expected}",
        hint="the table was changed while it was read: the next run extracts it anew",
    )


def _cast_column(batch: pa.RecordBatch, index: int, column: PlannedColumn) -> pa.Array:
    array = batch.column(index)
    expected = parse_type(column.read_type)
    if len(array) != batch.num_rows:
        raise DataError(
            f"column {column.name}: the source delivered {len(array)} values in a batch of {batch.num_rows} rows"
        )
    if array.type != expected:
        raise DataError(
            f"column {column.name} ({column.database_type}): the source delivered {array.type}, planned was {expected}"
        )
    target = parse_type(column.arrow_type)
    if not is_checked_cast(expected, target):
        raise DataError(f"column {column.name}: the plan casts {expected} to {target}, which cannot be checked")
    if _is_whole(array) and expected == target:
        return array
    try:
        return _cast(array, target)
    except pa.ArrowInvalid as error:
        value = _text(array, _first_refused(array, target))
        where = f"column {column.name} ({column.database_type})"
        why = f"was read as {expected} and does not fit {target} exactly"
        raise DataError(
            f"{where}: the value {value} {why}",
            hint=f"declare for {column.name} a type that holds it, or select the column as one",
            discreet=f"{where}: a value {why}",
        ) from error


def _is_whole(array: pa.Array) -> bool:
    """False if a decimal has more digits than its type allows: drivers fill the buffers unchecked."""
    if not pa.types.is_decimal(array.type):
        return True
    limits = pc.min_max(array).as_py()
    if limits["min"] is None:
        return True
    limit = _decimal_limit(array.type)
    return bool(-limit < limits["min"] and limits["max"] < limit)


def _decimal_limit(kind: pa.DataType) -> Decimal:
    return Decimal((0, (1,), kind.precision - kind.scale))


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    if not _is_whole(array):
        raise pa.ArrowInvalid(f"a decimal has more digits than {array.type} allows")
    if pa.types.is_integer(array.type) and pa.types.is_decimal(target):
        # By type alone, Arrow refuses int64 to a decimal of fewer than 19 whole digits; we check each value.
        array = array.cast(pa.decimal128(_INTEGER_DIGITS[array.type.bit_width], 0), safe=True)
    return array.cast(target, safe=True)


def _first_refused(array: pa.Array, target: pa.DataType) -> int:
    """The index of the first value that does not cast, by binary search."""
    start, length = 0, len(array)
    while length > 1:
        half = length // 2
        try:
            _cast(array.slice(start, half), target)
        except pa.ArrowInvalid:
            length = half
        else:
            start, length = start + half, length - half
    return start


def _text(array: pa.Array, position: int) -> str:
    if pa.types.is_timestamp(array.type):  # Arrow's text also shows nanoseconds and dates that Python lacks
        return str(array.slice(position, 1).cast(pa.string())[0])
    return str(array[position].as_py())
