"""Scans all staged parts of a table for rows that break its keys.

Defines what a key means. For unique columns, a row with NULL in any of them is ignored (SQL's NULLS DISTINCT), and all
rows that share values count. For a reference, a row with NULL in any column refers to nothing and is valid (MATCH
SIMPLE). Values are compared as they are in the files: text byte by byte, numbers by value, NaN equal to NaN.

DuckDB groups and joins out of core: memory is bounded by `memory_limit`, and the rest goes to a spill folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from statekeeper.errors import PlanError
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.table import REFERENCES, UNIQUE, Reference
from statekeeper.parquet.scan_errors import SCAN_ERRORS, scan_error
from statekeeper.parquet.types import parse_type
from statekeeper.runtime.rows import FileColumn, KeyCheckSpec, Rows
from statekeeper.schemas.rules.findings import KeyFindings, RowSample, Violation
from statekeeper.sources.columns import named_column
from statekeeper.sources.duckdb.spill import SpillFolder
from statekeeper.text.sql_text import literal, quoted
from statekeeper.validate.part_source import shown_text, sql_list

_PART, _ROW, _SHARED = "__statekeeper_part", "__statekeeper_row", "__statekeeper_shared_by"
"""The number of a row's file, the row's number in the file, and the number of rows that share its values."""
_VIRTUAL = frozenset({"file_index", "file_row_number"})
_SETTINGS = "SET disabled_optimizers = 'statistics_propagation,join_filter_pushdown'"
"""Parquet's statistics ignore NaN: as in `statekeeper.validate.part_source`, they must not decide anything."""


def scan_keys(spec: KeyCheckSpec, *, memory_limit: str, check_stop: Callable[[], None]) -> KeyFindings:
    """Find the rows that break the keys of a table; `check_stop` is called between two statements.

    Raises:
        PlanError: the columns of a reference cannot be compared.
        DataError, StorageError: a file cannot be read; it may have been moved since.
        OutOfMemory: memory and spill folder together are not enough.
    """
    try:
        with _database(memory_limit) as connection:
            return _KeyScan(spec, connection, check_stop).findings()
    except SCAN_ERRORS as error:
        raise scan_error(f"{spec.table}: its keys cannot be checked", error) from error


