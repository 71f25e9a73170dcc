"""A staged part as a table in SQL: the DuckDB for scans, and the SQL text of a part.

Makes sure that every value is read: no row group is skipped because of a file's statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from statekeeper.parquet.types import parse_type
from statekeeper.schemas.rules.undecided_rows import ROW_NUMBER
from statekeeper.text.sql_text import parquet_files, quoted

if TYPE_CHECKING:
    from statekeeper.model.plan import PlannedColumn

_TEXT_LENGTH = 200


@lru_cache(maxsize=1)
def scanner(memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """The DuckDB of this process for scans, kept because creating one takes longer than scanning a small part."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": memory_limit,
            "threads": threads,
            "enable_external_file_cache": False,  # a part is scanned once: a cache would only grow
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    # Parquet's statistics ignore NaN, and DuckDB 2.0.1 skips row groups by them even for `isnan(x)`. So statistics must
    # not decide anything here: every value is read.
    connection.execute("SET disabled_optimizers = 'statistics_propagation,filter_pushdown'")
    return connection


def part_source(
    path: Path, columns: Iterable[PlannedColumn], *, table: Callable[[Iterable[Path]], str] = parquet_files
) -> str:
    """A part as a table in SQL; it was written with `columns`, and `table` names files."""
    source = table([path])
    # pyarrow before 22 marks a time of day as UTC, which DuckDB reads as TIME WITH TIME ZONE.
    return _cast(source, {column.name: "TIME" for column in columns if pa.types.is_time(parse_type(column.arrow_type))})


def batch_source(name: str, columns: Iterable[PlannedColumn]) -> str:
    """Rows of a part in memory, registered as `name`, as the same table that `part_source` gives for the file."""
    kinds = {column.name: parse_type(column.arrow_type) for column in columns}
    coarse = [column for column, kind in kinds.items() if pa.types.is_timestamp(kind) and kind.unit in {"s", "ms"}]
    return _cast(quoted(name), dict.fromkeys(coarse, "TIMESTAMP"))


def _cast(source: str, kinds: dict[str, str]) -> str:
    """The table with some of its columns cast, each to its type in `kinds`."""
    replaced = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in kinds.items())
    return f"(SELECT * REPLACE ({replaced}) FROM {source})" if kinds else source


def numbered(source: str) -> str:
    """The table with its rows numbered from 0, in the part's order."""
    return f"(SELECT *, row_number() OVER () - 1 AS {ROW_NUMBER} FROM {source})"


def shown_text(column: PlannedColumn) -> str:
    """SQL for a column's value as bounded text for a person."""
    name = quoted(column.name)
    is_binary = column.arrow_type == "binary"
    return (
        f"'0x' || hex({name}[1:{_TEXT_LENGTH // 2}])" if is_binary else f"left(CAST({name} AS VARCHAR), {_TEXT_LENGTH})"
    )
