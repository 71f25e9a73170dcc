"""Selects tables of a pipeline by names and patterns."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

from statekeeper.errors import UsageError

if TYPE_CHECKING:
    from statekeeper.config.resolved import ExtractionConfig, Pipeline

Table = TypeVar("Table")
_WILD = frozenset("*?[")


def select_tables(
    pipeline: Pipeline, names: Iterable[str], *, exclude: Iterable[str] = ()
) -> tuple[ExtractionConfig, ...]:
    """The tables with these names, in the pipeline's order; all of them if no name is given.

    A name is the table's, `schema.table`, `source.schema.table`, or its `path_name`; or a pattern of such names, with
    `*`, `?` and `[...]`. Tables that match one of `exclude` are left out.

    Raises:
        UsageError: a name or pattern matches no table of the pipeline, or no table is left.
    """
    return select(
        pipeline.tables, names, exclude=exclude, names_of=lambda config: (config.table.key, *config.table.names)
    )


def select(
    tables: Sequence[Table],
    names: Iterable[str],
    *,
    exclude: Iterable[str],
    names_of: Callable[[Table], Sequence[str]],
) -> tuple[Table, ...]:
    """The same for anything that has a table's names; the first of `names_of` is its key."""

    def is_one_of(table: Table, given: tuple[str, ...]) -> bool:
        return any(matches(names_of(table), name) for name in given)

    wanted, unwanted = tuple(names), tuple(exclude)
    for name in (*wanted, *unwanted):
        if not any(is_one_of(table, (name,)) for table in tables):
            raise UsageError(f"no table {name!r} in the pipeline", hint=_hint(tuple(map(names_of, tables)), name))
    chosen = (table for table in tables if not wanted or is_one_of(table, wanted))
    left = tuple(table for table in chosen if not is_one_of(table, unwanted))
    if not left:
        raise UsageError("--exclude leaves no table of those that --table names", hint="leave out an --exclude")
    return left


def is_pattern(name: str) -> bool:
    """Whether a name has wildcards."""
    return bool(_WILD & set(name))


def matches(names: Iterable[str], name: str) -> bool:
    """Whether a table with these `names` matches a name or pattern; case-sensitive, as databases may be."""
    return any(each == name or (is_pattern(name) and fnmatchcase(each, name)) for each in names)


def _hint(tables: Sequence[Sequence[str]], name: str) -> str:
    known = {each: names[0] for names in tables for each in names}
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {known[near[0]]}?" if near else f"its tables are {', '.join(names[0] for names in tables)}"
