"""`StatefulDataExtractor`: the runs of a configured pipeline, and the operations on them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self, Unpack

from statekeeper.api.call import RunCall, on_its_disk, reprocess_of, signals_handed_on
from statekeeper.api.events import RunEvents
from statekeeper.api.extractor import DataExtractor
from statekeeper.config.given_sources import GivenSources
from statekeeper.config.loader import load_pipeline
from statekeeper.config.reading.references import Secrets
from statekeeper.config.resolved import ExtractionConfig, Pipeline
from statekeeper.config.root import expanded
from statekeeper.config.sections.dates import resolve_date
from statekeeper.config.selection import select_tables
from statekeeper.errors import UsageError
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.history import TableHistory
from statekeeper.model.manifest import BackfillRange, RunManifest, RunStatus
from statekeeper.model.preview import PlanReport
from statekeeper.model.state import State
from statekeeper.run.backfill import Backfill
from statekeeper.run.choices import GivenEngine, RunChoices, RunIdentity, RunOptions, checked_engine
from statekeeper.run.find_run import require_output_of_earlier_runs
from statekeeper.run.interruption import Interruption
from statekeeper.run.preview import PreviewOptions, compare_tables, look_at_tables, preview_tables
from statekeeper.run.report import BackfillReport, RunReport
from statekeeper.run.reset import reset_tables
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import Runner
from statekeeper.run.status import read_status, unfinished_tables
from statekeeper.run.table_history import read_history
from statekeeper.run.verify import verify_tables
from statekeeper.runtime.progress import LogReporter, Reporter
from statekeeper.schemas.columns.differences import DiffReport
from statekeeper.store.manifest import load_manifest
from statekeeper.store.registry import reading_disk


class StatefulDataExtractor(DataExtractor):
    """Extracts the tables of a configured pipeline, run by run."""

    def __init__(
        self,
        pipeline: Pipeline,
        identity: RunIdentity,
        *,
        reporter: Reporter | None = None,
        engine: GivenEngine | None = None,
        spark: object | None = None,
    ) -> None:
        if isinstance(engine, str):
            pipeline = RunChoices(engine=engine).configured(pipeline)
        self._engine = None if isinstance(engine, str) else checked_engine(engine)
        self.pipeline = pipeline
        self.identity = identity
        self._root = pipeline.root
        self._reporter = reporter or LogReporter()
        self._spark = spark
        # Single tables (`extract_table`) use the pipeline's sources, output and defaults; only their entries differ.
        self._sources = GivenSources.of_sections(pipeline.sources)
        sections = {
            "output": pipeline.written_output,
            "execution": pipeline.execution,
            "states": pipeline.states,
            "defaults": pipeline.defaults,
        }
        self._settings = {"pipeline": pipeline.name} | {
            name: section.model_dump(by_alias=True, exclude_unset=True) for name, section in sections.items()
        }

    @classmethod
    def from_config(
        cls,
        path: str | Path,
        *,
        environ: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        secrets: Secrets | None = None,
        **choices: Unpack[RunOptions],
    ) -> Self:
        """The extractor of a configuration file, for one run of it.

        `choices` say which run, and how it works: `date` (default: the configuration's), `run_id`, `tables_path`,
        `engine`, `workers`, `reporter` and the others of `RunChoices`. `root` is the folder where relative paths of the
        configuration start, unless the configuration has a `root`. `environ` has the values of `${NAME}` (default: the
        environment). `secrets(scope, key)` reads the value of `${databricks:scope/key}` (default: the notebook's
        `dbutils`, else databricks-sdk).

        Raises:
            ConfigError: the file cannot be used; every problem is named with its place.
            UsageError: a choice is unknown or impossible.
        """
        chosen = RunChoices.of(choices)
        pipeline = load_pipeline(
            Path(path),
            environ=os.environ if environ is None else environ,
            tables_path=Path(chosen.tables_path) if chosen.tables_path else None,
            root=Path(root) if root else None,
            secrets=secrets,
        )
        return cls.of_pipeline(pipeline, path, chosen)

    @classmethod
    def of_pipeline(cls, pipeline: Pipeline, path: str | Path, choices: RunChoices) -> Self:
        """The extractor of a pipeline that was loaded from the configuration file `path`; see `from_config`."""
        configured = choices.configured(pipeline)
        require_output_of_earlier_runs(configured, Path(expanded(str(path))), Path.cwd())
        identity = choices.identity(configured, path)
        return cls(configured, identity, reporter=choices.reporter, engine=choices.own_engine, spark=choices.spark)

    @property
    def commands(self) -> RunCommands:
        """The commands that a person can type next about this run."""
        return self._runner.commands

    @property
    def base_path(self) -> Path:
        """The folder for all output."""
        return self.pipeline.base_path

    def run(
        self,
        *,
        tables: Iterable[str] = (),
        exclude: Iterable[str] = (),
        force_reprocess: bool = False,
        report_interrupt: bool = False,
    ) -> RunReport:
        """Bring every table of the pipeline (or those named) to `complete`; complete tables are verified and skipped.

        `tables` and `exclude`, in all methods, are names or patterns such as `fin.*`. With `force_reprocess`
        complete tables are extracted again; readers see the old data until the new data is valid.

        Raises:
            UsageError: a name is not a table of the pipeline.
        """
        return self._run(tables, exclude, force_reprocess).report(report_interrupt=report_interrupt)

    async def run_async(
        self, *, tables: Iterable[str] = (), exclude: Iterable[str] = (), force_reprocess: bool = False
    ) -> RunReport:
        """`run` as a coroutine, for a notebook or a service: it does not block the event loop.

        The run works in a separate thread. If the waiting task is cancelled, as by `asyncio.timeout` or by Ctrl-C
        under `asyncio.run`, the run ends cleanly, with its state saved, and then CancelledError is raised. A
        second cancellation kills its workers.

        Raises:
            UsageError: a name is not a table of the pipeline.
        """
        return await self._run(tables, exclude, force_reprocess).awaited()

    def events(
        self,
        *,
        tables: Iterable[str] = (),
        exclude: Iterable[str] = (),
        force_reprocess: bool = False,
        report_interrupt: bool = False,
    ) -> RunEvents:
        """`run` as a stream of events, for `for` and for `async for`; the last one, `RunEnded`, has the report.

        The run starts with the loop. Leaving the loop early ends the run cleanly, with its state saved.

        Raises:
            UsageError: a name is not a table of the pipeline.
        """
        return self._run(tables, exclude, force_reprocess).events(report_interrupt=report_interrupt)

    def resume(
        self,
        *,
        tables: Iterable[str] = (),
        exclude: Iterable[str] = (),
        stale: bool = False,
        report_interrupt: bool = False,
    ) -> RunReport:
        """Bring every table of the configuration (or those named) to `complete`, including tables that this run was not
        asked for before.

        A complete table whose configuration has changed is named in the report and left as it is; with `stale`
        it is extracted again, as by `run`.
        """
        return self._resume(tables, exclude, stale).report(report_interrupt=report_interrupt)

    async def resume_async(
        self, *, tables: Iterable[str] = (), exclude: Iterable[str] = (), stale: bool = False
    ) -> RunReport:
        """`resume` as a coroutine; see `run_async`."""
        return await self._resume(tables, exclude, stale).awaited()

    def resume_begun(
        self, *, exclude: Iterable[str] = (), stale: bool = False, report_interrupt: bool = False
    ) -> RunReport:
        """Continue the tables that this run has; the report names other tables that are not complete.

        `stale` is as for `resume`.
        """
        excluded, of_run = tuple(exclude), self._of_this_run()
        started = tuple(config for config in self._selected((), excluded) if config in of_run)
        call = self._resumed(started, stale, is_whole=not excluded)
        return call.report(report_interrupt=report_interrupt)

    def backfill(
        self,
        *,
        from_: date | str,
        to: date | str,
        tables: Iterable[str] = (),
        exclude: Iterable[str] = (),
        force_reprocess: bool = False,
        report_interrupt: bool = False,
    ) -> BackfillReport:
        """Bring every table with an `incremental_column` (or those named) to `complete` on every date of a range.

        Each date is a run of its own with the default run id. A table's dates are extracted in their order, tables side
        by side. What is complete is verified and skipped, so the same call continues a backfill that was interrupted; a
        date whose rows are all in other extractions is skipped, too. The dates may also be `today` or `yesterday`.

        Raises:
            UsageError: the range has no date; a name is not a table of the pipeline, or that table is extracted whole;
                or this extractor has a run id of its own.
        """
        names, excluded = tuple(tables), tuple(exclude)
        today = datetime.now(UTC).date()
        first, last = (_given_date(day, today) for day in (from_, to))
        tables_path = self.identity.tables_path
        asked = BackfillRange(
            first=first.isoformat(), last=last.isoformat(), tables=names, exclude=excluded, tables_path=tables_path
        )
        runner, interruption = on_its_disk(self._runner), Interruption()
        backfill = Backfill.of(runner, self._selected(names, excluded), asked)
        report = backfill.run(reprocess=reprocess_of(force_reprocess), interruption=interruption)
        if not report_interrupt:
            interruption.hand_on()
        return report

    def status(self) -> RunStatus:
        """The status of this run and its tables, read from their files alone.

        Raises:
            UsageError: the run has not been started.
        """
        return read_status(self.base_path, self.identity.run_id)

    def history(self, table: str) -> TableHistory:
        """Every extraction of a table, of all dates and runs, and which rows no extraction has; read from files alone.

        Raises:
            UsageError: there is no such table in the pipeline, or a pattern matches several.
        """
        selected = self._selected((table,))
        if len(selected) > 1:
            keys = ", ".join(config.table.key for config in selected)
            raise UsageError(f"{table!r} names {len(selected)} tables: {keys}", hint="name one of them")
        return read_history(
            self.base_path,
            selected[0].table,
            layout=self.pipeline.output.layout,
            pipeline=self.pipeline.name,
            commands=self.commands,
        )

    def preview(
        self,
        *,
        tables: Iterable[str] = (),
        exclude: Iterable[str] = (),
        force_reprocess: bool = False,
        all_types: bool = False,
    ) -> PlanReport:
        """What `run` would do with each table, and the types of each column; nothing is written.

        Types of complete tables are looked up only with `all_types`.
        """
        options = PreviewOptions(is_forced=force_reprocess, has_all_types=all_types)
        with signals_handed_on():
            return preview_tables(self._runner, self._selected(tables, exclude), options)

    def check_connections(self, *, tables: Iterable[str] = (), exclude: Iterable[str] = ()) -> PlanReport:
        """Log in to each source and check each table's columns; no row is read, nothing is written."""
        with signals_handed_on():
            return look_at_tables(self._runner, self._selected(tables, exclude))

    def diff_schemas(self, *, tables: Iterable[str] = (), exclude: Iterable[str] = ()) -> DiffReport:
        """How each table's model differs from the live table; no row is read, nothing is written.

        Raises:
            UsageError: a name is not a table of the pipeline.
        """
        with signals_handed_on():
            return compare_tables(self._runner, self._selected(tables, exclude))

    def verify(self, *, tables: Iterable[str] = (), exclude: Iterable[str] = ()) -> RunReport:
        """Check all published data of this run byte by byte, for all of its tables or those named."""
        names, selected = tuple(tables), self._selected(tables, exclude)
        if not names:
            selected = tuple(config for config in self._of_this_run() if config in selected)
        with signals_handed_on():
            return verify_tables(self._runner, selected)

    def reset(self, *, tables: Iterable[str], exclude: Iterable[str] = ()) -> tuple[str, ...]:
        """Put tables back to `pending` and remove their staged work; published data stays until it is replaced.

        A state file that cannot be read is moved aside and kept. Returns the keys of the tables that were reset.
        """
        selected = self._selected(tables, exclude)
        return reset_tables(on_its_disk(self._runner), selected, only=None)

    def reset_failed(self, *, exclude: Iterable[str] = ()) -> tuple[str, ...]:
        """Put every failed table back to `pending`; returns their keys."""
        return reset_tables(on_its_disk(self._runner), self._selected((), exclude), only=State.FAILED)

    @property
    def _runner(self) -> Runner:
        return Runner(
            pipeline=self.pipeline,
            identity=self.identity,
            reporter=self._reporter,
            disk=reading_disk(self.base_path),
            engine=self._engine,
            spark=self._spark,
        )

    def _run(self, tables: Iterable[str], exclude: Iterable[str], force_reprocess: bool) -> RunCall:  # noqa: FBT001
        selected = self._selected(tables, exclude)
        return RunCall(runner=self._runner, tables=selected, reprocess=reprocess_of(force_reprocess))

    def _resume(self, tables: Iterable[str], exclude: Iterable[str], stale: bool) -> RunCall:  # noqa: FBT001
        names, excluded = tuple(tables), tuple(exclude)
        self._warn_of_lost_tables(self._manifest)
        return self._resumed(self._selected(names, excluded), stale, is_whole=not (names or excluded))

    def _resumed(self, tables: tuple[ExtractionConfig, ...], stale: bool, *, is_whole: bool) -> RunCall:  # noqa: FBT001
        call = RunCall(runner=self._runner, tables=tables, reprocess=Reprocess.STALE if stale else Reprocess.NONE)
        return replace(call, finish=self._with_left) if is_whole else call

    def _with_left(self, report: RunReport) -> RunReport:
        """The report of a resumed run, with the other tables of the run that are not complete."""
        run_id = self.identity.run_id
        left = unfinished_tables(self.base_path, run_id)
        return report.with_left(left, read_status(self.base_path, run_id).next_steps)

    def _of_this_run(self) -> tuple[ExtractionConfig, ...]:
        manifest = self._manifest
        if manifest is None:
            return self.pipeline.tables
        self._warn_of_lost_tables(manifest)
        return tuple(config for config in self.pipeline.tables if config.table in manifest.tables)

    @property
    def _manifest(self) -> RunManifest | None:
        return load_manifest(reading_disk(self.base_path), self.base_path, self.identity.run_id)

    def _warn_of_lost_tables(self, manifest: RunManifest | None) -> None:
        configured = {config.table for config in self.pipeline.tables}
        for table in manifest.tables if manifest else ():
            if table not in configured:
                self._reporter.warning(table.key, "is not in this configuration and is left as it is")

    def _selected(self, names: Iterable[str], exclude: Iterable[str] = ()) -> tuple[ExtractionConfig, ...]:
        return select_tables(self.pipeline, names, exclude=exclude)


def _given_date(day: date | str, today: date) -> date:
    if isinstance(day, date):
        return day
    try:
        return resolve_date(day, today=today)
    except ValueError as error:
        raise UsageError(f"the date is {day!r}; {error}") from error
