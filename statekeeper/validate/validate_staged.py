"""The work of `validating`: is every staged part intact, do the counts agree, do the rows satisfy schema and keys?

The result has the findings and the files that may be published. `statekeeper.run.table_run` decides whether they are
published, by the judgement of `statekeeper.validate.judgement`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from typing import Self

from statekeeper.config.resolved import Reconcile
from statekeeper.engines.in_flight import all_done
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.errors import DataError
from statekeeper.model.packed import Packed
from statekeeper.model.receipt import CountReceipt, Receipt
from statekeeper.runtime.active_plan import ActivePlan, StagedFindings
from statekeeper.runtime.null_rows import judge_null_rows
from statekeeper.schemas.model.shipped import ShippedModel
from statekeeper.schemas.rules.findings import Findings
from statekeeper.store.documents import load_count
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.receipts import discard_receipt, load_receipts
from statekeeper.validate.check_part import PartCheck, PartCheckSpec, check_part
from statekeeper.validate.judgement import ViolationAction
from statekeeper.validate.keys.run import keys_checked
from statekeeper.validate.quarantine import BrokenPart, Separation


@dataclass(frozen=True)
class DamagedPart:
    """A chunk whose staged part or receipt is damaged or missing. Without a `chunk_id` it is the count's receipt."""

    chunk_id: int | None
    receipt: Receipt | None
    damage: str

    def discard(self, active: ActivePlan) -> None:
        """Remove the receipt, then the part, so that the chunk is read again."""
        if self.chunk_id is None:
            return  # loading a damaged receipt of the count has already removed it
        disk, parts = active.run.disk, active.staging.parts
        discard_receipt(disk, active.staging, active.plan.plan_id, self.chunk_id)
        if self.receipt:
            with storage_errors(parts, "tidy"):
                disk.unlink(parts / self.receipt.part, role="part")


async def check_staged(active: ActivePlan, *, output_name: str) -> StagedFindings | DamagedPart:
    """Check all staged parts. The dataset will have the name `output_name`.

    Raises:
        DataError: the counts of receipts and source do not agree.
        ParentMissing: a table that this one refers to is not extracted in this run.
    """
    config, run = active.config, active.run
    do = run.threads.disk.do
    checks = await do(_StagedChecks.opened, active)
    if isinstance(checks, DamagedPart):
        return checks
    counted = await do(checks.reconciled)
    if isinstance(counted, DamagedPart):
        return counted
    model = await do(ShippedModel.of, config.model, base=run.model_folder)
    scanned = await do(checks.scanned, await checks.checked_parts(model))
    if isinstance(scanned, DamagedPart):
        return scanned
    findings, action = scanned.findings, ViolationAction.of(config, scanned.findings)
    separation = Separation(active, checks.receipts, output_name)
    separated = await separation.separated(scanned.broken, model, wanted=action.wanted)
    is_quarantined = action is ViolationAction.QUARANTINE
    return StagedFindings(
        parts=separated.parts,
        extracted_rows=scanned.rows,
        counted=counted,
        # Keys are checked over the rows that may be published: a quarantined row breaks no key.
        findings=findings.with_keys(await keys_checked(active, separated.parts)),
        quarantined=separated.rejects if is_quarantined else None,
        copied=None if is_quarantined else separated.rejects,
    )


@dataclass(frozen=True)
class _Scanned:
    """The findings of all parts together, and the single parts with rows that break the schema."""

    rows: int
    """The sum over the receipts, with which every part agrees."""
    findings: Findings
    broken: tuple[BrokenPart, ...]


@dataclass(frozen=True)
class _StagedChecks:
    active: ActivePlan
    receipts: Packed[Receipt]

    @classmethod
    def opened(cls, active: ActivePlan) -> Self | DamagedPart:
        """The checks of all staged parts, or the first part without a receipt."""
        plan = active.plan
        receipts = load_receipts(active.run.disk, active.staging, plan.plan_id)
        for chunk in plan.chunks:
            if chunk.chunk_id not in receipts:
                return DamagedPart(chunk.chunk_id, None, f"the receipt of chunk {chunk.chunk_id} is missing or damaged")
        return cls(active, Packed(Receipt, (receipts[chunk.chunk_id] for chunk in plan.chunks)))

    def reconciled(self) -> CountReceipt | DamagedPart | None:
        """The source's count, which equals the rows of all receipts; None if no count is configured.

        Raises:
            DataError: the two differ, or rows are in no extraction and `null_rows` is fail.
        """
        active = self.active
        if active.config.reconcile is Reconcile.NONE:
            return None
        counted = load_count(active.run.disk, active.staging, active.plan.plan_id)
        read = sum(receipt.rows for receipt in self.receipts)
        if counted is None:
            return DamagedPart(None, None, "the receipt of the source's count is missing or damaged")
        if counted.rows != read:
            raise DataError(
                f"{active.key}: the source counted {counted.rows:,} rows at the snapshot; its chunks have {read:,}",
                hint="the next run extracts the table again; if it happens again, the source gives wrong answers",
            )
        judge_null_rows(active, counted)  # the policy may have changed since the rows were read
        return counted

    async def checked_parts(self, model: ShippedModel) -> tuple[PartCheck, ...]:
        """The result of the check of every part."""
        return await all_done(
            self.receipts, partial(self._check, model=model), at_once=self.active.run.engine.in_flight
        )

    async def _check(self, receipt: Receipt, *, model: ShippedModel) -> PartCheck:
        active = self.active
        spec = PartCheckSpec(
            path=active.staging_for_workers.parts / receipt.part,
            receipt=receipt,
            columns=active.plan.reading.columns,
            model=model,
            samples=active.config.samples,
            disk=active.run.disk,
        )
        # As urgent as chunks: the parts of a large table must not keep small ones from being planned.
        job = Job(active.key, check_part, spec, urgency=Urgency.CHUNK, size=receipt.rows, remote_result_type=PartCheck)
        return await active.retried(job, f"at the check of chunk {receipt.chunk_id}")

    def scanned(self, results: tuple[PartCheck, ...]) -> _Scanned | DamagedPart:
        """The findings of all parts, or the first damaged part."""
        found, broken = [], []
        for receipt, result in zip(self.receipts, results, strict=True):
            if result.findings is None:
                return DamagedPart(receipt.chunk_id, receipt, result.damage or "it was not checked")
            found.append(result.findings)
            if result.findings.violating_rows:
                broken.append(BrokenPart(receipt, result.findings.violating_rows))
        merged = partial(Findings.merged, samples=self.active.config.samples)
        return _Scanned(sum(receipt.rows for receipt in self.receipts), reduce(merged, found), tuple(broken))
