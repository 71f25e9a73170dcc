"""What the dictionary says about a table's keys: for which columns a range of rows is found without a full scan."""

from __future__ import annotations

from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.relation import Source
from statekeeper.sources.sql import Bind, Sql


def first_of_primary_key(connection: Connection, source: Source) -> str | None:
    """The first column of the primary key."""
    statement = Sql(
        "SELECT c.COLUMN_NAME FROM ALL_CONSTRAINTS k JOIN ALL_CONS_COLUMNS c "
        "ON c.OWNER = k.OWNER AND c.CONSTRAINT_NAME = k.CONSTRAINT_NAME "
        "WHERE k.OWNER = :owner AND k.TABLE_NAME = :name AND k.CONSTRAINT_TYPE = 'P' ORDER BY c.POSITION",
        source.dictionary_name,
    )
    rows = connection.rows(statement, _what(source))
    return str(rows[0][0]) if rows else None


def serves_ranges(connection: Connection, source: Source, column: str) -> bool:
    """Whether an index of the table, or its partitioning, begins with the column."""
    binds = (*source.dictionary_name, Bind("VARCHAR2", column))
    first = "COLUMN_NAME = :key AND COLUMN_POSITION = 1"
    indexes = f"SELECT 1 FROM ALL_IND_COLUMNS WHERE TABLE_OWNER = :owner AND TABLE_NAME = :name AND {first}"
    partitions = f"SELECT 1 FROM ALL_PART_KEY_COLUMNS WHERE OWNER = :owner AND NAME = :name AND {first}"
    return any(connection.rows(Sql(text, binds), _what(source)) for text in (indexes, partitions))


def _what(source: Source) -> str:
    return f"{source.label} cannot be cut into chunks"
