"""What of a relation its extraction does not see: invisible columns, archived rows, and what PL/SQL of a view reads.

Oracle leaves them out without a word, so that no count differs. Nothing here fails a table; each is said when a plan is
made and by `check --connect`.
"""

from __future__ import annotations

from collections.abc import Iterator

from statekeeper.config.sections.oracle import OracleSource, RowArchival
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.relation import RelationKind, Source
from statekeeper.sources.sql import Bind, Sql

_ARCHIVE_STATE = "ORA_ARCHIVE_STATE"
"""The hidden column of a table with row archival; where it is not 0 a session sees the row only if it asks for it."""


def unseen_parts(connection: Connection, source: Source, config: OracleSource) -> tuple[str, ...]:
    """A sentence for each."""
    if source.is_table:
        return tuple(_of_table(connection, source, config))
    return tuple(_of_view(connection, source)) if source.kind is RelationKind.VIEW else ()


def _of_table(connection: Connection, source: Source, config: OracleSource) -> Iterator[str]:
    statement = Sql(
        "SELECT COLUMN_NAME FROM ALL_TAB_COLS WHERE OWNER = :owner AND TABLE_NAME = :name AND HIDDEN_COLUMN = 'YES' "
        f"AND (USER_GENERATED = 'YES' OR COLUMN_NAME = '{_ARCHIVE_STATE}') ORDER BY COLUMN_NAME",
        _named(source),
    )
    names = [
        str(name) for (name,) in connection.rows_if_granted(statement, f"{source.label} cannot be looked up") or ()
    ]
    if _ARCHIVE_STATE in names and config.row_archival is RowArchival.ACTIVE:
        yield "its archived rows are not read: row_archival: visible of the source reads them"
    if invisible := [name for name in names if name != _ARCHIVE_STATE]:
        yield f"its invisible columns are not read ({', '.join(invisible)}): a custom_query may select them"


def _of_view(connection: Connection, source: Source) -> Iterator[str]:
    statement = Sql(
        "SELECT DISTINCT REFERENCED_OWNER, REFERENCED_NAME FROM ALL_DEPENDENCIES "
        "WHERE OWNER = :owner AND NAME = :name AND TYPE = 'VIEW' AND REFERENCED_TYPE IN ('FUNCTION', 'PACKAGE') "
        "AND REFERENCED_OWNER <> 'SYS' ORDER BY REFERENCED_OWNER, REFERENCED_NAME",
        _named(source),
    )
    rows = connection.rows_if_granted(statement, f"{source.label} cannot be looked up") or ()
    if called := [f"{owner}.{name}" for owner, name in rows]:
        yield (
            f"the view calls PL/SQL ({', '.join(called)}), whose own queries read the present and not the snapshot: "
            "snapshot: transaction of the source lets them read as of one moment too"
        )


def _named(source: Source) -> tuple[Bind, Bind]:
    return Bind("VARCHAR2", source.owner), Bind("VARCHAR2", source.name)
