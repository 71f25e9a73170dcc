"""Names and strings as SQL writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def quoted(name: str) -> str:
    """A name as a quoted identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string, whatever characters it has."""
    return "'" + text.replace("'", "''") + "'"


def file_literal(path: Path) -> str:
    """A path as a string, in which `*`, `?` and `[` are no glob."""
    return literal("".join(f"[{char}]" if char in "*?[" else char for char in str(path)))


def parquet_files(files: Iterable[Path]) -> str:
    """Parquet files as a table in DuckDB's SQL, with the columns that are in them and no others."""
    return parquet_table(map(file_literal, files))


def parquet_table(literals: Iterable[str]) -> str:
    """Like `parquet_files`, for files that are named by these strings, as SQL has them."""
    # hive_partitioning would add a column for every folder named key=value.
    return f"read_parquet([{', '.join(literals)}], hive_partitioning = false)"
