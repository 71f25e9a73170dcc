"""Finds every row of a staged part that breaks the schema, and the constraints that it breaks.

It uses the same SQL and the same validators as `statekeeper.validate.scan`, which counts such rows and shows a few.
The caller reads the part and passes its rows batch by batch; this module reads no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, compress
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from statekeeper.parquet.scan_errors import SCAN_ERRORS, scan_error
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import pair_fields
from statekeeper.schemas.rules.checks import CompiledSchema
from statekeeper.schemas.rules.undecided_rows import ROW_NUMBER, UndecidedRows, any_of
from statekeeper.validate.part_source import batch_source, numbered, scanner

if TYPE_CHECKING:
    from pydantic import BaseModel

_BATCH = "statekeeper batch"
_PYTHON_ROWS = 10_000
"""The most rows that are Python objects at once."""


@dataclass(frozen=True)
class BrokenConstraint:
    """A constraint that a row breaks; `column` is None for the row as a whole. `expected` describes a valid value or
    is pydantic's message.
    """

    column: str | None
    constraint: str
    expected: str


@dataclass(frozen=True)
class RowVerdict:
    """A row that breaks at least one constraint; `number` counts from 0 in its part."""

    number: int
    broken: tuple[BrokenConstraint, ...]


@dataclass(frozen=True)
class RowErrors:
    """Finds the rows that `statekeeper.validate.scan` counts as violating, and what they break.

    `compiled` was made from `model`; `memory_limit` is a size in DuckDB's form (`256MB`).
    """

    compiled: CompiledSchema
    model: type[BaseModel] | None
    memory_limit: str

    def of(self, batch: pa.RecordBatch, *, start: int) -> list[RowVerdict]:
        """The rows of a batch that break the schema, in order; `start` is the number of the batch's first row.

        Raises:
            DataError: DuckDB refuses the batch, or the schema's own code fails on a row.
            OutOfMemory: there is not enough memory.
        """
        try:
            with closing(scanner(self.memory_limit, 1).cursor()) as connection:
                connection.register(_BATCH, pa.Table.from_batches([batch]))
                found = self._by_sql(connection)
                for number, broken in self._by_pydantic(connection):
                    found[number] = _joined(found.get(number, ()), broken)
                connection.unregister(_BATCH)
        except SCAN_ERRORS as error:
            scanner.cache_clear()
            raise scan_error("a batch of rows cannot be scanned", error) from error
        return [RowVerdict(start + number, found[number]) for number in sorted(found)]

    @cached_property
    def _source(self) -> str:
        return numbered(batch_source(_BATCH, self.compiled.columns))

    @cached_property
    def _violated(self) -> str:
        return any_of([check.violated for check in self.compiled.checks])

    @cached_property
    def _undecided_rows(self) -> UndecidedRows | None:
        if self.model is None or not self.compiled.needs_pydantic:
            return None
        shape = read_model(self.model)
        fields = pair_fields(tuple(column.name for column in self.compiled.columns), shape.fields)
        return UndecidedRows.of(self.compiled, fields, self.model, shape)

    def _by_sql(self, connection: duckdb.DuckDBPyConnection) -> dict[int, tuple[BrokenConstraint, ...]]:
        checks = self.compiled.checks
        if not checks:
            return {}
        constraints = [BrokenConstraint(check.column, check.constraint, check.expected) for check in checks]
        known: dict[tuple[bool, ...], tuple[BrokenConstraint, ...]] = {}
        flags = ", ".join(f"coalesce({check.violated}, FALSE)" for check in checks)
        query = f"SELECT {ROW_NUMBER}, {flags} FROM {self._source} WHERE {self._violated}"
        found = {}
        for number, *broken in connection.execute(query).fetchall():
            key = tuple(broken)
            if key not in known:
                known[key] = _joined(tuple(compress(constraints, key)))
            found[number] = known[key]
        return found

    def _by_pydantic(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, tuple[BrokenConstraint, ...]]]:
        rows = self._undecided_rows
        if rows is None:
            return
        for batch in connection.sql(rows.query(self._source, self._violated)).to_arrow_reader(_PYTHON_ROWS):
            for row in rows.broken(batch):
                messages = row.messages.items()
                yield row.number, tuple(BrokenConstraint(key.column, key.constraint, text) for key, text in messages)


def _joined(*found: tuple[BrokenConstraint, ...]) -> tuple[BrokenConstraint, ...]:
    """The broken constraints of one row, without duplicates: SQL and pydantic may both find the same one."""
    unique = {(part.column, part.constraint): part for part in reversed([*chain.from_iterable(found)])}
    return tuple(reversed(unique.values()))
