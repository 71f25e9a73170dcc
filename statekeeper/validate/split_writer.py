"""Splits a staged part into rows that satisfy the schema and rows that do not, in one pass.

Decides the content of both files, and writes them durably; memory is bounded by a row group.
`statekeeper.validate.split_part` saves the receipts that name them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq

from statekeeper.model.receipt import Receipt, SplitOutput, StagedFile
from statekeeper.parquet.batch_size import MemoryBudget, heaviest_row_of, rows_within
from statekeeper.parquet.writer import Md5Sink, RowGroups, parquet_writer
from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.files.durable import storage_errors, streamed_once
from statekeeper.store.staging import Staging, beside_part, kept_part_name, rejected_part_name, rejects_name

if TYPE_CHECKING:
    from statekeeper.config.resolved import OutputConfig
    from statekeeper.validate.row_errors import RowErrors, RowVerdict

_BROKEN = pa.list_(pa.struct([("column", pa.string()), ("constraint", pa.string()), ("expected", pa.string())]))
_ADDED = (("statekeeper_violations", _BROKEN), ("statekeeper_part", pa.string()), ("statekeeper_row", pa.int64()))
"""The columns that a rejected row has in addition to its own: the constraints it breaks, the part that it was read for,
by its published name, and its position among the rows that were read for that part, from 0."""
_READ_BYTES = 1 << 20
_MAX_ROWS, _PIECE = 100_000, 10_000
"""The most rows that are checked together, since each check costs some milliseconds however few rows there are; and the
rows that are added to a row group at a time.
"""


@dataclass(frozen=True)
class SplitTarget:
    """Where and how files are written; `attempt` is in their names, `check_stop` is called between batches."""

    disk: Disk
    staging: Staging
    output: OutputConfig
    attempt: str
    check_stop: Callable[[], None]
    budget: MemoryBudget


def split(
    receipt: Receipt, errors: RowErrors, target: SplitTarget, *, published_name: str, wanted: SplitOutput
) -> tuple[StagedFile | None, StagedFile]:
    """Write the rows that break the schema to one file and, if both are wanted, the others to another.

    The part is read once: each batch is checked while it is in memory.

    Args:
        receipt: the part's receipt.
        errors: finds the rows that break the schema.
        target: where the files go.
        published_name: the part's name in the dataset.
        wanted: whether the other rows are written too.

    Returns:
        The file of the other rows (None if it is not wanted), and the file of rows that break the schema.

    Raises:
        StorageError: a file could not be read or written.
        DataError: the rows cannot be scanned.
        Interrupted: it was asked to stop; every file that has its final name is complete.
    """
    part = target.staging.parts / receipt.part
    rejected_name = rejected_part_name(receipt.chunk_id, target.attempt)
    with ExitStack() as stack:
        stack.enter_context(storage_errors(part, "read"))  # a failed write raises its own StorageError
        file = stack.enter_context(_opened(target.disk, part))
        rows_at_once = rows_within(file.metadata, target.budget, most=_MAX_ROWS)
        schema = _with_added(file.schema_arrow)
        rejected = stack.enter_context(
            _StagedWriter(target, beside_part(receipt.part, rejected_name), schema, like=file)
        )
        kept = None
        if wanted is SplitOutput.BOTH:
            name = beside_part(receipt.part, kept_part_name(receipt.chunk_id, target.attempt))
            kept = stack.enter_context(
                _StagedWriter(target, name, file.schema_arrow, like=file, dictionaries=_dictionaries(file))
            )
        start = 0
        for batch in file.iter_batches(batch_size=rows_at_once, use_threads=False):
            target.check_stop()
            found = errors.of(batch, start=start)
            broken = pa.array([verdict.number - start for verdict in found], pa.int64())
            if found:
                rejected.add(_rejected(batch.take(broken), found, schema, published_name))
            if kept is not None:
                kept.add(batch.filter(_all_but(broken, batch.num_rows)) if found else batch)
            start += batch.num_rows
        if kept is not None:
            kept.note("statekeeper.quarantined_rows", str(rejected.rows))
        return (kept.finished() if kept is not None else None), rejected.finished()


def joined(files: tuple[StagedFile, ...], target: SplitTarget) -> StagedFile:
    """One file with the rejected rows of several files, in this order. Raises like `split`."""
    with ExitStack() as stack:
        first = target.staging.parts / files[0].part
        with storage_errors(first, "read"):
            like = stack.enter_context(_opened(target.disk, first))
        schema = like.schema_arrow
        writer = stack.enter_context(_StagedWriter(target, rejects_name(target.attempt), schema, like=like))
        for each in files:
            part = target.staging.parts / each.part
            with storage_errors(part, "read"), _opened(target.disk, part) as file:
                rows_at_once = rows_within(file.metadata, target.budget)
                for batch in file.iter_batches(batch_size=rows_at_once, use_threads=False):
                    target.check_stop()
                    writer.add(batch.replace_schema_metadata(schema.metadata))
        return writer.finished()


def _opened(disk: Disk, part: Path) -> pq.ParquetFile:
    """A part that is read as a stream: no column of a row group is in memory as a whole."""
    source = disk.open(part) if disk.writes is Writes.OBJECTS else part
    return pq.ParquetFile(source, buffer_size=_READ_BYTES, pre_buffer=False)


def _all_but(indices: pa.Array, length: int) -> pa.Array:
    """A mask that is true except at these indices."""
    mask = [True] * length
    for index in indices.to_pylist():
        mask[index] = False
    return pa.array(mask)


def _with_added(schema: pa.Schema) -> pa.Schema:
    """The schema of rejected rows; an added column gets an underscore if the table already has its name."""
    taken = {name.casefold() for name in schema.names}
    for name, kind in _ADDED:
        while name.casefold() in taken:
            name += "_"  # noqa: PLW2901 - until it is free
        schema = schema.append(pa.field(name, kind))
    lineage = {key: value for key, value in (schema.metadata or {}).items() if key != b"statekeeper.chunk"}
    return schema.with_metadata(lineage)


def _rejected(rows: pa.RecordBatch, verdicts: list[RowVerdict], schema: pa.Schema, part: str) -> pa.RecordBatch:
    broken = [
        [{"column": one.column, "constraint": one.constraint, "expected": one.expected} for one in verdict.broken]
        for verdict in verdicts
    ]
    added = [
        pa.array(broken, _BROKEN),
        pa.array([part] * len(verdicts), pa.string()),
        pa.array([verdict.number for verdict in verdicts], pa.int64()),
    ]
    return pa.RecordBatch.from_arrays([*rows.columns, *added], schema=schema)


def _dictionaries(file: pq.ParquetFile) -> list[str]:
    """The columns for which the part has dictionaries, by its first row group."""
    if not file.num_row_groups:
        return []
    group = file.metadata.row_group(0)
    return [name for index, name in enumerate(file.schema_arrow.names) if group.column(index).has_dictionary_page]


class _Unfinished(Exception):
    """Ends the stream of a file that is abandoned."""


@dataclass
class _StagedWriter:
    """Writes a staged Parquet file; `finished` makes it durable and gives it its final name.

    `like` is a part with rows of the same size as those that will be written.
    """

    target: SplitTarget
    name: str
    schema: pa.Schema
    like: pq.ParquetFile
    dictionaries: list[str] | bool = True
    rows: int = 0

    def __enter__(self) -> Self:
        target = self.target
        self._path = target.staging.parts / self.name
        self._groups = RowGroups(self.schema, target.output, target.budget)
        with ExitStack() as opening:
            stream = streamed_once(target.disk, self._path, role="sifted", unique=target.attempt)
            self._sink = Md5Sink(opening.enter_context(stream))
            row_bytes = heaviest_row_of(self.like.metadata)
            writer = parquet_writer(
                self._sink, self.schema, target.output, dictionaries=self.dictionaries, row_bytes=row_bytes
            )
            self._writer = opening.enter_context(writer)
            self._open = opening.pop_all()
        return self

    def add(self, batch: pa.RecordBatch) -> None:
        """Write rows, a row group at a time."""
        self.rows += batch.num_rows
        for start in range(0, batch.num_rows, _PIECE):
            for group in self._groups.add(batch.slice(start, _PIECE)):
                self._write(group)

    def note(self, key: str, value: str) -> None:
        """Add an entry to the footer."""
        self._writer.add_key_value_metadata({key: value})

    def finished(self) -> StagedFile:
        rest = self._groups.rest()
        if rest is not None:
            self._write(rest)
        self._open.close()
        return StagedFile(part=self.name, rows=self.rows, bytes=self._sink.written, md5=self._sink.md5)

    def _write(self, group: pa.Table) -> None:
        with storage_errors(self._path, "write"):
            self._writer.write_table(group, row_group_size=group.num_rows)

    def __exit__(self, *_: object) -> None:
        """Remove an unfinished file; if that fails, it is removed later with its plan."""
        self._open.__exit__(_Unfinished, _Unfinished(), None)
