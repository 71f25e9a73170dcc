"""Functions: Oracle's by name, each a translation to DuckDB; modules beside this one register them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.sql.expressions import Expressions
from tests.oracle_server.sql.typed import Typed

if TYPE_CHECKING:
    from tests.oracle_server.session import Session

Arguments = list[exp.Expression]
Handler = Callable[["Functions", Expressions, Arguments], Typed]
HANDLERS: dict[str, Handler] = {}


def named(*names: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return keep


class Functions:
    """All functions, for one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.name = ""

        from tests.oracle_server.sql import functions_of_sessions, functions_of_sets, functions_of_values  # noqa: F401  (they register)

    def knows(self, name: str) -> bool:
        return name.removeprefix("SYS.") in HANDLERS

    def call(self, expressions: Expressions, name: str, arguments: Arguments) -> Typed:
        handler = HANDLERS.get(name.removeprefix("SYS."))
        if handler is None:
            raise OracleError(904, f'"{name}"')
        self.name = name.removeprefix("SYS.")  # for handlers of several names, which look before they translate
        return handler(self, expressions, arguments)
