"""Values: Python values to Arrow columns in the storage type of an Oracle type, with Oracle's own checks.

'' is NULL, CHAR is padded, a NUMBER is rounded to its scale and refused where its precision is too small.
"""

import datetime as dt
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa

from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.wire import rowids, scalars

SIGNIFICANT = 40  # digits that a NUMBER keeps
_MOMENT = re.compile(
    r"(?P<year>-?\d{1,4})-(?P<month>\d\d?)-(?P<day>\d\d?)(?:[T ](?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)"
    r"(?:\.(?P<fraction>\d{1,9}))?)?)?\s*(?P<zone>Z|UTC|[+-]\d\d?:\d\d)?$"
)


def to_storage(kind: OracleType, values: Sequence[Any], column: str = "") -> pa.Array:
    """An Arrow array of the column's storage type; raises the ORA error of the first value that does not fit."""
    kept = [None if value is None or value == "" else value for value in values]
    if kind.is_number:
        return _numbers(kind, kept)
    if kind.is_character:
        return pa.array([None if value is None else _text(kind, value, column) for value in kept], pa.string())
    unit = "ns" if (kind.scale or 0) > 6 else "us"
    match kind.name:
        case "RAW" | "LONG RAW" | "BLOB":
            return pa.array([_bytes(value) for value in kept], pa.binary())
        case "BINARY_DOUBLE":
            return pa.array([None if value is None else float(value) for value in kept], pa.float64())
        case "BINARY_FLOAT":
            return pa.array([None if value is None else np.float32(value) for value in kept], pa.float32())
        case "DATE":
            micros = [None if value is None else moment(value)[0] // 10**9 * 10**6 for value in kept]
            return pa.array(micros, pa.int64()).cast(pa.timestamp("us"))
        case "TIMESTAMP" | "TIMESTAMP WITH LOCAL TIME ZONE":
            return _moments([None if value is None else moment(value)[0] for value in kept], unit, kind.scale or 0)
        case "TIMESTAMP WITH TIME ZONE":
            pairs = [None if value is None else moment(value) for value in kept]
            utc = _moments([None if pair is None else pair[0] for pair in pairs], unit, kind.scale or 0)
            minutes = pa.array([None if pair is None else pair[1] for pair in pairs], pa.int16())
            missing = pa.array([pair is None for pair in pairs])
            return pa.StructArray.from_arrays([utc, minutes], ["utc", "minutes"], mask=missing)
        case "BOOLEAN":
            return pa.array([None if value is None else bool(value) for value in kept], pa.bool_())
        case "ROWID":
            return pa.array([rowids.from_text(v) if isinstance(v, str) else v for v in kept], pa.int64())
        case "INTERVAL DAY TO SECOND":
            return pa.array([None if value is None else _microseconds(value) for value in kept], pa.int64())
        case "INTERVAL YEAR TO MONTH":
            return pa.array(kept, pa.int64())
        case _:
            return pa.array([None if value is None else str(value) for value in kept], pa.string())


def exact(value: Any) -> Decimal:
    """A number from any Python value; ORA-01722 where there is none."""
    try:
        if isinstance(value, float):
            return Decimal(repr(value))
        return Decimal(str(value).strip()) if not isinstance(value, Decimal) else value
    except InvalidOperation as reason:
        raise OracleError(1722, repr(str(value)[:1]), value) from reason


def rounded(value: Decimal, scale: int) -> Decimal:
    return (
        value.quantize(Decimal((0, (1,), -scale)), ROUND_HALF_UP, scalars.EXACT) if _has_more(value, scale) else value
    )


def _has_more(value: Decimal, scale: int) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and -exponent > scale


def fitted(kind: OracleType, value: Decimal) -> Decimal:
    """As a column of this type keeps it; ORA-01438 where it has too many digits."""
    if kind.name == "FLOAT":
        digits = max(1, -(-(kind.precision or 126) * 30103 // 100000))
        return _significant(value, min(digits, SIGNIFICANT))
    if kind.precision is None:
        return _significant(value, SIGNIFICANT)
    value = rounded(value, kind.scale or 0)
    if value and value.adjusted() >= kind.precision - (kind.scale or 0):
        raise OracleError(1438)
    return value


def _significant(value: Decimal, digits: int) -> Decimal:
    return rounded(value, digits - 1 - value.adjusted()) if value else value


def _numbers(kind: OracleType, values: list[Any]) -> pa.Array:
    decimals = [None if value is None else fitted(kind, exact(value)) for value in values]
    if kind.fits_decimal:
        return pa.array(decimals, pa.decimal128(kind.precision or 38, kind.scale or 0))
    coded = [None if value is None else scalars.encode_number(value) for value in decimals]
    return pa.array(coded, pa.binary())


def _text(kind: OracleType, value: Any, column: str) -> str:
    text = value if isinstance(value, str) else str(value)
    if kind.length is None:
        return text
    in_characters = kind.counts_characters or kind.name.startswith("N")
    used = len(text) if in_characters else len(text.encode())
    if used > kind.length:
        raise OracleError(12899, column, used, kind.length)
    return text + " " * (kind.length - used) if kind.name in ("CHAR", "NCHAR") else text


def _bytes(value: Any) -> bytes | None:
    if value is None or value == b"":
        return None
    return bytes.fromhex(value) if isinstance(value, str) else bytes(value)


def _microseconds(value: Any) -> int:
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(microseconds=1)
    return int(value)


def _moments(nanos: list[int | None], unit: str, scale: int) -> pa.Array:
    step = 10 ** (9 - scale)
    kept = [None if value is None else (value + step // 2) // step * step if scale < 9 else value for value in nanos]
    if unit == "us":
        kept = [None if value is None else value // 1000 for value in kept]
    return pa.array(kept, pa.int64()).cast(pa.timestamp(unit))


def moment(value: Any) -> tuple[int, int]:
    """Nanoseconds since 1970 in UTC, and the offset in minutes; texts may lie before Christ and hold nanoseconds."""
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[ns]").astype(np.int64)), 0
    if isinstance(value, dt.datetime):
        offset = value.utcoffset() or dt.timedelta(0)
        naive = value.replace(tzinfo=None) - offset
        micros = (naive - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
        return micros * 1000, int(offset.total_seconds() // 60)
    if isinstance(value, dt.date):
        return (value - dt.date(1970, 1, 1)).days * 86400 * 10**9, 0
    found = _MOMENT.match(str(value).strip())
    if not found:
        raise OracleError(1843, text=f"not a valid date or timestamp: {value!r}")
    year = int(found["year"])
    year += 1 if year < 0 else 0  # there is no year 0
    sign = "-" if year < 0 else ""
    day = np.datetime64(f"{sign}{abs(year):04}-{int(found['month']):02}-{int(found['day']):02}", "D").astype(np.int64)
    seconds = int(found["hour"] or 0) * 3600 + int(found["minute"] or 0) * 60 + int(found["second"] or 0)
    zone = found["zone"]
    minutes = 0 if zone in (None, "Z", "UTC") else _offset(zone)
    nanos = int((found["fraction"] or "0").ljust(9, "0"))
    return (int(day) * 86400 + seconds - minutes * 60) * 10**9 + nanos, minutes


def _offset(zone: str) -> int:
    hours, minutes = zone[1:].split(":")
    return (int(hours) * 60 + int(minutes)) * (-1 if zone[0] == "-" else 1)
