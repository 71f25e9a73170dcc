"""Changes: INSERT, UPDATE and DELETE, as new versions of rows in an open transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from tests.oracle_server.database import types
from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.tables import NEVER, Column, Table
from tests.oracle_server.sql.expressions import Expressions
from tests.oracle_server.sql.parsing import name_of, parse
from tests.oracle_server.sql.queries import Query, Translator
from tests.oracle_server.sql.typed import Scope, Source, Typed, bind

if TYPE_CHECKING:
    from tests.oracle_server.session import Session


@dataclass
class Effect:
    """What a statement did: rows changed, per execution too, and values for OUT binds by place."""

    rows: int = 0
    row_counts: list[int] = field(default_factory=list)
    out: dict[int, Any] = field(default_factory=dict)
    commits: bool = False


def translator_of(session: Session, binds: list[Any]) -> Translator:
    def value(place: int) -> Typed:
        if place >= len(binds):
            raise OracleError(1008)
        return bind(binds[place])

    return Translator(session, value, session.reading_scn())


def change(session: Session, text: str, rows: list[list[Any]]) -> Effect:
    node = parse(text)
    effect = Effect()
    target = node.this.this if isinstance(node.this, exp.Schema) else node.this
    table = session.table(name_of(target.args.get("db")) or None, name_of(target.this))
    if not session.user.may_on(
        {exp.Insert: "INSERT", exp.Update: "UPDATE"}.get(type(node), "DELETE"), table.schema, table.name
    ):
        raise OracleError(1031)
    if isinstance(node, exp.Insert) and (places := _only_binds(node)) is not None and rows:
        effect.rows = _insert_binds(session, table, node, places, rows)
        effect.row_counts = [1] * len(rows)
        return effect
    for binds in rows or [[]]:
        if isinstance(node, exp.Insert):
            count = _insert_query(session, table, node, binds)
        else:
            count = replace_rows(session, table, node, binds)
        effect.row_counts.append(count)
        effect.rows += count
    return effect


def _target_columns(table: Table, node: exp.Insert) -> list[Column]:
    if isinstance(node.this, exp.Schema):
        return [table.column(name_of(item)) for item in node.this.expressions]
    return [column for column in table.columns if not column.hidden]


def _only_binds(node: exp.Insert) -> list[int] | None:
    values = node.expression
    if not isinstance(values, exp.Values) or len(values.expressions) != 1:
        return None
    items = values.expressions[0].expressions
    if not all(isinstance(item, exp.Placeholder) for item in items):
        return None
    return [int(str(item.this).removeprefix("b")) for item in items]


def _insert_binds(session: Session, table: Table, node: exp.Insert, places: list[int], rows: list[list[Any]]) -> int:
    targets = _target_columns(table, node)
    if len(targets) != len(places):
        raise OracleError(947 if len(targets) > len(places) else 913, text="wrong number of values")
    at = {column.name: place for column, place in zip(targets, places, strict=True)}
    whole = [[binds[at[c.name]] if c.name in at else _default(c) for c in table.columns] for binds in rows]
    con = session.writing(table)
    return session.database.tables.insert_values(con, table, whole, session.pending)


def _default(column: Column) -> Any:
    if column.default is None:
        return None
    text = column.default.strip()
    return text[1:-1] if text.startswith("'") else text


def _insert_query(session: Session, table: Table, node: exp.Insert, binds: list[Any]) -> int:
    translator = translator_of(session, binds)
    targets = _target_columns(table, node)
    values = node.expression
    if isinstance(values, exp.Values):
        parts = []
        for line in values.expressions:
            select = exp.Select(expressions=list(line.expressions), from_=exp.From(this=exp.to_table("DUAL")))
            parts.append(translator.query(select))
        queries = parts
    else:
        queries = [translator.query(values)]
    con = session.writing(table)
    count = 0
    for query in queries:
        if len(query.columns) != len(targets):
            raise OracleError(947, text="not enough values")
        fetched = converted(session, translator, query, targets, con)
        by_name = dict(zip((column.name for column in targets), fetched.columns, strict=True))
        columns = [
            by_name.get(column.name, pa.nulls(len(fetched))).cast(_arrow(con, column))
            if column.name not in by_name or by_name[column.name].type != _arrow(con, column)
            else by_name[column.name]
            for column in table.columns
        ]
        rows = pa.table(columns, names=[column.stored for column in table.columns])
        count += session.database.tables.insert(con, table, _checked(session, table, rows), session.pending)
    return count


def _arrow(con: Any, column: Column) -> pa.DataType:
    return con.sql(f"SELECT NULL::{column.type.storage}").to_arrow_table().schema.field(0).type


def converted(session: Session, translator: Translator, query: Query, targets: list[Column], con: Any) -> pa.Table:
    see = Expressions(translator, Scope())
    items = []
    for number, (output, column) in enumerate(zip(query.columns, targets, strict=True), 1):
        cast = see.cast(
            Typed(f"k{number}", output.typed.type, is_null=output.typed.is_null), column.type, checked=False
        )
        sql = cast.sql
        if column.type.name in ("CHAR", "NCHAR"):
            sql = f"rpad({sql}, greatest(length({sql}), {column.type.length})::INTEGER, ' ')"
        elif column.type.is_character and not output.typed.type.is_lob:  # an empty LOB is not NULL
            sql = f"nullif({sql}, '')"
        items.append(f"({sql})::{column.type.storage} AS v{number}")
    return con.sql(f"SELECT {', '.join(items)} FROM ({query.sql})").to_arrow_table()


def _checked(session: Session, table: Table, rows: pa.Table) -> pa.Table:
    for column, values in zip(table.columns, rows.columns, strict=True):
        if column.type.length is not None and column.type.is_character:
            in_characters = column.type.counts_characters or column.type.name.startswith("N")
            for value in values.to_pylist():
                used = 0 if value is None else len(value) if in_characters else len(value.encode())
                if used > column.type.length:
                    shown = f'"{table.schema}"."{table.name}"."{column.name}"'
                    raise OracleError(12899, shown, used, column.type.length)
    return rows


def replace_rows(session: Session, table: Table, node: exp.Update | exp.Delete, binds: list[Any]) -> int:
    translator = translator_of(session, binds)
    con = session.writing(table)
    translator = translator_of(session, binds)  # now the transaction is open: what is current is what it sees
    columns = [(c.name, Typed(f"s.{c.stored}", c.type)) for c in table.columns]
    alias = node.this.args.get("alias")
    shown = name_of(alias.this) if alias is not None else table.name
    scope = Scope([Source("s", shown, columns, Typed("s.rid", types.ROWID))])
    see = Expressions(translator, scope)
    where = node.args.get("where")
    condition = see(where.this).sql if where is not None else "TRUE"
    new = {c.name: f"s.{c.stored}" for c in table.columns}
    for assignment in node.expressions if isinstance(node, exp.Update) else []:
        column = table.column(name_of(assignment.this.this))
        value = see.cast(see(assignment.expression), column.type)
        new[column.name] = f"({value.sql})::{column.type.storage}"
    chosen = ", ".join(f"{sql} AS {table.column(name).stored}" for name, sql in new.items())
    scan = session.database.tables.scan(table, None)
    con.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT s.rid, {chosen} FROM ({scan}) s WHERE {condition}")
    count = int(con.execute("SELECT count(*) FROM chosen").fetchall()[0][0])
    pending = session.pending
    con.execute(f"UPDATE {table.stored} SET died = {pending} WHERE died = {NEVER} AND rid IN (SELECT rid FROM chosen)")
    if isinstance(node, exp.Update):
        stored = ", ".join(column.stored for column in table.columns)
        con.execute(f"INSERT INTO {table.stored} SELECT rid, {pending}, {NEVER}, {stored} FROM chosen")
    con.execute("DROP TABLE chosen")
    return count
