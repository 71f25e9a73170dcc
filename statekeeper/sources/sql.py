"""SQL text with its bound values, and quoting, from which every source builds its statements.

Values never become part of the text. Only quoted names, and type names that come from the database itself, do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from statekeeper.text.sql_text import quoted

__all__ = ["Bind", "Sql", "all_of", "quoted"]


@dataclass(frozen=True)
class Bind:
    """A bound value: its text, and the database type to which the text is cast for the comparison."""

    type: str
    text: str


@dataclass(frozen=True)
class Sql:
    """A statement or a part of one. `binds` belong to the placeholders in `text`, in order."""

    text: str
    binds: tuple[Bind, ...] = ()

    def __add__(self, other: Sql) -> Sql:
        return Sql(self.text + other.text, self.binds + other.binds)


def column_of(name: str) -> Sql:
    """A column of the relation, which is always called `q`, so that our aliases cannot hide the user's."""
    return Sql(f"q.{quoted(name)}")


def all_of(conditions: Iterable[Sql]) -> Sql:
    """` WHERE` with all conditions joined by AND; empty if there are none."""
    where = Sql("")
    for condition in conditions:
        where += Sql(" AND (" if where.text else " WHERE (") + condition + Sql(")")
    return where
