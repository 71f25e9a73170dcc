"""Advice for a DBA and a data engineer before a table is extracted: missing grants, rows and values that may be masked,
characters that may be lost, and data that is not read: invisible columns, archived rows, what a view's PL/SQL reads.
Oracle leaves those out silently, and from counts too.

Decides what is checked, and gives the statement that would solve each problem. Nothing here fails a table: whatever an
extraction cannot do without is checked when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator

from statekeeper.config.sections.oracle import OracleSource, RowArchival, SnapshotMode
from statekeeper.errors import SourceError
from statekeeper.sources.oracle.connection import Connection, is_not_granted
from statekeeper.sources.oracle.relation import RelationKind, Source
from statekeeper.sources.sql import Sql

_WHAT = "privileges cannot be looked at"
_UNICODE = frozenset({"AL32UTF8", "UTF8"})
_ARCHIVE_STATE = "ORA_ARCHIVE_STATE"
"""The hidden column of a table with row archival; a session sees rows in which it is not 0 only on request."""


def advise(connection: Connection, source: Source, config: OracleSource) -> tuple[str, ...]:
    """What people should know about reading `source`, one sentence each."""
    return (
        *_grants(connection, source, config),
        *_masks(connection, source),
        *unseen_parts(connection, source, config),
        *_characters(connection),
    )


def _may(connection: Connection, sql: str) -> bool:
    """Whether a query is allowed. It is parsed to find out, and not run."""
    try:
        connection.describe(Sql(sql), _WHAT, table="the table")
    except SourceError as error:
        if is_not_granted(error):
            return False
        raise
    return True


def _grants(connection: Connection, source: Source, config: OracleSource) -> Iterator[str]:
    user = connection.user
    if config.snapshot is SnapshotMode.SCN and not _may(
        connection, "SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM DUAL"
    ):
        why = "the SCN is then the current one, and a custom_query needs no {as_of}"
        yield f"GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO {user}: {why}"
    if not _may(connection, "SELECT DBID FROM V$DATABASE"):
        why = "a plan then knows its database by DBID and incarnation too, and not by its names alone"
        yield f"GRANT SELECT ON SYS.V_$DATABASE TO {user}: {why}"
    if source.kind is RelationKind.HEAP and not _may(connection, "SELECT BLOCKS FROM DBA_EXTENTS"):
        why = "chunks are then of equal size, and planned without a sample of the table"
        yield f"GRANT SELECT ON SYS.DBA_EXTENTS TO {user}: {why}"
    if source.is_table and source.rows is None:
        table = f"'{source.owner}', '{source.name}'"
        yield f"the table has no statistics, so it is counted to be cut: EXEC DBMS_STATS.GATHER_TABLE_STATS({table})"


def _masks(connection: Connection, source: Source) -> Iterator[str]:
    if not source.name:
        return
    binds = source.dictionary_name
    held = {row[0] for row in connection.rows(Sql("SELECT PRIVILEGE FROM SESSION_PRIVS"), _WHAT)}
    if "EXEMPT ACCESS POLICY" not in held:
        statement = Sql(
            "SELECT POLICY_NAME FROM ALL_POLICIES WHERE OBJECT_OWNER = :owner AND OBJECT_NAME = :name "
            "AND SEL = 'YES' AND ENABLE = 'YES'",
            binds,
        )
        names = [str(row[0]) for row in connection.rows_if_granted(statement, _WHAT) or ()]
        if names:
            cure = f"GRANT EXEMPT ACCESS POLICY TO {connection.user} shows all of them"
            yield f"policy {', '.join(names)} may hide rows of it, and their count too: {cure}"
    if "EXEMPT REDACTION POLICY" not in held:
        statement = Sql(
            "SELECT COLUMN_NAME FROM REDACTION_COLUMNS WHERE OBJECT_OWNER = :owner AND OBJECT_NAME = :name", binds
        )
        found = connection.rows_if_granted(statement, _WHAT)
        if found:
            columns = ", ".join(str(row[0]) for row in found)
            cure = f"GRANT EXEMPT REDACTION POLICY TO {connection.user} shows the true ones"
            yield f"values of {columns} are redacted, which no check can detect: {cure}"
        elif found is None:
            yield (
                f"whether values of it are redacted cannot be seen by {connection.user}: ask the DBA, or "
                f"GRANT SELECT ON SYS.REDACTION_COLUMNS TO {connection.user}"
            )


def _characters(connection: Connection) -> Iterator[str]:
    statement = Sql("SELECT VALUE FROM NLS_DATABASE_PARAMETERS WHERE PARAMETER = 'NLS_CHARACTERSET'")
    rows = connection.rows_if_granted(statement, _WHAT)
    name = str(rows[0][0]) if rows else ""
    if name == "US7ASCII":
        yield (
            "the database's character set is US7ASCII: other characters that programs stored nevertheless arrive as "
            "replacement characters; compare by UTL_RAW.CAST_TO_RAW"
        )
    elif name and name not in _UNICODE:
        yield f"the database's character set is {name}: characters outside of it were lost when they were stored"


def unseen_parts(connection: Connection, source: Source, config: OracleSource) -> tuple[str, ...]:
    """What the extraction does not include, one sentence each."""
    if source.is_table:
        return tuple(_of_table(connection, source, config))
    return tuple(_of_view(connection, source)) if source.kind is RelationKind.VIEW else ()


def _of_table(connection: Connection, source: Source, config: OracleSource) -> Iterator[str]:
    statement = Sql(
        "SELECT COLUMN_NAME FROM ALL_TAB_COLS WHERE OWNER = :owner AND TABLE_NAME = :name AND HIDDEN_COLUMN = 'YES' "
        f"AND (USER_GENERATED = 'YES' OR COLUMN_NAME = '{_ARCHIVE_STATE}') ORDER BY COLUMN_NAME",
        source.dictionary_name,
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
        source.dictionary_name,
    )
    rows = connection.rows_if_granted(statement, f"{source.label} cannot be looked up") or ()
    if called := [f"{owner}.{name}" for owner, name in rows]:
        yield (
            f"the view calls PL/SQL ({', '.join(called)}), whose own queries read the present and not the snapshot: "
            "snapshot: transaction of the source lets them read as of one moment too"
        )
