"""What all extractions of a run share: its identity, engine, disk and threads, hooks, and the doors of the sources."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path

from statekeeper.config.resolved import ExtractionConfig, Hook, Pipeline
from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Engine, Job
from statekeeper.engines.retry import OnRetry, with_retries
from statekeeper.engines.threads import Threads
from statekeeper.engines.waiting import WaitKind, Waits
from statekeeper.errors import NO_SOURCE, StatekeeperError, error_of
from statekeeper.hints.next_command import RunCommands
from statekeeper.logs import Redactor
from statekeeper.model.job_run import JobRun
from statekeeper.model.manifest import TableFailure
from statekeeper.model.record import Failure, Owner, Published, State, StateRecord
from statekeeper.model.table import TableRef
from statekeeper.plan.make_plan import probe_source
from statekeeper.run.lifecycle import Change, Lifecycle, Trigger
from statekeeper.runtime.extracted_tables import ExtractedTables
from statekeeper.runtime.hooks import HookEvent, run_hook
from statekeeper.runtime.progress import Reporter
from statekeeper.runtime.run_snapshots import RunSnapshots
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.manifest import ManifestChange, update_manifest

_LOG = logging.getLogger("statekeeper.run")


@dataclass(frozen=True)
class Run:
    """One pipeline at one extraction date, under way in this process."""

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
    doors: SourceDoors
    snapshots: RunSnapshots
    extracted: ExtractedTables
    hooks: Hooks
    commands: RunCommands
    active: asyncio.Semaphore
    layout_of: Callable[[ExtractionConfig], ExtractionLayout]
    waits: Waits
    recorded: dict[TableRef, TableFailure]
    """What the run's manifest says of tables whose own states cannot say it, as far as this process knows."""

    async def fire(
        self, lifecycle: Lifecycle, trigger: Trigger, *, change: Change | None = None, reason: str | None = None
    ) -> None:
        """Follow a transition of a table, durably, then tell reporter and hooks of the state that it has entered.

        Raises:
            StorageError, LockLost, IllegalTransition: nothing has changed, and nobody was told.
        """

        def follow() -> None:
            failpoint("transition", trigger, "before")
            lifecycle.fire(trigger, change=change, reason=reason)
            failpoint("transition", trigger, "after")

        before = lifecycle.record
        try:
            await self.threads.disk.do(follow)
        finally:  # also if we were cancelled meanwhile: it has happened
            record = lifecycle.record
            if record is not before:
                self.reporter.table_state(record.table.key, record.state, reason)
                self.hooks.entered(record, reason)

    def update_manifest(self, change: ManifestChange) -> None:
        """Change the run's manifest; see `store.manifest.update_manifest`. It blocks: call it in a thread."""
        update_manifest(self.disk, self.pipeline.output, self.run_id, change)

    @asynccontextmanager
    async def stepped_aside(self) -> AsyncIterator[None]:
        """Let another table be active while this one waits for it."""
        self.active.release()
        try:
            yield
        finally:
            await self.active.acquire()


def warning_of_retry(run: Run, key: str, what: str = "") -> OnRetry:
    """Warns that work on the table `key` is tried again; `what` says which work, as in "of chunk 3"."""

    def warn(error: StatekeeperError, number: int, seconds: float) -> None:
        attempt = f"attempt {number} {what}".rstrip()
        run.reporter.warning(key, f"{attempt} failed ({error.message}); again in {seconds:.1f} s")

    return warn


@dataclass
class SourceDoors:
    """One login per source before any other; a source that refused it is not asked again in this run."""

    engine: Engine
    reporter: Reporter
    waits: Waits
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _open: set[str] = field(default_factory=set)
    _closed: dict[str, StatekeeperError] = field(default_factory=dict)

    async def enter(self, config: ExtractionConfig) -> None:
        """Return once the table's source is known to let us in.

        Raises:
            LoginRefused, SourceUnreachable: at the first login, and then at once.
        """
        name = config.login
        with self.waits.on(config.table.key, WaitKind.LOGIN, f"a login to {config.table.source_name}"):
            await self._enter(config, name)

    async def _enter(self, config: ExtractionConfig, name: str) -> None:
        async with self._locks[name]:
            self.check(name)
            if name in self._open:
                return
            job = Job(name, probe_source, None, source=JobSource.of(config))
            try:
                warnings = await with_retries(lambda: self.engine.run(job), config.retry, on_retry=lambda *_: None)
            except StatekeeperError as error:
                self.note(name, error)
                raise
            self._open.add(name)
            for warning in warnings:
                self.reporter.warning(config.table.key, f"{config.table.source_name}: {warning}")

    def check(self, name: str) -> None:
        """Raise again what closed a source's door."""
        if name in self._closed:
            error = self._closed[name]
            raise error_of(error.kind, error.message, hint=error.hint, code=error.code)

    def note(self, name: str, error: StatekeeperError) -> None:
        """Remember an error after which no login may be tried."""
        if error.kind in NO_SOURCE:
            self._closed.setdefault(name, error)


@dataclass
class Hooks:
    """Runs the hooks of states beside everything else; their failures are logged and change nothing."""

    pipeline: Pipeline
    run_id: str
    extraction_date: date
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    # Threads of their own: slow hooks must not take those that wait for locks.
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "statekeeper-hook"))

    def entered(self, record: StateRecord, reason: str | None) -> None:
        """Start the hooks of the state that an extraction has entered."""
        self._start(record.table, record.state, reason, record.failure, record.published)

    def failed(self, table: TableRef, failure: Failure, published: Published | None) -> None:
        """Start the hooks of `failed` for a table whose own state does not say that it failed."""
        self._start(table, State.FAILED, failure.message, failure, published)

    def _start(
        self, table: TableRef, state: State, reason: str | None, failure: Failure | None, published: Published | None
    ) -> None:
        event = HookEvent(
            table=table.key,
            run_id=self.run_id,
            pipeline=self.pipeline.name,
            extraction_date=self.extraction_date.isoformat(),
            state=state,
            reason=reason,
            records=published.records if published else None,
            bytes=published.bytes if published else None,
            output_path=published.output_path if published else None,
            failure=failure.message if failure else None,
            failure_kind=failure.kind if failure else None,
        )
        for hook in self.pipeline.states.hooks(state):
            task = asyncio.get_running_loop().create_task(self._run(hook, event))
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def drain(self) -> None:
        """Wait until every hook has ended; each has its own timeout."""
        await asyncio.gather(*self._running, return_exceptions=True)
        self._threads.shutdown(wait=False)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _LOG.warning("a hook could not be run: %r", failure)

    async def _run(self, hook: Hook, event: HookEvent) -> None:
        # Relative paths in a command start where those of the rest of the configuration do.
        run = partial(run_hook, hook, event, folder=self.pipeline.root)
        result = await asyncio.get_running_loop().run_in_executor(self._threads, run)
        if result.detail:
            passed = (os.environ.get(name, "") for name in hook.pass_env)
            without_secrets = Redactor([*self.pipeline.secrets, *self.pipeline.in_commands, *passed])
            what = without_secrets(f"{result.hook} on entering {event.state}: {result.detail}")
            _LOG.warning("%s", what, extra={"table": event.table})
