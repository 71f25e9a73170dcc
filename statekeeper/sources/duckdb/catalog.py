"""Lists the tables of a DuckDB database by schema."""

from __future__ import annotations

import os
from collections.abc import Iterable

from statekeeper.errors import SourceError
from statekeeper.model.table import Relation
from statekeeper.sources.duckdb.connection import Connection
from statekeeper.sources.sql import Sql


def list_tables(path: str, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
    """The tables of the named schemas, ignoring case; of all schemas if none is named.

    Raises:
        SourceUnreachable, TransientSourceError: the database cannot be opened.
        SourceError: a schema has no tables.
    """
    connection = Connection.open(os.path.abspath(path), memory_limit="512MB")  # noqa: PTH100 - as the session does
    try:
        statement = Sql(
            "SELECT schema_name, table_name FROM duckdb_tables() "
            "WHERE NOT internal AND database_name = current_database() ORDER BY 1, 2"
        )
        found = [
            Relation(schema_name=schema, table_name=table)
            for schema, table in connection.rows(statement, "the catalog cannot be read")
        ]
    finally:
        connection.close()
    for schema in schemas:
        if not _of_schema(found, schema):
            raise _without_tables(schema, found)
    if not found:
        raise SourceError(f"the database {path} has no tables")
    return tuple(found) if not schemas else tuple(one for schema in schemas for one in _of_schema(found, schema))


def _of_schema(relations: Iterable[Relation], schema: str) -> list[Relation]:
    same = [one for one in relations if one.schema_name == schema]
    return same or [one for one in relations if str(one.schema_name).casefold() == schema.casefold()]


def _without_tables(schema: str, found: Iterable[Relation]) -> SourceError:
    others = ", ".join(sorted({str(one.schema_name) for one in found}))
    hint = f"there are tables in {others}" if others else "the database has no tables at all"
    return SourceError(f"schema {schema} has no tables", hint=hint, code="Catalog Error")
