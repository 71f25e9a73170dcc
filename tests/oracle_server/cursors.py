"""Cursors: statements that a session has open, from their parse to their last row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from tests.oracle_server.access import access_path, sorted_by
from tests.oracle_server.database import types
from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.naming import check_length
from tests.oracle_server.rows import Feed, Lie, encoded, encoder, garble, lied, remembered
from tests.oracle_server.sql.parsing import number_binds, parse
from tests.oracle_server.sql.queries import Query, Translator
from tests.oracle_server.sql.typed import Typed, bind
from tests.oracle_server.wire import types as wire
from tests.oracle_server.wire.columns import EncodedRows
from tests.oracle_server.wire.types import BindForm, ColumnForm

if TYPE_CHECKING:
    from tests.oracle_server.lobs import Lobs
    from tests.oracle_server.log import Served
    from tests.oracle_server.session import Session

_ORA = re.compile(r"ORA-(\d{5}): (.*)", re.DOTALL)
KINDS = {
    "SELECT": 3, "WITH": 3, "INSERT": 2, "UPDATE": 6, "DELETE": 7, "CREATE": 1, "DROP": 12, "ALTER": 42, "BEGIN": 47,
    "DECLARE": 47, "CALL": 47, "COMMIT": 44, "ROLLBACK": 45, "SET": 48, "TRUNCATE": 85, "GRANT": 17, "REVOKE": 18,
}  # fmt: skip


@dataclass
class Cursor:
    """One statement; `number` is what the client calls it by."""

    number: int
    sql: str
    text: str = ""
    bind_names: list[str] = field(default_factory=list)
    bind_forms: list[BindForm] = field(default_factory=list)
    defines: list[BindForm] = field(default_factory=list)
    in_places: list[int] | None = None  # of a PL/SQL block: the binds that a re-execution sends
    query: Query | None = None
    scn: int | None = None
    feed: Feed | None = None
    served: Served | None = None
    drop_after: int | None = None
    fail_after: tuple[int, int] | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        self.sql = self.sql.rstrip("\x00")
        self.text, self.bind_names = number_binds(self.sql)

    @property
    def verb(self) -> str:
        found = re.match(r"[\s(]*([A-Za-z]+)", self.text)
        return found.group(1).upper() if found else ""

    @property
    def is_query(self) -> bool:
        return self.verb in ("SELECT", "WITH")

    @property
    def kind(self) -> int:
        return KINDS.get(self.verb, 0)

    @property
    def forms(self) -> list[ColumnForm]:
        assert self.query is not None
        out = []
        for output in self.query.columns:
            form = described(output.typed).form(output.name, nullable=output.typed.nullable)
            if output.typed.is_aggregate and form.kind == wire.NUMBER:
                form = replace(form, scale=0)
            if output.typed.is_null and form.kind == wire.VARCHAR:
                form = ColumnForm(output.name, form.kind, form=form.form)
            out.append(form)
        return out

    @property
    def needs_define(self) -> bool:
        """Whether a client must say first how it wants the LOBs."""
        return self.query is not None and any(output.typed.type.is_lob for output in self.query.columns)


def described(typed: Typed) -> OracleType:
    """The type as Oracle describes it: numbers that are computed have no precision."""
    return types.NUMBER if typed.type.is_number and not typed.declared else typed.type


def translate(session: Session, cursor: Cursor, binds: list[Any]) -> Query:
    """The cursor's query with these binds, at the SCN that it asks for or that of this moment."""

    def value(place: int) -> Typed:
        if place >= len(binds):
            raise OracleError(1008)
        size = cursor.bind_forms[place].size if place < len(cursor.bind_forms) else 0
        return bind(binds[place], size)

    translator = Translator(session, value, session.reading_scn())
    tree = parse(cursor.text)
    for name in tree.find_all(exp.Identifier):
        check_length(name.this, session.database.identifier_bytes)
    cursor.query = translator.query(tree)
    cursor.scn = translator.first_scn
    if cursor.served is not None:
        asked = translator.scns or [scn for scn in (session.flashback_scn, session.read_only_scn) if scn is not None]
        cursor.served.scns = sorted(set(asked))
        cursor.served.scn = asked[0] if asked else None
        cursor.served.access = access_path(tree, session.resolve)
        if (inner := sorted_by(tree)) is not None:
            rows = Translator(session, value, session.reading_scn()).query(inner).sql
            ((cursor.served.sorted_rows,),) = session.reading().execute(f"SELECT count(*) FROM ({rows})").fetchall()
            if cursor.served.sorted_rows > session.database.sort_rows:
                raise OracleError(1652)
    return cursor.query


def undecided_rows(session: Session, cursor: Cursor, lobs: Lobs, lies: list[Lie], garbled: set[str]) -> None:
    """Start the query: rows can be taken from `cursor.feed` afterwards."""
    query = cursor.query
    assert query is not None
    columns = []
    for number, output in enumerate(query.columns, 1):
        local = output.typed.type.name == "TIMESTAMP WITH LOCAL TIME ZONE"
        columns.append(f"k{number} + to_minutes({session.zone_minutes})" if local else f"k{number}")
    sql = f"SELECT {', '.join(columns)} FROM ({query.sql})"
    defines = cursor.defines or [None] * len(query.columns)
    encoders = [
        garble(output.typed.type) if output.name in garbled else encoder(
            output.typed.type, define, lobs.keep,
            always_null=output.typed.is_null and output.typed.type.name == "VARCHAR2",
        )
        for output, define in zip(query.columns, defines, strict=True)
    ]  # fmt: skip
    database = session.database
    if lies:
        blocks = encoded(session.reading(), sql, encoders, bit_vectors=False)
        for lie in lies:
            blocks = lied(blocks, lie)
        cursor.feed = _feed(blocks)
        return
    has_locators = any(define is not None and define.kind in (112, 113) for define in defines)
    kinds = tuple(output.typed.type for output in query.columns)
    defined = tuple((define.kind, define.form) if define else None for define in defines)
    key = None if session.is_dirty or has_locators or garbled else (sql, kinds, defined, database.bit_vectors)
    kept = database.cache.get(key) if key is not None else None
    if kept is not None:
        cursor.feed = Feed(iter(kept))
        return
    blocks = encoded(session.reading(), sql, encoders, bit_vectors=database.bit_vectors)
    if session.is_dirty:
        blocks = iter(list(_translated(blocks)))
    cursor.feed = _feed(remembered(blocks, database.cache, key) if key is not None else blocks)


def _feed(blocks: Iterator[EncodedRows]) -> Feed:
    return Feed(_translated(blocks))


def _translated(blocks: Iterator[EncodedRows]) -> Iterator[EncodedRows]:
    try:
        yield from blocks
    except duckdb.Error as reason:
        raise oracle_error(reason) from reason


def oracle_error(reason: duckdb.Error) -> OracleError:
    """DuckDB's error as the one that Oracle would raise, as far as can be told."""
    said = str(reason)
    if found := _ORA.search(said):
        return OracleError(int(found[1]), text=found[2].split("\n")[0])
    if "Could not cast" in said or "Conversion Error" in said:
        code = 1438 if "DECIMAL" in said else 1722
        return OracleError(code, text=f"conversion failed: {said.splitlines()[0][:200]}")
    if "Transaction conflict" in said or "Conflict on" in said:
        return OracleError(8177)
    return OracleError(900, text=f"test server, DuckDB: {said[:400]}")
