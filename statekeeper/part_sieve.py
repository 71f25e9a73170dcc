"""Splits a staged part into the rows that satisfy the schema and those that do not, in one pass over it.

Decides what the files look like inside, and writes them durably; memory is bounded by a row group. Which receipts name
them is `statekeeper.sifting`'s matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq

from statekeeper.layout import Staging, kept_part_name, rejected_part_name, rejects_name
from statekeeper.model.receipt import Receipt, StagedFile, Wanted
from statekeeper.part_file import BATCH_ROWS, Md5Sink
from statekeeper.store.durable import storage_errors, streamed_once

if TYPE_CHECKING:
    from typing import BinaryIO

    from statekeeper.config.extraction import OutputConfig
    from statekeeper.row_verdicts import RowVerdict
    from statekeeper.store.disk import Disk

_BROKEN = pa.list_(pa.struct([("column", pa.string()), ("constraint", pa.string()), ("expected", pa.string())]))
_ADDED = (("statekeeper_violations", _BROKEN), ("statekeeper_part", pa.string()), ("statekeeper_row", pa.int64()))
"""What a rejected row has beside its own columns: the constraints it breaks, the part that it was read for, by the name
that readers know, and its place among the rows that were read for that part, from 0."""


@dataclass(frozen=True)
class Outlet:
    """Where and how files are written; `attempt` is in their names, `check_stop` is called between batches."""

    disk: Disk
    staging: Staging
    output: OutputConfig
    attempt: str
    check_stop: Callable[[], None]


def sift(
    receipt: Receipt, verdicts: Iterator[RowVerdict], outlet: Outlet, *, published_name: str, wanted: Wanted
) -> tuple[StagedFile | None, StagedFile]:
    """Write the rows that the verdicts name to one file and, where both are wanted, the others to another.

    Args:
        receipt: the part's.
        verdicts: the rows that break the schema, in the part's order.
        outlet: where the files go.
        published_name: the part's name in the dataset.
        wanted: whether the other rows are written too.

    Raises:
        StorageError: a file could not be written.
        Interrupted: it was asked to stop; no file is left under its name without being whole.
    """
    ahead = _Verdicts(verdicts)
    with ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(outlet.staging.parts / receipt.part))
        schema = _with_added(file.schema_arrow)
        rejected = stack.enter_context(
            _StagedWriter(outlet, rejected_part_name(receipt.chunk_id, outlet.attempt), schema)
        )
        kept = None
        if wanted is Wanted.BOTH:
            name = kept_part_name(receipt.chunk_id, outlet.attempt)
            kept = stack.enter_context(_StagedWriter(outlet, name, file.schema_arrow, dictionaries=_dictionaries(file)))
        start = 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            outlet.check_stop()
            found = ahead.before(start + batch.num_rows)
            broken = pa.array([verdict.number - start for verdict in found], pa.int64())
            if found:
                rejected.add(_rejected(batch.take(broken), found, schema, published_name))
            if kept is not None:
                kept.add(batch.filter(_others(broken, batch.num_rows)) if found else batch)
            start += batch.num_rows
        if kept is not None:
            kept.note("statekeeper.quarantined_rows", str(rejected.rows))
        return (kept.finished() if kept is not None else None), rejected.finished()


def joined(files: tuple[StagedFile, ...], outlet: Outlet) -> StagedFile:
    """One file of the rejected rows of several, in this order. Raises as `sift`."""
    schema = pq.read_schema(outlet.staging.parts / files[0].part)
    with _StagedWriter(outlet, rejects_name(outlet.attempt), schema) as writer:
        for each in files:
            with pq.ParquetFile(outlet.staging.parts / each.part) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                    outlet.check_stop()
                    writer.add(batch.replace_schema_metadata(schema.metadata))
        return writer.finished()


@dataclass
class _Verdicts:
    """Verdicts in the order of rows, taken as far as a batch goes."""

    rest: Iterator[RowVerdict]
    ahead: RowVerdict | None = None

    def before(self, number: int) -> list[RowVerdict]:
        """Those of rows below `number` that were not taken yet."""
        taken = []
        while (verdict := self.ahead or next(self.rest, None)) is not None:
            self.ahead = None
            if verdict.number >= number:
                self.ahead = verdict
                break
            taken.append(verdict)
        return taken


def _others(indices: pa.Array, length: int) -> pa.Array:
    """A mask that is true at all but these places."""
    mask = [True] * length
    for index in indices.to_pylist():
        mask[index] = False
    return pa.array(mask)


def _with_added(schema: pa.Schema) -> pa.Schema:
    """The schema of rejected rows; an added name that the table has itself gets an underscore."""
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
    """The columns that the part has dictionaries for: those of its first row group."""
    if not file.num_row_groups:
        return []
    group = file.metadata.row_group(0)
    return [name for index, name in enumerate(file.schema_arrow.names) if group.column(index).has_dictionary_page]


class _Unfinished(Exception):
    """Ends the stream of a file that is given up."""


@dataclass
class _StagedWriter:
    """A staged Parquet file under way: `finished` puts it, whole and durable, under its name."""

    outlet: Outlet
    name: str
    schema: pa.Schema
    dictionaries: list[str] | bool = True
    rows: int = 0
    _gathered: list[pa.RecordBatch] = field(default_factory=list)
    _size: int = 0

    def __enter__(self) -> Self:
        self._path = self.outlet.staging.parts / self.name
        self._stream: AbstractContextManager[BinaryIO] | None = streamed_once(
            self.outlet.disk, self._path, role="sifted", unique=self.outlet.attempt
        )
        file = self._stream.__enter__()
        with storage_errors(self._path, "write"):
            self._sink = Md5Sink(file)
            self._writer = pq.ParquetWriter(
                self._sink,
                self.schema,
                compression=self.outlet.output.compression,
                version="2.6",
                use_dictionary=self.dictionaries,
            )
        return self

    def add(self, batch: pa.RecordBatch) -> None:
        """Write rows, a row group at a time."""
        output = self.outlet.output
        gathered = sum(each.num_rows for each in self._gathered)
        is_full = (
            gathered + batch.num_rows > output.row_group_rows or self._size + batch.nbytes > output.row_group_bytes
        )
        if self._gathered and is_full:
            self._flush()
        if batch.num_rows:
            self._gathered.append(batch)
            self._size += batch.nbytes
            self.rows += batch.num_rows

    def note(self, key: str, value: str) -> None:
        """Say something in the footer."""
        self._writer.add_key_value_metadata({key: value})

    def finished(self) -> StagedFile:
        with storage_errors(self._path, "write"):
            self._flush()
            self._writer.close()
        stream, self._stream = self._stream, None
        assert stream is not None, "a file is finished once"
        stream.__exit__(None, None, None)
        return StagedFile(part=self.name, rows=self.rows, bytes=self._sink.written, md5=self._sink.md5)

    def _flush(self) -> None:
        if self._gathered:
            table = pa.Table.from_batches(self._gathered, self.schema)
            with storage_errors(self._path, "write"):
                self._writer.write_table(table, row_group_size=table.num_rows)
            self._gathered, self._size = [], 0

    def __exit__(self, *_: object) -> None:
        """What was not finished is taken away; what cannot be is swept with its plan."""
        if self._stream is not None:
            self._stream.__exit__(_Unfinished, _Unfinished(), None)
