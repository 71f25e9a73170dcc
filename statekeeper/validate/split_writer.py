"""Splits a staged part into rows that satisfy the schema and rows that do not, in one pass.

Decides the content of both files, and writes them durably; memory is bounded by a row group.
`statekeeper.validate.split_part` saves the receipts that name them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from statekeeper.model.receipt import Receipt, SplitOutput, StagedFile
from statekeeper.parquet.batch_size import MemoryBudget, rows_within
from statekeeper.parquet.streamed_file import StreamedFile, dictionaries_of, opened
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.staging import Staging, beside_part, kept_part_name, rejected_part_name, rejects_name

if TYPE_CHECKING:
    from statekeeper.config.resolved import OutputConfig
    from statekeeper.validate.row_errors import RowErrors, RowVerdict

_BROKEN = pa.list_(pa.struct([("column", pa.string()), ("constraint", pa.string()), ("expected", pa.string())]))
_ADDED = (("statekeeper_violations", _BROKEN), ("statekeeper_part", pa.string()), ("statekeeper_row", pa.int64()))
"""The columns that a rejected row has in addition to its own: the constraints it breaks, the part that it was read for,
by its published name, and its position among the rows that were read for that part, from 0."""
_MAX_ROWS = 100_000
"""The most rows that are checked together, since each check costs some milliseconds however few rows there are."""


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
        file = stack.enter_context(opened(target.disk, part))
        rows_at_once = rows_within(file.metadata, target.budget, most=_MAX_ROWS)
        schema = _with_added(file.schema_arrow)
        rejected = stack.enter_context(
            _staged(target, beside_part(receipt.part, rejected_name), schema, like=file.metadata)
        )
        kept = None
        if wanted is SplitOutput.BOTH:
            name = beside_part(receipt.part, kept_part_name(receipt.chunk_id, target.attempt))
            kept = stack.enter_context(
                _staged(
                    target,
                    name,
                    file.schema_arrow,
                    like=file.metadata,
                    dictionaries=dictionaries_of(file.metadata),
                )
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
        return (_finished(kept, target) if kept is not None else None), _finished(rejected, target)


def joined(files: tuple[StagedFile, ...], target: SplitTarget) -> StagedFile:
    """One file with the rejected rows of several files, in this order. Raises like `split`."""
    with ExitStack() as stack:
        first = target.staging.parts / files[0].part
        with storage_errors(first, "read"):
            like = stack.enter_context(opened(target.disk, first))
        schema = like.schema_arrow
        writer = stack.enter_context(_staged(target, rejects_name(target.attempt), schema, like=like.metadata))
        for each in files:
            part = target.staging.parts / each.part
            with storage_errors(part, "read"), opened(target.disk, part) as file:
                rows_at_once = rows_within(file.metadata, target.budget)
                for batch in file.iter_batches(batch_size=rows_at_once, use_threads=False):
                    target.check_stop()
                    writer.add(batch.replace_schema_metadata(schema.metadata))
        return _finished(writer, target)


def _staged(
    target: SplitTarget,
    name: str,
    schema: pa.Schema,
    *,
    like: pq.FileMetaData,
    dictionaries: list[str] | bool = True,
) -> StreamedFile:
    return StreamedFile(
        disk=target.disk,
        path=target.staging.parts / name,
        schema=schema,
        output=target.output,
        budget=target.budget,
        role="sifted",
        unique=target.attempt,
        like=like,
        dictionaries=dictionaries,
    )


def _finished(file: StreamedFile, target: SplitTarget) -> StagedFile:
    written = file.finished()
    name = file.path.relative_to(target.staging.parts).as_posix()
    return StagedFile(part=name, rows=written.rows, bytes=written.bytes, md5=written.md5)


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
