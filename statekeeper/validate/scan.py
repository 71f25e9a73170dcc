"""Runs a compiled schema over one staged Parquet part.

`schemas.rules.checks` defines the checks; pydantic checks what could not be compiled, and words the messages of sample
rows. Memory is bounded by `memory_limit` and by a batch of rows.

A quick filter reads only the checked columns, which is enough for valid data. If it finds a doubtful row, the part is
read again with all columns. That one pass gives the counts of every constraint, the rows for pydantic, and the samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from statekeeper.parquet.batch_size import MemoryBudget, rows_within
from statekeeper.parquet.files_in_sql import readable_in
from statekeeper.parquet.scan_errors import SCAN_ERRORS, scan_error
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import ModelField, ModelShape, pair_fields
from statekeeper.schemas.rules.checks import REPRESENTABLE, Check, CompiledSchema
from statekeeper.schemas.rules.findings import SAMPLES, SCAN_DISAGREES, Findings, RowSample, Violation
from statekeeper.schemas.rules.prefilter import valid_row_condition
from statekeeper.schemas.rules.rows import whole_row_validator
from statekeeper.schemas.rules.undecided_rows import ROW_NUMBER, BrokenRow, Key, UndecidedRows, any_of
from statekeeper.store.versions import ObjectFile
from statekeeper.validate.part_source import numbered, part_source, scanner
from statekeeper.validate.whole_rows import ShownRow, WholeRows

if TYPE_CHECKING:
    from pydantic import BaseModel


def scan_part(
    path: Path,
    compiled: CompiledSchema,
    model: type[BaseModel] | None,
    *,
    memory_limit: str,
    samples: int = SAMPLES,
    file: ObjectFile | None = None,
) -> Findings:
    """Find the rows of a part that break the schema.

    Args:
        path: the staged part; it has the columns that `compiled` was made for.
        compiled: the checks, from `compile_checks(model, columns)`.
        model: the model that `compiled` was made from; it checks what was not compiled, and words sample messages.
        memory_limit: the memory limit of DuckDB, in its form (`256MB`).
        samples: how many rows are shown per broken constraint; with 0, the findings contain no value of a row.
        file: the part, if it is an object in a store.

    Raises:
        DataError: the file cannot be scanned, or the schema's own code fails on a row.
        StorageError, OutOfMemory: the system refuses the file, or the memory.
    """
    try:
        connecting = closing(scanner(memory_limit, 1).cursor())
        opened = None if file is None else lambda _path: file.again()
        with connecting as connection, readable_in(connection, opened) as files:
            source = part_source(path, compiled.columns, table=files.table)
            batch_rows = rows_within(pq.read_metadata(files.source(path)), MemoryBudget.of(memory_limit))
            return _Scan(connection, source, compiled, model, samples, batch_rows).findings()
    except SCAN_ERRORS as error:
        scanner.cache_clear()  # a fatal error makes an instance useless
        raise scan_error(f"{path} cannot be scanned", error) from error


@dataclass
class _Found:
    """What is known so far about one broken constraint."""

    expected: str
    count: int = 0
    samples: list[RowSample] = field(default_factory=list)
    pending: list[tuple[int, str]] = field(default_factory=list)
    """The numbers of rows to show, each with pydantic's message."""


@dataclass
class _Refused:
    """The SQL results of one check: how many rows break it, and the numbers of the first ones."""

    check: Check
    count: int = 0
    first: list[int] = field(default_factory=list)


