"""Which rows of Parquet files have the same values: how their columns compare, and the DuckDB that compares them.

Values are compared as they are in the files: text byte by byte, numbers by value, NaN equal to NaN. DuckDB groups and
joins out of core: memory is bounded by `memory_limit`, and the rest goes to a spill folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from statekeeper.errors import PlanError
from statekeeper.parquet.types import parse_type
from statekeeper.runtime.rows import FileColumn
from statekeeper.sources.duckdb.spill import SpillFolder
from statekeeper.text.sql_text import quoted

_SETTINGS = "SET disabled_optimizers = 'statistics_propagation,join_filter_pushdown'"
"""Parquet's statistics ignore NaN: as in `statekeeper.validate.part_source`, they must not decide anything."""


@contextmanager
def matching_database(memory_limit: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A DuckDB in memory, and its private folder for what does not fit there; both are gone after the block."""
    with SpillFolder() as spill:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": 1,  # the engine's other processes have the other cores
            "temp_directory": str(spill.path),
            "enable_external_file_cache": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            connection.execute(_SETTINGS)
            yield connection, spill.path


def comparable(own: FileColumn, theirs: FileColumn, what: str) -> tuple[str, str]:
    """A column of the rows `own` and one of the rows `theirs`, as SQL that is equal exactly if their values are.

    Raises:
        PlanError: values of the two types are never equal; `what` begins the message.
    """
    one, other = f"own.{quoted(own.name)}", f"theirs.{quoted(theirs.name)}"
    types = parse_type(own.arrow_type), parse_type(theirs.arrow_type)
    if types[0] == types[1] or all(map(pa.types.is_integer, types)) or all(map(pa.types.is_floating, types)):
        return one, other
    if all(pa.types.is_integer(kind) or pa.types.is_decimal(kind) for kind in types):
        if all(map(pa.types.is_decimal, types)) and types[0].scale == types[1].scale:
            return one, other
        return digits(one), digits(other)  # no DuckDB decimal holds every value of both types
    raise PlanError(
        f"{what}: {own.name} is {own.arrow_type} in the files, and {theirs.name} is {theirs.arrow_type}",
        hint="declare the same type for both in the tables' schemas",
    )


def digits(column: str) -> str:
    """An integer or decimal as text without trailing zeros: equal for equal numbers."""
    text = f"CAST({column} AS VARCHAR)"
    return f"CASE WHEN contains({text}, '.') THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"
