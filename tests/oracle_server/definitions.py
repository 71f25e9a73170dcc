"""Definitions: tables, views, users and grants."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from tests.oracle_server.changes import converted, replace_rows, translator_of
from tests.oracle_server.cursors import described
from tests.oracle_server.database import types
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.database.tables import Column, Partitioning, Table, View
from tests.oracle_server.naming import NAME, QUALIFIED, check_length, plain_name, split_outside
from tests.oracle_server.sql.parsing import parse
from tests.oracle_server.sql.queries import Translator
from tests.oracle_server.sql.typed import bind

if TYPE_CHECKING:
    from tests.oracle_server.session import Session


def define(session: Session, text: str, verb: str) -> None:
    database = session.database
    if found := re.match(
        rf"\s*create\s+(?:or\s+replace\s+)?(?:force\s+)?view\s+{QUALIFIED}\s*(\([^)]*\))?\s+as\s+(.*)$",
        text,
        re.IGNORECASE | re.DOTALL,
    ):
        _create_view(session, plain_name(found[1] or session.current_schema), plain_name(found[2]), found[3], found[4])
    elif found := re.match(
        rf"\s*create\s+(?:global\s+temporary\s+)?table\s+{QUALIFIED}\s+as\s+(.*)$", text, re.IGNORECASE | re.DOTALL
    ):
        _create_as(session, plain_name(found[1] or session.current_schema), plain_name(found[2]), found[3])
    elif found := re.match(
        rf"\s*create\s+(?:global\s+temporary\s+)?table\s+{QUALIFIED}\s*(\(.*)$", text, re.IGNORECASE | re.DOTALL
    ):
        create_table(session, plain_name(found[1] or session.current_schema), plain_name(found[2]), found[3])
    elif found := re.match(rf"\s*drop\s+(?:table|view)\s+(if\s+exists\s+)?{QUALIFIED}", text, re.IGNORECASE):
        schema, name = plain_name(found[2] or session.current_schema), plain_name(found[3])
        if not found[1] or database.tables.find(schema, name):
            database.tables.drop(schema, name)
    elif found := re.match(rf"\s*truncate\s+table\s+{QUALIFIED}", text, re.IGNORECASE):
        table = session.table(found[1] and plain_name(found[1]), plain_name(found[2]))
        replace_rows(session, table, exp.Delete(this=exp.to_table("x")), [])
        session.commit()
        database.tables.touch_ddl(table, new_segments=True)
    elif found := re.match(rf"\s*alter\s+table\s+{QUALIFIED}\s+(.*)$", text, re.IGNORECASE | re.DOTALL):
        _alter_table(session, session.table(found[1] and plain_name(found[1]), plain_name(found[2])), found[3])
    elif found := re.match(r"\s*grant\s+(.*?)\s+to\s+(\S+)\s*$", text, re.IGNORECASE | re.DOTALL):
        _grant(session, found[1], plain_name(found[2].rstrip(";")), revokes=False)
    elif found := re.match(r"\s*revoke\s+(.*?)\s+from\s+(\S+)\s*$", text, re.IGNORECASE | re.DOTALL):
        _grant(session, found[1], plain_name(found[2].rstrip(";")), revokes=True)
    elif found := re.match(rf'\s*create\s+user\s+({NAME})\s+identified\s+by\s+("[^"]+"|\S+)', text, re.IGNORECASE):
        database.users.create(plain_name(found[1]), found[2].strip('"'), "none")
    elif re.match(r"\s*create\s+(unique\s+)?(index|sequence|synonym)\b", text, re.IGNORECASE):
        return
    else:
        raise unsupported(f"{verb} as in {text[:80]}")


def _create_view(session: Session, schema: str, name: str, names: str | None, query: str) -> None:
    database = session.database
    check_length(name, database.identifier_bytes)
    owner, session.current_schema = session.current_schema, schema
    try:
        translated = Translator(session, lambda _: bind(None), database.clock.scn).query(parse(query))
    finally:
        session.current_schema = owner
    given = (
        [plain_name(part.strip()) for part in names[1:-1].split(",")] if names else [c.name for c in translated.columns]
    )
    columns = [
        Column(name_, described(output.typed), number=number)
        for number, (name_, output) in enumerate(zip(given, translated.columns, strict=True), 1)
    ]
    with database.clock.lock:
        if (schema, name) in database.tables.tables:
            raise OracleError(955)
        scn = database.clock.tick()
        database.tables.views[schema, name] = View(schema, name, query, database.tables.new_object(), scn, columns)


def _create_as(session: Session, schema: str, name: str, query: str) -> None:
    check_length(name, session.database.identifier_bytes)
    translator = translator_of(session, [])
    translated = translator.query(parse(query))
    columns = [Column(output.name, _storable(described(output.typed))) for output in translated.columns]
    table = session.database.tables.create(schema, name, columns)
    con = session.writing(table)
    rows = converted(session, translator, translated, table.columns, con)
    session.database.tables.insert(con, table, rows, session.pending)
    session.commit()


def _storable(kind: types.OracleType) -> types.OracleType:
    return types.varchar(kind.length or 1) if kind.name == "CHAR" and not kind.length else kind


def create_table(session: Session, schema: str, name: str, text: str) -> Table:
    """CREATE TABLE after its name: columns, constraints and the clauses that follow them."""
    end = _closing(text)
    body, tail = text[1:end], text[end + 1 :]
    columns, key = [], ()
    for item in split_outside(body, ","):
        said = item.strip()
        if found := re.match(rf"(?:constraint\s+{NAME}\s+)?primary\s+key\s*\((.*)\)", said, re.IGNORECASE | re.DOTALL):
            key = tuple(plain_name(part.strip()) for part in found[1].split(","))
            continue
        if re.match(r"(constraint|unique|foreign|check)\b", said, re.IGNORECASE):
            continue
        column, is_key = _column(said)
        columns.append(column)
        if is_key:
            key = (column.name,)
    for named in (name, *(column.name for column in columns)):
        check_length(named, session.database.identifier_bytes)
    columns = [replace(column, nullable=column.nullable and column.name not in key) for column in columns]
    return session.database.tables.create(
        schema, name, columns, partitioning=_partitioning(tail), primary_key=key,
        organization="index" if re.search(r"organization\s+index", tail, re.IGNORECASE) else "heap",
    )  # fmt: skip


def _closing(text: str) -> int:
    depth, quoted = 0, False
    for place, sign in enumerate(text):
        if sign == "'":
            quoted = not quoted
        elif not quoted:
            depth += (sign == "(") - (sign == ")")
            if depth == 0:
                return place
    raise OracleError(907, text="missing right parenthesis")


def _column(said: str) -> tuple[Column, bool]:
    found = re.match(rf"({NAME})\s+(.*)$", said, re.DOTALL)
    if found is None:
        raise OracleError(904, said)
    rest = found[2]
    is_key = bool(re.search(r"\bprimary\s+key\b", rest, re.IGNORECASE))
    nullable = not re.search(r"\bnot\s+null\b", rest, re.IGNORECASE) and not is_key
    default = re.search(r"\bdefault\s+('(?:[^']|'')*'|\S+)", rest, re.IGNORECASE)
    kind = re.split(
        r"\b(?:not\s+null|null|default|primary\s+key|unique|check|constraint|generated|references|(?:in)?visible)\b",
        rest,
        maxsplit=1,
        flags=re.IGNORECASE,
    )[0]
    hidden = bool(re.search(r"\binvisible\b", rest, re.IGNORECASE))
    given = default[1] if default else None
    return Column(plain_name(found[1]), types.parse(kind), nullable, given, hidden=hidden), is_key


def _partitioning(tail: str) -> Partitioning | None:
    found = re.search(rf"partition\s+by\s+range\s*\(\s*({NAME})\s*\)", tail, re.IGNORECASE)
    if found is None:
        return None
    bounds: list[tuple[str, Any]] = []
    for name, bound in re.findall(
        rf"partition\s+({NAME})\s+values\s+less\s+than\s*\(\s*(.*?)\s*\)(?=\s*[,)])", tail, re.IGNORECASE | re.DOTALL
    ):
        value: Any
        if bound.upper() == "MAXVALUE":
            value = None
        elif date := re.search(r"'(\d{4}-\d\d-\d\d)[^']*'", bound):
            value = dt.datetime.fromisoformat(date[1])
        else:
            value = bound.strip("'") if bound.startswith("'") else Decimal(bound)
        bounds.append((plain_name(name), value))
    return Partitioning(plain_name(found[1]), tuple(bounds))


def _alter_table(session: Session, table: Table, what: str) -> None:
    tables = session.database.tables
    if found := re.match(r"add\s*\(?\s*(.*?)\s*\)?\s*$", what, re.IGNORECASE | re.DOTALL):
        if not re.match(r"(constraint|primary)", found[1], re.IGNORECASE):
            column, _ = _column(found[1])
            added = Column(column.name, column.type, column.nullable, column.default, len(table.columns) + 1)
            tables.duck.cursor().execute(f"ALTER TABLE {table.stored} ADD COLUMN {added.stored} {column.type.storage}")
            table.columns.append(added)
    elif re.match(r"move\b", what, re.IGNORECASE):
        tables.touch_ddl(table, new_segments=True)
        return
    elif found := re.match(rf"modify\s*\(?\s*({NAME})\s+invisible\b", what, re.IGNORECASE):
        hidden = table.column(plain_name(found[1]))
        table.columns = [replace(one, hidden=one.hidden or one is hidden) for one in table.columns]
    elif found := re.match(rf"drop\s+column\s+({NAME})", what, re.IGNORECASE):
        table.columns.remove(table.column(plain_name(found[1])))
    tables.touch_ddl(table)


def _grant(session: Session, what: str, name: str, *, revokes: bool) -> None:
    users = session.database.users
    actions, _, target = what.partition(" on ") if " on " in what else what.partition(" ON ")
    for action in actions.split(","):
        privilege = f"{action.strip()} ON {_full(session, target.strip())}" if target else action.strip()
        (users.revoke if revokes else users.grant)(privilege, name)
    if target:
        found = session.resolve(*_parts(target))
        if isinstance(found, Table):
            found.ddl_time = dt.datetime.now(dt.UTC)  # a GRANT moves LAST_DDL_TIME, and nothing else


def _parts(target: str) -> tuple[str | None, str]:
    found = re.match(rf"\s*{QUALIFIED}", target)
    if found is None:
        return None, target
    return (plain_name(found[1]) if found[1] else None), plain_name(found[2])


def _full(session: Session, target: str) -> str:
    schema, name = _parts(target)
    if schema is None and name.startswith(("DBMS_", "V$", "V_$", "DBA_")):
        schema = "SYS"
    return f'"{schema or session.current_schema}"."{name}"'