@contextmanager
def _database(memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
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
            yield connection


@dataclass(frozen=True)
class _Broken:
    """A key that rows break. `message` is SQL over the columns of the offending row and of `_offenders_<number>`."""

    number: int
    columns: tuple[str, ...]
    constraint: str
    expected: str
    count: int
    message: str


class _KeyScan:
    def __init__(
        self, spec: KeyCheckSpec, connection: duckdb.DuckDBPyConnection, check_stop: Callable[[], None]
    ) -> None:
        self._spec = spec
        self._connection = connection
        self._check_stop = check_stop

    def findings(self) -> KeyFindings:
        keys = self._spec.keys
        found = [self._unique(number, columns) for number, columns in enumerate(keys.unique)]
        for number, (reference, parent) in enumerate(zip(keys.references, self._spec.parents, strict=True), len(found)):
            found.append(self._reference(number, reference, parent))
        broken = [one for one in found if one is not None]
        return KeyFindings(
            keys=len(found),
            violating_rows=self._offending_rows(broken),
            violations=tuple(
                Violation(
                    column=one.columns[0] if len(one.columns) == 1 else None,
                    columns=one.columns,
                    constraint=one.constraint,
                    expected_text=one.expected,
                    count=one.count,
                    samples=self._samples(one),
                )
                for one in broken
            ),
        )

    def _unique(self, number: int, written: tuple[str, ...]) -> _Broken | None:
        """One pass over the key's columns; a second pass for the offending rows only if values occur twice."""
        self._check_stop()
        rows = self._spec.rows
        columns = tuple(named_column(rows.columns, name, UNIQUE).name for name in written)
        names = ", ".join(quoted(name) for name in columns)
        shared = f"_shared_{number}"
        self._connection.execute(
            f"CREATE TEMP TABLE {shared} AS SELECT {names}, count(*) AS {_SHARED} FROM {_files(rows.files)} "
            f"WHERE {_no_null(columns)} GROUP BY {names} HAVING count(*) > 1"
        )
        if not self._number(f"SELECT count(*) FROM {shared}"):
            return None
        self._check_stop()
        same = " AND ".join(f"own.{quoted(name)} = s.{quoted(name)}" for name in columns)
        self._connection.execute(
            f"CREATE TEMP TABLE {_offenders(number)} AS SELECT own.{_PART}, own.{_ROW}, s.{_SHARED} "
            f"FROM {self._positioned(columns)} AS own JOIN {shared} AS s ON {same}"
        )
        return _Broken(
            number=number,
            columns=columns,
            constraint=UNIQUE,
            expected="values that no two rows share",
            count=self._number(f"SELECT count(*) FROM {_offenders(number)}"),
            message=f"{self._values_text(columns)} || ' is in ' || o.{_SHARED} || ' rows'",
        )

    def _reference(self, number: int, reference: Reference, parent: Rows) -> _Broken | None:
        self._check_stop()
        pairs = self._pairs(reference, parent)
        columns = tuple(own.name for own, _ in pairs)
        same = " AND ".join(" = ".join(_comparable(own, theirs, reference.label)) for own, theirs in pairs)
        names = ", ".join(quoted(theirs.name) for _, theirs in pairs)
        self._connection.execute(
            f"CREATE TEMP TABLE {_offenders(number)} AS SELECT own.{_PART}, own.{_ROW} "
            f"FROM {self._positioned(columns)} AS own "
            f"ANTI JOIN (SELECT {names} FROM {_files(parent.files)}) AS theirs ON {same} WHERE {_no_null(columns)}"
        )
        count = self._number(f"SELECT count(*) FROM {_offenders(number)}")
        if not count:
            return None
        return _Broken(
            number=number,
            columns=columns,
            constraint=REFERENCES,
            expected=f"a row of {reference.target}",
            count=count,
            message=f"{self._values_text(columns)} || {literal(f' is in no row of {reference.target}')}",
        )

    def _pairs(self, reference: Reference, parent: Rows) -> tuple[tuple[FileColumn, FileColumn], ...]:
        own = [named_column(self._spec.rows.columns, name, REFERENCES) for name in reference.columns]
        theirs = [
            named_column(parent.columns, name, f"references: {reference.parent.key}")
            for name in reference.parent_columns
        ]
        return tuple(zip(own, theirs, strict=True))

    def _positioned(self, columns: tuple[str, ...]) -> str:
        """The columns of every row, with the number of its file and its number in the file."""
        names = ", ".join(quoted(name) for name in columns)
        files = self._spec.rows.files
        if not _VIRTUAL & {column.name.casefold() for column in self._spec.rows.columns}:
            return f"(SELECT file_index AS {_PART}, file_row_number AS {_ROW}, {names} FROM {_files(files)})"
        parts = (
            f"SELECT {part} AS {_PART}, row_number() OVER () - 1 AS {_ROW}, {names} FROM {_files((file,))}"
            for part, file in enumerate(files)
        )
        return f"({' UNION ALL '.join(parts)})"

    def _offending_rows(self, broken: list[_Broken]) -> int:
        """The number of rows that break at least one key."""
        if not broken:
            return 0
        each = " UNION ALL ".join(f"SELECT {_PART}, {_ROW} FROM {_offenders(one.number)}" for one in broken)
        return self._number(f"SELECT count(*) FROM (SELECT DISTINCT {_PART}, {_ROW} FROM ({each}))")

    def _samples(self, one: _Broken) -> tuple[RowSample, ...]:
        """The first offending rows, in the order of the files."""
        planned = self._spec.planned
        shown = ", ".join(shown_text(column) for column in planned)
        first = f"SELECT * FROM {_offenders(one.number)} ORDER BY {_PART}, {_ROW} LIMIT {self._spec.samples}"
        samples = []
        for part, row in self._connection.sql(f"SELECT {_PART}, {_ROW} FROM ({first})").fetchall():
            numbered = f"(SELECT *, row_number() OVER () - 1 AS {_ROW} FROM {_files((self._spec.rows.files[part],))})"
            *values, message = self._connection.sql(
                f"SELECT {shown}, {one.message} FROM {numbered} AS own "
                f"JOIN (SELECT * FROM ({first}) WHERE {_PART} = {part}) AS o USING ({_ROW}) WHERE {_ROW} = {row}"
            ).fetchall()[0]
            names = (column.name for column in planned)
            samples.append(RowSample(values=dict(zip(names, values, strict=True)), message=message))
        return tuple(samples)

    def _values_text(self, columns: tuple[str, ...]) -> str:
        """SQL for `ORDER_ID=5, LINE_NO=1`, of the offending row."""
        planned = {column.name: column for column in self._spec.planned}
        return " || ', ' || ".join(f"{literal(f'{name}=')} || {_shown(planned[name])}" for name in columns)

    def _number(self, query: str) -> int:
        ((number,),) = self._connection.sql(query).fetchall()
        return int(number)


def _comparable(own: FileColumn, theirs: FileColumn, label: str) -> tuple[str, str]:
    """Both columns as SQL that is equal exactly if their values are. Raises PlanError for types that never are."""
    one, other = f"own.{quoted(own.name)}", f"theirs.{quoted(theirs.name)}"
    types = parse_type(own.arrow_type), parse_type(theirs.arrow_type)
    if types[0] == types[1] or all(map(pa.types.is_integer, types)) or all(map(pa.types.is_floating, types)):
        return one, other
    if all(pa.types.is_integer(kind) or pa.types.is_decimal(kind) for kind in types):
        if all(map(pa.types.is_decimal, types)) and types[0].scale == types[1].scale:
            return one, other
        return _digits(one), _digits(other)  # no DuckDB decimal holds every value of both types
    raise PlanError(
        f"{label}: {own.name} is {own.arrow_type} in the files, and {theirs.name} is {theirs.arrow_type}",
        hint="declare the same type for both in the tables' schemas",
    )


def _shown(column: PlannedColumn) -> str:
    is_decimal = pa.types.is_decimal(parse_type(column.arrow_type))
    return _digits(quoted(column.name)) if is_decimal else shown_text(column)


def _digits(column: str) -> str:
    """An integer or decimal as text without trailing zeros: equal for equal numbers."""
    text = f"CAST({column} AS VARCHAR)"
    return f"CASE WHEN contains({text}, '.') THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"


def _no_null(columns: tuple[str, ...]) -> str:
    return " AND ".join(f"{quoted(name)} IS NOT NULL" for name in columns)


def _files(files: tuple[Path, ...]) -> str:
    return f"read_parquet({sql_list(files)}, hive_partitioning = false)"


def _offenders(number: int) -> str:
    return f"_offenders_{number}"
