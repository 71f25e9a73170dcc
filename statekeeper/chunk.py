"""`extract_chunk`: read one chunk at the plan's snapshot, write one part, leave one receipt.

The same function runs in a local worker process and on a Spark executor. It decides nothing about retries or
scheduling, and writes nothing but its own part and receipt.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from statekeeper.config.extraction import OutputConfig, SourceConfig
from statekeeper.errors import DataError, StatekeeperError, WorkerDied
from statekeeper.layout import Staging, staged_part_name
from statekeeper.model.plan import Chunk, Reading
from statekeeper.model.receipt import Receipt
from statekeeper.schemas.arrow import arrow_schema, cast_batch, schema_digest
from statekeeper.store.disk import Disk
from statekeeper.store.documents import load_receipt, save_receipt
from statekeeper.store.durable import storage_errors
from statekeeper.store.failpoints import failpoint
from statekeeper.store.temps import temp_file
from statekeeper.work import WorkContext

if TYPE_CHECKING:
    from hashlib import _Hash

BATCH_ROWS = 16_384
LARGE_VALUE_BATCH_ROWS = 2_048
"""Rows a batch where a column may hold values of many megabytes."""


@dataclass(frozen=True)
class ChunkSpec:
    """All that `extract_chunk` needs, picklable. `table` names it in messages."""

    table: str
    run_id: str
    source: SourceConfig
    source_name: str
    plan_id: str
    reading: Reading
    chunk: Chunk
    staging: Staging
    output: OutputConfig
    disk: Disk


def extract_chunk(spec: ChunkSpec, context: WorkContext) -> Receipt:
    """Make the chunk's part and receipt durable; if another attempt was first, its receipt is the answer.

    Raises:
        SourceError: and its subclasses, from reading.
        DataError: a value does not fit exactly what was planned.
        StorageError: the part could not be written, or the staging folder is gone because its plan was discarded.
        Interrupted: it was asked to stop; nothing is left behind.
    """
    earlier = load_receipt(spec.disk, spec.staging, spec.plan_id, spec.chunk.chunk_id)
    if earlier is not None:
        return earlier
    attempt = uuid4().hex[:12]
    part = spec.staging.parts / staged_part_name(spec.chunk.chunk_id, attempt)
    temp = temp_file(part, attempt)
    started_at = datetime.now(UTC)
    try:
        with storage_errors(part, "write"):
            written = _write_part(spec, context, temp=temp)
            spec.disk.rename(temp, part, role="part")
            spec.disk.sync_folder(part.parent, role="part")
    except BaseException:
        _discard(spec.disk, temp)
        raise
    receipt = Receipt(
        plan_id=spec.plan_id,
        chunk_id=spec.chunk.chunk_id,
        attempt=attempt,
        part=part.name,
        rows=written.rows,
        bytes=written.bytes,
        md5=written.md5,
        arrow_schema=written.schema,
        snapshot=spec.reading.snapshot.token,
        started_at=started_at,
        ended_at=datetime.now(UTC),
    )
    failpoint("receipt", "receipt", "before")
    is_first = save_receipt(spec.disk, spec.staging, receipt)
    failpoint("receipt", "receipt", "after")
    winner = receipt if is_first else load_receipt(spec.disk, spec.staging, spec.plan_id, spec.chunk.chunk_id)
    if winner is None:
        raise WorkerDied(f"{spec.table}, chunk {spec.chunk.chunk_id}: the receipt of another attempt is damaged")
    if not is_first:
        _discard(spec.disk, part)
    return winner


@dataclass(frozen=True)
class _Written:
    rows: int
    bytes: int
    md5: str
    schema: str


def _write_part(spec: ChunkSpec, context: WorkContext, *, temp: Path) -> _Written:
    session = context.session(spec.source_name, spec.source)
    schema = arrow_schema(spec.reading.columns)
    digest = schema_digest(schema)
    with spec.disk.create(temp, role="part") as file:
        sink = _Md5Sink(file)
        rows = 0
        read = session.read(spec.reading, spec.chunk, batch_rows=_batch_rows(schema))
        repeating, batches = _repeating_columns(_checked(read, spec, context))
        with pq.ParquetWriter(
            sink,
            schema.with_metadata(_lineage(spec)),
            compression=spec.output.compression,
            version="2.6",
            use_dictionary=repeating,
        ) as writer:
            for group in _row_groups(batches, spec.output, schema):
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
                rows += group.num_rows
        spec.disk.sync_file(file, role="part")
    return _Written(rows=rows, bytes=sink.written, md5=sink.md5, schema=digest)


def _checked(batches: Iterator[pa.RecordBatch], spec: ChunkSpec, context: WorkContext) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        context.check_stop()
        try:
            yield cast_batch(batch, spec.reading.columns)
        except DataError as error:
            where = f"{spec.table}, chunk {spec.chunk.chunk_id}"
            raise DataError(f"{where}: {error.message}", hint=error.hint, code=error.code) from error
        context.progress(batch.num_rows)
    context.check_stop()


def _repeating_columns(batches: Iterator[pa.RecordBatch]) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """The columns whose values come back within the first batch, and all batches, that one too.

    Only these get dictionaries: of values that hardly repeat, one is built in vain and makes the file larger.
    """
    first = next(batches, None)
    if first is None:
        return [], batches
    repeating = [
        name
        for name, values in zip(first.schema.names, first.columns, strict=True)
        if 2 * pc.count_distinct(values).as_py() <= first.num_rows
    ]
    return repeating, chain([first], batches)


def _row_groups(batches: Iterator[pa.RecordBatch], output: OutputConfig, schema: pa.Schema) -> Iterator[pa.Table]:
    """Batches gathered until a row group is full by rows or by bytes in memory."""
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if gathered and (rows + batch.num_rows > output.row_group_rows or size + batch.nbytes > output.row_group_bytes):
            yield pa.Table.from_batches(gathered, schema)
            gathered, rows, size = [], 0, 0
        gathered.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if rows:
        yield pa.Table.from_batches(gathered, schema)


def _batch_rows(schema: pa.Schema) -> int:
    has_large_values = any(pa.types.is_binary(field.type) for field in schema)
    return LARGE_VALUE_BATCH_ROWS if has_large_values else BATCH_ROWS


def _lineage(spec: ChunkSpec) -> dict[str, str]:
    """What the Parquet footer says of where the rows come from."""
    chunk = spec.chunk
    return {
        "statekeeper.run_id": spec.run_id,
        "statekeeper.table": spec.table,
        "statekeeper.plan_id": spec.plan_id,
        "statekeeper.chunk": chunk.model_dump_json(exclude={"estimated_rows"}),
        "statekeeper.snapshot": spec.reading.snapshot.token,
    }


def _discard(disk: Disk, path: Path) -> None:
    """Remove what nobody will name; what cannot be removed is swept with its plan."""
    try:
        disk.unlink(path, role="part")
    except (OSError, StatekeeperError):
        return


class _Md5Sink(io.RawIOBase):
    """Passes bytes on to a file and sums them up, so that a part need not be read again for its md5."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._md5: _Hash = hashlib.md5(usedforsecurity=False)
        self.written = 0

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.written

    def write(self, data: object) -> int:
        view = memoryview(cast("bytes", data)).cast("B")
        self._file.write(view)
        self._md5.update(view)
        self.written += len(view)
        return len(view)
