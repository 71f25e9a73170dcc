"""`DataExtractor`: extracts tables of databases given in the call, without a configuration file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Unpack

from pydantic import SecretStr

from statekeeper.api.call import RunCall, reprocess_of
from statekeeper.api.events import RunEvents
from statekeeper.api.keys import SectionKeys, TableKeys, refuse_unknown
from statekeeper.config.given_sources import GivenSources, OracleLogin
from statekeeper.config.loader import check_sections, pipeline_of
from statekeeper.run.choices import GivenEngine, RunIdentity, checked_engine
from statekeeper.run.report import RunReport
from statekeeper.run.runner import Runner
from statekeeper.runtime.progress import LogReporter, Reporter
from statekeeper.store.registry import reading_disk


class DataExtractor:
    """Extracts single tables to Parquet, without a configuration file.

    There are two ways to give the database. `oracle_host` (with `oracle_port`, `oracle_service`, `oracle_user` and
    `oracle_password`) is one Oracle database; you then choose a table's `source_name`, which names its folder.
    `sources` are the sections of a configuration's `sources:` by name, for example
    `{"shop": {"type": "duckdb", "path": "data/shop.duckdb"}}`, and `source_name` is one of them.

    Further keyword arguments are top-level sections of a configuration: `output`, `execution`, `defaults`, `states`;
    also `pipeline`, from which run ids are made, and `show_values`.

    Every table is extracted once per run id: another call verifies what is published and returns at once.

    A signal during a call ends it with the state saved, and then has its usual effect: SIGINT (Ctrl-C) raises
    KeyboardInterrupt, SIGTERM raises SystemExit(143); if the program has its own handler, it is called instead. With
    `report_interrupt=True`, methods that return a report return it instead; it says what was interrupted.

    `reporter` receives progress; without one, it is logged. `spark` is a Spark session for `engine: spark`; without it
    the active one is used, or one is created. `engine` replaces that of `execution`: its name, an `EngineType`, or an
    `Engine`, which a run closes at its end.

    Raises:
        UsageError: both ways are used, or neither; the Oracle database is incomplete; or a keyword argument is
            unknown.
        ConfigError: a section cannot be used; every mistake is named.
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
        engine: GivenEngine | None = None,
        **sections: Unpack[SectionKeys],
    ) -> None:
        refuse_unknown(type(self), sections)
        login = OracleLogin(oracle_host, oracle_port, oracle_service, oracle_user, oracle_password)
        self._sources = GivenSources.of(sources, login)
        output = {**sections.pop("output", {}), "base_path": str(output_base_path)}
        self._settings: dict[str, Any] = {"output": output, **sections}
        if isinstance(engine, str):
            self._settings["execution"] = {**self._settings.get("execution", {}), "engine": engine}
        self._engine = None if isinstance(engine, str) else checked_engine(engine)
        check_sections({**self._settings, "sources": self._sources.for_entries(())})
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
        **table_keys: Unpack[TableKeys],
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
        """Extract several tables in parallel; the result maps `source.schema.table` (or `source.table`) to True if the
        table's data is complete.

        Entries are mappings or `Table` objects. Each may have an `extraction_date` and a `run_id`; entries that share
        both are one run. A table in several runs is True if it is complete in each.

        Raises:
            ConfigError: an entry cannot be used; nothing was started.
        """
        runs = [self._call(entries, *run, force_reprocess) for run, entries in _by_run(table_configs).items()]
        results: dict[str, bool] = {}
        for run in runs:
            for table in run.report().tables:
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
        """Extract tables in parallel, as one run; the report has the outcome of each, and the reason.

        Raises:
            ConfigError: an entry cannot be used; nothing was started.
        """
        call = self._call(table_configs, extraction_date, run_id, force_reprocess)
        return call.report(report_interrupt=report_interrupt)

    async def extract_run_async(
        self,
        table_configs: Sequence[Mapping[str, Any]],
        *,
        extraction_date: date | str = "today",
        run_id: str | None = None,
        force_reprocess: bool = False,
    ) -> RunReport:
        """`extract_run` as a coroutine; see `StatefulDataExtractor.run_async`."""
        return await self._call(table_configs, extraction_date, run_id, force_reprocess).awaited()

    def extract_events(
        self,
        table_configs: Sequence[Mapping[str, Any]],
        *,
        extraction_date: date | str = "today",
        run_id: str | None = None,
        force_reprocess: bool = False,
        report_interrupt: bool = False,
    ) -> RunEvents:
        """`extract_run` as a stream of events; see `StatefulDataExtractor.events`."""
        call = self._call(table_configs, extraction_date, run_id, force_reprocess)
        return call.events(report_interrupt=report_interrupt)

    def _call(
        self,
        table_configs: Sequence[Mapping[str, Any]],
        day: date | str,
        run_id: str | None,
        force_reprocess: bool,  # noqa: FBT001 - the word that users know
    ) -> RunCall:
        runner = self._runner_of(table_configs, day, run_id)
        return RunCall(runner=runner, tables=runner.pipeline.tables, reprocess=reprocess_of(force_reprocess))

    def _runner_of(self, table_configs: Sequence[Mapping[str, Any]], day: date | str, run_id: str | None) -> Runner:
        entries = [dict(entry) for entry in table_configs]
        sections = {**self._settings, "sources": self._sources.for_entries(entries), "tables": entries}
        pipeline = pipeline_of(sections, root=self._root)
        identity = RunIdentity.of(pipeline, day=str(day), run_id=run_id)
        return Runner(
            pipeline=pipeline,
            identity=identity,
            reporter=self._reporter,
            disk=reading_disk(pipeline.base_path),
            engine=self._engine,
            spark=self._spark,
        )


def _by_run(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str | None], list[Mapping[str, Any]]]:
    runs: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for entry in entries:
        key = (str(entry.get("extraction_date") or "today"), entry.get("run_id"))
        runs.setdefault(key, []).append(entry)
    return runs
