"""The natural Python types of Arrow types."""

from __future__ import annotations

import pyarrow as pa

from statekeeper.schemas.model.fields import Kind


def natural_kind(kind: pa.DataType) -> Kind:
    """The Python type of an Arrow column's values without conversion."""
    types = pa.types
    for test, found in (
        (types.is_integer, Kind.INT),
        (types.is_decimal, Kind.DECIMAL),
        (types.is_floating, Kind.FLOAT),
        (types.is_string, Kind.STR),
        (types.is_binary, Kind.BYTES),
        (types.is_boolean, Kind.BOOL),
        (types.is_date, Kind.DATE),
        (types.is_timestamp, Kind.DATETIME),
        (types.is_time, Kind.TIME),
    ):
        if test(kind):
            return found
    return Kind.ANY
