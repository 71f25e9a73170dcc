"""Runs a compiled schema over one staged Parquet part, in one DuckDB scan.

Decides nothing about meaning: `schemas.rules.checks` says what is checked, and pydantic says what is wrong with the
sample rows and with whatever could not be compiled. Memory is bounded by `memory_limit` and by a batch of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from statekeeper.parquet.batch_size import MemoryBudget, rows_within
from statekeeper.parquet.scan_errors import SCAN_ERRORS, scan_error
from statekeeper.parquet.types import parse_type
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import ModelField, ModelShape, pair_fields
from statekeeper.schemas.rules.checks import REPRESENTABLE, Check, CompiledSchema
from statekeeper.schemas.rules.expressions import quoted
from statekeeper.schemas.rules.findings import SAMPLES, SCAN_DISAGREES, Findings, RowSample, Violation
from statekeeper.schemas.rules.prefilter import certainly_good
from statekeeper.schemas.rules.rows import deliver, whole_row_validator
from statekeeper.schemas.rules.undecided_rows import ROW_NUMBER, Key, UndecidedRows, any_of, unrepresentable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from statekeeper.model.plan import PlannedColumn

_TEXT_LENGTH = 200


def scan_part(
    path: Path,
    compiled: CompiledSchema,
    model: type[BaseModel] | None,
    *,
    memory_limit: str,
    threads: int = 1,
    samples: int = SAMPLES,
) -> Findings:
    """Which rows of a part break the schema.

    Args:
        path: the staged part; it has the columns that `compiled` was made for.
        compiled: the checks, from `compile_checks(model, columns)`.
        model: the model that `compiled` was made from; it speaks for sample rows and for what was not compiled.
        memory_limit: the most that DuckDB may take, as it writes sizes (`256MB`).
        threads: threads of the scan.
        samples: how many rows are shown of each constraint that is broken; with none, no value of a row is in the
            findings.

    Raises:
        DataError: the file cannot be scanned, or the schema's own code fails on a row.
        StorageError, OutOfMemory: the system does not give the file, or the memory.
    """
    source = part_source(path, compiled.columns)
    try:
        batch_rows = rows_within(pq.read_metadata(path), MemoryBudget.of(memory_limit))
        with closing(scanner(memory_limit, threads).cursor()) as connection:
            return _Scan(connection, source, compiled, model, samples, batch_rows).findings()
    except SCAN_ERRORS as error:
        scanner.cache_clear()  # a fatal error makes an instance useless
        raise scan_error(f"{path} cannot be scanned", error) from error


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
    times = [quoted(column.name) for column in columns if pa.types.is_time(parse_type(column.arrow_type))]
    replaced = ", ".join(f"CAST({name} AS TIME) AS {name}" for name in times)
    return f"(SELECT * REPLACE ({replaced}) FROM {source})" if times else source


def numbered(source: str) -> str:
    """The same with its rows numbered from 0, in the part's order."""
    return f"(SELECT *, row_number() OVER () - 1 AS {ROW_NUMBER} FROM {source})"


def _file_literal(path: Path) -> str:
    """The path in SQL; `*`, `?` and `[` are themselves, not a glob."""
    literal = "".join(f"[{char}]" if char in "*?[" else char for char in str(path))
    return "'" + literal.replace("'", "''") + "'"


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


@dataclass
class _Found:
    """What is known so far of one broken constraint."""

    expected: str
    count: int = 0
    samples: list[RowSample] = field(default_factory=list)
    pending: list[tuple[int, str]] = field(default_factory=list)
    """Row numbers whose values are still to be fetched, and pydantic's message."""


@dataclass(frozen=True)
class _Row:
    """A row as texts for a person, and as values for pydantic; None where Python cannot hold one of them."""

    number: int
    texts: dict[str, str | None]
    values: dict[str, Any] | None


@dataclass(frozen=True)
class _Counts:
    """`checks` holds one count per compiled check, in their order."""

    rows: int
    violating: int
    undecided: int
    checks: tuple[int, ...]


