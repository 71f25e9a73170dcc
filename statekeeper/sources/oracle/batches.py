"""Converts what the driver delivers to the planned columns, and checks every batch before its values are used.

Decides the statement's projection and the schema that is requested from the driver. Converts each column from its type
on the wire to its `read_type`, either exactly or with an error that names column and value. Sends no statements.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from statekeeper.errors import DataError
from statekeeper.model.plan import PlannedColumn
from statekeeper.parquet.types import parse_type
from statekeeper.sources.oracle.errors import NO_TEXT
from statekeeper.sources.oracle.types import OFFSET_OF, Delivery, TypeChoices, expression, type_rule
from statekeeper.sources.sql import quoted

_WIRE = {"large_string": pa.large_string(), "large_binary": pa.large_binary()}
_GUARD, _OFFSET = "_GUARD", "_OFFSET"
_DAY = pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer((86_400_000_000).to_bytes(8, sys.byteorder))])[0]
"""A day in microseconds. Made from bytes, since Arrow imports pandas to convert any Python value."""
_DECLARED_LENGTH = re.compile(r"(?:N?(?:VAR)?CHAR2?|RAW)\((\d+)\)")
_BYTES_OF_CHARACTER = 4
_OTHER_TEXTS, _NUMBER_TEXT = {"UROWID": 4000}, 200
"""The size in bytes of texts whose type declares no length: those of numbers and timestamps are short."""
_FIRST_NANOSECOND, _LAST_NANOSECOND = "1677-09-21 00:12:43.145224192", "2262-04-11 23:47:16.854775807"
LARGEST_ARRAY = 2**31
"""The size in bytes that Arrow arrays of a file's types cannot hold, since their offsets have 32 bits."""


@dataclass(frozen=True)
class Projection:
    """The select list of a chunk's statement: the planned columns, then a guard for each column that has one."""

    columns: tuple[PlannedColumn, ...]
    deliveries: tuple[Delivery, ...]

    @classmethod
    def of(cls, columns: tuple[PlannedColumn, ...], choices: TypeChoices) -> Projection:
        """The projection of planned columns. Raises PlanError for a column that cannot be read as planned."""
        return cls(columns, tuple(type_rule(one.database_type, choices).delivery(one) for one in columns))

    @property
    def guarded(self) -> tuple[tuple[PlannedColumn, str], ...]:
        """The columns that have a guard, each with its SQL."""
        pairs = zip(self.columns, self.deliveries, strict=True)
        return tuple((column, how.guard) for column, how in pairs if how.guard is not None)

    @property
    def _aliases(self) -> list[str]:
        """The columns' names in the statement. An offset's own name may be too long for Oracle, due to its suffix."""
        return [
            f"{_OFFSET}{number}" if column.database_type.startswith(OFFSET_OF) else column.name
            for number, column in enumerate(self.columns)
        ]

    @property
    def sql(self) -> str:
        """The select list as text."""
        parts = [
            f"{expression(how.sql, column.name, column.database_type)} AS {quoted(alias)}"
            for column, how, alias in zip(self.columns, self.deliveries, self._aliases, strict=True)
        ]
        parts += [
            f'{expression(guard, column.name, column.database_type)} AS "{_GUARD}{number}"'
            for number, (column, guard) in enumerate(self.guarded)
        ]
        return ", ".join(parts)

    @property
    def schema(self) -> pa.Schema:
        """The schema that is requested from the driver."""
        fields = [pa.field(alias, wire_type(how)) for alias, how in zip(self._aliases, self.deliveries, strict=True)]
        fields += [pa.field(f"{_GUARD}{number}", pa.string()) for number in range(len(self.guarded))]
        return pa.schema(fields)

    @property
    def widest_row(self) -> int | None:
        """The maximum size of a row in bytes by its declared types; None if there are LOBs or LONGs."""
        if any(how.wire in _WIRE for how in self.deliveries):
            return None
        return sum(_width(column, how) for column, how in zip(self.columns, self.deliveries, strict=True))


def _width(column: PlannedColumn, how: Delivery) -> int:
    kind = wire_type(how)
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind)):
        return int(kind.bit_width + 7) // 8
    declared = _DECLARED_LENGTH.match(column.database_type)
    return _BYTES_OF_CHARACTER * int(declared[1]) if declared else _OTHER_TEXTS.get(column.database_type, _NUMBER_TEXT)


def wire_type(how: Delivery) -> pa.DataType:
    """The Arrow type that is requested from the driver."""
    return _WIRE.get(how.wire) or parse_type(how.wire)


def delivered(arrays: list[pa.Array], projection: Projection) -> Iterator[pa.RecordBatch]:
    """The planned columns of one data frame, each in its `read_type`; several batches if one would be too large.

    Args:
        arrays: what the driver delivered, one array for each column of `projection.schema`.
        projection: what was requested.

    Raises:
        DataError: lengths or types differ from the request, a guard found a value, or a value does not fit exactly.
    """
    _check_shape(arrays, projection.schema)
    values, guards = arrays[: len(projection.columns)], arrays[len(projection.columns) :]
    _check_guards(guards, projection)
    yield from _batches(values, projection)


def _check_shape(columns: list[pa.Array], schema: pa.Schema) -> None:
    """Check that the driver delivered what was requested: releases before 26.1 lost rows of single columns."""
    if len(columns) != len(schema):
        raise DataError(f"the driver delivered {len(columns)} columns, requested were {len(schema)}", hint=_REPORT)
    rows = len(columns[0]) if columns else 0
    for array, field in zip(columns, schema, strict=True):
        if len(array) != rows:
            raise DataError(
                f"column {field.name}: the driver delivered {len(array)} values, and {rows} of the first column",
                hint=_REPORT,
            )
        if array.type != field.type:
            raise DataError(
                f"column {field.name}: the driver delivered {array.type}, requested was {field.type}", hint=_REPORT
            )


