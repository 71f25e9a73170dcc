"""Blocks: session settings, and PL/SQL as far as it is calls and assignments."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.oracle_server.changes import Effect, translator_of
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.naming import NAME, plain_name, split_outside
from tests.oracle_server.sql.parsing import number_binds, parse
from tests.oracle_server.wire.scalars import decode_number

if TYPE_CHECKING:
    from tests.oracle_server.session import Session


def alter_session(session: Session, text: str) -> None:
    if re.search(r"\b(enable|disable|force)\b", text, re.IGNORECASE):
        if re.search(r"\bparallel\s+query\b", text, re.IGNORECASE):
            degree = re.search(r"\bforce\s+parallel\s+query\s+parallel\s+(\d+)", text, re.IGNORECASE)
            session.parallel = int(degree[1]) if degree else 0
        return
    for name, value in re.findall(rf"([A-Za-z_]\w*)\s*=\s*('(?:[^']|'')*'|{NAME}|[\d.]+)", text):
        said = value[1:-1].replace("''", "'") if value.startswith("'") else value
        session.set(name.upper(), plain_name(said) if name.upper() == "CURRENT_SCHEMA" else said)


def set_transaction(session: Session, text: str) -> None:
    if re.search(r"read\s+only|isolation\s+level\s+serializable", text, re.IGNORECASE):
        if session.is_dirty:
            raise OracleError(1453, text="SET TRANSACTION must be first statement of transaction")
        session.read_only_scn = session.database.clock.scn


def run_block(session: Session, text: str, binds: list[Any]) -> Effect:
    """A block of calls and assignments; control structures are not understood."""
    effect = Effect()
    body = re.sub(r"^\s*(declare\b.*?\bbegin|begin|call)\b", "", text.strip(), flags=re.IGNORECASE | re.DOTALL)
    body = re.sub(r"\bend\s*;?\s*/?\s*$", "", body, flags=re.IGNORECASE)
    values = list(binds)
    for part in split_outside(body, ";"):
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
            from tests.oracle_server.statements import run

            run(session, inner, inner.split()[0].upper(), [])
            continue
        name = ".".join(plain_name(piece.strip()) for piece in called[1].split(".")).removeprefix("SYS.")
        procedure = _PROCEDURES.get(name)
        if procedure is None:
            raise OracleError(6550, text=f"line 1, column 7:\nPLS-00201: identifier '{name}' must be declared")
        texts = [re.sub(rf"^\s*{NAME}\s*=>", "", one) for one in split_outside(called[2] or "", ",") if one.strip()]
        procedure(session, _evaluate(session, texts, values))
    return effect


def _evaluate(session: Session, texts: list[str], binds: list[Any]) -> list[Any]:
    """Values of expressions, as Python values; numbers are Decimal."""
    out: list[Any] = []
    for text in texts:
        translator = translator_of(session, binds)
        query = translator.query(parse(f"SELECT {text} FROM DUAL"))
        typed = query.columns[0].typed
        if typed.literal is not None and not isinstance(typed.literal, tuple):
            out.append(typed.literal)
            continue
        value = session.reading().execute(query.sql).fetchall()[0][0]
        if typed.is_big and value is not None:
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
