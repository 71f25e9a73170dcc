"""DuckDB's types, and how each is delivered exactly. Pure.

Decides, from a column's declared type, which Arrow types the source can deliver and by which SQL expression. DuckDB's
own mapping to Arrow is not trusted (it returns UHUGEINT as a wrapped number without an error). Every column is cast in
SQL to a type whose Arrow form is certain, by a cast that either keeps the value or fails. Bounds of keys and windows
are cast to the column's own type. `statekeeper.schemas.columns.reconcile` decides which type the file has.

Infinity and 24:00:00 are refused: DuckDB has these values, but the Arrow types of such columns do not. DuckDB delivers
them without an error, infinity as the largest or smallest number of the type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from statekeeper.errors import DataError
from statekeeper.model.table import Position, Window
from statekeeper.sources.columns import TypeRule
from statekeeper.sources.scope import no_points_in_time, no_whole_numbers, wall_time
from statekeeper.sources.sql import Bind, Sql, quoted

if TYPE_CHECKING:
    from statekeeper.model.plan import PlannedColumn


@dataclass(frozen=True)
class Delivery:
    """An Arrow type, in the text form of `parquet.types`, and the SQL that makes it; `{0}` stands for the column."""

    arrow: str
    sql: str


KeyType = Literal["int", "Decimal", "date", "datetime", "str", "UUID"]

_INT64 = Delivery("int64", "CAST({0} AS BIGINT)")
_DECIMAL38 = Delivery("decimal128(38, 0)", "CAST({0} AS DECIMAL(38,0))")
_TEXT = Delivery("string", "CAST({0} AS VARCHAR)")
_TIMESTAMP = Delivery("timestamp[us]", "CAST({0} AS TIMESTAMP)")
_WHOLE_MICROSECONDS = (
    "CASE WHEN epoch_ns({0}) % 1000 <> 0 "
    "THEN error('the value ' || CAST({0} AS VARCHAR) || ' has nanoseconds, which microseconds cannot hold') "
    "ELSE CAST({0} AS {1}) END"
)
_TIMESTAMP_OF_NS = Delivery("timestamp[us]", f"CAST({_WHOLE_MICROSECONDS.replace('{1}', 'TIMESTAMP')} AS TIMESTAMP)")
_TIME_OF_NS = Delivery("time64[us]", f"CAST({_WHOLE_MICROSECONDS.replace('{1}', 'TIME')} AS TIME)")

_HUGE = (
    "holds integers of up to 39 digits, which no Arrow type holds: declare a Decimal of at most 38 digits, or an int"
)
_BY_QUERY = "has no exact Arrow type that Parquet readers share: select it in a custom_query as {0}"

_FIXED: dict[str, TypeRule[Delivery]] = {
    "TINYINT": TypeRule(Delivery("int8", "CAST({0} AS TINYINT)")),
    "SMALLINT": TypeRule(Delivery("int16", "CAST({0} AS SMALLINT)")),
    "INTEGER": TypeRule(Delivery("int32", "CAST({0} AS INTEGER)")),
    "BIGINT": TypeRule(_INT64),
    "UTINYINT": TypeRule(Delivery("uint8", "CAST({0} AS UTINYINT)")),
    "USMALLINT": TypeRule(Delivery("uint16", "CAST({0} AS USMALLINT)")),
    "UINTEGER": TypeRule(Delivery("uint32", "CAST({0} AS UINTEGER)")),
    "UBIGINT": TypeRule(
        Delivery("uint64", "CAST({0} AS UBIGINT)"),
        (_INT64, Delivery("decimal128(20, 0)", "CAST({0} AS DECIMAL(20,0))")),
    ),
    "HUGEINT": TypeRule(None, (_DECIMAL38, _INT64, _TEXT), _HUGE),
    "UHUGEINT": TypeRule(None, (_DECIMAL38, _INT64, _TEXT), _HUGE),
    "BIGNUM": TypeRule(None, (_TEXT,), "holds integers of any length, which no Arrow type holds: declare a str"),
    "FLOAT": TypeRule(Delivery("float", "CAST({0} AS FLOAT)")),
    "DOUBLE": TypeRule(Delivery("double", "CAST({0} AS DOUBLE)")),
    "BOOLEAN": TypeRule(Delivery("bool", "CAST({0} AS BOOLEAN)")),
    "VARCHAR": TypeRule(_TEXT),
    "JSON": TypeRule(_TEXT),
    "UUID": TypeRule(_TEXT),
    "BLOB": TypeRule(Delivery("binary", "CAST({0} AS BLOB)")),
    "DATE": TypeRule(Delivery("date32[day]", "CAST({0} AS DATE)")),
    "TIME": TypeRule(Delivery("time64[us]", "CAST({0} AS TIME)")),
    "TIMESTAMP": TypeRule(_TIMESTAMP),
    "TIMESTAMP_S": TypeRule(_TIMESTAMP),
    "TIMESTAMP_MS": TypeRule(_TIMESTAMP),
    "TIMESTAMP WITH TIME ZONE": TypeRule(Delivery("timestamp[us, tz=UTC]", "CAST({0} AS TIMESTAMPTZ)")),
    "TIMESTAMP_NS": TypeRule(
        None,
        (_TIMESTAMP_OF_NS, Delivery("timestamp[ns]", "CAST({0} AS TIMESTAMP_NS)")),
        "has nanoseconds, which Spark and Python cannot read: declare a datetime, and a value with nanoseconds then "
        "fails loudly; or select date_trunc('microsecond', {0}::TIMESTAMP) in a custom_query",
    ),
    "TIME_NS": TypeRule(
        None,
        (_TIME_OF_NS, _TEXT),
        "has nanoseconds, which Python cannot read: declare a time, and a value with nanoseconds then fails loudly; "
        "or select {0}::TIME in a custom_query",
    ),
    "TIME WITH TIME ZONE": TypeRule(None, (), _BY_QUERY.format("{0}::VARCHAR")),
    "INTERVAL": TypeRule(None, (), _BY_QUERY.format("{0}::VARCHAR")),
    "BIT": TypeRule(None, (), _BY_QUERY.format("{0}::VARCHAR")),
    "GEOMETRY": TypeRule(None, (), _BY_QUERY.format("{0}::VARCHAR")),
    "VARIANT": TypeRule(None, (), _BY_QUERY.format("to_json({0})")),
    '"NULL"': TypeRule(
        None, (), "has no type, being NULL in every row: cast it in the custom_query, such as {0}::VARCHAR"
    ),
}

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_NESTED = re.compile(r"(?:STRUCT|MAP|UNION)\b|.*\[\d*\]$", re.DOTALL)

_KEYS: dict[str, KeyType] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "int"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "int"),
    "DATE": "date",
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "datetime"),
    "TIMESTAMP WITH TIME ZONE": "datetime",
    "VARCHAR": "str",
    "UUID": "UUID",
}

_UNITS = {
    "DATE": timedelta(days=1),
    "TIMESTAMP_S": timedelta(seconds=1),
    "TIMESTAMP_MS": timedelta(milliseconds=1),
    "TIMESTAMP": timedelta(microseconds=1),
    "TIMESTAMP_NS": timedelta(microseconds=1),
    "TIMESTAMP WITH TIME ZONE": timedelta(microseconds=1),
}
"""The types that hold points in time, with the smallest unit of a bound on each."""


def type_rule(database_type: str) -> TypeRule[Delivery]:
    """The rule for a type, as DESCRIBE prints the type. In a refusal, `{0}` stands for the column."""
    if database_type.endswith("]"):  # before everything else: DECIMAL(4,1)[] and ENUM('a')[] are lists
        return TypeRule(None, (), _BY_QUERY.format("to_json({0})"))
    if (rule := _FIXED.get(database_type)) is not None:
        return rule
    if (decimal := _DECIMAL.fullmatch(database_type)) is not None:
        precision, scale = int(decimal.group(1)), int(decimal.group(2))
        read = Delivery(f"decimal128({precision}, {scale})", f"CAST({{0}} AS DECIMAL({precision},{scale}))")
        return TypeRule(read, (_INT64,) if scale == 0 else ())
    if database_type.startswith("ENUM("):
        return TypeRule(_TEXT)
    if _NESTED.match(database_type):
        return TypeRule(None, (), _BY_QUERY.format("to_json({0})"))
    return TypeRule(
        None, (), "is of a type that statekeeper does not know: select it in a custom_query as {0}::VARCHAR"
    )


def hint_on_value(column: str, database_type: str) -> str:
    """What to do about a value of a column that could not be delivered as planned."""
    name = quoted(column)
    if database_type in {"TIMESTAMP_NS", "TIME_NS"}:
        coarser = database_type.removesuffix("_NS")
        return f"select {name}::{coarser}, which cuts nanoseconds off, or {name}::VARCHAR in a custom_query"
    return f"declare for {column} a type that holds the value, or select {name}::VARCHAR in a custom_query"


def key_type(database_type: str) -> KeyType | None:
    """The Python type of bounds on a column; None for a type that cannot be a chunking key."""
    if _DECIMAL.fullmatch(database_type):
        return "Decimal"
    return _KEYS.get(database_type)


def bound_of(database_type: str, text: str) -> Sql:
    """A value with which a column is compared, in the column's own type."""
    return Sql(f"CAST(? AS {database_type})", (Bind(database_type, text),))


