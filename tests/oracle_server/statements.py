"""Statements: everything that is no query: changes, definitions, session settings and small PL/SQL blocks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from tests.oracle_server.cursors import described
from tests.oracle_server.database import types
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.database.tables import NEVER, Column, Partitioning, Table, View
from tests.oracle_server.sql.expressions import Expressions
from tests.oracle_server.sql.parsing import name_of, number_binds, parse
from tests.oracle_server.sql.queries import Query, Translator
from tests.oracle_server.sql.typed import Scope, Source, Typed, bind

if TYPE_CHECKING:
    from tests.oracle_server.session import Session

NAME = r'(?:"[^"]+"|[A-Za-z][\w$#]*)'
QUALIFIED = rf"(?:({NAME})\s*\.\s*)?({NAME})"


@dataclass
class Effect:
    """What a statement did: rows changed, per execution too, and values for OUT binds by place."""

    rows: int = 0
    row_counts: list[int] = field(default_factory=list)
    out: dict[int, Any] = field(default_factory=dict)
    commits: bool = False


def plain_name(text: str) -> str:
    return text[1:-1] if text.startswith('"') else text.upper()


def run(session: Session, text: str, verb: str, rows: list[list[Any]]) -> Effect:
    """One statement, once for each row of binds; binds in `text` are numbered."""
    match verb:
        case "INSERT" | "UPDATE" | "DELETE":
            return _change(session, text, rows)
        case "BEGIN" | "DECLARE" | "CALL":
            return _block(session, text, rows[0] if rows else [])
        case "ALTER" if re.match(r"\s*alter\s+session\b", text, re.IGNORECASE):
            _alter_session(session, text)
            return Effect()
        case "SET":
            _set_transaction(session, text)
            return Effect()
        case "COMMIT":
            session.commit()
            return Effect()
        case "ROLLBACK":
            session.rollback()
            return Effect()
        case "LOCK" | "COMMENT" | "ANALYZE" | "EXPLAIN" | "SAVEPOINT":
            return Effect()
        case _:
            session.commit()
            _define(session, text, verb)
            return Effect()


# --- changes


def _translator(session: Session, binds: list[Any]) -> Translator:
    def value(place: int) -> Typed:
        if place >= len(binds):
            raise OracleError(1008)
        return bind(binds[place])

    return Translator(session, value, session.reading_scn())


def _change(session: Session, text: str, rows: list[list[Any]]) -> Effect:
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
            count = _replace(session, table, node, binds)
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
    translator = _translator(session, binds)
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
        fetched = _converted(session, translator, query, targets, con)
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


def _converted(session: Session, translator: Translator, query: Query, targets: list[Column], con: Any) -> pa.Table:
    see = Expressions(translator, Scope())
    items = []
    for number, (output, column) in enumerate(zip(query.columns, targets, strict=True), 1):
        cast = see.cast(
            Typed(f"k{number}", output.typed.type, is_null=output.typed.is_null), column.type, checked=False
        )
        sql = cast.sql
        if column.type.name in ("CHAR", "NCHAR"):
            sql = f"rpad({sql}, greatest(length({sql}), {column.type.length}), ' ')"
        elif column.type.is_character:
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


def _replace(session: Session, table: Table, node: exp.Update | exp.Delete, binds: list[Any]) -> int:
    translator = _translator(session, binds)
    con = session.writing(table)
    translator = _translator(session, binds)  # now the transaction is open: what is current is what it sees
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


# --- session settings


def _alter_session(session: Session, text: str) -> None:
    if re.search(r"\b(enable|disable|force)\b", text, re.IGNORECASE):
        return
    for name, value in re.findall(rf"([A-Za-z_]\w*)\s*=\s*('(?:[^']|'')*'|{NAME}|[\d.]+)", text):
        said = value[1:-1].replace("''", "'") if value.startswith("'") else value
        session.set(name.upper(), plain_name(said) if name.upper() == "CURRENT_SCHEMA" else said)


def _set_transaction(session: Session, text: str) -> None:
    if re.search(r"read\s+only|isolation\s+level\s+serializable", text, re.IGNORECASE):
        if session.is_dirty:
            raise OracleError(1453, text="SET TRANSACTION must be first statement of transaction")
        session.read_only_scn = session.database.clock.scn


# --- PL/SQL


def _block(session: Session, text: str, binds: list[Any]) -> Effect:
    """A block of calls and assignments; control structures are not understood."""
    effect = Effect()
    body = re.sub(r"^\s*(declare\b.*?\bbegin|begin|call)\b", "", text.strip(), flags=re.IGNORECASE | re.DOTALL)
    body = re.sub(r"\bend\s*;?\s*/?\s*$", "", body, flags=re.IGNORECASE)
    values = list(binds)
    for part in _split(body, ";"):
        statement = part.strip()
        if not statement or statement.upper() == "NULL":
            continue
        assigned = re.match(r":b(\d+)\s*:=\s*(.*)", statement, re.DOTALL)
        if assigned:
            place = int(assigned[1])
            effect.out[place] = _evaluate(session, [assigned[2]], values)[0]
            continue
        called = re.match(rf"((?:{NAME}\s*\.\s*)*{NAME})\s*(?:\((.*)\))?\s*$", statement, re.DOTALL)
        if called is None:
            immediate = re.match(r"execute\s+immediate\s+'(.*)'\s*$", statement, re.IGNORECASE | re.DOTALL)
            if immediate is None:
                raise unsupported(f"this in a PL/SQL block: {statement[:80]}")
            inner = number_binds(immediate[1].replace("''", "'"))[0]
            run(session, inner, inner.split()[0].upper(), [])
            continue
        name = ".".join(plain_name(piece.strip()) for piece in called[1].split(".")).removeprefix("SYS.")
        procedure = _PROCEDURES.get(name)
        if procedure is None:
            raise OracleError(6550, text=f"line 1, column 7:\nPLS-00201: identifier '{name}' must be declared")
        texts = [re.sub(rf"^\s*{NAME}\s*=>", "", one) for one in _split(called[2] or "", ",") if one.strip()]
        procedure(session, _evaluate(session, texts, values))
    return effect


def _split(text: str, at: str) -> list[str]:
    """Parts between separators that stand outside of quotes and brackets."""
    out, depth, quoted, start = [], 0, False, 0
    for place, sign in enumerate(text):
        if sign == "'":
            quoted = not quoted
        elif not quoted:
            depth += (sign == "(") - (sign == ")")
            if sign == at and depth == 0:
                out.append(text[start:place])
                start = place + 1
    return [*out, text[start:]]


def _evaluate(session: Session, texts: list[str], binds: list[Any]) -> list[Any]:
    """Values of expressions, as Python values; numbers are Decimal."""
    out: list[Any] = []
    for text in texts:
        translator = _translator(session, binds)
        query = translator.query(parse(f"SELECT {text} FROM DUAL"))
        typed = query.columns[0].typed
        if typed.literal is not None and not isinstance(typed.literal, tuple):
            out.append(typed.literal)
            continue
        value = session.reading().execute(query.sql).fetchall()[0][0]
        if typed.is_big and value is not None:
            from tests.oracle_server.wire.scalars import decode_number

            value = decode_number(value)
        out.append(value)
    return out


def _enable_flashback(session: Session, values: list[Any]) -> None:
    _may_flash(session)
    scn = int(values[0])
    if scn > session.database.clock.scn:
        raise OracleError(8181)
    session.flashback_scn = scn


def _disable_flashback(session: Session, _: list[Any]) -> None:
    _may_flash(session)
    session.flashback_scn = None


def _may_flash(session: Session) -> None:
    if not session.user.may("EXECUTE ON SYS.DBMS_FLASHBACK"):
        raise OracleError(6550, text="line 1, column 7:\nPLS-00201: identifier 'DBMS_FLASHBACK' must be declared")


def _set_attribute(*names: str) -> Callable[[Session, list[Any]], None]:
    def assign(session: Session, values: list[Any]) -> None:
        for name, value in zip(names, values, strict=False):
            setattr(session, name, value)

    return assign


def _sleep(_: Session, values: list[Any]) -> None:
    import time

    time.sleep(float(values[0] or Decimal(0)))


def _nothing(_: Session, __: list[Any]) -> None:
    return


def _gather(session: Session, values: list[Any]) -> None:
    table = session.table(str(values[0]), str(values[1]))
    table.statistics_rows = len(session.database.tables.rows(table.schema, table.name))


_PROCEDURES: dict[str, Callable[[Session, list[Any]], None]] = {
    "DBMS_FLASHBACK.ENABLE_AT_SYSTEM_CHANGE_NUMBER": _enable_flashback,
    "DBMS_FLASHBACK.DISABLE": _disable_flashback,
    "DBMS_APPLICATION_INFO.SET_MODULE": _set_attribute("module", "action"),
    "DBMS_APPLICATION_INFO.SET_ACTION": _set_attribute("action"),
    "DBMS_APPLICATION_INFO.SET_CLIENT_INFO": _set_attribute("client_info"),
    "DBMS_SESSION.SET_IDENTIFIER": _set_attribute("client_identifier"),
    "DBMS_SESSION.SLEEP": _sleep,
    "DBMS_LOCK.SLEEP": _sleep,
    "DBMS_STATS.GATHER_TABLE_STATS": _gather,
    "DBMS_OUTPUT.ENABLE": _nothing,
    "DBMS_OUTPUT.PUT_LINE": _nothing,
}


# --- definitions


def _define(session: Session, text: str, verb: str) -> None:
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
        _replace(session, table, exp.Delete(this=exp.to_table("x")), [])
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
    translator = _translator(session, [])
    translated = translator.query(parse(query))
    columns = [Column(output.name, _storable(described(output.typed))) for output in translated.columns]
    table = session.database.tables.create(schema, name, columns)
    con = session.writing(table)
    rows = _converted(session, translator, translated, table.columns, con)
    session.database.tables.insert(con, table, rows, session.pending)
    session.commit()


def _storable(kind: types.OracleType) -> types.OracleType:
    return types.varchar(kind.length or 1) if kind.name == "CHAR" and not kind.length else kind


def create_table(session: Session, schema: str, name: str, text: str) -> Table:
    """CREATE TABLE after its name: columns, constraints and the clauses that follow them."""
    end = _closing(text)
    body, tail = text[1:end], text[end + 1 :]
    columns, key = [], ()
    for item in _split(body, ","):
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
    columns = [Column(c.name, c.type, c.nullable and c.name not in key, c.default) for c in columns]
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
        r"\b(?:not\s+null|null|default|primary\s+key|unique|check|constraint|generated|references)\b",
        rest,
        maxsplit=1,
        flags=re.IGNORECASE,
    )[0]
    return Column(plain_name(found[1]), types.parse(kind), nullable, default[1] if default else None), is_key


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
            import datetime as dt

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
            import datetime as dt

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
