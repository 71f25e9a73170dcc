"""Separates rows that break the schema from the others, and decides which files are published.

Only parts with such rows are written again; the other parts are published unchanged. Workers do the work in
`statekeeper.validate.split_part`. `statekeeper.validate.judgement` decides whether rows are quarantined at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from statekeeper.engines.in_flight import all_done
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.model.packed import Packed
from statekeeper.model.receipt import PublishablePart, Receipt, SplitOutput, SplitReceipt, StagedFile
from statekeeper.runtime.active_plan import ActivePlan
from statekeeper.schemas.model.shipped import ShippedModel
from statekeeper.store.layout import part_name
from statekeeper.validate.split_part import RejectsSpec, SplitSpec, gather_rejects, split_part


@dataclass(frozen=True)
class BrokenPart:
    """A part with rows that break the schema, and their number."""

    receipt: Receipt
    violating_rows: int


@dataclass(frozen=True)
class Separated:
    """The files that may be published, and the file of rows that break the schema, if it was wanted."""

    parts: Packed[PublishablePart]
    rejects: StagedFile | None = None


@dataclass(frozen=True)
class Separation:
    """The separation of a plan's parts; the dataset will have the name `output_name`."""

    active: ActivePlan
    receipts: Packed[Receipt]
    output_name: str

    async def separated(
        self, broken: tuple[BrokenPart, ...], model: ShippedModel, *, wanted: SplitOutput | None
    ) -> Separated:
        """The files after the separation; `wanted` says which files to write for the broken parts, None for none.

        Raises:
            StatekeeperError: a part could not be split; finished splits have receipts and are found again.
        """
        do = self.active.run.threads.disk.do
        if wanted is None:
            return Separated(await do(self._parts, {}))
        split = await all_done(
            broken, partial(self._split, model=model, wanted=wanted), at_once=self.active.run.engine.in_flight
        )
        rejects = await self._gathered(tuple(one.rejected for one in split))
        kept = {one.chunk_id: one.kept for one in split if one.kept and wanted is SplitOutput.BOTH}
        return Separated(await do(self._parts, kept), rejects)

    def _parts(self, kept: Mapping[int, StagedFile]) -> Packed[PublishablePart]:
        """Each part, or its file of `kept` rows, under the name that readers will see; `kept` is by chunk."""

        def publishable(receipt: Receipt) -> PublishablePart:
            file = kept.get(receipt.chunk_id, receipt)
            return PublishablePart(
                name=self._name(receipt), part=file.part, rows=file.rows, bytes=file.bytes, md5=file.md5
            )

        return Packed(PublishablePart, map(publishable, self.receipts))

    def _name(self, receipt: Receipt) -> str:
        is_file = len(self.receipts) == 1 and not self.active.run.layout_of(self.active.config).datasets_are_folders
        return self.output_name if is_file else part_name(receipt.chunk_id, receipt.plan_id)

    async def _split(self, part: BrokenPart, *, model: ShippedModel, wanted: SplitOutput) -> SplitReceipt:
        active, receipt = self.active, part.receipt
        spec = SplitSpec(
            run_id=active.run.run_id,
            table=active.key,
            receipt=receipt,
            rejected_rows=part.violating_rows,
            published_name=self._name(receipt),
            columns=active.plan.reading.columns,
            model=model,
            staging=active.staging_for_workers,
            output=active.run.pipeline.output,
            disk=active.run.disk,
            wanted=wanted,
        )
        job = Job(
            active.key,
            split_part,
            spec,
            urgency=Urgency.CHUNK,
            size=receipt.rows,
            remote_result_type=SplitReceipt,
        )
        return await active.retried(job, f"at the split of chunk {receipt.chunk_id}")

    async def _gathered(self, files: tuple[StagedFile, ...]) -> StagedFile:
        active = self.active
        spec = RejectsSpec(
            active.plan.plan_id, files, active.staging_for_workers, active.run.pipeline.output, active.run.disk
        )
        job = Job(active.key, gather_rejects, spec, urgency=Urgency.CHUNK, remote_result_type=StagedFile)
        return await active.retried(job, "at the file of violating rows")
