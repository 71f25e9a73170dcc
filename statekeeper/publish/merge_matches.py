"""Which rows of some files have a key that rows of other files have as well, and which of the two rows counts.

Decides that in SQL over the key columns alone, out of core. How values compare is the business of
`statekeeper.runtime.row_matching`: as in the check of `unique`, text byte by byte, NaN equal to NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa

from statekeeper.errors import PlanError
from statekeeper.publish.merge import MergeKey, Wins
from statekeeper.text.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

    from statekeeper.parquet.files_in_sql import FilesInSql
    from statekeeper.publish.merge_columns import FileColumns

_VIRTUAL = frozenset({"file_index", "file_row_number"})
_MATCHES = "_matches"
_ROWS_AT_ONCE = 50_000
_DECIMAL_DIGITS = 38
_FIXED = {
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
}


_CONDITIONS = {
    Wins.ALWAYS: "true",
    Wins.NOT_LESS: "own.v IS NULL OR coalesce(theirs.v >= own.v, false)",
    Wins.GREATER: "theirs.v IS NOT NULL AND (own.v IS NULL OR theirs.v > own.v)",
}


def sql_type(column: pa.Field) -> str:
    """DuckDB's type for values of a key. Raises PlanError if it has none that holds each of them."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        if kind.tz is not None and kind.unit != "ns":
            return "TIMESTAMPTZ"
        if kind.tz is None:
            return "TIMESTAMP_NS" if kind.unit == "ns" else "TIMESTAMP"
    if pa.types.is_decimal(kind) and kind.precision <= _DECIMAL_DIGITS:
        return f"DECIMAL({kind.precision}, {kind.scale})"
    found = _FIXED.get(kind)
    if found is None:
        raise PlanError(
            f"rows cannot be merged by {column.name}: values of the type {kind} cannot be compared exactly",
            hint=f"declare another type for {column.name} in the schema: int, str, or Decimal of at most 38 digits",
        )
    return found


class Matches:
    """The rows of `own` files whose key a row of the files `theirs` has; made once, then asked about each file."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: FilesInSql,
        *,
        own: Sequence[FileColumns],
        theirs: Sequence[FileColumns],
        key: MergeKey,
        wins: Wins,
    ) -> None:
        """Raises DuckDB's errors."""
        self._connection, self._files, self._key = connection, files, key
        connection.execute("SET TimeZone = 'UTC'")
        same = " AND ".join(f"own.k{number} = theirs.k{number}" for number in range(len(key.columns)))
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_MATCHES} AS SELECT own.f, own.r, bool_or({_CONDITIONS[wins]}) AS loses "
            f"FROM ({self._rows(own)}) AS own JOIN ({self._rows(theirs)}) AS theirs ON {same} "
            "GROUP BY own.f, own.r ORDER BY own.f, own.r"
        )

    def counts(self) -> dict[int, tuple[int, int]]:
        """For each file of `own` that has any, by its position: how many of its rows lose, and how many win."""
        query = f"SELECT f, count(*) FILTER (loses), count(*) FILTER (NOT loses) FROM {_MATCHES} GROUP BY f"
        return {file: (losing, winning) for file, losing, winning in self._connection.execute(query).fetchall()}

    def losing_rows(self, file: int) -> Iterator[int]:
        """The numbers of the rows of a file that lose, from 0, in order; no other query may run until they are read."""
        found = self._connection.execute(f"SELECT r FROM {_MATCHES} WHERE f = {file} AND loses ORDER BY r")
        while rows := found.fetchmany(_ROWS_AT_ONCE):
            for (row,) in rows:
                yield row

    def _rows(self, files: Sequence[FileColumns]) -> str:
        """The number of each row's file, its number in the file, its key and its value in the order column."""
        selects = []
        by_shape = sorted(enumerate(files), key=lambda each: each[1].shape)
        for _, group in groupby(by_shape, key=lambda each: each[1].shape):
            numbers, alike = zip(*group, strict=True)
            selects.append(self._rows_of(numbers, alike))
        return " UNION ALL ".join(selects)

    def _rows_of(self, numbers: tuple[int, ...], files: tuple[FileColumns, ...]) -> str:
        """Like `_rows`, of files that have the same columns."""
        first, key = files[0], self._key
        values = [f"{self._value(name, first)} AS k{number}" for number, name in enumerate(key.columns)]
        values.append(f"{self._value(key.order, first)} AS v" if key.order else "NULL AS v")
        selected, paths = ", ".join(values), [file.path for file in files]
        if _VIRTUAL.isdisjoint(name.casefold() for name in first.names):
            number = f"list_extract([{', '.join(map(str, numbers))}], CAST(file_index AS BIGINT) + 1)"
            return f"SELECT {number} AS f, file_row_number AS r, {selected} FROM {self._files.table(paths)}"
        return " UNION ALL ".join(
            f"SELECT {number} AS f, row_number() OVER () - 1 AS r, {selected} FROM {self._files.table((path,))}"
            for number, path in zip(numbers, paths, strict=True)
        )

    def _value(self, name: str, file: FileColumns) -> str:
        kind = sql_type(file.table.field(name))
        return f"CAST({quoted(name) if name in file.names else 'NULL'} AS {kind})"
