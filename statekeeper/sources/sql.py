"""SQL text with its bound values, and quoting: what every source builds its statements from.

Values never become part of the text; only quoted names and type names that the database itself gave do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from statekeeper.text.sql_text import quoted

__all__ = ["Bind", "Sql", "all_of", "quoted"]


@dataclass(frozen=True)
class Bind:
    """A value for a `?`: its text, and the database type that the text is cast to where it is compared."""

    type: str
    text: str


@dataclass(frozen=True)
class Sql:
    """A statement or a piece of one. `binds` belong to the `?` in `text`, in order."""

    text: str
    binds: tuple[Bind, ...] = ()

    def __add__(self, other: Sql) -> Sql:
        return Sql(self.text + other.text, self.binds + other.binds)


def column_of(name: str) -> Sql:
    """A column of what is read: it is always called `q`, so that no alias of ours hides one of theirs."""
    return Sql(f"q.{quoted(name)}")


def all_of(conditions: Iterable[Sql]) -> Sql:
    """` WHERE` and the conditions, each of which must hold; nothing where there are none."""
    where = Sql("")
    for condition in conditions:
        where += Sql(" AND (" if where.text else " WHERE (") + condition + Sql(")")
    return where
