"""The condition of an extraction's window, for every source that has conditions. Pure.

What a bound is in a column's own type is the source's matter: a column without a zone keeps wall-clock values of the
window's `timezone`, one with a zone keeps instants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from statekeeper.errors import PlanError
from statekeeper.model.table import Scope, Window
from statekeeper.sources.columns import Typed, named_column
from statekeeper.sources.sql import Sql, column_of

WindowBound: TypeAlias = Callable[[str, datetime, Window, str], Sql]
"""A bound by its name, its instant, its window and the database type of its column, as SQL with what it binds.

Raises PlanError, as `no_points_in_time` makes it, for a type that keeps none.
"""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock's


def scope_conditions(scope: Scope, columns: Sequence[Typed], label: str, bound: WindowBound) -> tuple[Sql, ...]:
    """The conditions of a scope: none where the whole relation is taken.

    Raises:
        PlanError: there is no such column, or its type keeps no points in time.
    """
    if scope.window is None:
        return ()
    found = named_column(columns, scope.window.column, f"{label}: incremental column")
    try:
        return (window_condition(scope.window, found.name, found.database_type, bound),)
    except PlanError as error:
        raise PlanError(f"{label}: {error.message}", hint=error.hint) from error


def window_condition(window: Window, name: str, database_type: str, bound: WindowBound) -> Sql:
    """`start <= column < end`; rows with NULL are outside every window."""
    column = column_of(name)
    condition = column + Sql(" < ") + bound("window_end", window.end, window, database_type)
    if window.start is None:
        return condition
    return column + Sql(" >= ") + bound("window_start", window.start, window, database_type) + Sql(" AND ") + condition


def wall_time(instant: datetime, window: Window, unit: timedelta) -> datetime:
    """An instant as the window's clock on the wall shows it, rounded up to the unit of a type.

    A type that is coarser than the bound has no value between the two: `>=` and `<` stay as they were.
    """
    wall = instant.astimezone(ZoneInfo(window.timezone)).replace(tzinfo=None)
    return _EPOCH - (_EPOCH - wall) // unit * unit


def no_points_in_time(window: Window, database_type: str) -> PlanError:
    """The error of an incremental column whose type keeps no points in time."""
    return PlanError(
        f"incremental column {window.column} is of type {database_type}, which keeps no points in time",
        hint="name a DATE or TIMESTAMP column, or cast it in a custom_query",
    )
