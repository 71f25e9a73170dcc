"""What all extractions of a run share: its identity, engine, disk, threads, hooks and login gate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from statekeeper.config.resolved import ExtractionConfig, Pipeline
from statekeeper.engines.protocol import Engine
from statekeeper.engines.threads import Threads
from statekeeper.engines.waiting import Waits
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.job_run import JobRun
from statekeeper.model.manifest import TableFailure
from statekeeper.model.state import Owner
from statekeeper.model.table import TableRef
from statekeeper.runtime.extracted_tables import ExtractedTables
from statekeeper.runtime.hook_runner import Hooks
from statekeeper.runtime.login_gate import LoginGate
from statekeeper.runtime.progress import Reporter
from statekeeper.runtime.retried_jobs import RetriedJobs
from statekeeper.runtime.run_snapshots import RunSnapshots
from statekeeper.store.files.disk import Disk
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.manifest import ManifestChange, update_manifest

_LOG = logging.getLogger("statekeeper.run")


@dataclass(frozen=True)
class Run:
    """One pipeline at one extraction date, as this process runs it."""

    pipeline: Pipeline
    run_id: str
    extraction_date: date
    job_run: JobRun | None
    engine: Engine
    disk: Disk
    threads: Threads
    owner: Owner
    reporter: Reporter
    clock: Callable[[], datetime]
    model_folder: Path
    login_gate: LoginGate
    snapshots: RunSnapshots
    extracted: ExtractedTables
    hooks: Hooks
    commands: RunCommands
    active: asyncio.Semaphore
    layout_of: Callable[[ExtractionConfig], ExtractionLayout]
    waits: Waits
    manifest_failures: dict[TableRef, TableFailure]
    """Failures in the run's manifest that the tables' own states cannot record, as far as this process knows."""

    @property
    def jobs(self) -> RetriedJobs:
        """The engine, for jobs that are retried after transient failures."""
        return RetriedJobs(self.engine, self.reporter)

    def update_manifest(self, change: ManifestChange) -> None:
        """Change the run's manifest; see `store.manifest.update_manifest`. This blocks: call it in a thread."""
        update_manifest(self.disk, self.pipeline.output, self.run_id, change)

    @asynccontextmanager
    async def active_slot_released(self) -> AsyncIterator[None]:
        """Let another table be active while this one waits for it."""
        self.active.release()
        try:
            yield
        finally:
            await self.active.acquire()
