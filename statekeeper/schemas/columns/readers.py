"""What known readers cannot read, or read differently: the rules by which a plan warns or fails.

Tests try each rule with the reader itself, on a file that breaks it (`tests/unit/schemas/columns/test_readers.py`, and
`tests/spark/test_readers.py` with a real Spark). `output.readers` names the readers that matter to a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa

from statekeeper.config.resolved import Reader
from statekeeper.errors import PlanError
from statekeeper.model.table import Layout
from statekeeper.parquet.types import parse_type
from statekeeper.store.layouts import PARTITION_COLUMN

if TYPE_CHECKING:
    from statekeeper.model.plan import PlannedColumn

_MAX_DIGITS = 38
_NAMES = {Reader.SPARK: "Spark", Reader.DUCKDB: "DuckDB", Reader.POLARS: "Polars"}
Columns = tuple["PlannedColumn", ...]


@dataclass(frozen=True)
class Rule:
    """Something that a reader cannot read: `found` returns the offending columns of a table, as texts.

    `consequence` is what the reader does; `remedy` is what to do about it.
    """

    reader: Reader
    consequence: str
    found: Callable[[Columns], list[str]]
    remedy: str


def _of_type(is_such: Callable[[pa.DataType], bool]) -> Callable[[Columns], list[str]]:
    def found(columns: Columns) -> list[str]:
        return [f"{one.name} ({one.database_type})" for one in columns if is_such(parse_type(one.arrow_type))]

    return found


def _equal_names(fold: Callable[[str], str]) -> Callable[[Columns], list[str]]:
    def found(columns: Columns) -> list[str]:
        names = sorted((one.name for one in columns), key=fold)
        groups = (list(group) for _, group in groupby(names, key=fold))
        return [" and ".join(group) for group in groups if len(group) > 1]

    return found


def _is_nanoseconds(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind)) and kind.unit == "ns"


def _is_wide_decimal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind)) and kind.precision > _MAX_DIGITS


def _ascii_lower(name: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in name)


_BY_QUERY = "in a custom_query"
_NARROWER = f"declare a decimal of at most {_MAX_DIGITS} digits, or a str"
_OTHER_NAMES = f"give one of them an alias {_BY_QUERY}"

RULES: tuple[Rule, ...] = (
    Rule(
        Reader.SPARK,
        "has no type for a time of day, and reads nothing of the dataset",
        _of_type(pa.types.is_time),
        f"select it as text, CAST(... AS VARCHAR), {_BY_QUERY}",
    ),
    Rule(
        Reader.SPARK,
        "has no type for nanoseconds, and reads nothing of the dataset",
        _of_type(_is_nanoseconds),
        f"select it as TIMESTAMP(6), or as text, {_BY_QUERY}, or set fractional_seconds: us for an Oracle source",
    ),
    Rule(
        Reader.SPARK,
        f"has decimals of at most {_MAX_DIGITS} digits, and reads nothing of the dataset",
        _of_type(_is_wide_decimal),
        _NARROWER,
    ),
    Rule(
        Reader.SPARK,
        "does not distinguish names that differ only by case, and reads nothing of the dataset",
        _equal_names(str.lower),
        _OTHER_NAMES,
    ),
    Rule(
        Reader.DUCKDB,
        f"reads decimals of more than {_MAX_DIGITS} digits as DOUBLE, which is not exact",
        _of_type(_is_wide_decimal),
        _NARROWER,
    ),
    Rule(
        Reader.DUCKDB,
        "does not distinguish names that differ only by case, and renames the second one",
        _equal_names(_ascii_lower),
        _OTHER_NAMES,
    ),
    Rule(
        Reader.POLARS,
        f"has decimals of at most {_MAX_DIGITS} digits, and reads nothing of the dataset",
        _of_type(_is_wide_decimal),
        _NARROWER,
    ),
)
"""There are no rules for pyarrow, which writes the files, and pandas, which reads with pyarrow."""


def check_readers(
    columns: Columns, readers: tuple[Reader, ...] | None, layout: Layout = Layout.DATED
) -> tuple[str, ...]:
    """Warnings about known readers, one sentence per broken rule; none if `readers` are named.

    Raises:
        PlanError: a named reader, or with the layout `hive` any reader of folders, could not read the dataset.
    """
    if layout is Layout.HIVE:
        _refuse_partition_column(columns)
    broken = [(rule, names) for rule in RULES if (names := rule.found(columns))]
    if readers is None:
        return tuple(f"{_sentence(rule, names)}; {rule.remedy}; {_SAY_READERS}" for rule, names in broken)
    refused = [(rule, names) for rule, names in broken if rule.reader in readers]
    if refused:
        raise PlanError(
            "; ".join(_sentence(rule, names) for rule, names in refused),
            hint="; ".join(dict.fromkeys(rule.remedy for rule, _ in refused))
            + "; or take the reader out of output.readers",
        )
    return ()


def _refuse_partition_column(columns: Columns) -> None:
    """Refuse a column named like the partition column: readers use one or the other, or refuse the dataset."""
    for column in columns:
        if column.name.lower() == PARTITION_COLUMN:
            raise PlanError(
                f"column {column.name} ({column.database_type}): with output.layout: hive the folders "
                f"{PARTITION_COLUMN}=<date> give every row a column of that name",
                hint=f"give it an alias {_BY_QUERY}, or write `layout: dated` in `output`",
            )


_SAY_READERS = "or name the readers that matter in output.readers"


def _sentence(rule: Rule, names: list[str]) -> str:
    columns = "column" if len(names) == 1 and " and " not in names[0] else "columns"
    return f"{columns} {', '.join(names)}: {_NAMES[rule.reader]} {rule.consequence}"
