"""Finds the table or view of a relation in the catalog, or parses the user's query, and quotes it for FROM.

Decides how names are resolved (as DuckDB does: ignoring case; no schema means `main`) and which queries are accepted
(one SELECT without parameters).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum, auto

import duckdb

from statekeeper.errors import PlanError, SourceError
from statekeeper.model.column import RelationComments
from statekeeper.model.table import Relation
from statekeeper.sources.duckdb.connection import Connection
from statekeeper.sources.sql import Bind, Sql, quoted

DEFAULT_SCHEMA = "main"
_MAX_NAMES = 20


class RelationKind(Enum):
    """The kind of a relation; only a table has rowids."""

    TABLE = auto()
    VIEW = auto()
    QUERY = auto()


@dataclass(frozen=True)
class Source:
    """A relation for a FROM clause. `schema` and `name` have the catalog's spelling; None for a query."""

    kind: RelationKind
    label: str
    text: str
    schema: str | None = None
    name: str | None = None

    @property
    def from_clause(self) -> Sql:
        """` FROM ... AS q`: columns are always named as `q.column`, so that our aliases cannot hide the user's."""
        return Sql(f" FROM {self.text} AS q")


def find_source(connection: Connection, relation: Relation) -> Source:
    """The relation in the database.

    Raises:
        SourceError: there is no such table or view; the hint lists those that exist.
        PlanError: the query is not one SELECT.
    """
    if relation.query is not None:
        query = relation.query.replace("{as_of}", "")  # a file has only one moment
        return Source(RelationKind.QUERY, relation.label, f"(\n{single_select(query)}\n)")
    assert relation.table_name is not None, "a relation is a table or a query"
    wanted = (relation.schema_name or DEFAULT_SCHEMA, relation.table_name)
    names = {
        (schema, name): RelationKind.TABLE if is_table else RelationKind.VIEW
        for schema, name, is_table in connection.tables_and_views
    }
    found = [wanted] if wanted in names else [key for key in names if _folded(key) == _folded(wanted)]
    if len(found) != 1:
        raise _not_found(relation, wanted, list(names))
    schema, name = found[0]
    # With the catalog, since a schema may have the same name as the catalog.
    text = ".".join(quoted(part) for part in (connection.catalog, schema, name))
    return Source(names[found[0]], relation.label, text, schema, name)


def comments_of(connection: Connection, source: Source) -> RelationComments:
    """What the catalog says about a relation for people; nothing about a query."""
    if source.name is None or source.schema is None:
        return RelationComments()
    place = "database_name = ? AND schema_name = ? AND {} = ?"
    values = tuple(Bind("VARCHAR", text) for text in (connection.catalog, source.schema, source.name))
    what = f"the comments of {source.label} cannot be read"
    kind = "table" if source.kind is RelationKind.TABLE else "view"
    table = Sql(f"SELECT comment FROM duckdb_{kind}s() WHERE {place.format(f'{kind}_name')}", values)
    columns = Sql(f"SELECT column_name, comment FROM duckdb_columns() WHERE {place.format('table_name')}", values)
    key = Sql(
        f"SELECT unnest(constraint_column_names) FROM duckdb_constraints() WHERE {place.format('table_name')} "
        "AND constraint_type = 'PRIMARY KEY'",
        values,
    )
    return RelationComments(
        table=next((comment for (comment,) in connection.rows(table, what)), None),
        columns={name: comment for name, comment in connection.rows(columns, what) if comment},
        primary_key=tuple(name for (name,) in connection.rows(key, what)),
    )


def single_select(query: str) -> str:
    """The text of the only SELECT in `query`, without the semicolon at its end.

    Raises:
        PlanError: it does not parse, has no statement or several, is not a SELECT, or has parameters.
    """
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        text = str(error).strip()
        raise PlanError(
            f"custom_query does not parse: {text}", hint="try it in the DuckDB shell", code="Parser Error"
        ) from error
    if len(statements) != 1:
        raise PlanError(
            f"custom_query has {len(statements)} statements, expected one SELECT",
            hint="leave one statement, and create views in the database for the rest",
        )
    statement = statements[0]
    if statement.type != duckdb.StatementType.SELECT:
        raise PlanError(f"custom_query is a {statement.type.name} statement, expected a SELECT")
    if statement.named_parameters:
        names = ", ".join(f"${name}" for name in sorted(statement.named_parameters))
        raise PlanError(f"custom_query has parameters ({names}), which nothing fills in", hint="write the values out")
    return _without_terminator(query)


def _without_terminator(query: str) -> str:
    """`query` up to its final semicolon, which comments may follow; the parser says which semicolon that is."""
    for at, character in enumerate(query):
        if character == ";" and _statement_count(query[:at]) == 1 and _statement_count(query[at + 1 :]) == 0:
            return query[:at]
    return query


def _statement_count(text: str) -> int | None:
    try:
        return len(duckdb.extract_statements(text))
    except duckdb.Error:
        return None


def _folded(key: tuple[str, str]) -> tuple[str, str]:
    return key[0].casefold(), key[1].casefold()


def _not_found(relation: Relation, wanted: tuple[str, str], names: list[tuple[str, str]]) -> SourceError:
    texts = {f"{schema}.{name}".casefold(): f"{schema}.{name}" for schema, name in names}
    same_name = [f"{schema}.{name}" for schema, name in names if name.casefold() == wanted[1].casefold()]
    near = same_name + [
        texts[text] for text in difflib.get_close_matches(f"{wanted[0]}.{wanted[1]}".casefold(), texts, n=3)
    ]
    near = list(dict.fromkeys(near))
    if near:
        hint = f"did you mean {' or '.join(near)}? (schema_name and table_name)"
    elif names:
        listed = ", ".join(sorted(texts.values())[:_MAX_NAMES])
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        hint = f"the database has {listed}{more}"
    else:
        hint = "the database has no tables at all: check `path` of the source"
    schemas = sorted({schema for schema, _ in names})
    if wanted[0].casefold() not in {schema.casefold() for schema in schemas}:
        where = f"there is no schema {wanted[0]}" + (f", only {', '.join(schemas[:_MAX_NAMES])}" if schemas else "")
    else:
        where = f"schema {wanted[0]} has no such table or view"
    return SourceError(f"table {relation.label} does not exist: {where}", hint=hint, code="Catalog Error")
