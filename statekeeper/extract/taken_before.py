"""Marks the rows of a chunk that an earlier extraction has published, before they are written: work for workers.

Decides which rows are candidates: those in the stretch of the incremental column that other extractions have read, too.
They are set aside while the other rows are written, and written last. `statekeeper.extract.candidates` keeps them, and
compares them with the published rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property, reduce

import pyarrow as pa
import pyarrow.compute as pc

from statekeeper.extract.candidates import Candidates, Comparison
from statekeeper.extract.compared_columns import Bound
from statekeeper.model.mark import Mark
from statekeeper.model.plan import PlannedColumn, ReadSpec
from statekeeper.model.table import Position
from statekeeper.parquet.types import arrow_schema, parse_type
from statekeeper.sources.columns import named_column
from statekeeper.sources.scope import wall_time

_MICROSECOND, _DAY = timedelta(microseconds=1), timedelta(days=1)


@dataclass(frozen=True)
class Marking:
    """Marks the rows of a plan; `comparison` is made by `comparison_of`."""

    reading: ReadSpec
    mark: Mark
    comparison: Comparison

    def marked(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of all batches, which have the plan's columns, with the mark as their last column.

        Raises:
            DataError: a dataset of the mark is not what it was, or its columns cannot be compared.
            StorageError, OutOfMemory: the spill folder or a dataset cannot be read or written, or memory is short.
        """
        with ExitStack() as stack:
            candidates = None
            for batch in batches:
                chosen = self._are_candidates(batch)
                others = batch if chosen is None else batch.filter(pc.invert(chosen))
                if others.num_rows:
                    yield self._with_marks(others, pa.repeat(False, others.num_rows))
                if chosen is None or others.num_rows == batch.num_rows:
                    continue
                candidates = candidates or stack.enter_context(Candidates(self.comparison))
                candidates.add(batch.filter(chosen))
            if candidates is not None:
                for batch, marks in candidates.compared():
                    yield self._with_marks(batch, marks)

    def _with_marks(self, batch: pa.RecordBatch, marks: pa.Array) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([*batch.columns, marks], schema=self._schema)

    @cached_property
    def _schema(self) -> pa.Schema:
        return arrow_schema(self.reading.file_columns)

    def _are_candidates(self, batch: pa.RecordBatch) -> pa.BooleanArray | None:
        """Which rows may be in a dataset of the mark; None if it has none.

        A row that has a NULL in each of its keys cannot be told from another one, so it is no candidate.
        """
        if not self.mark.compared or not batch.num_rows:
            return None
        values = {name: batch.column(number) for number, name in enumerate(batch.schema.names)}
        complete = [reduce(pc.and_, (pc.is_valid(values[name]) for name in key)) for key in self.mark.unique]
        stamps = values[self.comparison.columns[-1].name]
        conditions = [pc.is_valid(stamps), reduce(pc.or_, complete)]
        if self.comparison.start is not None:
            conditions.append(pc.greater_equal(stamps, _scalar(self.comparison.start)))
        if self.comparison.end is not None:
            conditions.append(pc.less(stamps, _scalar(self.comparison.end)))
        return pc.fill_null(reduce(pc.and_, conditions), fill_value=False)


def compared_columns(reading: ReadSpec, mark: Mark) -> tuple[PlannedColumn, ...]:
    """The columns whose values tell the version of a row, each once; the incremental column is the last."""
    last = named_column(reading.columns, mark.incremental_column, "incremental_column")
    keys = {
        column.name: column
        for key in mark.unique
        for column in (named_column(reading.columns, name, "unique") for name in key)
    }
    keys.pop(last.name, None)
    return (*keys.values(), last)


def stretch_in(reading: ReadSpec, mark: Mark) -> tuple[Bound | None, Bound | None]:
    """The mark's stretch as values of the incremental column, as sources have its window; None bounds nothing.

    Bounds only save work: rows are the same only if their values are. The start is a day early, since wall times of
    windows before a change of a zone's rules may lie before those of their instants.
    """
    start, end = mark.stretch or (None, None)
    start = start - _DAY if isinstance(start, datetime) else start
    kind = parse_type(compared_columns(reading, mark)[-1].arrow_type)
    return _bound(start, reading, kind), _bound(end, reading, kind)


def _bound(position: Position | None, reading: ReadSpec, kind: pa.DataType) -> Bound | None:
    window = reading.scope.window
    if position is None or window is None:
        return None
    if isinstance(position, int):
        return position if pa.types.is_integer(kind) or pa.types.is_decimal(kind) else None
    if pa.types.is_timestamp(kind):
        return position if kind.tz else wall_time(position, window, _MICROSECOND)
    return wall_time(position, window, _DAY).date() if pa.types.is_date(kind) else None


def _scalar(bound: Bound) -> pa.Scalar:
    if isinstance(bound, int):
        return pa.scalar(Decimal(bound), pa.decimal256(60, 0))
    if isinstance(bound, datetime) and bound.tzinfo is not None:
        return pa.scalar(bound, pa.timestamp("us", tz="UTC"))
    return pa.scalar(bound, pa.timestamp("us") if isinstance(bound, datetime) else pa.date32())
