"""A table's plan that this process executes, and what validation found in its staged files. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.protocol import Job, Result
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Plan
from statekeeper.model.receipt import CountReceipt, PublishablePart, StagedFile
from statekeeper.runtime.context import Run
from statekeeper.schemas.rules.findings import Findings
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.layouts import layout_of
from statekeeper.store.staging import Staging


@dataclass(frozen=True)
class ActivePlan:
    """The current plan of a table whose lock this process holds, and the staging folder of that plan."""

    config: ExtractionConfig
    run: Run
    plan: Plan
    staging: Staging

    @property
    def key(self) -> str:
        """The table's name in messages and jobs."""
        return self.config.table.key

    @property
    def staging_for_workers(self) -> Staging:
        """The staging folder by its absolute path: workers have other working folders, some on other machines."""
        return Staging(self.staging.folder.absolute())

    @property
    def compared_layouts(self) -> tuple[ExtractionLayout, ...]:
        """The layouts of the extractions that the plan's mark names, in their order, with absolute paths."""
        mark, pipeline = self.plan.reading.mark, self.run.pipeline
        return tuple(
            layout_of(
                pipeline.output.layout,
                base_path=pipeline.base_path.absolute(),
                table=self.config.table,
                extraction_date=dataset.date,
                run_id=dataset.run_id,
                is_in_table=self.config.is_in_table,
            )
            for dataset in (mark.compared if mark else ())
        )

    async def retried(self, job: Job[Result], what: str) -> Result:
        """The result of a job for the table; see `RetriedJobs.run`."""
        return await self.run.jobs.run(self.config, job, what)


@dataclass(frozen=True)
class StagedFindings:
    """What validation found in the staged files of a plan.

    `parts` are the files that may be published, in the order of their chunks. Together with `quarantined` they hold
    `extracted_rows` rows. `copied` holds rows that break the schema and are in `parts` as well.
    """

    parts: Packed[PublishablePart]
    extracted_rows: int
    counted: CountReceipt | None
    findings: Findings
    quarantined: StagedFile | None = None
    copied: StagedFile | None = None
