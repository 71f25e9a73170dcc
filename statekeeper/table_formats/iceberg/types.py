"""Which Iceberg type a column of a file has in a table, and which columns a table cannot have. docs/tables.md has it.

Tables are of Iceberg's version 2, which all engines read. Iceberg has fewer types than Parquet. A narrower integer, or
a timestamp of seconds or milliseconds, is kept in the file as it is: readers widen it exactly. What a reader would have
to change is refused.
"""

from __future__ import annotations

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

DIGITS = 38
"""The most digits of an Iceberg decimal."""
_BY_NAME: dict[str, IcebergType] = {
    **dict.fromkeys(("int8", "int16", "int32"), IntegerType()),
    "int64": LongType(),
    "float": FloatType(),
    "double": DoubleType(),
    "string": StringType(),
    "binary": BinaryType(),
    "bool": BooleanType(),
    "date32[day]": DateType(),
    "time64[us]": TimeType(),
    **dict.fromkeys(("timestamp[s]", "timestamp[ms]", "timestamp[us]"), TimestampType()),
    "timestamp[us, tz=UTC]": TimestamptzType(),
}
_ARROW: dict[IcebergType, pa.DataType] = {
    IntegerType(): pa.int32(),
    LongType(): pa.int64(),
    FloatType(): pa.float32(),
    DoubleType(): pa.float64(),
    StringType(): pa.string(),
    BinaryType(): pa.binary(),
    BooleanType(): pa.bool_(),
    DateType(): pa.date32(),
    TimeType(): pa.time64("us"),
    TimestampType(): pa.timestamp("us"),
    TimestamptzType(): pa.timestamp("us", tz="UTC"),
}


def why_unsupported(kind: pa.DataType) -> str | None:
    """Why a table cannot have a column of this type, as the end of a sentence; None if it can."""
    types = pa.types
    if iceberg_type(kind) is not None:
        return None
    if types.is_unsigned_integer(kind):
        return "Iceberg has no unsigned integers: declare it as decimal"
    if types.is_decimal(kind):
        return f"Iceberg has decimals of at most {DIGITS} digits: declare a smaller precision, or str"
    if types.is_timestamp(kind) and kind.unit == "ns":
        return "Iceberg has microseconds: cast it to them in a custom_query"
    if types.is_timestamp(kind):
        return "Iceberg has times without a zone, or in UTC: cast it to one of them in a custom_query"
    if types.is_time(kind):
        return "Iceberg has times of day in microseconds: cast it to them in a custom_query"
    return f"Iceberg has no type for {kind}: cast it to text in a custom_query"


def iceberg_type(kind: pa.DataType) -> IcebergType | None:
    """The type that a column of a file has in a table; None if a table cannot have it."""
    if pa.types.is_decimal128(kind):
        return DecimalType(kind.precision, kind.scale)
    return _BY_NAME.get(str(kind))


def arrow_type(field: NestedField) -> pa.DataType:
    """The Arrow type of a table's column, as files of this package have it."""
    kind = field.field_type
    if isinstance(kind, DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    return _ARROW.get(kind) or schema_to_pyarrow(Schema(field), include_field_ids=False).field(0).type


def is_read_as(kind: pa.DataType, column: IcebergType) -> bool:
    """Whether every value of a file's column is read exactly, and without loss, as a table's column."""
    own = iceberg_type(kind)
    if own == column:
        return True
    if isinstance(own, DecimalType) and isinstance(column, DecimalType):
        return own.scale == column.scale and own.precision <= column.precision
    return (own, column) in {(IntegerType(), LongType()), (FloatType(), DoubleType())}
