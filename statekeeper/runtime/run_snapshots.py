"""The snapshot at which all tables of a run from one source are read (`snapshot_scope: run`).

It is taken once, before the first plan that uses it, and saved beside the run's manifest. The first process to save one
wins; every later start, resume, restart or addition of a table uses it. A newer one is taken only if all of the run's
tables from the source are forced at once. A table that was read at an older one is then read again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job
from statekeeper.engines.threads import BlockingPool
from statekeeper.engines.waiting import WaitKind, Waits
from statekeeper.errors import SnapshotLost, StateDamaged
from statekeeper.model.plan import RunSnapshot, Snapshot
from statekeeper.model.table import Relation
from statekeeper.runtime.retried_jobs import RetriedJobs
from statekeeper.runtime.source_jobs import take_run_snapshot
from statekeeper.store.documents import (
    load_run_snapshot,
    newest_run_snapshot,
    save_run_snapshot,
    tidy_run_snapshots,
)
from statekeeper.store.files.disk import Disk

_NEW_PLAN = "a new plan is needed"


@dataclass
class RunSnapshots:
    """The snapshots of one run, as this process sees them. `force_command` is the command that takes new ones.

    `give_up`, `kept` and `why_outdated` read files: call them in a thread.
    """

    jobs: RetriedJobs
    disk: Disk
    threads: BlockingPool
    waits: Waits
    base_path: Path
    run_id: str
    force_command: str
    relations: Mapping[str, tuple[Relation, ...]]
    """The relations of all tables of the run, by source."""
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _given_up: dict[str, int] = field(default_factory=dict)

    def give_up(self, sources: Iterable[str]) -> None:
        """Ignore the current snapshots of these sources from now on, in this process."""
        for name in sources:
            self._given_up[name] = newest_run_snapshot(self.disk, self.base_path, self.run_id, name)

    def kept(self, config: ExtractionConfig) -> Snapshot | None:
        """The snapshot at which the table is to be read; None if it has its own, or the run has taken none yet.

        Raises:
            StateDamaged: the file of the snapshot is damaged.
        """
        if not config.has_run_snapshot:
            return None
        name = config.table.source_name
        if newest_run_snapshot(self.disk, self.base_path, self.run_id, name) <= self._given_up.get(name, 0):
            return None
        found = load_run_snapshot(self.disk, self.base_path, self.run_id, name)
        return found.snapshot if found else None

    async def of(self, config: ExtractionConfig) -> Snapshot | None:
        """Like `kept`, but takes a snapshot and makes it durable if the run has none yet.

        Raises:
            SourceError: and its subclasses; it cannot be taken.
            StateDamaged, StorageError: it cannot be saved, or the saved one cannot be read.
        """
        if not config.has_run_snapshot:
            return None
        what = f"the run's snapshot of {config.table.source_name}"
        with self.waits.on(config.table.key, WaitKind.SNAPSHOT, what):
            return await self._of(config)

    async def _of(self, config: ExtractionConfig) -> Snapshot:
        name = config.table.source_name
        async with self._locks[name]:
            kept, newest = await self.threads.do(self._tidied, config)
            if kept is not None:
                return kept
            job = Job(name, take_run_snapshot, self.relations[name], source=JobSource.of(config))
            taken = await self.jobs.run(config, job)
            document = RunSnapshot(run_id=self.run_id, source_name=name, number=newest + 1, snapshot=taken)
            if await self.threads.do(save_run_snapshot, self.disk, self.base_path, document):
                return taken
            kept = await self.threads.do(self.kept, config)  # another process was first
            if kept is None:
                raise StateDamaged(f"the snapshot of {name} that another process saved for this run is gone")
            return kept

    def _tidied(self, config: ExtractionConfig) -> tuple[Snapshot | None, int]:
        """The snapshot to use, and the number of the newest; files that a dead process left are removed first."""
        name = config.table.source_name
        tidy_run_snapshots(self.disk, self.base_path, self.run_id, name)
        return self.kept(config), newest_run_snapshot(self.disk, self.base_path, self.run_id, name)

    def why_outdated(self, config: ExtractionConfig, snapshot: Snapshot | None) -> str | None:
        """Why rows that were read at `snapshot` must be read again, as text; None if they need not."""
        if not config.has_run_snapshot:
            return None
        kept = self.kept(config)
        if kept is None:
            return f"the run has no snapshot of {config.table.source_name} any more"
        if snapshot is None or not snapshot.is_same_moment(kept):
            return f"it was not read at the run's snapshot of {config.table.source_name}, {describe_snapshot(kept)}"
        return None

    def lost(self, config: ExtractionConfig, error: SnapshotLost) -> SnapshotLost:
        """The error for a table that cannot be read at the run's snapshot; it must not be read at another."""
        name = config.table.source_name
        advice = (error.hint or "").removesuffix(_NEW_PLAN).rstrip("; ")
        return SnapshotLost(
            f"{config.table.key}: all tables of the run from {name} read at one snapshot, and this one cannot be read "
            f"at it any more: {error.message.removeprefix(f'{config.table.key}: ')}",
            hint=f"{self.force_command} takes a new snapshot and reads all of the run's tables from {name} again"
            + (f"; {advice}" if advice else ""),
            code=error.code,
        )


def describe_snapshot(snapshot: Snapshot) -> str:
    """A snapshot for messages: its token, shortened if it is a digest, and its time."""
    token = snapshot.token if len(snapshot.token) <= 20 else f"{snapshot.token[:12]}..."
    return f"{token} of {snapshot.taken_at.isoformat(timespec='seconds')}"
