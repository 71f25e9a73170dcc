"""Which tables of a pipeline are meant by the names and patterns that a person types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase

from statekeeper.config.extraction import ExtractionConfig, Pipeline
from statekeeper.errors import UsageError

_WILD = frozenset("*?[")


def select_tables(
    pipeline: Pipeline, names: Iterable[str], *, exclude: Iterable[str] = ()
) -> tuple[ExtractionConfig, ...]:
    """The tables that are called so, in the pipeline's order; all of them where no name is given.

    A name is the table's, `schema.table`, `source.schema.table`, or its `path_name`; or a pattern of such names, with
    `*`, `?` and `[...]`. Tables that one of `exclude` names are left out.

    Raises:
        UsageError: a name or pattern is of no table of the pipeline, or no table is left.
    """
    wanted, unwanted = tuple(names), tuple(exclude)
    for name in (*wanted, *unwanted):
        if not any(_is_named(config, name) for config in pipeline.tables):
            raise UsageError(f"no table {name!r} in the pipeline", hint=_near(pipeline, name))
    selected = tuple(
        config
        for config in pipeline.tables
        if (not wanted or any(_is_named(config, name) for name in wanted))
        and not any(_is_named(config, name) for name in unwanted)
    )
    if not selected:
        raise UsageError("no table is left of those that --table names", hint="leave out an --exclude")
    return selected


def is_pattern(name: str) -> bool:
    """Whether a name may stand for several."""
    return bool(_WILD & set(name))


def is_meant(names: Iterable[str], name: str) -> bool:
    """Whether a table that has these `names` is meant by a name or pattern. Case counts: in databases it may."""
    return any(each == name or (is_pattern(name) and fnmatchcase(each, name)) for each in names)


def _is_named(config: ExtractionConfig, name: str) -> bool:
    return is_meant(config.table.names, name)


def _near(pipeline: Pipeline, name: str) -> str:
    keys = [config.table.key for config in pipeline.tables]
    known = {each: config.table.key for config in pipeline.tables for each in config.table.names}
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {known[near[0]]}?" if near else f"its tables are {', '.join(keys)}"
