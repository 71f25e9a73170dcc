"""What the database counts of a table, and which rows it is not asked to count.

A window's count has the window's condition alone, so that an index on its column serves. The rows without a value in
that column are in no window; to count them a whole table is read, which `count_nulls` asks for.
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
    """The rows at the snapshot that meet the conditions.

    Raises:
        SourceError: they cannot be counted, or not within `count_timeout`.
    """
    statement = Sql("SELECT COUNT(*)") + source.from_clause(snapshot) + all_of(conditions)
    what = f"{source.label} cannot be counted"
    ((rows,),) = connection.rows_of_all(statement, what, table=source.grant_object)
    return int(rows)


def may_be_null(column: SourceColumn | PlannedColumn | UnreadColumn, source: Source) -> bool:
    """Whether rows may lack a value of the column: only a table's own NOT NULL says that none does."""
    return not source.is_table or isinstance(column, UnreadColumn) or column.is_nullable


def uncounted_rows(
    scope: Scope, columns: Sequence[SourceColumn], source: Source, config: OracleSource
) -> tuple[str, ...]:
    """What a reader of the plan should know of rows that no window takes and nobody counts."""
    if scope.window is None or config.count_nulls:
        return ()
    column = named_column(columns, scope.window.column, source.label)
    if not may_be_null(column, source):
        return ()
    note = (
        f"rows without a value in {column.name} are in no window, and are not counted, which would read the whole "
        "table: set count_nulls: true for the source to be told of them, or declare the column NOT NULL"
    )
    return (note,)
