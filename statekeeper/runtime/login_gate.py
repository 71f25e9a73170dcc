"""The first login to each source: no other is tried until it has succeeded, and none after it was refused."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field, replace

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job
from statekeeper.engines.waiting import WaitKind, Waits
from statekeeper.errors import NO_SOURCE, StatekeeperError, error_of
from statekeeper.runtime.retried_jobs import RetriedJobs
from statekeeper.runtime.source_jobs import probe_source


@dataclass
class LoginGate:
    """Lets one job log in to a source before all others do. After a refusal the run tries no further login there."""

    jobs: RetriedJobs
    waits: Waits
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _open: set[str] = field(default_factory=set)
    _closed: dict[str, StatekeeperError] = field(default_factory=dict)

    def of_run(self, jobs: RetriedJobs, waits: Waits) -> LoginGate:
        """The same gate for one of several runs: what is known of the sources is shared, `jobs` and `waits` are not."""
        return replace(self, jobs=jobs, waits=waits)

    async def ensure(self, config: ExtractionConfig) -> None:
        """Return once a login to the table's source has succeeded in this run.

        Raises:
            LoginRefused, SourceUnreachable: the first login failed; raised at once for every later caller.
        """
        name = config.login
        with self.waits.on(config.table.key, WaitKind.LOGIN, f"a login to {config.table.source_name}"):
            await self._log_in(config, name)

    async def _log_in(self, config: ExtractionConfig, name: str) -> None:
        async with self._locks[name]:
            self.check(name)
            if name in self._open:
                return
            job = Job(name, probe_source, None, source=JobSource.of(config))
            try:
                warnings = await self.jobs.run(config, job, f"to log in to {config.table.source_name}")
            except StatekeeperError as error:
                self.record(name, error)
                raise
            self._open.add(name)
            for warning in warnings:
                self.jobs.reporter.warning(config.table.key, f"{config.table.source_name}: {warning}")

    def check(self, name: str) -> None:
        """Raise the recorded error of a source, if there is one."""
        if name in self._closed:
            error = self._closed[name]
            raise error_of(error.kind, error.message, hint=error.hint, code=error.code)

    def record(self, name: str, error: StatekeeperError) -> None:
        """Keep an error, if no login to the source may be tried after it."""
        if error.kind in NO_SOURCE:
            self._closed.setdefault(name, error)
