"""Counts the rows of a table, and says which rows are not counted.

The count of a window has only the window's condition, so that an index on its column can be used. Rows without a value
in that column are in no window. Counting them reads the whole table, so it is done only with `count_nulls`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import PlannedColumn, Snapshot, UnreadColumn
from statekeeper.model.table import Scope
from statekeeper.sources.columns import named_column
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.relation import Source
from statekeeper.sources.sql import Sql, all_of

if TYPE_CHECKING:
    from statekeeper.config.sections.oracle import OracleSource


def count_rows(connection: Connection, source: Source, snapshot: Snapshot, conditions: tuple[Sql, ...]) -> int:
    """The number of rows at the snapshot that meet the conditions.

    Raises:
        SourceError: they cannot be counted, or not within `count_timeout`.
    """
    statement = Sql("SELECT COUNT(*)") + source.from_clause(snapshot) + all_of(conditions)
    what = f"{source.label} cannot be counted"
    ((rows,),) = connection.rows_of_all(statement, what, table=source.grant_object)
    return int(rows)


def may_be_null(column: SourceColumn | PlannedColumn | UnreadColumn, source: Source) -> bool:
    """Whether the column may be NULL: it may, unless it is a NOT NULL column of a table."""
    return not source.is_table or isinstance(column, UnreadColumn) or column.is_nullable


def uncounted_rows(
    scope: Scope, columns: Sequence[SourceColumn], source: Source, config: OracleSource
) -> tuple[str, ...]:
    """A note for the plan about rows that are in no window and are not counted; empty if there are none."""
    if scope.window is None or scope.window.start is None or config.count_nulls:
        return ()
    column = named_column(columns, scope.window.column, source.label)
    if not may_be_null(column, source):
        return ()
    note = (
        f"rows without a value in {column.name} are in no window, and are not counted, since that reads the whole "
        "table: set count_nulls: true for the source to count them, or declare the column NOT NULL"
    )
    return (note,)
