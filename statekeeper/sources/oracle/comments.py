"""What an Oracle database's dictionary says about a table or view for people: COMMENT ON, and the primary key.

Everything here may be hidden from the user; then nothing is said.
"""

from __future__ import annotations

from statekeeper.model.column import RelationComments
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.relation import RelationKind, Source
from statekeeper.sources.sql import Sql

_IN_DICTIONARY = frozenset(
    {RelationKind.HEAP, RelationKind.INDEX_ORGANIZED, RelationKind.EXTERNAL, RelationKind.TEMPORARY, RelationKind.VIEW}
)


def comments_of(connection: Connection, source: Source) -> RelationComments:
    """The comments of a relation; none of a query, or of a table of another database."""
    if source.kind not in _IN_DICTIONARY:
        return RelationComments()
    of_table = "COMMENTS FROM ALL_TAB_COMMENTS WHERE OWNER = :owner AND TABLE_NAME = :name AND COMMENTS IS NOT NULL"
    of_columns = of_table.replace("COMMENTS FROM ALL_TAB", "COLUMN_NAME, COMMENTS FROM ALL_COL", 1)
    key = (
        "C.COLUMN_NAME FROM ALL_CONSTRAINTS K JOIN ALL_CONS_COLUMNS C ON C.OWNER = K.OWNER "
        "AND C.CONSTRAINT_NAME = K.CONSTRAINT_NAME WHERE K.OWNER = :owner AND K.TABLE_NAME = :name "
        "AND K.CONSTRAINT_TYPE = 'P' ORDER BY C.POSITION"
    )
    table, columns, primary_key = (_rows(connection, source, text) for text in (of_table, of_columns, key))
    return RelationComments(
        table=str(table[0][0]) if table else None,
        columns={str(name): str(comment) for name, comment in columns},
        primary_key=tuple(str(name) for (name,) in primary_key),
    )


def _rows(connection: Connection, source: Source, text: str) -> list[tuple[object, ...]]:
    statement = Sql(f"SELECT {text}", source.dictionary_name)
    return connection.rows_if_granted(statement, f"the comments of {source.label} cannot be read") or []
