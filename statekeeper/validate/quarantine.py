"""What becomes of rows that break the schema: how many may be put apart, and which files they and the others end in.

Only parts with such rows are written anew; the others are published as they are. The work itself is done by
`statekeeper.validate.split_part` in workers; publication takes what is returned here. It publishes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from statekeeper.config.resolved import ExtractionConfig, OnViolation
from statekeeper.engines.in_flight import all_done
from statekeeper.engines.protocol import Job, Result, Urgency
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Plan
from statekeeper.model.receipt import Receipt, SplitOutput, SplitReceipt, StagedFile
from statekeeper.runtime.context import Run
from statekeeper.schemas.model.shipped import ShippedModel
from statekeeper.schemas.rules.findings import SCAN_DISAGREES, Findings
from statekeeper.store.staging import Staging
from statekeeper.validate.split_part import RejectsSpec, SplitSpec, gather_rejects, split_part


class ViolationAction(Enum):
    """What is done with rows that break the schema."""

    NONE = auto()
    COPIED = auto()
    """They are written to a file of their own; what is published, if anything, has them too."""
    QUARANTINE = auto()
    """They are written to a file of their own, and the other rows are published."""

    @classmethod
    def of(cls, config: ExtractionConfig, findings: Findings) -> ViolationAction:
        """The treatment that the table's policy asks for."""
        if not findings.violating_rows:
            return cls.NONE
        if config.on_violation is OnViolation.QUARANTINE and too_many(config, findings) is None:
            return cls.QUARANTINE
        return cls.COPIED if config.keep_violating_rows else cls.NONE

    @property
    def wanted(self) -> SplitOutput | None:
        """The files that it needs."""
        return {ViolationAction.QUARANTINE: SplitOutput.BOTH, ViolationAction.COPIED: SplitOutput.REJECTED}.get(self)


@dataclass(frozen=True)
class CheckedPart:
    """A part, its name in the dataset, and what the scan found in it."""

    receipt: Receipt
    published_name: str
    findings: Findings


@dataclass(frozen=True)
class CheckedParts:
    """All parts of a table, what was found in them together, and those, one by one, with rows that break the schema."""

    receipts: Packed[Receipt]
    findings: Findings
    broken: tuple[CheckedPart, ...]


@dataclass(frozen=True)
class Separated:
    """The files that are to be published, a receipt each, and the file of the rows that were put apart, if any were."""

    parts: Packed[Receipt]
    rejects: StagedFile | None = None


def too_many(config: ExtractionConfig, findings: Findings) -> str | None:
    """Why so many rows cannot be put apart, in words; None where they can.

    Without a bound of its own a table may lose rows, but not all: that is a wrong schema, and not wrong rows.
    """
    found, rows, bound = findings.violating_rows, findings.rows, config.max_quarantined
    if any(part.constraint == SCAN_DISAGREES for part in findings.violations):
        return "which they are is not certain, by a defect of statekeeper: please report it"
    if bound is None:
        return None if found < rows or not found else "every row breaks the schema, so that none would be left"
    return None if bound.allows(found, of=rows) else f"that is more than max_quarantined: {bound}"


async def separate(
    config: ExtractionConfig,
    run: Run,
    plan: Plan,
    staging: Staging,
    checked: CheckedParts,
    *,
    wanted: SplitOutput | None,
) -> Separated:
    """Put the rows that break the schema apart, in every part that has any.

    Raises:
        StatekeeperError: a part could not be split; what was done is found again by its receipt.
    """
    if wanted is None:
        return Separated(checked.receipts)
    work = _Work(config, run, plan, staging, wanted)
    split = await work.split(checked.broken)
    rejects = await work.gathered(tuple(one.rejected for one in split))
    kept = {one.chunk_id: one.kept for one in split} if wanted is SplitOutput.BOTH else {}
    return Separated(await run.threads.disk.do(_without_rejects, checked.receipts, kept), rejects)


def _without_rejects(receipts: Packed[Receipt], kept: dict[int, StagedFile | None]) -> Packed[Receipt]:
    """The receipts as they are published: those of the rows that were `kept`, by chunk, where any were put apart."""

    def published(receipt: Receipt) -> Receipt:
        file = kept.get(receipt.chunk_id)
        if file is None:
            return receipt
        return receipt.model_copy(update={"part": file.part, "rows": file.rows, "bytes": file.bytes, "md5": file.md5})

    return Packed(Receipt, map(published, receipts))


@dataclass(frozen=True)
class _Work:
    config: ExtractionConfig
    run: Run
    plan: Plan
    staging: Staging
    wanted: SplitOutput

    async def split(self, parts: tuple[CheckedPart, ...]) -> tuple[SplitReceipt, ...]:
        model = await self.run.threads.disk.do(ShippedModel.of, self.config.model, base=self.run.model_folder)
        return await all_done(parts, lambda part: self._split(part, model), at_once=self.run.engine.in_flight)

    async def _split(self, part: CheckedPart, model: ShippedModel) -> SplitReceipt:
        spec = SplitSpec(
            run_id=self.run.run_id,
            table=self.config.table.key,
            receipt=part.receipt,
            rejected_rows=part.findings.violating_rows,
            published_name=part.published_name,
            columns=self.plan.reading.columns,
            model=model,
            staging=Staging(self.staging.folder.absolute()),
            output=self.run.pipeline.output,
            disk=self.run.disk,
            wanted=self.wanted,
        )
        size = part.receipt.rows
        job = Job(
            self.config.table.key, split_part, spec, urgency=Urgency.CHUNK, size=size, remote_result_type=SplitReceipt
        )
        return await self._retried(job, f"the split of chunk {part.receipt.chunk_id}")

    async def gathered(self, files: tuple[StagedFile, ...]) -> StagedFile:
        staging = Staging(self.staging.folder.absolute())
        spec = RejectsSpec(self.plan.plan_id, files, staging, self.run.pipeline.output, self.run.disk)
        job = Job(self.config.table.key, gather_rejects, spec, urgency=Urgency.CHUNK, remote_result_type=StagedFile)
        return await self._retried(job, "the file of violating rows")

    async def _retried(self, job: Job[Result], what: str) -> Result:
        return await self.run.jobs.run(self.config, job, f"at {what}")
