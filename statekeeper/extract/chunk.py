"""`extract_chunk`: read one chunk at the plan's snapshot, write one part, save one receipt.

The same function runs in a local worker process and on a Spark executor. It decides nothing about retries or
scheduling, and writes only its own part and receipt. Modules that need Arrow are imported inside the functions, because
the parent process only sends this work to a worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from statekeeper.config.resolved import OutputConfig
from statekeeper.engines.context import WorkContext
from statekeeper.errors import DataError, StatekeeperError, WorkerDied
from statekeeper.model.plan import Chunk, ReadSpec
from statekeeper.model.receipt import Receipt
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import streamed_once
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.receipts import load_receipt, save_receipt
from statekeeper.store.staging import Staging, staged_part_name
from statekeeper.store.versions import e_tag_of

if TYPE_CHECKING:
    import pyarrow as pa

    from statekeeper.parquet.batch_size import MemoryBudget
    from statekeeper.parquet.writer import WrittenPart


@dataclass(frozen=True)
class ChunkSpec:
    """The inputs of `extract_chunk` except for the session; can be pickled, contains no secret.

    `table` is for messages. The part goes into `subfolder` of the plan's folder of parts, unless that is empty.
    `compared` has the layouts of the datasets of the plan's mark, in their order, with absolute paths.
    """

    table: str
    run_id: str
    plan_id: str
    reading: ReadSpec
    chunk: Chunk
    staging: Staging
    output: OutputConfig
    disk: Disk
    subfolder: str = ""
    compared: tuple[ExtractionLayout, ...] = ()


def extract_chunk(spec: ChunkSpec, context: WorkContext) -> Receipt:
    """Make the chunk's part and receipt durable; if another attempt was first, return its receipt.

    Raises:
        SourceError: or a subclass: reading failed.
        DataError: a value does not fit its planned type exactly.
        StorageError: the part could not be written, or the staging folder is gone because its plan was discarded.
        Interrupted: it was asked to stop; nothing is left behind.
    """
    earlier = load_receipt(spec.disk, spec.staging, spec.plan_id, spec.chunk.chunk_id)
    if earlier is not None:
        return earlier
    attempt = uuid4().hex[:12]
    name = staged_part_name(spec.chunk.chunk_id, attempt, subfolder=spec.subfolder)
    part = spec.staging.parts / name
    started_at = datetime.now(UTC)
    with streamed_once(spec.disk, part, role="part", unique=attempt) as file:
        written = _write_part(spec, context, file=file)
    receipt = Receipt(
        plan_id=spec.plan_id,
        chunk_id=spec.chunk.chunk_id,
        attempt=attempt,
        part=name,
        rows=written.rows,
        bytes=written.bytes,
        md5=written.md5,
        e_tag=e_tag_of(file),
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


def _write_part(spec: ChunkSpec, context: WorkContext, *, file: BinaryIO) -> WrittenPart:
    from statekeeper.parquet.batch_size import MemoryBudget
    from statekeeper.parquet.writer import write_part

    budget = MemoryBudget.of(context.memory_limit)
    read = context.session().read(spec.reading, spec.chunk, batch_bytes=budget.batch)
    batches = _marked(_checked(read, spec, context, budget), spec, context, budget)
    columns, lineage = spec.reading.file_columns, _lineage(spec)
    return write_part(file, batches, columns=columns, output=spec.output, budget=budget, lineage=lineage)


def _checked(
    batches: Iterator[pa.RecordBatch], spec: ChunkSpec, context: WorkContext, budget: MemoryBudget
) -> Iterator[pa.RecordBatch]:
    from statekeeper.parquet.batch_size import check_values_fit, pieces
    from statekeeper.parquet.types import cast_batch

    columns = spec.reading.columns
    for batch in batches:
        context.check_stop()
        try:
            check_values_fit(batch, columns, budget)
            for piece in pieces(batch, budget.batch):
                yield cast_batch(piece, columns)
        except DataError as error:
            raise error.within(f"{spec.table}, chunk {spec.chunk.chunk_id}") from error
        context.progress(batch.num_rows)
    context.check_stop()


def _marked(
    batches: Iterator[pa.RecordBatch], spec: ChunkSpec, context: WorkContext, budget: MemoryBudget
) -> Iterator[pa.RecordBatch]:
    mark = spec.reading.mark
    if mark is None:
        return batches
    from statekeeper.extract.candidates import Comparison
    from statekeeper.extract.taken_before import Marking, compared_columns, stretch_in

    start, end = stretch_in(spec.reading, mark)
    comparison = Comparison(
        table=spec.table,
        file_columns=spec.reading.columns,
        columns=compared_columns(spec.reading, mark),
        start=start,
        end=end,
        datasets=tuple(zip(mark.compared, spec.compared, strict=True)),
        disk=spec.disk,
        output=spec.output,
        budget=budget,
        memory_limit=context.memory_limit,
        check_stop=context.check_stop,
    )
    return Marking(spec.reading, mark, comparison).marked(batches)


def _lineage(spec: ChunkSpec) -> dict[str, str]:
    """The entries of the Parquet footer that say where the rows come from."""
    chunk = spec.chunk
    return {
        "statekeeper.run_id": spec.run_id,
        "statekeeper.table": spec.table,
        "statekeeper.plan_id": spec.plan_id,
        "statekeeper.chunk": chunk.model_dump_json(exclude={"estimated_rows"}),
        "statekeeper.snapshot": spec.reading.snapshot.token,
    }


def _discard(disk: Disk, path: Path) -> None:
    """Remove a part that no receipt names; if that fails, it is removed later with its plan."""
    try:
        disk.unlink(path, role="part")
    except (OSError, StatekeeperError):
        return
