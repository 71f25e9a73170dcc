"""Dictionary: the views through which Oracle describes itself, each made from the server's state when it is read.

A view is a list of columns and a function that gives its rows. DBA_ and V$ views need the catalog role or a grant;
the others show what the user may read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.oracle_server.database import types
from tests.oracle_server.database.tables import Table
from tests.oracle_server.database.types import DATE, INTEGER, NUMBER, OracleType

if TYPE_CHECKING:
    from tests.oracle_server.session import Session

Row = dict[str, Any]
TEXT = types.varchar(128)
LONG_TEXT = types.varchar(4000)


@dataclass(frozen=True)
class DictionaryView:
    """One view: its columns, and what fills them; `public` ones need no grant."""

    columns: dict[str, OracleType]
    rows: Callable[[Session], Iterator[Row]]
    public: bool = True


VIEWS: dict[str, DictionaryView] = {}


def view(names: str, columns: str, *, public: bool = True) -> Callable[[Any], Any]:
    """Register a view under several names; a column is `NAME`, `NAME:n` for a number or `NAME:d` for a date."""
    kinds = {"": TEXT, "n": NUMBER, "i": INTEGER, "d": DATE, "l": LONG_TEXT, "long": OracleType("LONG")}
    parsed = {}
    for column in columns.split():
        name, _, kind = column.partition(":")
        parsed[name] = kinds[kind]

    def keep(rows: Callable[[Session], Iterator[Row]]) -> Callable[[Session], Iterator[Row]]:
        for name in names.split():
            only_own = name.startswith("USER_")
            VIEWS[name] = DictionaryView(
                parsed, _own(rows) if only_own else rows, public and not name.startswith("DBA_")
            )
        return rows

    return keep


def _own(rows: Callable[[Session], Iterator[Row]]) -> Callable[[Session], Iterator[Row]]:
    def filtered(session: Session) -> Iterator[Row]:
        for row in rows(session):
            owner = row.get("OWNER", row.get("TABLE_OWNER", row.get("OBJECT_OWNER", session.user.name)))
            if owner == session.user.name:
                yield row

    return filtered


def readable_tables(session: Session) -> Iterator[Table]:
    for table in list(session.database.tables.tables.values()):
        if session.user.may_on("SELECT", table.schema, table.name):
            yield table


def find(name: str) -> tuple[str, DictionaryView] | None:
    """A dictionary view by any of the names under which it can be read."""
    from tests.oracle_server.database import dictionary_of_instance, dictionary_of_objects  # noqa: F401  (they register)

    plain = name.replace("V_$", "V$").replace("GV$", "V$")
    return (plain, VIEWS[plain]) if plain in VIEWS else None
