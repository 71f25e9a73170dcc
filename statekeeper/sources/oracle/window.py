"""The condition of an incremental window, bound in its column's own type, so that an index on it serves. Pure.

A DATE or TIMESTAMP keeps wall-clock values of the window's `timezone`; one with a zone keeps instants, compared in UTC.
A DATE has whole seconds: the bound is rounded up to one, which leaves `>=` and `<` as they were.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from statekeeper.errors import PlanError
from statekeeper.model.table import Window
from statekeeper.sources.sql import Bind, Sql

_MOMENT = re.compile(r"TIMESTAMP\(\d\)( WITH LOCAL TIME ZONE| WITH TIME ZONE)?")


def window_condition(window: Window, *, column: Sql, database_type: str) -> Sql:
    """`start <= column < end`; rows with NULL are outside every window.

    Raises:
        PlanError: the column's type keeps no points in time.
    """
    moment = _MOMENT.fullmatch(database_type)
    if moment is None and database_type != "DATE":
        raise PlanError(
            f"incremental column {window.column} is of type {database_type}, which keeps no points in time",
            hint="name a DATE or TIMESTAMP column, or cast it in a custom_query",
        )
    zone = moment.group(1) if moment else None
    condition = column + Sql(" < ") + _bound("window_end", window.end, window, database_type=database_type, zone=zone)
    if window.start is None:
        return condition
    start = _bound("window_start", window.start, window, database_type=database_type, zone=zone)
    return column + Sql(" >= ") + start + Sql(" AND ") + condition


def _bound(name: str, instant: datetime, window: Window, *, database_type: str, zone: str | None) -> Sql:
    if zone is not None:
        text = instant.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
        utc = Sql(f"FROM_TZ(:{name}, 'UTC')", (Bind("TIMESTAMP", text),))
        return utc if zone == " WITH TIME ZONE" else Sql(f"CAST({utc.text} AS {database_type})", utc.binds)
    wall = instant.astimezone(ZoneInfo(window.timezone)).replace(tzinfo=None)
    if database_type == "DATE":
        whole = wall.replace(microsecond=0)
        wall = whole if whole == wall else whole + timedelta(seconds=1)
        return Sql(f":{name}", (Bind("DATE", wall.isoformat(sep=" ")),))
    return Sql(f":{name}", (Bind("TIMESTAMP", wall.isoformat(sep=" ")),))