class _Scan:
    """One part's scan: count by SQL, ask pydantic about what SQL does not decide, then fetch samples."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        source: str,
        compiled: CompiledSchema,
        model: type[BaseModel] | None,
        samples: int,
        batch_rows: int,
    ) -> None:
        self._batch_rows = batch_rows
        self._samples = samples
        # So many are looked at, even where none is shown: pydantic's word on them tells a defect of the scan.
        self._looked_at = max(samples, SAMPLES)
        self._connection = connection
        self._source = source
        self._numbered = numbered(source)
        self._compiled = compiled
        self._model = model
        self._columns = tuple(column.name for column in compiled.columns)
        self._found: dict[Key, _Found] = {}
        self._violated = any_of([check.violated for check in compiled.checks])
        self._undecided = any_of([check.undecided for check in compiled.checks if check.undecided is not None])

    @cached_property
    def _shape(self) -> ModelShape | None:
        """The model, read at the first row that needs it: most parts have none."""
        return read_model(self._model) if self._model is not None else None

    @cached_property
    def _fields(self) -> dict[str, ModelField]:
        return pair_fields(self._columns, self._shape.fields) if self._shape else {}

    def findings(self) -> Findings:
        counts = self._counted()
        violating = counts.violating
        if counts.undecided or self._compiled.row_by_row:
            violating += self._ask_pydantic()
        for check, count in zip(self._compiled.checks, counts.checks, strict=True):
            if count:
                self._sample(check, count)
        return Findings(
            rows=counts.rows,
            violating_rows=violating,
            violations=self._violations(),
            checks=self._compiled.constraints,
        )

    def _counted(self) -> _Counts:
        """One scan with a quick filter, which valid data needs alone: counts by check would cost five times as much."""
        checks = self._compiled.checks
        (rows,) = self._one_row("count(*)")  # from the footer
        (good,) = self._one_row("count(*)", where=certainly_good(checks))
        if good == rows:
            return _Counts(rows, 0, 0, (0,) * len(checks))
        (suspect,) = self._one_row("count(*)", where=f"({self._violated}) OR ({self._undecided})")
        if not suspect:
            return _Counts(rows, 0, 0, (0,) * len(checks))
        conditions = (self._violated, self._undecided, *(check.violated for check in checks))
        violating, undecided, *by_check = self._one_row(*(f"count(*) FILTER (WHERE {text})" for text in conditions))
        return _Counts(rows, violating, undecided, tuple(by_check))

    def _one_row(self, *expressions: str, where: str = "TRUE") -> tuple[int, ...]:
        query = f"SELECT {', '.join(expressions)} FROM {self._source} WHERE {where}"
        rows: list[tuple[int, ...]] = self._connection.execute(query).fetchall()
        return rows[0]

    def _ask_pydantic(self) -> int:
        """Validate what SQL leaves open; the number of rows found that SQL did not flag already."""
        assert self._model is not None
        assert self._shape is not None
        rows = UndecidedRows.of(self._compiled, self._fields, self._model, self._shape)
        reasons = {part.column: part.reason for part in self._compiled.row_by_row}
        found_here = 0
        for batch in self._batches(rows.query(self._numbered, self._violated)):
            for broken in rows.broken(batch):
                found_here += not broken.is_flagged
                for key, message in broken.messages.items():
                    told = message if self._samples else key.constraint  # a message may quote the value
                    expected = reasons.get(key.column) or reasons.get(None) or told
                    found = self._found.setdefault(key, _Found(expected))
                    found.count += 1
                    if len(found.pending) < self._looked_at:
                        found.pending.append((broken.number, message))
        self._fetch_pending()
        return found_here

    def _fetch_pending(self) -> None:
        numbers = sorted({number for found in self._found.values() for number, _ in found.pending})
        if not numbers:
            return
        rows = {
            row.number: row for row in self._rows(f"{ROW_NUMBER} IN ({', '.join(map(str, numbers))})", len(numbers))
        }
        for found in self._found.values():
            found.samples = [RowSample(values=rows[number].texts, message=text) for number, text in found.pending]

    def _sample(self, check: Check, count: int) -> None:
        """Fetch a few of the rows that violate a check, with pydantic's message for each."""
        found = self._found.setdefault(Key(check.column, check.constraint), _Found(expected=check.expected))
        found.count += count
        for row in self._rows(check.violated, self._looked_at - len(found.samples)):
            message = self._message(check, row)
            if message is not None:
                found.samples.append(RowSample(values=row.texts, message=message))
                continue
            defect = self._found.setdefault(
                Key(check.column, SCAN_DISAGREES), _Found(expected="a defect of statekeeper: please report it")
            )
            defect.count += 1
            if len(defect.samples) < self._looked_at:
                text = f"the scan says that the row violates {check.constraint} ({check.expected}); pydantic accepts it"
                defect.samples.append(RowSample(values=row.texts, message=text))

    def _message(self, check: Check, row: _Row) -> str | None:
        """What is wrong with the row; None if pydantic finds nothing wrong with this column."""
        if check.constraint == REPRESENTABLE or row.values is None or self._model is None or self._shape is None:
            return f"{row.texts[check.column]} is not {check.expected}"
        key = self._fields[check.column].key
        errors = whole_row_validator(self._model, self._shape, tuple(self._fields.values()))(row.values)
        return next((error.message for error in errors if error.key == key), None)

    def _rows(self, where: str, limit: int) -> list[_Row]:
        """The first rows for which `where` is true."""
        beyond = {name: unrepresentable((name,), self._compiled) for name in self._columns}
        selected = [f"CASE WHEN {beyond[name]} THEN NULL ELSE {quoted(name)} END" for name in self._columns]
        selected += [shown_text(column) for column in self._compiled.columns]
        selected += [f"coalesce({any_of(list(beyond.values()))}, FALSE)", ROW_NUMBER]
        named = ", ".join(f"{text} AS c{index}" for index, text in enumerate(selected))
        rows: list[_Row] = []
        width = len(self._columns)
        for batch in self._batches(f"SELECT {named} FROM {self._numbered} WHERE {where} LIMIT {limit}"):
            values = {
                part.key: deliver(batch.column(index), part)
                for index, name in enumerate(self._columns)
                if (part := self._fields.get(name)) is not None
            }
            texts = [batch.column(width + index).to_pylist() for index in range(width)]
            is_beyond, numbers = batch.column(2 * width).to_pylist(), batch.column(2 * width + 1).to_pylist()
            for index in range(batch.num_rows):
                row = {key: column[index] for key, column in values.items()}
                shown = dict(zip(self._columns, (column[index] for column in texts), strict=True))
                rows.append(_Row(numbers[index], shown, None if is_beyond[index] else row))
        return rows

    def _batches(self, query: str) -> Iterator[pa.RecordBatch]:
        yield from self._connection.sql(query).to_arrow_reader(self._batch_rows)

    def _violations(self) -> tuple[Violation, ...]:
        """In the order of the columns, what concerns the whole row last."""
        order = {name: index for index, name in enumerate(self._columns)}
        keys = sorted(self._found, key=lambda key: (order.get(key.column or "", len(order)), key.constraint))
        return tuple(
            Violation(
                column=key.column,
                constraint=key.constraint,
                expected_text=self._found[key].expected,
                count=self._found[key].count,
                samples=tuple(self._found[key].samples[: self._samples]),
            )
            for key in keys
        )
