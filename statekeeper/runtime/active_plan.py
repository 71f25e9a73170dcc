"""A table's plan under way in this process, and what was found in all that it has staged. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.protocol import Job, Result
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Plan
from statekeeper.model.receipt import CountReceipt, PublishablePart, StagedFile
from statekeeper.runtime.context import Run
from statekeeper.schemas.rules.findings import Findings
from statekeeper.store.staging import Staging


@dataclass(frozen=True)
class ActivePlan:
    """The live plan of a table whose lock is held, and the folder of what it has staged."""

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
        """The same folder by its absolute path: workers have other working folders, some on other machines."""
        return Staging(self.staging.folder.absolute())

    async def retried(self, job: Job[Result], what: str) -> Result:
        """The result of a job for the table; see `RetriedJobs.run`."""
        return await self.run.jobs.run(self.config, job, what)


@dataclass(frozen=True)
class StagedFindings:
    """What was found in all that a plan has staged.

    `parts` are the files that may be published, in the order of their chunks, and hold `extracted_rows` together with
    those in `quarantined`. `copied` are rows that break the schema, and are in `parts` all the same.
    """

    parts: Packed[PublishablePart]
    extracted_rows: int
    counted: CountReceipt | None
    findings: Findings
    quarantined: StagedFile | None = None
    copied: StagedFile | None = None
