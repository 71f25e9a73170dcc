"""Statements: everything that is not a query, each kind passed to the module that runs it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.oracle_server.blocks import alter_session, run_block, set_transaction
from tests.oracle_server.changes import Effect, change
from tests.oracle_server.definitions import define

if TYPE_CHECKING:
    from tests.oracle_server.session import Session


def run(session: Session, text: str, verb: str, rows: list[list[Any]]) -> Effect:
    """One statement, once for each row of binds; binds in `text` are numbered."""
    match verb:
        case "INSERT" | "UPDATE" | "DELETE":
            return change(session, text, rows)
        case "BEGIN" | "DECLARE" | "CALL":
            return run_block(session, text, rows[0] if rows else [])
        case "ALTER" if re.match(r"\s*alter\s+session\b", text, re.IGNORECASE):
            alter_session(session, text)
            return Effect()
        case "SET":
            set_transaction(session, text)
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
            define(session, text, verb)
            return Effect()
