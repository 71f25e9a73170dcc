"""Arithmetic: what DuckDB cannot compute, as functions that are registered with it.

Numbers beyond DECIMAL are Oracle's own bytes, so they compare natively; adding and rounding them happens here, with
forty significant digits as in Oracle.
"""

import functools
import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal

import duckdb
import numpy as np

from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.values import SIGNIFICANT, exact, rounded
from tests.oracle_server.sql import formats
from tests.oracle_server.wire import rowids
from tests.oracle_server.wire.scalars import decode_number, encode_number

_FORTY = Context(prec=SIGNIFICANT, rounding=ROUND_HALF_UP)
_WIDE = Context(prec=300)


def _binary(operation: Callable[[Decimal, Decimal], Decimal]) -> Callable[[bytes, bytes], bytes]:
    return lambda left, right: encode_number(operation(decode_number(left), decode_number(right)))


def _divide(left: Decimal, right: Decimal) -> Decimal:
    if not right:
        raise OracleError(1476)
    return _FORTY.divide(left, right)


def _remainder(left: Decimal, right: Decimal) -> Decimal:
    if not right:
        return left
    whole = _WIDE.divide(left, right).quantize(Decimal(1), ROUND_DOWN, _WIDE)
    return _WIDE.subtract(left, _WIDE.multiply(right, whole))


def _cut(value: bytes, places: int, rounding: str) -> bytes:
    number = decode_number(value)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and -exponent <= places:
        return value
    return encode_number(number.quantize(Decimal((0, (1,), -places)), rounding, _WIDE))


def _from_double(value: float) -> bytes:
    if not math.isfinite(value):
        raise OracleError(1426, text="numeric overflow")
    return encode_number(exact(value))


def _total(values: list[bytes | None]) -> bytes | None:
    kept = [decode_number(value) for value in values if value is not None]
    return encode_number(functools.reduce(_WIDE.add, kept)) if kept else None


def _mean(values: list[bytes | None]) -> bytes | None:
    kept = [decode_number(value) for value in values if value is not None]
    return encode_number(_FORTY.divide(functools.reduce(_WIDE.add, kept), Decimal(len(kept)))) if kept else None


def _parsed(text: str, model: str) -> int | None:
    found = formats.parse_moment(text, model)
    return None if found is None else found[0]


def _parsed_offset(text: str, model: str) -> int | None:
    found = formats.parse_moment(text, model)
    return None if found is None else found[1]


def _add_months(micros: int, months: int) -> int:
    moment = np.datetime64(micros, "us")
    month = moment.astype("datetime64[M]")
    day = (moment.astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int)
    length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int)
    target = month + months
    target_length = ((target + 1).astype("datetime64[D]") - target.astype("datetime64[D]")).astype(int)
    new_day = target_length - 1 if day == length - 1 else min(day, target_length - 1)
    out = target.astype("datetime64[D]") + new_day
    return int(out.astype("datetime64[us]").astype(np.int64)) + micros % 86_400_000_000


def _row_id(text: str) -> int:
    try:
        return rowids.from_text(text)
    except ValueError as reason:
        raise OracleError(1410) from reason


NUMBER = "BLOB"
FUNCTIONS: dict[str, tuple[Callable[..., object], list[str], str]] = {
    "ora_num": (lambda text: encode_number(rounded(exact(text), 130)), ["VARCHAR"], NUMBER),
    "ora_num_double": (_from_double, ["DOUBLE"], NUMBER),
    "ora_plain": (lambda value: format(decode_number(value), "f"), [NUMBER], "VARCHAR"),
    "ora_text": (lambda value: formats.plain(decode_number(value)), [NUMBER], "VARCHAR"),
    "ora_double": (lambda value: float(decode_number(value)), [NUMBER], "DOUBLE"),
    "ora_add": (_binary(_FORTY.add), [NUMBER, NUMBER], NUMBER),
    "ora_sub": (_binary(_FORTY.subtract), [NUMBER, NUMBER], NUMBER),
    "ora_mul": (_binary(_FORTY.multiply), [NUMBER, NUMBER], NUMBER),
    "ora_div": (_binary(_divide), [NUMBER, NUMBER], NUMBER),
    "ora_mod": (_binary(_remainder), [NUMBER, NUMBER], NUMBER),
    "ora_power": (_binary(_FORTY.power), [NUMBER, NUMBER], NUMBER),
    "ora_neg": (lambda value: encode_number(decode_number(value).copy_negate()), [NUMBER], NUMBER),
    "ora_abs": (lambda value: encode_number(decode_number(value).copy_abs()), [NUMBER], NUMBER),
    "ora_sign": (lambda value: (decode_number(value) > 0) - (decode_number(value) < 0), [NUMBER], "INTEGER"),
    "ora_round": (lambda value, places: _cut(value, places, ROUND_HALF_UP), [NUMBER, "INTEGER"], NUMBER),
    "ora_trunc": (lambda value, places: _cut(value, places, ROUND_DOWN), [NUMBER, "INTEGER"], NUMBER),
    "ora_floor": (lambda value: _cut(value, 0, ROUND_FLOOR), [NUMBER], NUMBER),
    "ora_ceil": (lambda value: _cut(value, 0, ROUND_CEILING), [NUMBER], NUMBER),
    "ora_sum": (_total, ["BLOB[]"], NUMBER),
    "ora_avg": (_mean, ["BLOB[]"], NUMBER),
    "ora_format_number": (
        lambda value, model: formats.format_number(decode_number(value), model), [NUMBER, "VARCHAR"], "VARCHAR",
    ),
    "ora_format_moment": (formats.format_moment, ["HUGEINT", "INTEGER", "VARCHAR", "INTEGER"], "VARCHAR"),
    "ora_parse_nanos": (_parsed, ["VARCHAR", "VARCHAR"], "HUGEINT"),
    "ora_parse_offset": (_parsed_offset, ["VARCHAR", "VARCHAR"], "INTEGER"),
    "ora_add_months": (_add_months, ["BIGINT", "BIGINT"], "BIGINT"),
    "ora_rowid_text": (rowids.to_text, ["BIGINT"], "VARCHAR"),
    "ora_rowid_logical": (rowids.logical_text, ["BIGINT"], "VARCHAR"),
    "ora_rowid": (_row_id, ["VARCHAR"], "BIGINT"),
}  # fmt: skip


def register(con: duckdb.DuckDBPyConnection) -> None:
    """Make every function known to DuckDB; a NULL argument gives NULL."""
    for name, (function, arguments, result) in FUNCTIONS.items():
        con.create_function(name, function, arguments, result)  # type: ignore[arg-type]
