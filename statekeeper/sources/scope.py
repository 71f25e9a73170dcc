"""The SQL condition of an extraction's window, for every source with SQL. Pure.

The source decides how a bound is written in a column's own type. A column without a time zone holds wall-clock values
in the window's `timezone`; one with a time zone holds instants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from statekeeper.errors import PlanError
from statekeeper.model.table import Position, Scope, Window
from statekeeper.sources.columns import Typed, named_column
from statekeeper.sources.sql import Sql, column_of

WindowBound: TypeAlias = Callable[[str, Position, Window, str], Sql]
"""Makes SQL with bound values from a bound's name, its position, its window and the database type of its column.

Raises PlanError, as made by `no_points_in_time` or `no_whole_numbers`, for a type that does not hold such positions.
"""

_HALF_A_YEAR = [timedelta(days=number) for number in range(-182, 183, 14)]
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time


def scope_conditions(scope: Scope, columns: Sequence[Typed], label: str, bound: WindowBound) -> tuple[Sql, ...]:
    """The conditions of a scope: none if the whole relation is read.

    Raises:
        PlanError: there is no such column, or its type holds no points in time.
    """
    if scope.window is None:
        return ()
    found = named_column(columns, scope.window.column, f"{label}: incremental column")
    try:
        return (window_condition(scope.window, found.name, found.database_type, bound),)
    except PlanError as error:
        raise PlanError(f"{label}: {error.message}", hint=error.hint) from error


def cut_conditions(scope: Scope, columns: Sequence[Typed], label: str, bound: WindowBound) -> tuple[Sql, ...]:
    """The conditions under which chunks are cut: none for a first load, which takes nearly the whole relation.

    Raises:
        PlanError: as `scope_conditions` does.
    """
    conditions = scope_conditions(scope, columns, label, bound)
    return conditions if scope.window is not None and scope.window.start is not None else ()


def window_condition(window: Window, name: str, database_type: str, bound: WindowBound) -> Sql:
    """The condition `start <= column < end`.

    Rows with NULL are outside every window but that of a first load, which has no start.
    """
    column = column_of(name)
    condition = column + Sql(" < ") + bound("window_end", window.end, window, database_type)
    if window.start is None:
        return condition + Sql(" OR ") + column + Sql(" IS NULL")
    return column + Sql(" >= ") + bound("window_start", window.start, window, database_type) + Sql(" AND ") + condition


def wall_time(bound: datetime, window: Window, unit: timedelta) -> datetime:
    """A bound as wall-clock time in the window's time zone, rounded up to the unit of a type.

    A coarser type has no value between the exact and the rounded bound, so `>=` and `<` select the same rows.
    """
    wall = wall_of(bound, ZoneInfo(window.timezone))
    return _EPOCH - (_EPOCH - wall) // unit * unit


def wall_of(bound: datetime, zone: ZoneInfo) -> datetime:
    """The wall-clock time of a bound in a zone: as it is written, if it was written with an offset of the zone.

    So the midnight of a day that begins at 01:00, when clocks skip the hour, stays a midnight. An offset that the zone
    does not have is of rules that changed since: what was selected by the written wall time stays selected by it. Only
    one of zero may be that of an instant, from earlier versions, in a zone that knows no such offset.
    """
    written = bound.replace(tzinfo=None, fold=0)
    if is_wall_time_of(bound, zone) or bound.utcoffset() or (not bound.microsecond and _is_at_zero_near(bound, zone)):
        return written
    return bound.astimezone(zone).replace(tzinfo=None, fold=0)


def is_wall_time_of(bound: datetime, zone: ZoneInfo) -> bool:
    """Whether a bound is written with an offset that the zone has at its wall time."""
    written = bound.replace(tzinfo=None)
    return any(written.replace(tzinfo=zone, fold=fold).utcoffset() == bound.utcoffset() for fold in (0, 1))


def _is_at_zero_near(bound: datetime, zone: ZoneInfo) -> bool:
    """Whether the zone has the offset of UTC within half a year: its rules may have said so of the bound, too."""
    utc = bound.astimezone(UTC)
    return any(not (utc + days).astimezone(zone).utcoffset() for days in _HALF_A_YEAR)


def no_points_in_time(window: Window, database_type: str) -> PlanError:
    """The error for an incremental column whose type holds no points in time."""
    return PlanError(
        f"incremental column {window.column} is of type {database_type}, which holds no points in time",
        hint="name a DATE or TIMESTAMP column, or cast it in a custom_query",
    )


def no_whole_numbers(window: Window, database_type: str) -> PlanError:
    """The error for a window of numbers whose column is of another type."""
    return PlanError(
        f"incremental column {window.column} is of type {database_type}, which holds no whole numbers",
        hint="name an integer column, or cast it in a custom_query",
    )
