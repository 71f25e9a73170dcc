"""Scans all staged parts of a table for rows that break its keys.

Defines what a key means. For unique columns, a row with NULL in any of them is ignored (SQL's NULLS DISTINCT), and all
rows that share values count. For a reference, a row with NULL in any column refers to nothing and is valid (MATCH
SIMPLE). How values compare, and that memory is bounded, is `statekeeper.runtime.row_matching`' matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from statekeeper.model.plan import PlannedColumn
from statekeeper.model.table import REFERENCES, UNIQUE, Reference
from statekeeper.parquet.files_in_sql import readable_in
from statekeeper.parquet.scan_errors import SCAN_ERRORS, scan_error
from statekeeper.parquet.types import parse_type
from statekeeper.runtime.row_matching import comparable, digits, matching_database
from statekeeper.runtime.rows import FileColumn, KeyCheckSpec, Rows
from statekeeper.schemas.rules.findings import KeyFindings, RowSample, Violation
from statekeeper.sources.columns import named_column
from statekeeper.store.versions import objects_disk
from statekeeper.text.sql_text import literal, quoted
from statekeeper.validate.part_source import shown_text

_PART, _ROW, _SHARED = "__statekeeper_part", "__statekeeper_row", "__statekeeper_shared_by"
"""The number of a row's file, the row's number in the file, and the number of rows that share its values."""
_VIRTUAL = frozenset({"file_index", "file_row_number"})


def scan_keys(spec: KeyCheckSpec, *, memory_limit: str, check_stop: Callable[[], None]) -> KeyFindings:
    """Find the rows that break the keys of a table; `check_stop` is called between two statements.

    Raises:
        PlanError: the columns of a reference cannot be compared.
        DataError, StorageError: a file cannot be read; it may have been moved since.
        OutOfMemory: memory and spill folder together are not enough.
    """
    try:
        objects = objects_disk(spec.disk)
        opened = None if objects is None else objects.object
        with matching_database(memory_limit) as (connection, _), readable_in(connection, opened) as files:
            return _KeyScan(spec, connection, check_stop, files.table).findings()
    except SCAN_ERRORS as error:
        raise scan_error(f"{spec.table}: its keys cannot be checked", error) from error


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
        self,
        spec: KeyCheckSpec,
        connection: duckdb.DuckDBPyConnection,
        check_stop: Callable[[], None],
        table: Callable[[Iterable[Path]], str],
    ) -> None:
        self._spec = spec
        self._connection = connection
        self._check_stop = check_stop
        self._table = table

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
            f"CREATE TEMP TABLE {shared} AS SELECT {names}, count(*) AS {_SHARED} FROM {self._table(rows.files)} "
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
        same = " AND ".join(" = ".join(comparable(own, theirs, reference.label)) for own, theirs in pairs)
        names = ", ".join(quoted(theirs.name) for _, theirs in pairs)
        self._connection.execute(
            f"CREATE TEMP TABLE {_offenders(number)} AS SELECT own.{_PART}, own.{_ROW} "
            f"FROM {self._positioned(columns)} AS own "
            f"ANTI JOIN (SELECT {names} FROM {self._table(parent.files)}) AS theirs ON {same} "
            f"WHERE {_no_null(columns)}"
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
            return f"(SELECT file_index AS {_PART}, file_row_number AS {_ROW}, {names} FROM {self._table(files)})"
        parts = (
            f"SELECT {part} AS {_PART}, row_number() OVER () - 1 AS {_ROW}, {names} FROM {self._table((file,))}"
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
            file = self._table((self._spec.rows.files[part],))
            numbered = f"(SELECT *, row_number() OVER () - 1 AS {_ROW} FROM {file})"
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


def _shown(column: PlannedColumn) -> str:
    is_decimal = pa.types.is_decimal(parse_type(column.arrow_type))
    return digits(quoted(column.name)) if is_decimal else shown_text(column)


def _no_null(columns: tuple[str, ...]) -> str:
    return " AND ".join(f"{quoted(name)} IS NOT NULL" for name in columns)


def _offenders(number: int) -> str:
    return f"_offenders_{number}"
