"""Which tables of a pipeline are meant by the names that a person types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from statekeeper.config.extraction import ExtractionConfig, Pipeline
from statekeeper.errors import UsageError


def select_tables(pipeline: Pipeline, names: Iterable[str]) -> tuple[ExtractionConfig, ...]:
    """The tables that are called so, in the pipeline's order; all of them where no name is given.

    A name is the table's, `schema.table`, `source.schema.table`, or its `path_name`.

    Raises:
        UsageError: a name is not a table of the pipeline.
    """
    wanted = tuple(names)
    if not wanted:
        return pipeline.tables
    selected = {name: [config for config in pipeline.tables if name in config.table.names] for name in wanted}
    for name, configs in selected.items():
        if not configs:
            raise UsageError(f"no table {name!r} in the pipeline", hint=_near(pipeline, name))
    return tuple(config for config in pipeline.tables if any(config in found for found in selected.values()))


def _near(pipeline: Pipeline, name: str) -> str:
    keys = [config.table.key for config in pipeline.tables]
    known = {each: config.table.key for config in pipeline.tables for each in config.table.names}
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {known[near[0]]}?" if near else f"its tables are {', '.join(keys)}"
