"""The Python API: extract one table, several, or a whole configured pipeline, and look at how they are.

The classes resolve what is asked for into a pipeline, a run and tables; `statekeeper.run.runner` does the work.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from statekeeper.config.given_sources import GivenSources, OracleLogin
from statekeeper.config.loader import load_pipeline, pipeline_of
from statekeeper.config.reading.references import Secrets
from statekeeper.config.resolved import EngineKind, ExtractionConfig, Pipeline, check_run, resolve_date, run_id_of
from statekeeper.config.root import expanded
from statekeeper.config.selection import select_tables
from statekeeper.errors import Interrupted, UsageError
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.job_run import JobRun
from statekeeper.model.manifest import RunManifest, RunStatus
from statekeeper.model.preview import PlanReport
from statekeeper.model.record import State
from statekeeper.run.find_run import require_output_of_earlier_runs
from statekeeper.run.preview import PreviewWish, compare_tables, look_at_tables, preview_tables
from statekeeper.run.report import RunReport
from statekeeper.run.reset import reset_tables
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import Interruption, RunIdentity, Runner, hand_on
from statekeeper.run.status import read_status, unfinished_tables
from statekeeper.run.verify import verify_tables
from statekeeper.runtime.progress import LogReporter, Reporter
from statekeeper.schemas.columns.differences import DiffReport
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.probe import disk_under
from statekeeper.store.layout import check_run_id
from statekeeper.store.manifest import load_manifest


class DataExtractor:
    """Extracts single tables to Parquet, without a configuration file.

    The database is said in one of two ways. `oracle_host` (with `oracle_port`, `oracle_service`, `oracle_user` and
    `oracle_password`) is one Oracle database, and a table's `source_name` is then a free name for its folder. `sources`
    are the sections of a configuration's `sources:` by name, for example
    `{"shop": {"type": "duckdb", "path": "data/shop.duckdb"}}`, and `source_name` is one of them.

    Further keyword arguments are top-level sections of a configuration (`output`, `execution`, `defaults`, `states`).
    Every table is extracted once per run id: a further call verifies what is published and returns at once.
    A signal that comes during a call ends it with the state saved and then does what it does otherwise: SIGINT (Ctrl-C)
    raises KeyboardInterrupt, SIGTERM raises SystemExit(143), and a handler of the program's own is called. With
    `report_interrupt=True`, where there is a report, it is returned instead, and says what was interrupted.
    `spark` is a Spark session for `engine: spark`; without it the active one is used, or one is made.

    Raises:
        UsageError: both ways are used, or neither, or the Oracle database is not said in full.
    """

    def __init__(  # noqa: PLR0913 - the parameters that its users know, all by keyword
        self,
        *,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        oracle_host: str | None = None,
        oracle_port: int = 1521,
        oracle_service: str | None = None,
        oracle_user: str | None = None,
        oracle_password: str | SecretStr | None = None,
        output_base_path: str | Path = "data",
        reporter: Reporter | None = None,
        spark: object | None = None,
        **sections: Mapping[str, Any],
    ) -> None:
        login = OracleLogin(oracle_host, oracle_port, oracle_service, oracle_user, oracle_password)
        self._sources = GivenSources.of(sources, login)
        output = {**sections.pop("output", {}), "base_path": str(output_base_path)}
        self._settings: dict[str, Any] = {"output": output, **sections}
        self._root: Path | None = None
        self._reporter = reporter or LogReporter()
        self._spark = spark

    def extract_table(
        self,
        *,
        source_name: str,
        table_name: str,
        extraction_date: date | str = "today",
        run_id: str | None = None,
        force_reprocess: bool = False,
        **table_keys: Any,
    ) -> bool:
        """Extract one table; True if its data is complete and published.

        `table_keys` are further keys of a table's entry (`schema_name`, `incremental_column`, `is_full_extract`,
        `custom_query`, `schema`, `columns`, ...).

        Raises:
            ConfigError: a key or its value cannot be used.
        """
        entry = {"source_name": source_name, "table_name": table_name, **table_keys}
        report = self.extract_run(
            [entry], extraction_date=extraction_date, run_id=run_id, force_reprocess=force_reprocess
        )
        return report.tables[0].is_good

    def extract_tables_parallel(
        self,
        table_configs: Sequence[Mapping[str, Any]],
        force_reprocess: bool = False,  # noqa: FBT001, FBT002 - the signature that its users know
    ) -> dict[str, bool]:
        """Extract several tables at once; True by `source.schema.table` (or `source.table`) where data is complete.

        Entries may each carry an `extraction_date` and a `run_id`; those that share both are one run. A table that is
        in several runs is True where it is complete in each.

        Raises:
            ConfigError: an entry cannot be used; nothing was begun.
        """
        runners = [self._runner_of(entries, *run) for run, entries in _by_run(table_configs).items()]
        results: dict[str, bool] = {}
        for runner in runners:
            for table in _ended(runner, runner.pipeline.tables, _asked_for(force_reprocess)).tables:
                results[table.table.key] = results.get(table.table.key, True) and table.is_good
        return results

    def extract_run(
        self,
        table_configs: Sequence[Mapping[str, Any]],
        *,
        extraction_date: date | str = "today",
        run_id: str | None = None,
        force_reprocess: bool = False,
        report_interrupt: bool = False,
    ) -> RunReport:
        """Extract tables at once, as one run; the report says what came of each, and why.

        Raises:
            ConfigError: an entry cannot be used; nothing was begun.
        """
        runner = self._runner_of(table_configs, str(extraction_date), run_id)
        tables = runner.pipeline.tables
        return _ended(runner, tables, _asked_for(force_reprocess), report_interrupt=report_interrupt)

    def _runner_of(self, table_configs: Sequence[Mapping[str, Any]], day: str, run_id: str | None) -> Runner:
        entries = [dict(entry) for entry in table_configs]
        sections = {**self._settings, "sources": self._sources.for_entries(entries), "tables": entries}
        pipeline = pipeline_of(sections, root=self._root)
        identity = _identity(pipeline, day=day, run_id=run_id)
        return Runner(pipeline=pipeline, identity=identity, reporter=self._reporter, spark=self._spark)


class StatefulDataExtractor(DataExtractor):
    """Extracts the tables of a configured pipeline, run by run."""

    def __init__(
        self,
        pipeline: Pipeline,
        identity: RunIdentity,
        *,
        reporter: Reporter | None = None,
        spark: object | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.identity = identity
        self._root = pipeline.root
        self._reporter = reporter or LogReporter()
        self._spark = spark
        # Single tables (`extract_table`) are the pipeline's in all but their entries: its sources, output and defaults.
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
    def from_config(  # noqa: PLR0913 - a run has that many choices, all by keyword
        cls,
        path: str | Path,
        *,
        environ: Mapping[str, str] | None = None,
        tables_path: str | Path | None = None,
        root: str | Path | None = None,
        secrets: Secrets | None = None,
        date: date | str | None = None,
        today: date | None = None,
        run_id: str | None = None,
        job_run: JobRun | None = None,
        engine: EngineKind | str | None = None,
        workers: int | None = None,
        reporter: Reporter | None = None,
        spark: object | None = None,
    ) -> Self:
        """The extractor of a configuration file, for the run at `date` (default: the configuration's own).

        `today` is the day that the words `today` and `yesterday` count from (default: the current one in UTC).
        `engine` and `workers` stand for those of `execution:`; `spark` is a Spark session for `engine: spark`. `root`
        is the folder that relative paths of the configuration start at, where it does not say that itself.
        `secrets(scope, key)` reads what `${databricks:scope/key}` stands for (default: the notebook's `dbutils`, else
        databricks-sdk). `job_run` is the job run that this is, which the metadata then name.

        Raises:
            ConfigError: the file cannot be used; every problem is named with its place.
        """
        pipeline = load_pipeline(
            Path(path),
            environ=os.environ if environ is None else environ,
            tables_path=Path(tables_path) if tables_path else None,
            root=Path(root) if root else None,
            secrets=secrets,
        )
        return cls.of_pipeline(
            pipeline,
            path,
            tables_path=tables_path,
            date=date,
            today=today,
            run_id=run_id,
            job_run=job_run,
            engine=engine,
            workers=workers,
            reporter=reporter,
            spark=spark,
        )

    @classmethod
    def of_pipeline(  # noqa: PLR0913 - as above
        cls,
        pipeline: Pipeline,
        path: str | Path,
        *,
        tables_path: str | Path | None = None,
        date: date | str | None = None,
        today: date | None = None,
        run_id: str | None = None,
        job_run: JobRun | None = None,
        engine: EngineKind | str | None = None,
        workers: int | None = None,
        reporter: Reporter | None = None,
        spark: object | None = None,
    ) -> Self:
        """The extractor of a pipeline that was loaded from the configuration file `path`; see `from_config`."""
        chosen = {"engine": EngineKind(engine) if engine else None, "workers": workers}
        require_output_of_earlier_runs(pipeline, Path(expanded(str(path))), Path.cwd())
        execution = pipeline.execution.model_copy(update={key: value for key, value in chosen.items() if value})
        pipeline = dataclasses.replace(pipeline, execution=execution)
        identity = _identity(
            pipeline,
            day=str(date) if date else pipeline.extraction_date,
            today=today,
            run_id=run_id,
            config_path=str(Path(expanded(str(path))).absolute()),
            tables_path=str(Path(expanded(str(tables_path))).absolute()) if tables_path else None,
        )
        return cls(pipeline, dataclasses.replace(identity, job_run=job_run), reporter=reporter, spark=spark)

    @property
    def commands(self) -> RunCommands:
        """What a person types next about this run."""
        return self._runner.commands

    @property
    def base_path(self) -> Path:
        """The folder under which all output lies."""
        return self.pipeline.base_path

    def run(
        self,
        *,
        tables: Iterable[str] = (),
        exclude: Iterable[str] = (),
        force_reprocess: bool = False,
        report_interrupt: bool = False,
    ) -> RunReport:
        """Bring every table of the pipeline (or those named) to `complete`; what is complete is verified and skipped.

        `tables` and `exclude`, here and elsewhere, are names or patterns such as `fin.*`. With `force_reprocess`
        complete tables are extracted again; readers see the old data until the new is valid.

        Raises:
            UsageError: a name is not a table of the pipeline.
        """
        selected = self._selected(tables, exclude)
        return _ended(self._runner, selected, _asked_for(force_reprocess), report_interrupt=report_interrupt)

    def resume(
        self,
        *,
        tables: Iterable[str] = (),
        exclude: Iterable[str] = (),
        stale: bool = False,
        report_interrupt: bool = False,
    ) -> RunReport:
        """Bring every table of the configuration (or those named) to `complete`, also those that this run was not asked
        for before.

        A complete table whose configuration has changed since is named in the report and left as it is; with `stale`
        it is extracted again, as `run` does.
        """
        names, unwanted = tuple(tables), tuple(exclude)
        self._warn_of_lost_tables(self._manifest)
        selected = self._selected(names, unwanted)
        reprocess = Reprocess.STALE if stale else Reprocess.NONE
        report = _ended(self._runner, selected, reprocess, report_interrupt=report_interrupt)
        return report if names or unwanted else self._with_left(report)

    def resume_begun(
        self, *, exclude: Iterable[str] = (), stale: bool = False, report_interrupt: bool = False
    ) -> RunReport:
        """Go on with the tables that this run has; the report names others that are not complete.

        `stale` is as for `resume`.
        """
        unwanted, of_run = tuple(exclude), self._of_this_run()
        begun = tuple(config for config in self._selected((), unwanted) if config in of_run)
        reprocess = Reprocess.STALE if stale else Reprocess.NONE
        report = _ended(self._runner, begun, reprocess, report_interrupt=report_interrupt)
        return report if unwanted else self._with_left(report)

    def status(self) -> RunStatus:
        """How the tables of this run are, read from their files alone.

        Raises:
            UsageError: the run has not been begun.
        """
        return read_status(self.base_path, self.identity.run_id)

    def preview(
        self,
        *,
        tables: Iterable[str] = (),
        exclude: Iterable[str] = (),
        force_reprocess: bool = False,
        all_types: bool = False,
    ) -> PlanReport:
        """What `run` would do, per table, with each column's types; nothing is written.

        Types of complete tables are looked up with `all_types` only.
        """
        wish = PreviewWish(is_forced=force_reprocess, has_all_types=all_types)
        with _handing_on():
            return preview_tables(self._runner, self._selected(tables, exclude), wish)

    def check_connections(self, *, tables: Iterable[str] = (), exclude: Iterable[str] = ()) -> PlanReport:
        """Log in to each source and look at each table's columns; nothing is read or written."""
        with _handing_on():
            return look_at_tables(self._runner, self._selected(tables, exclude))

    def diff_schemas(self, *, tables: Iterable[str] = (), exclude: Iterable[str] = ()) -> DiffReport:
        """How each table's model differs from the live table; nothing is read or written.

        Raises:
            UsageError: a name is not a table of the pipeline.
        """
        with _handing_on():
            return compare_tables(self._runner, self._selected(tables, exclude))

    def verify(self, *, tables: Iterable[str] = (), exclude: Iterable[str] = ()) -> RunReport:
        """Check everything that this run has published, byte by byte: the tables that it has, or those named."""
        names, selected = tuple(tables), self._selected(tables, exclude)
        if not names:
            selected = tuple(config for config in self._of_this_run() if config in selected)
        with _handing_on():
            return verify_tables(self._runner, selected)

    def reset(self, *, tables: Iterable[str], exclude: Iterable[str] = ()) -> tuple[str, ...]:
        """Put tables back to `pending`, their staged work removed; published data stays until it is replaced.

        A state file that cannot be read is moved aside and kept. Returns the keys of the tables that were reset.
        """
        selected = self._selected(tables, exclude)
        return reset_tables(_on_its_disk(self._runner), selected, only=None)

    def reset_failed(self, *, exclude: Iterable[str] = ()) -> tuple[str, ...]:
        """Put every failed table back to `pending`; returns their keys."""
        return reset_tables(_on_its_disk(self._runner), self._selected((), exclude), only=State.FAILED)

    @property
    def _runner(self) -> Runner:
        return Runner(pipeline=self.pipeline, identity=self.identity, reporter=self._reporter, spark=self._spark)

    def _with_left(self, report: RunReport) -> RunReport:
        """The report of a resumed run, which is not complete where other tables of it are not."""
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
        return load_manifest(LocalDisk(), self.base_path, self.identity.run_id)

    def _warn_of_lost_tables(self, manifest: RunManifest | None) -> None:
        configured = {config.table for config in self.pipeline.tables}
        for table in manifest.tables if manifest else ():
            if table not in configured:
                self._reporter.warning(table.key, "is not in this configuration and is left as it is")

    def _selected(self, names: Iterable[str], exclude: Iterable[str] = ()) -> tuple[ExtractionConfig, ...]:
        return select_tables(self.pipeline, names, exclude=exclude)


def _ended(
    runner: Runner, tables: tuple[ExtractionConfig, ...], reprocess: Reprocess, *, report_interrupt: bool = False
) -> RunReport:
    """The report of a run that has come to its end; if a signal ended it, only where the caller asks for that."""
    interruption = Interruption()
    report = _on_its_disk(runner).run(tables, reprocess=reprocess, interruption=interruption)
    if not report_interrupt:
        interruption.hand_on()
    return report


def _asked_for(force_reprocess: bool) -> Reprocess:  # noqa: FBT001 - the word that users know
    return Reprocess.ALL if force_reprocess else Reprocess.STALE


@contextmanager
def _handing_on() -> Iterator[None]:
    """Let a signal that interrupts the block do what it does otherwise."""
    try:
        yield
    except Interrupted as error:
        hand_on(error.exit_code - 128)
        raise


def _on_its_disk(runner: Runner) -> Runner:
    """The runner, able to write: with the disk that the output folder proves to be."""
    pipeline = runner.pipeline
    return dataclasses.replace(runner, disk=disk_under(pipeline.base_path, pipeline.output.writes))


def _identity(
    pipeline: Pipeline,
    *,
    day: str,
    run_id: str | None,
    today: date | None = None,
    config_path: str | None = None,
    tables_path: str | None = None,
) -> RunIdentity:
    today = today or datetime.now(UTC).date()
    try:
        extraction_date = resolve_date(day, today=today)
    except ValueError as error:
        raise UsageError(f"the extraction date is {day!r}; {error}") from error
    name = run_id or run_id_of(pipeline.name, extraction_date)
    check_run_id(name)
    check_run(pipeline, extraction_date=extraction_date, run_id=name, today=today)
    return RunIdentity(name, extraction_date, config_path, tables_path)


def _by_run(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str | None], list[Mapping[str, Any]]]:
    runs: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for entry in entries:
        key = (str(entry.get("extraction_date") or "today"), entry.get("run_id"))
        runs.setdefault(key, []).append(entry)
    return runs
