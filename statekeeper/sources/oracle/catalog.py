"""Lists the tables of an Oracle database by schema, as far as the user may see them."""

from __future__ import annotations

from statekeeper.config.sections.oracle import OracleSource
from statekeeper.errors import SourceError
from statekeeper.model.table import Relation
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.relation import spellings
from statekeeper.sources.sql import Bind, Sql

_INTERNAL_PREFIXES = ("BIN$", "MLOG$_", "RUPD$_", "DR$", "SYS_")
"""Prefixes of tables that the database creates for itself: dropped tables, logs, indexes, nested tables."""


def list_tables(config: OracleSource, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
    """The tables of the named schemas; of the user's own schema if none is named.

    Raises:
        LoginRefused, SourceUnreachable, TransientSourceError: no session can be opened.
        SourceError: a schema has no tables that the user may see.
    """
    connection = Connection.open(config)
    try:
        connection.set_action("list tables")
        wanted = [spellings(schema) for schema in schemas] or [(_own_schema(connection),)]
        return tuple(relation for owners in wanted for relation in _of_first(connection, owners))
    finally:
        connection.close()


def _own_schema(connection: Connection) -> str:
    statement = Sql("SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM DUAL")
    ((schema,),) = connection.rows(statement, "the session's schema cannot be read")
    return str(schema)


def _of_first(connection: Connection, owners: tuple[str, ...]) -> list[Relation]:
    """The tables of the first spelling of a schema that has any."""
    for owner in owners:
        if names := _names(connection, owner):
            return [
                Relation(schema_name=_as_configured(owner, ()), table_name=_as_configured(name, names))
                for name in names
            ]
    raise SourceError(
        f"schema {owners[0]} has no tables that {connection.user} may see",
        hint=f"name another with --schema, or GRANT SELECT ON <each table of it> TO {connection.user}",
        code="ORA-00942",
    )


def _names(connection: Connection, owner: str) -> list[str]:
    statement = Sql(
        "SELECT OBJECT_NAME FROM ALL_OBJECTS WHERE OWNER = :owner AND OBJECT_TYPE = 'TABLE' ORDER BY OBJECT_NAME",
        (Bind("VARCHAR2", owner),),
    )
    rows = connection.rows(statement, f"the tables of {owner} cannot be listed")
    return [str(name) for (name,) in rows if not str(name).startswith(_INTERNAL_PREFIXES)]


def _as_configured(name: str, names: list[str] | tuple[()]) -> str:
    """A name as a configuration must write it: in quotes if it would otherwise mean another table, in capitals."""
    return f'"{name}"' if name != name.upper() and name.upper() in names else name
