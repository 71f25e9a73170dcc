"""Work for workers: splits a staged part into rows that break the schema and others, and gathers the rejected rows.

The durable order is the same as for a chunk: files are complete under their names before the receipt that names them,
and only files with a receipt count. `statekeeper.validate.split_writer` writes the files.
`statekeeper.validate.quarantine` decides which parts are split, and what happens to the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from statekeeper.config.resolved import OutputConfig, Verify
from statekeeper.engines.context import WorkContext
from statekeeper.errors import InternalError, WorkerDied
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.receipt import Receipt, RejectsReceipt, SplitOutput, SplitReceipt, StagedFile
from statekeeper.parquet.integrity import find_damage
from statekeeper.schemas.model.shipped import ShippedModel
from statekeeper.store.documents import (
    discard_rejects,
    discard_split,
    load_rejects,
    load_split,
    save_rejects,
    save_split,
)
from statekeeper.store.files.disk import Disk
from statekeeper.store.staging import Staging


@dataclass(frozen=True)
class SplitSpec:
    """A staged part, and how to split it; paths are absolute.

    `rejected_rows` is the scan's count of rows that break the schema; `published_name` is the part's name in the
    dataset.
    """

    run_id: str
    table: str
    receipt: Receipt
    rejected_rows: int
    published_name: str
    columns: tuple[PlannedColumn, ...]
    model: ShippedModel
    staging: Staging
    output: OutputConfig
    disk: Disk
    wanted: SplitOutput


def split_part(spec: SplitSpec, context: WorkContext) -> SplitReceipt:
    """Make the files durable, then the receipt; if an earlier attempt left good files, return its receipt.

    Raises:
        DataError: the part cannot be scanned.
        StorageError: a file could not be written, or the staging folder is gone because its plan was discarded.
        Interrupted: it was asked to stop; every file that has its final name is complete.
    """
    plan_id, chunk_id = spec.receipt.plan_id, spec.receipt.chunk_id
    earlier = load_split(spec.disk, spec.staging, plan_id, chunk_id)
    if earlier is not None and _still_holds(earlier, spec):
        return earlier
    if earlier is not None:
        discard_split(spec.disk, spec.staging, chunk_id)
    from statekeeper.parquet.batch_size import MemoryBudget
    from statekeeper.schemas.rules.checks import compile_checks
    from statekeeper.validate.row_errors import RowErrors
    from statekeeper.validate.split_writer import (  # imported here: the parent process only sends this work
        SplitTarget,
        split,
    )

    attempt = uuid4().hex[:12]
    model = spec.model.load()
    errors = RowErrors(compile_checks(model, spec.columns), model, context.memory_limit)
    budget = MemoryBudget.of(context.memory_limit)
    target = SplitTarget(spec.disk, spec.staging, spec.output, attempt, context.check_stop, budget)
    kept, rejected = split(spec.receipt, errors, target, published_name=spec.published_name, wanted=spec.wanted)
    _check_sum(spec, kept, rejected)
    save_split(
        spec.disk,
        spec.staging,
        SplitReceipt(
            plan_id=plan_id,
            chunk_id=chunk_id,
            attempt=attempt,
            source_md5=spec.receipt.md5,
            kept=kept,
            rejected=rejected,
        ),
    )
    winner = load_split(spec.disk, spec.staging, plan_id, chunk_id)
    if winner is None:
        raise WorkerDied(f"{spec.table}, chunk {chunk_id}: the receipt of another attempt at the split is damaged")
    return winner


def _check_sum(spec: SplitSpec, kept: StagedFile | None, rejected: StagedFile) -> None:
    """Check that no row is lost or doubled. Raises InternalError: either would be a defect of ours."""
    where = f"{spec.table}, chunk {spec.receipt.chunk_id}"
    if rejected.rows != spec.rejected_rows:
        raise InternalError(f"{where}: the scan counted {spec.rejected_rows:,} rows; {rejected.rows:,} were rejected")
    if kept is not None and kept.rows + rejected.rows != spec.receipt.rows:
        made = f"{kept.rows:,} were kept and {rejected.rows:,} rejected"
        raise InternalError(f"{where}: of {spec.receipt.rows:,} rows {made}")


def _still_holds(earlier: SplitReceipt, spec: SplitSpec) -> bool:
    if (earlier.source_md5, earlier.rejected.rows) != (spec.receipt.md5, spec.rejected_rows):
        return False
    files = [earlier.rejected]
    if spec.wanted is SplitOutput.BOTH:
        if earlier.kept is None:
            return False
        files.append(earlier.kept)
    return all(_is_intact(spec.disk, spec.staging, file, plan_id=earlier.plan_id) for file in files)


def _is_intact(disk: Disk, staging: Staging, file: StagedFile, *, plan_id: str) -> bool:
    """Whether a staged file still matches its receipt."""
    expected = PublishedFile(name=file.part, rows=file.rows, bytes=file.bytes, md5=file.md5)
    return find_damage(disk, staging.parts / file.part, expected, plan_id=plan_id, verify=Verify.FULL) is None


@dataclass(frozen=True)
class RejectsSpec:
    """Files of rejected rows to join into one, in this order; paths are absolute."""

    plan_id: str
    files: tuple[StagedFile, ...]
    staging: Staging
    output: OutputConfig
    disk: Disk


def gather_rejects(spec: RejectsSpec, context: WorkContext) -> StagedFile:
    """One staged file with all rejected rows; a single file is returned unchanged.

    Raises:
        StorageError, Interrupted: as `split_part`.
    """
    if len(spec.files) == 1:
        return spec.files[0]
    sources = tuple(file.md5 for file in spec.files)
    earlier = load_rejects(spec.disk, spec.staging, spec.plan_id)
    if earlier is not None:
        if earlier.sources == sources and _is_intact(spec.disk, spec.staging, earlier.file, plan_id=spec.plan_id):
            return earlier.file
        discard_rejects(spec.disk, spec.staging)
    from statekeeper.parquet.batch_size import MemoryBudget
    from statekeeper.validate.split_writer import SplitTarget, joined

    attempt = uuid4().hex[:12]
    budget = MemoryBudget.of(context.memory_limit)
    made = joined(spec.files, SplitTarget(spec.disk, spec.staging, spec.output, attempt, context.check_stop, budget))
    save_rejects(
        spec.disk,
        spec.staging,
        RejectsReceipt(plan_id=spec.plan_id, attempt=attempt, sources=sources, file=made),
    )
    return made