class _Scan:
    """The scan of one part: a quick filter; for doubtful rows, one pass for SQL and pydantic; then samples."""

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
        # So many rows are compared with pydantic even if none is shown: a difference reveals a defect of the scan.
        self._compared = max(samples, SAMPLES)
        self._connection = connection
        self._source = source
        self._numbered = numbered(source)
        self._compiled = compiled
        self._model = model
        self._columns = tuple(column.name for column in compiled.columns)
        self._found: dict[Key, _Found] = {}
        self._violated = any_of([check.violated for check in compiled.checks])

    @cached_property
    def _shape(self) -> ModelShape | None:
        """The model, read for the first row that needs it: most parts have no such row."""
        return read_model(self._model) if self._model is not None else None

    @cached_property
    def _fields(self) -> dict[str, ModelField]:
        return pair_fields(self._columns, self._shape.fields) if self._shape else {}

    @cached_property
    def _undecided_rows(self) -> UndecidedRows | None:
        """The rows that pydantic checks; None if SQL decides everything."""
        if self._model is None or self._shape is None or not self._compiled.needs_pydantic:
            return None
        return UndecidedRows.of(self._compiled, self._fields, self._model, self._shape)

    def findings(self) -> Findings:
        rows, good = (
            self._count("TRUE"),
            self._count(valid_row_condition(self._compiled.checks)),
        )  # rows: from the footer
        violating = 0
        if good < rows:
            violating = self._check_doubtful_rows()
        elif self._compiled.row_by_row:
            violating = self._check_good_rows_by_pydantic()
        return Findings(
            rows=rows, violating_rows=violating, violations=self._violations(), checks=self._compiled.constraints
        )

    def _count(self, where: str) -> int:
        ((number,),) = self._connection.execute(f"SELECT count(*) FROM {self._source} WHERE {where}").fetchall()
        return int(number)

    def _check_doubtful_rows(self) -> int:
        """Read rows that SQL refuses or cannot decide, with all columns; returns how many rows break the schema."""
        undecided_rows = self._undecided_rows
        layout = WholeRows(self._compiled, undecided_rows)
        refused = [_Refused(check) for check in self._compiled.checks]
        violating, kept = 0, []
        for batch in self._batches(layout.query(self._numbered, layout.are_doubtful)):
            numbers, wanted = batch.column(batch.num_columns - 1), set()
            violating += _number_of(layout.refused_by_any(batch))
            for one, flags in zip(refused, layout.refused(batch), strict=True):
                one.count += _number_of(flags)
                first = numbers.filter(flags)[: self._compared - len(one.first)].to_pylist()
                one.first += first
                wanted.update(first)
            if undecided_rows is not None:
                broken = undecided_rows.broken(layout.undecided(batch, undecided_rows))
                violating += self._note(broken, shown=wanted)
            if wanted:
                kept.append(batch.filter(pc.is_in(numbers, pa.array(sorted(wanted), numbers.type))))
        rows = self._shown(layout, kept)
        self._show_pending(rows)
        for one in refused:
            if one.count:
                self._sample(one, rows)
        return violating

    def _check_good_rows_by_pydantic(self) -> int:
        """Let pydantic check what SQL does not, in a part of which SQL refuses no row.

        Only the columns that it needs are read; refused rows are then read again with all columns.
        """
        undecided_rows = self._undecided_rows
        assert undecided_rows is not None, "checks row by row leave every row undecided"
        wanted: set[int] = set()
        violating = 0
        for batch in self._batches(undecided_rows.query(self._numbered, self._violated)):
            violating += self._note(undecided_rows.broken(batch), shown=wanted)
        if wanted:
            layout = WholeRows(self._compiled, None)
            chosen = f"{ROW_NUMBER} IN ({', '.join(map(str, sorted(wanted)))})"
            self._show_pending(self._shown(layout, self._batches(layout.query(self._numbered, chosen))))
        return violating

    def _note(self, broken: Iterable[BrokenRow], *, shown: set[int]) -> int:
        """Count the rows that pydantic refuses, add rows to show to `shown`; returns how many SQL has not refused."""
        reasons = {part.column: part.reason for part in self._compiled.row_by_row}
        number = 0
        for row in broken:
            number += not row.is_flagged
            for key, message in row.messages.items():
                text = message if self._samples else key.constraint  # a message may quote the value
                expected = reasons.get(key.column) or reasons.get(None) or text
                found = self._found.setdefault(key, _Found(expected))
                found.count += 1
                if len(found.pending) < self._compared:
                    found.pending.append((row.number, message))
                    shown.add(row.number)
        return number

    def _shown(self, layout: WholeRows, batches: Iterable[pa.RecordBatch]) -> dict[int, ShownRow]:
        kept = list(batches)
        return layout.shown(pa.Table.from_batches(kept), self._fields, self._connection) if kept else {}

    def _show_pending(self, rows: dict[int, ShownRow]) -> None:
        for found in self._found.values():
            found.samples = [RowSample(values=rows[number].texts, message=text) for number, text in found.pending]

    def _sample(self, refused: _Refused, rows: dict[int, ShownRow]) -> None:
        """Show a few of the rows that break a check, with pydantic's message for each."""
        check = refused.check
        found = self._found.setdefault(Key(check.column, check.constraint), _Found(expected=check.expected))
        found.count += refused.count
        for number in refused.first[: self._compared - len(found.samples)]:
            row = rows[number]
            message = self._message(check, row)
            if message is not None:
                found.samples.append(RowSample(values=row.texts, message=message))
                continue
            defect = self._found.setdefault(
                Key(check.column, SCAN_DISAGREES), _Found(expected="a defect of statekeeper: please report it")
            )
            defect.count += 1
            if len(defect.samples) < self._compared:
                text = f"the scan says that the row violates {check.constraint} ({check.expected}); pydantic accepts it"
                defect.samples.append(RowSample(values=row.texts, message=text))

    def _message(self, check: Check, row: ShownRow) -> str | None:
        """What is wrong with the row; None if pydantic accepts this column."""
        if check.constraint == REPRESENTABLE or row.values is None or self._model is None or self._shape is None:
            return f"{row.texts[check.column]} is not {check.expected}"
        key = self._fields[check.column].key
        errors = whole_row_validator(self._model, self._shape, tuple(self._fields.values()))(row.values)
        return next((error.message for error in errors if error.key == key), None)

    def _batches(self, query: str) -> Iterator[pa.RecordBatch]:
        yield from self._connection.sql(query).to_arrow_reader(self._batch_rows)

    def _violations(self) -> tuple[Violation, ...]:
        """The violations in the order of the columns; those of the row as a whole come last."""
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


def _number_of(flags: pa.BooleanArray) -> int:
    return int(flags.true_count)
