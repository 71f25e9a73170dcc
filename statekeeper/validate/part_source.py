"""A staged part as a table in SQL: DuckDB for scans, and the text of what it reads.

Decides that no value is passed over: nothing is left out by the statistics of a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from statekeeper.parquet.types import parse_type
from statekeeper.schemas.rules.undecided_rows import ROW_NUMBER
from statekeeper.text.sql_text import literal, quoted

if TYPE_CHECKING:
    from statekeeper.model.plan import PlannedColumn

_TEXT_LENGTH = 200


@lru_cache(maxsize=1)
def scanner(memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """The DuckDB of this process for scans: to make one takes longer than to scan a small part."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": memory_limit,
            "threads": threads,
            "enable_external_file_cache": False,  # a part is scanned once: what was read must not pile up
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    # Parquet's statistics leave NaN out, and DuckDB 2.0.1 skips row groups by them even for `isnan(x)`. Nothing may be
    # decided by statistics here: every value is looked at.
    connection.execute("SET disabled_optimizers = 'statistics_propagation,filter_pushdown'")
    return connection


def part_source(path: Path, columns: Iterable[PlannedColumn]) -> str:
    """A part as a table in SQL; `columns` are what it was written as."""
    # hive_partitioning would add columns that a folder named key=value seems to have.
    source = f"read_parquet({_file_literal(path)}, hive_partitioning = false)"
    # pyarrow before 22 marks a time of day as one in UTC, and DuckDB reads that as TIME WITH TIME ZONE.
    return _cast(source, {column.name: "TIME" for column in columns if pa.types.is_time(parse_type(column.arrow_type))})


def batch_source(name: str, columns: Iterable[PlannedColumn]) -> str:
    """Rows of a part that are in memory, registered as `name`, as the table that `part_source` would make of them."""
    kinds = {column.name: parse_type(column.arrow_type) for column in columns}
    coarse = [column for column, kind in kinds.items() if pa.types.is_timestamp(kind) and kind.unit in {"s", "ms"}]
    return _cast(quoted(name), dict.fromkeys(coarse, "TIMESTAMP"))


def _cast(source: str, kinds: dict[str, str]) -> str:
    """The same table with some of its columns cast, each to its type."""
    replaced = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in kinds.items())
    return f"(SELECT * REPLACE ({replaced}) FROM {source})" if kinds else source


def numbered(source: str) -> str:
    """The same with its rows numbered from 0, in the part's order."""
    return f"(SELECT *, row_number() OVER () - 1 AS {ROW_NUMBER} FROM {source})"


def _file_literal(path: Path) -> str:
    """The path in SQL; `*`, `?` and `[` are themselves, not a glob."""
    return literal("".join(f"[{char}]" if char in "*?[" else char for char in str(path)))


def sql_list(files: tuple[Path, ...]) -> str:
    """Files as a list in SQL, for `read_parquet`."""
    return f"[{', '.join(_file_literal(file) for file in files)}]"


def shown_text(column: PlannedColumn) -> str:
    """SQL for a column's value as bounded text for a person."""
    name = quoted(column.name)
    is_binary = column.arrow_type == "binary"
    return (
        f"'0x' || hex({name}[1:{_TEXT_LENGTH // 2}])" if is_binary else f"left(CAST({name} AS VARCHAR), {_TEXT_LENGTH})"
    )
