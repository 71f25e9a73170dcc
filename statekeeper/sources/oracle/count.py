"""Counts the rows of a table, and decides whether the rows without a value in the incremental column are counted.

The count of a window has only the window's condition, so that an index on its column can be used. Rows without a value
in that column are in no window, and an index on that column alone does not have them. So they are counted only if
another index has them, or with `count_nulls`, which reads the table. A first load is read whole, so its count has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import NullCount, PlannedColumn, ReadSpec, Snapshot, UnreadColumn
from statekeeper.model.table import Window
from statekeeper.sources.columns import named_column
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.relation import Source
from statekeeper.sources.oracle.types import window_bound
from statekeeper.sources.protocol import SourceCount
from statekeeper.sources.scope import scope_conditions
from statekeeper.sources.sql import Sql, all_of, column_of, quoted

if TYPE_CHECKING:
    from statekeeper.config.sections.oracle import OracleSource

_CONSTANT = re.compile(r"\s*(-?\d+|'[^']+')\s*")
"""An expression of an index that is never NULL; '' would be."""


class NullCounting(NamedTuple):
    """The same as `ChunkPlan.null_count` and `.null_advice`."""

    null_count: NullCount
    advice: str = ""


def count_rows(connection: Connection, source: Source, snapshot: Snapshot, conditions: tuple[Sql, ...]) -> int:
    """The number of rows at the snapshot that meet the conditions.

    Raises:
        SourceError: they cannot be counted, or not within `count_timeout`.
    """
    ((rows,),) = _counted(connection, source, snapshot, Sql("SELECT COUNT(*)"), conditions)
    return int(rows)


def count_scope(connection: Connection, source: Source, reading: ReadSpec) -> SourceCount:
    """The rows of a plan's scope and, if they are counted, those without a value. Raises SourceError."""
    inside = scope_conditions(reading.scope, reading.all_columns, source.label, window_bound)
    window = reading.scope.window
    if window is None or reading.null_count is not NullCount.COUNTED:
        rows = count_rows(connection, source, reading.snapshot, inside)
        return SourceCount(rows=rows, null_incremental_rows=0 if reading.null_count is NullCount.NONE else None)
    column = column_of(named_column(reading.all_columns, window.column, source.label).name)
    if window.start is None:
        both = Sql("SELECT COUNT(*), COUNT(*) - COUNT(") + column + Sql(")")
        ((rows, nulls),) = _counted(connection, source, reading.snapshot, both, inside)
        return SourceCount(rows=int(rows), null_incremental_rows=int(nulls))
    rows = count_rows(connection, source, reading.snapshot, inside)
    nulls = count_rows(connection, source, reading.snapshot, (column + Sql(" IS NULL"),))
    return SourceCount(rows=rows, null_incremental_rows=nulls)


def _counted(
    connection: Connection, source: Source, snapshot: Snapshot, counts: Sql, conditions: tuple[Sql, ...]
) -> list[tuple[Any, ...]]:
    statement = counts + source.from_clause(snapshot) + all_of(conditions)
    return connection.rows_of_all(statement, f"{source.label} cannot be counted", table=source.grant_object)


def greatest_number(connection: Connection, source: Source, column: str, snapshot: Snapshot) -> int | None:
    """The greatest whole number in a column, which an index on it has at its end. Raises SourceError."""
    statement = Sql("SELECT MAX(") + column_of(column) + Sql(")") + source.from_clause(snapshot)
    what = f"the greatest {column} of {source.label} cannot be read"
    ((greatest,),) = connection.rows_of_all(statement, what, table=source.grant_object)
    return None if greatest is None else int(greatest)


def null_counting(
    connection: Connection, source: Source, window: Window, columns: Sequence[SourceColumn], config: OracleSource
) -> NullCounting:
    """Whether rows without a value in the window's column are counted, and what to do so that windows count them."""
    column = named_column(columns, window.column, source.label)
    if not _may_be_null(column, source):
        return NullCounting(NullCount.NONE)
    if config.count_nulls or (source.is_table and _index_has_nulls(connection, source, column.name, columns)):
        return NullCounting(NullCount.COUNTED)
    index = f"CREATE INDEX <name> ON {source.text} ({quoted(column.name)}, 0), or " if source.is_table else ""
    return NullCounting(
        NullCount.UNCOUNTED if window.start is not None else NullCount.COUNTED,
        f"{index}set count_nulls: true for the source, which reads the whole table",
    )


def _may_be_null(column: SourceColumn | PlannedColumn | UnreadColumn, source: Source) -> bool:
    """Whether the column may be NULL: it may, unless it is a NOT NULL column of a table."""
    return not source.is_table or isinstance(column, UnreadColumn) or column.is_nullable


def _index_has_nulls(connection: Connection, source: Source, column: str, columns: Sequence[SourceColumn]) -> bool:
    """Whether an index begins with the column, and has another part that is never NULL."""
    what = f"the indexes of {source.label} cannot be looked up"
    statement = Sql(
        "SELECT c.INDEX_OWNER, c.INDEX_NAME, c.COLUMN_NAME FROM ALL_IND_COLUMNS c JOIN ALL_INDEXES i "
        "ON i.OWNER = c.INDEX_OWNER AND i.INDEX_NAME = c.INDEX_NAME "
        "WHERE c.TABLE_OWNER = :owner AND c.TABLE_NAME = :name AND i.INDEX_TYPE IN ('NORMAL', 'FUNCTION-BASED NORMAL') "
        "AND i.STATUS <> 'UNUSABLE' AND i.VISIBILITY = 'VISIBLE' "
        "ORDER BY c.INDEX_OWNER, c.INDEX_NAME, c.COLUMN_POSITION",
        source.dictionary_name,
    )
    found = connection.rows(statement, what)
    indexes = {index: [str(row[2]) for row in rows] for index, rows in groupby(found, key=lambda row: row[:2])}
    fitting = {index: parts for index, parts in indexes.items() if parts[0] == column}
    never_null = {one.name for one in columns if not one.is_nullable}
    if any(never_null & set(parts) for parts in fitting.values()):
        return True
    if not fitting:
        return False
    statement = Sql(
        "SELECT INDEX_OWNER, INDEX_NAME, COLUMN_EXPRESSION FROM ALL_IND_EXPRESSIONS "
        "WHERE TABLE_OWNER = :owner AND TABLE_NAME = :name",
        source.dictionary_name,
    )
    return any(
        (owner, index) in fitting and _CONSTANT.fullmatch(str(expression))
        for owner, index, expression in connection.rows(statement, what)
    )