def window_bound(name: str, position: Position, window: Window, database_type: str) -> Sql:
    """A `WindowBound`. A bound on a DATE is a midnight; one above the greatest number may not fit the column's type."""
    del name  # parameters are bound in their order
    if isinstance(position, int):
        if not database_type.endswith(("INT", "INTEGER")):
            raise no_whole_numbers(window, database_type)
        return bound_of("HUGEINT", str(position))
    if database_type == "TIMESTAMP WITH TIME ZONE":
        return bound_of(database_type, position.astimezone(UTC).isoformat(sep=" "))
    if database_type not in _UNITS:
        raise no_points_in_time(window, database_type)
    wall = wall_time(position, window, _UNITS[database_type])
    return bound_of(database_type, wall.date().isoformat() if database_type == "DATE" else wall.isoformat(sep=" "))


_DAY = {"us": 86_400_000_000, "ns": 86_400_000_000_000}


def check_values(batch: pa.RecordBatch, columns: tuple[PlannedColumn, ...]) -> None:
    """Raise DataError for a date or timestamp that is infinite, or a time that is 24:00:00."""
    for field, values, planned in zip(batch.schema, batch.columns, columns, strict=True):
        where = f"column {field.name} ({planned.database_type})"
        if pa.types.is_timestamp(field.type) or pa.types.is_date32(field.type):
            storage = pa.int32() if pa.types.is_date32(field.type) else pa.int64()
            most = 2 ** (storage.bit_width - 1) - 1
            if _reaches(values, storage, lowest=-most, highest=most):
                raise DataError(
                    f"{where} holds infinity, which {field.type} cannot hold",
                    hint=f'select nullif of it, or "{field.name}"::VARCHAR, in a custom_query',
                )
        elif pa.types.is_time64(field.type) and _reaches(values, pa.int64(), lowest=-1, highest=_DAY[field.type.unit]):
            raise DataError(
                f"{where} holds 24:00:00, which {field.type} cannot hold",
                hint=f'select "{field.name}"::VARCHAR in a custom_query',
            )


def _reaches(values: pa.Array, storage: pa.DataType, *, lowest: int, highest: int) -> bool:
    found = pc.min_max(values.view(storage))
    least, most = found["min"].as_py(), found["max"].as_py()
    return least is not None and (least <= lowest or most >= highest)
