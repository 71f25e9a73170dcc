"""The statistics of a Delta file, from its Parquet footer: how many rows, and the least and greatest of each column.

The format is that of the Delta protocol (PROTOCOL.md, per-file statistics): JSON with the values as Delta's own type
writes them. Readers skip files by them, so that each bound may be wider than the column's values, never narrower.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

COLUMNS = 32
"""Delta keeps statistics of so many columns, the first ones, unless a table says otherwise."""
_PREFIX = 32
_GREATEST = "\U0010ffff"


def statistics_of(footer: Any) -> str:
    """The statistics as JSON; `footer` is a `pyarrow.parquet.FileMetaData` of flat columns."""
    least, greatest, nulls = {}, {}, {}
    for index in range(min(footer.num_columns, COLUMNS)):
        groups = [footer.row_group(number).column(index) for number in range(footer.num_row_groups)]
        known = [group.statistics for group in groups]
        name = json.dumps(footer.schema.column(index).path)
        if any(each is None or not each.has_null_count for each in known):
            continue
        nulls[name] = str(sum(each.null_count for each in known))
        filled = [group.statistics for group in groups if group.statistics.null_count < group.num_values]
        if not filled or not all(each.has_min_max for each in filled):
            continue
        low, high = min(each.min for each in filled), max(each.max for each in filled)
        bounds = _bounds(low, high)
        if bounds is not None:
            least[name], greatest[name] = bounds
    return (
        f'{{"numRecords": {footer.num_rows}, "minValues": {_object(least)}, "maxValues": {_object(greatest)}, '
        f'"nullCount": {_object(nulls)}}}'
    )


def _object(literals: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {literal}" for name, literal in literals.items()) + "}"


def _bounds(low: Any, high: Any) -> tuple[str, str] | None:
    """The two values as literals of JSON; None if Delta keeps none of this type."""
    known = next((make for kind, make in _LITERALS.items() if type(low) is kind), None)
    return known(low, high) if known is not None else None


def _same(low: object, high: object) -> tuple[str, str]:
    return str(low), str(high)


def _floats(low: float, high: float) -> tuple[str, str] | None:
    return _same(repr(low), repr(high)) if math.isfinite(low) and math.isfinite(high) else None


def _decimals(low: Decimal, high: Decimal) -> tuple[str, str]:
    return f"{low:f}", f"{high:f}"


def _dates(low: date, high: date) -> tuple[str, str]:
    return json.dumps(low.isoformat()), json.dumps(high.isoformat())


def _times(low: datetime, high: datetime) -> tuple[str, str] | None:
    """Delta keeps milliseconds. The greatest value is rounded up."""
    last = math.ceil(high.microsecond / 1000)
    if last == 1000:
        return None  # it would carry into the seconds, and perhaps beyond the last year
    return (
        json.dumps(_time_text(low, low.microsecond // 1000)),
        json.dumps(_time_text(high, last)),
    )


def _time_text(value: datetime, milliseconds: int) -> str:
    zone = "" if value.tzinfo is None else "Z"
    plain = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return f"{plain.replace(microsecond=0).isoformat()}.{milliseconds:03d}{zone}"


def _texts(low: str, high: str) -> tuple[str, str]:
    """Delta keeps a prefix. That of the greatest value gets a character that no value goes beyond."""
    greatest = high if len(high) <= _PREFIX else high[:_PREFIX] + _GREATEST
    return json.dumps(low[:_PREFIX]), json.dumps(greatest)


_LITERALS: dict[type, Callable[[Any, Any], tuple[str, str] | None]] = {
    int: _same,
    float: _floats,
    Decimal: _decimals,
    date: _dates,
    datetime: _times,
    str: _texts,
}
"""The literals of two bounds, by their type in Python. Delta keeps no bounds of booleans and binary values."""
