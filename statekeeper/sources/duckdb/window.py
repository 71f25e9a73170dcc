"""The condition of an incremental window, bound in its column's own type. Pure.

A column without a zone keeps wall-clock values of the window's `timezone`; one with a zone keeps instants. Where a type
is coarser than the bound (a DATE is a midnight), the bound is rounded up to the type's unit, which leaves `>=` and `<`
as they were.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from statekeeper.errors import PlanError
from statekeeper.model.table import Window
from statekeeper.sources.sql import Bind, Sql

_UNITS = {
    "DATE": timedelta(days=1),
    "TIMESTAMP_S": timedelta(seconds=1),
    "TIMESTAMP_MS": timedelta(milliseconds=1),
    "TIMESTAMP": timedelta(microseconds=1),
    "TIMESTAMP_NS": timedelta(microseconds=1),
    "TIMESTAMP WITH TIME ZONE": timedelta(microseconds=1),
}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock's


def window_condition(window: Window, *, column: Sql, database_type: str) -> Sql:
    """`start <= column < end`; rows with NULL are outside every window.

    Raises:
        PlanError: the column's type keeps no points in time.
    """
    if database_type not in _UNITS:
        raise PlanError(
            f"incremental column {window.column} is of type {database_type}, which keeps no points in time",
            hint="name a DATE or TIMESTAMP column, or cast it in a custom_query",
        )
    placeholder = Sql(f"CAST(? AS {database_type})")
    condition = column + Sql(" < ") + Sql(placeholder.text, (_bind(window.end, window, database_type),))
    if window.start is None:
        return condition
    start = column + Sql(" >= ") + Sql(placeholder.text, (_bind(window.start, window, database_type),))
    return start + Sql(" AND ") + condition


def _bind(instant: datetime, window: Window, database_type: str) -> Bind:
    if database_type == "TIMESTAMP WITH TIME ZONE":
        return Bind(database_type, instant.astimezone(UTC).isoformat(sep=" "))
    wall = instant.astimezone(ZoneInfo(window.timezone)).replace(tzinfo=None)
    rounded = _EPOCH - (_EPOCH - wall) // _UNITS[database_type] * _UNITS[database_type]
    text = rounded.date().isoformat() if database_type == "DATE" else rounded.isoformat(sep=" ")
    return Bind(database_type, text)
