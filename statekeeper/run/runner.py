"""Runs the extractions of a pipeline: all tables concurrently on one engine, with one outcome for each.

Decides how a run starts, is interrupted and ends. `statekeeper.run.table_task` runs a single table.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from statekeeper.config.resolved import ExtractionConfig, Pipeline
from statekeeper.engines.choice import engine_type
from statekeeper.engines.protocol import Engine, EngineSetup, EngineType
from statekeeper.engines.threads import Threads
from statekeeper.engines.waiting import Waits, WatchedEngine
from statekeeper.errors import LockHeld, StatekeeperError, StorageError
from statekeeper.hints.next_command import RunCommands, quoted
from statekeeper.hints.next_steps import Standing, next_steps
from statekeeper.model.manifest import BackfillRange, LastRun, NextStep, RunManifest
from statekeeper.model.state import Owner
from statekeeper.model.table import TableRef
from statekeeper.run.choices import RunIdentity
from statekeeper.run.dated_reporter import DatedReporter
from statekeeper.run.day import DatedRun, Day, extract_all
from statekeeper.run.interruption import Interruption, run_to_end
from statekeeper.run.missing_dates import tables_by_missing_date
from statekeeper.run.report import Outcome, RunReport, TableReport, standing_of
from statekeeper.run.resume import Reprocess
from statekeeper.run.run_start import RunStart
from statekeeper.run.wait_watch import watched
from statekeeper.run.work_modules import work_modules
from statekeeper.runtime.context import Run
from statekeeper.runtime.extracted_tables import ExtractedTables
from statekeeper.runtime.hook_runner import Hooks
from statekeeper.runtime.login_gate import LoginGate
from statekeeper.runtime.progress import GuardedReporter, Reporter
from statekeeper.runtime.retried_jobs import RetriedJobs
from statekeeper.runtime.run_snapshots import RunSnapshots
from statekeeper.store.activity import remove_activity
from statekeeper.store.documents import save_last_run
from statekeeper.store.files.disk import Disk, LocalDisk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.layout import ExtractionLayout, activity_folder, runs_folder, spark_exchange
from statekeeper.store.layouts import layout_of
from statekeeper.store.manifest import ManifestChange, update_manifest
from statekeeper.store.process import Liveness, liveness, this_process
from statekeeper.store.registry import reading_disk, store_of
from statekeeper.text.places import with_addresses

_LOG = logging.getLogger("statekeeper.run")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Shared:
    """What the runs that one process works on share. `login_gate` is to be taken by `of_run`."""

    engine: Engine
    threads: Threads
    owner: Owner
    reporter: Reporter
    login_gate: LoginGate
    active: asyncio.Semaphore


@dataclass(frozen=True)
class Runner:
    """Everything that a run needs from outside; `make_engine` is for tests.

    `engine` replaces the engine of the configuration; `spark` is the caller's session for `engine: spark`, if any.
    """

    pipeline: Pipeline
    identity: RunIdentity
    reporter: Reporter
    disk: Disk = field(default_factory=LocalDisk)
    make_engine: Callable[[Pipeline], Engine] | None = None
    engine: EngineType | Engine | None = None
    spark: object | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def run(
        self,
        tables: tuple[ExtractionConfig, ...],
        *,
        reprocess: Reprocess = Reprocess.STALE,
        interruption: Interruption | None = None,
    ) -> RunReport:
        """Bring every table to its outcome. Afterwards `interruption` has the signal, even one too late for the report.

        Raises:
            StorageError: the run's manifest could not be written; no table was started.
        """
        start = self.start(tables)
        manifest = self.begin(start)

        async def work(shared: Shared, interruption: Interruption) -> tuple[Day, list[DatedRun]]:
            today = Day(self.run_with(shared), tables, reprocess, begin=lambda: manifest)
            missing = await tables_by_missing_date(tables, today.run)
            earlier = [self.at(day).dated(shared, chosen, reprocess) for day, chosen in missing.items()]
            days = (*(run.day for run in earlier), today)
            shared.reporter.run_began(sum(len(day.tables) for day in days))
            await extract_all(
                ((config, [day for day in days if config in day.tables]) for config in tables), interruption
            )
            return today, earlier

        interruption = interruption or Interruption()
        today, earlier = self.sharing(work, interruption)
        reports = tuple(run.end(interruption) for run in earlier)
        return self.end(start, today.reports, interruption).with_earlier(reports)

    def dated(self, shared: Shared, tables: tuple[ExtractionConfig, ...], reprocess: Reprocess) -> DatedRun:
        """This run as one of several dates; it begins when the first of its tables is reached."""
        starts: list[RunStart] = []

        def begin() -> RunManifest:
            starts.append(self.start(tables))
            return self.begin_manifest(starts[0])

        dated = DatedReporter(shared.reporter, self.identity.extraction_date)
        run = self.run_with(dataclasses.replace(shared, reporter=dated))
        day = Day(run, tables, reprocess, begin, skips_covered=True)

        def end(interruption: Interruption) -> RunReport:
            start = starts[0] if starts else self.start(tables)
            return self.end(start, day.reports, interruption, is_begun=day.manifest is not None)

        return DatedRun(day, end)

    def sharing(
        self, work: Callable[[Shared, Interruption], Coroutine[Any, Any, Value]], interruption: Interruption
    ) -> Value:
        """Run `work` with an engine that is closed afterwards, whatever happens; returns what `work` returns."""
        owner, threads = this_process(), Threads.of(self._most_active_tables)

        async def supervised() -> Value:
            engine = self._engine()
            with interruption.watched(engine):
                try:
                    return await work(self._shared(engine, threads, owner), interruption)
                finally:
                    await engine.close()

        try:
            return run_to_end(supervised, interruption)
        finally:
            threads.close()

    def within_engine(
        self, work: Callable[[Run, Interruption], Coroutine[Any, Any, Value]], interruption: Interruption
    ) -> Value:
        """The same for `work` that only looks at this run's tables, and writes nothing."""

        async def watched_work(shared: Shared, interruption: Interruption) -> Value:
            run = self.run_with(shared)
            watching = asyncio.create_task(watched(run, is_saved=False))
            try:
                return await work(run, interruption)
            finally:
                watching.cancel()
                await asyncio.wait([watching])

        return self.sharing(watched_work, interruption)

    def layout_of(self, config: ExtractionConfig) -> ExtractionLayout:
        """The paths of a table's files in this run."""
        return layout_of(
            self.pipeline.output.layout,
            base_path=self.pipeline.base_path,
            table=config.table,
            extraction_date=self.identity.extraction_date,
            run_id=self.identity.run_id,
            is_in_table=config.is_in_table,
        )

    def _engine(self) -> Engine:
        if self.make_engine is not None:
            return self.make_engine(self.pipeline)
        engine = self._engine_type
        if not isinstance(engine, EngineType):
            return engine
        modules = work_modules(source.type_name() for source in self.pipeline.sources.values())
        return engine.start(EngineSetup(self.pipeline, self.identity.run_id, modules, self.spark))

    @property
    def _engine_type(self) -> EngineType | Engine:
        return self.engine if self.engine is not None else engine_type(self.pipeline.execution.engine)

    @property
    def _engine_name(self) -> str:
        return self.pipeline.execution.engine if self.engine is None else type(self.engine).__name__

    @property
    def _most_active_tables(self) -> int:
        engine = self._engine_type
        default = engine.most_active_tables if isinstance(engine, EngineType) else EngineType.most_active_tables
        return self.pipeline.execution.active_tables or default

    def _shared(self, engine: Engine, threads: Threads, owner: Owner) -> Shared:
        reporter, waits = GuardedReporter(self.reporter), Waits(self.clock)
        return Shared(
            engine=engine,
            threads=threads,
            owner=owner,
            reporter=reporter,
            login_gate=LoginGate(RetriedJobs(engine, reporter), waits),
            active=asyncio.Semaphore(self._most_active_tables),
        )

    def run_with(self, shared: Shared) -> Run:
        """This run, with what it shares with the other runs of this process."""
        reporter, waits = shared.reporter, Waits(self.clock)
        jobs = RetriedJobs(shared.engine, reporter)
        return Run(
            pipeline=self.pipeline,
            run_id=self.identity.run_id,
            extraction_date=self.identity.extraction_date,
            job_run=self.identity.job_run,
            engine=WatchedEngine(shared.engine, waits),
            disk=self.disk,
            threads=shared.threads,
            owner=shared.owner,
            reporter=reporter,
            clock=self.clock,
            model_folder=self.pipeline.root,
            login_gate=shared.login_gate.of_run(jobs, waits),
            snapshots=RunSnapshots(
                jobs=jobs,
                disk=self.disk,
                threads=shared.threads.disk,
                waits=waits,
                base_path=self.pipeline.base_path,
                run_id=self.identity.run_id,
                force_command=quoted(self.commands.force()),
                relations={
                    name: tuple(config.relation for config in self.pipeline.tables if config.table.source_name == name)
                    for name in self.pipeline.sources
                },
            ),
            extracted=ExtractedTables.of(self.pipeline.tables),
            hooks=Hooks(self.pipeline, self.identity.run_id, self.identity.extraction_date),
            commands=self.commands,
            active=shared.active,
            layout_of=self.layout_of,
            manifest_failures={},
            waits=waits,
        )

    def at(self, day: date) -> Runner:
        """The runner of another date, whose run has the default id.

        Raises:
            ConfigError: a table of the pipeline names another date or run id.
        """
        known = RunIdentity.of(self.pipeline, day=day.isoformat())
        identity = dataclasses.replace(self.identity, run_id=known.run_id, extraction_date=day)
        return dataclasses.replace(self, identity=identity)

    @property
    def commands(self) -> RunCommands:
        """The commands that a person can type next about this run."""
        identity = self.identity
        return RunCommands.of(
            pipeline=self.pipeline.name,
            extraction_date=identity.extraction_date,
            run_id=identity.run_id,
            config_path=Path(identity.config_path) if identity.config_path else None,
            tables_path=Path(identity.tables_path) if identity.tables_path else None,
            working_folder=Path.cwd(),
        )

    def start(self, tables: tuple[ExtractionConfig, ...]) -> RunStart:
        """A start of this run by this process, now, with these tables."""
        identity = self.identity
        return RunStart(
            pipeline=self.pipeline,
            engine=self._engine_name,
            run_id=identity.run_id,
            extraction_date=identity.extraction_date,
            config_path=identity.config_path,
            tables_path=identity.tables_path,
            tables=frozenset(config.table for config in tables),
            owner=this_process(),
            at=self.clock(),
            commands=self.commands,
            is_gone=lambda owner: liveness(owner) is Liveness.DEAD,
            job_run=identity.job_run,
        )

    def begin(self, start: RunStart) -> RunManifest:
        """Save the run's manifest before any of its work begins, and that it is the last run of its root.

        Raises:
            UsageError: the run belongs to another configuration, or has another layout.
            StorageError, LockHeld: the manifest could not be written.
        """
        manifest = self.begin_manifest(start)
        self.save_last_run(None)
        return manifest

    def begin_manifest(self, start: RunStart) -> RunManifest:
        """Save the run's manifest only. Raises like `begin`."""
        self._sweep_what_the_dead_left(self.pipeline.base_path)
        begun = self._update_manifest(start.begun)
        assert begun is not None, "a run that begins has a manifest"
        return begun

    def save_last_run(self, backfill: BackfillRange | None) -> None:
        """Save which run, or which backfill, `resume` and `status` without a config mean; a failure is a warning."""
        base_path, root = self.pipeline.base_path, self.pipeline.root
        last_run = LastRun(
            run_id=self.identity.run_id,
            base_path=str(base_path.absolute()),
            config_path=self.identity.config_path,
            backfill=backfill,
        )
        try:
            # The root is a folder of this machine, whatever store the output is in.
            save_last_run(self.disk if store_of(root) is store_of(base_path) else reading_disk(root), root, last_run)
        except (
            LockHeld,
            StorageError,
        ) as error:  # only `resume` and `status` without a config need it, and they can be given the config
            _LOG.warning("`status` and `resume` without a config will not find this run: %s", error.message)

    def end(
        self, start: RunStart, reports: tuple[TableReport, ...], interruption: Interruption, *, is_begun: bool = True
    ) -> RunReport:
        """Record in the manifest how the run has ended, if it was begun; returns its report."""
        ended, outcomes = self.clock(), {table.outcome for table in reports}
        report = RunReport(
            run_id=self.identity.run_id,
            pipeline=self.pipeline.name,
            extraction_date=self.identity.extraction_date.isoformat(),
            base_path=with_addresses(str(self.pipeline.base_path)),
            tables=reports,
            duration_seconds=(ended - start.at).total_seconds(),
            # A signal after everything was done has interrupted nothing.
            interrupted_by=interruption.signal_number if Outcome.INTERRUPTED in outcomes else None,
        )
        manifest = self._end(start, ended, report.exit_code) if is_begun else None
        never_started = manifest.never_started if manifest else ()
        return report.model_copy(update={"next_steps": self._next_steps(reports, never_started)})

    def _sweep_what_the_dead_left(self, base_path: Path) -> None:
        """Remove what dead processes of this run left: files about waits, and on Spark the exchanges of drivers."""
        run_id, folder = self.identity.run_id, runs_folder(base_path)
        with storage_errors(folder, "list"):
            names = self.disk.names(folder)
        if activity_folder(base_path, run_id).name in names:
            with suppress(StorageError):  # the files of dead processes are ignored anyway
                remove_activity(self.disk, base_path, run_id, this_process())
        if any(name.startswith(spark_exchange(base_path, run_id, "").name) for name in names):
            from statekeeper.engines.spark.sweeping import sweep_dead_exchanges

            sweep_dead_exchanges(base_path, run_id)

    def _next_steps(
        self, reports: tuple[TableReport, ...], never_started: tuple[TableRef, ...]
    ) -> tuple[NextStep, ...]:
        left = (Standing(table.key, is_complete=False) for table in never_started)
        of_run = {config.table for config in self.pipeline.tables if config.has_run_snapshot}
        ended = (dataclasses.replace(standing_of(each), has_run_snapshot=each.table in of_run) for each in reports)
        unfinished = [each.outcome for each in reports if not each.is_good]
        is_held = bool(unfinished) and set(unfinished) == {Outcome.HELD}  # another process runs the rest
        return next_steps((*ended, *left), self.commands, is_running=is_held)

    def _end(self, start: RunStart, ended: datetime, exit_code: int) -> RunManifest | None:
        """Record how the run ended in the current manifest; None if it cannot be written."""
        try:
            return self._update_manifest(lambda latest: start.ended(latest, at=ended, exit_code=exit_code))
        except StatekeeperError as error:  # the tables' outcomes are in their states, and are reported anyway
            _LOG.warning("the end of this run could not be recorded: %s", error.message)
            return None

    def _update_manifest(self, change: ManifestChange) -> RunManifest | None:
        return update_manifest(self.disk, self.pipeline.output, self.identity.run_id, change)