_REPORT = "this is a fault of the driver: compare with another release of oracledb, and report it"


def _check_guards(guards: list[pa.Array], projection: Projection) -> None:
    for array, (column, _) in zip(guards, projection.guarded, strict=True):
        if array.null_count == len(array):
            continue
        value = pc.drop_null(array)[0].as_py()
        why = "needs more than 38 digits before or after the point, which no decimal type of a file can hold"
        raise _refused(column, value, why, hint=f"declare {column.name} as a str, or round it in a custom_query")


def _refused(column: PlannedColumn, value: object, why: str, *, hint: str) -> DataError:
    where = f"column {column.name} ({column.database_type})"
    return DataError(f"{where}: the value {value} {why}", hint=hint, discreet=f"{where}: a value {why}")


def _batches(values: list[pa.Array], projection: Projection) -> Iterator[pa.RecordBatch]:
    try:
        arrays = [
            _convert_exactly(array, column, how)
            for array, column, how in zip(values, projection.columns, projection.deliveries, strict=True)
        ]
    except _TooLarge:
        half = len(values[0]) // 2
        yield from _batches([array.slice(0, half) for array in values], projection)
        yield from _batches([array.slice(half) for array in values], projection)
        return
    names = [column.name for column in projection.columns]
    yield pa.RecordBatch.from_arrays(arrays, names=names)


class _TooLarge(Exception):
    """More than 2 GiB of texts in one batch."""


def _convert_exactly(array: pa.Array, column: PlannedColumn, how: Delivery) -> pa.Array:
    try:
        return _converted(array, column, how)
    except pa.ArrowException as error:
        what = f"column {column.name} ({column.database_type}): a value does not fit {how.arrow}"
        raise DataError(
            f"{what}: {error}", discreet=what, hint="select it in parts, or leave it out, in a custom_query"
        ) from error


def _converted(array: pa.Array, column: PlannedColumn, how: Delivery) -> pa.Array:
    target = parse_type(how.arrow)
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type):
        array = _to_small_offsets(array, target)
    if array.type == target:
        return _text(array, column, how) if pa.types.is_string(target) else array
    if pa.types.is_string(array.type):
        return _timestamps(array, target, column)
    if pa.types.is_date32(target):
        return _dates(array, column)
    return array.view(target)  # a timestamp that the statement has converted to UTC


def _to_small_offsets(array: pa.Array, target: pa.DataType) -> pa.Array:
    if array.nbytes >= LARGEST_ARRAY and len(array) > 1:
        raise _TooLarge
    return array.cast(pa.string() if pa.types.is_large_string(array.type) else target)


def _text(array: pa.Array, column: PlannedColumn, how: Delivery) -> pa.Array:
    text = _valid_text(array, column)
    return pc.utf8_rtrim(text, " ") if how.is_trimmed else text


def _valid_text(array: pa.Array, column: PlannedColumn) -> pa.Array:
    """The array, after a check that its text is valid; the driver does not check that."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        what = f"column {column.name} ({column.database_type}): a value is not valid in the database's character set"
        raise DataError(
            f"{what}: {error}",
            hint=NO_TEXT,
            discreet=what,
        ) from error
    return array


def _dates(array: pa.Array, column: PlannedColumn) -> pa.Array:
    ticks = array.view(pa.int64())
    days = pc.divide(ticks, _DAY)  # rounds towards zero; exact if there is no time of day
    with_time = pc.not_equal(pc.multiply(days, _DAY), ticks)
    if pc.any(with_time).as_py():
        value = array.filter(with_time)[0]
        hint = f"declare {column.name} as a datetime, or select TRUNC of it in a custom_query"
        raise _refused(column, value, "has a time of day, which a date cannot hold", hint=hint)
    return days.cast(pa.int32()).view(pa.date32())


def _timestamps(array: pa.Array, target: pa.DataType, column: PlannedColumn) -> pa.Array:
    """Texts with nine decimals as timestamps of the target's unit."""
    text = pc.utf8_ltrim_whitespace(array)
    parsed = _nanoseconds if target.unit == "ns" else _microseconds
    try:
        return parsed(text).view(target)
    except pa.ArrowInvalid as error:
        value = next(text[row].as_py() for row in range(len(text)) if not _is_timestamp(text.slice(row, 1), parsed))
        hint = "round it in a custom_query by CAST(... AS TIMESTAMP(6)), or set fractional_seconds for the source"
        raise _refused(column, value, f"does not fit {target} exactly", hint=hint) from error


def _microseconds(text: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(text, r"^(.*\.\d{6})000$", r"\1").cast(pa.timestamp("us"))


def _nanoseconds(text: pa.Array) -> pa.Array:
    """Checked by their texts: older Arrow releases (such as 19) silently wrap a timestamp beyond 64 bits."""
    limits = pc.min_max(text).as_py()
    if limits["min"] is not None and not _FIRST_NANOSECOND <= limits["min"] <= limits["max"] <= _LAST_NANOSECOND:
        raise pa.ArrowInvalid("beyond the nanoseconds of 64 bits")
    return text.cast(pa.timestamp("ns"))


def _is_timestamp(text: pa.Array, parsed: Callable[[pa.Array], pa.Array]) -> bool:
    try:
        parsed(text)
    except pa.ArrowInvalid:
        return False
    return True
