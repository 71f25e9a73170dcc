"""Every row of a staged part that breaks the schema, one by one, and which constraints it breaks.

Decides nothing of its own: the same SQL and the same validators as `statekeeper.validate.scan`, which counts the rows
and shows a few. Rows come in the part's order and are never all in memory.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq

from statekeeper.parquet.batch_size import MemoryBudget, rows_within
from statekeeper.parquet.scan_errors import SCAN_ERRORS, scan_error
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import pair_fields
from statekeeper.schemas.rules.checks import CompiledSchema
from statekeeper.schemas.rules.undecided_rows import ROW_NUMBER, UndecidedRows, any_of
from statekeeper.validate.scan import numbered, part_source, scanner

if TYPE_CHECKING:
    from pydantic import BaseModel

_FLAGS_ROWS = 10_000
"""Rows a batch of what has a number and flags, and no value of the table."""


@dataclass(frozen=True)
class BrokenConstraint:
    """A constraint that a row breaks; `column` None is the row as a whole. `expected` is what a value has to be, or
    what pydantic says.
    """

    column: str | None
    constraint: str
    expected: str


@dataclass(frozen=True)
class RowVerdict:
    """A row that breaks at least one constraint; rows count from 0 in their part."""

    number: int
    broken: tuple[BrokenConstraint, ...]


def broken_rows(
    path: Path, compiled: CompiledSchema, model: type[BaseModel] | None, *, memory_limit: str, threads: int = 1
) -> Iterator[RowVerdict]:
    """The rows that `validation.scan_part` counts as violating, in the part's order.

    Raises:
        DataError: the file cannot be scanned, or the schema's own code fails on a row.
        StorageError, OutOfMemory: the system does not give the file, or the memory.
    """
    source = numbered(part_source(path, compiled.columns))
    try:
        with ExitStack() as open_cursors:
            instance = scanner(memory_limit, threads)
            # A cursor each: on one, the second result would end the first.
            flagged, asked = (open_cursors.enter_context(closing(instance.cursor())) for _ in range(2))
            batch_rows = rows_within(pq.read_metadata(path), MemoryBudget.of(memory_limit))
            streams = [_by_scan(flagged, source, compiled), _by_pydantic(asked, source, compiled, model, batch_rows)]
            merged = heapq.merge(*streams, key=lambda verdict: verdict.number)
            for number, verdicts in groupby(merged, key=lambda verdict: verdict.number):
                broken = [part for verdict in verdicts for part in verdict.broken]
                # A constraint that SQL and pydantic both found is one.
                once = {(part.column, part.constraint): part for part in reversed(broken)}
                yield RowVerdict(number, tuple(reversed(once.values())))
    except SCAN_ERRORS as error:
        scanner.cache_clear()
        raise scan_error(f"{path} cannot be scanned", error) from error


def _by_scan(connection: duckdb.DuckDBPyConnection, source: str, compiled: CompiledSchema) -> Iterator[RowVerdict]:
    checks = compiled.checks
    if not checks:
        return
    constraints = [BrokenConstraint(check.column, check.constraint, check.expected) for check in checks]
    known: dict[tuple[bool, ...], tuple[BrokenConstraint, ...]] = {}
    flags = ", ".join(f"coalesce({check.violated}, FALSE) AS f{index}" for index, check in enumerate(checks))
    where = any_of([check.violated for check in checks])
    query = f"SELECT {ROW_NUMBER} AS number, {flags} FROM {source} WHERE {where}"
    for batch in connection.sql(query).to_arrow_reader(_FLAGS_ROWS):
        numbers, *columns = (column.to_pylist() for column in batch.columns)
        for number, *row in zip(numbers, *columns, strict=True):
            key = tuple(row)
            if key not in known:
                known[key] = tuple(part for part, is_broken in zip(constraints, key, strict=True) if is_broken)
            yield RowVerdict(number, known[key])


def _by_pydantic(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    compiled: CompiledSchema,
    model: type[BaseModel] | None,
    batch_rows: int,
) -> Iterator[RowVerdict]:
    is_open = compiled.row_by_row or any(check.undecided is not None for check in compiled.checks)
    if model is None or not is_open:
        return
    shape = read_model(model)
    fields = pair_fields(tuple(column.name for column in compiled.columns), shape.fields)
    rows = UndecidedRows.of(compiled, fields, model, shape)
    violated = any_of([check.violated for check in compiled.checks])
    for batch in connection.sql(rows.query(source, violated)).to_arrow_reader(batch_rows):
        for row in rows.broken(batch):
            yield RowVerdict(
                row.number,
                tuple(BrokenConstraint(key.column, key.constraint, text) for key, text in row.messages.items()),
            )
