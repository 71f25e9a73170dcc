"""Loads what a run has published into managed tables of Unity Catalog, or registers Delta tables where they are.

This is a separate step after publication, by the commit records: for each table of a run it reads the dataset that
`output_path` of the metadata names, and writes its rows into the managed table of the same name. A table that is
published as a Delta table is not copied: the catalog gets its address. It connects to no source, reads no secret, and
changes nothing under base_path. A second call loads only what is not loaded yet.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import computed_field

from statekeeper.api import StatefulDataExtractor
from statekeeper.config.loader import load_pipeline
from statekeeper.config.reading.references import Unset
from statekeeper.config.resolved import ExtractionConfig
from statekeeper.config.selection import select_tables
from statekeeper.databricks.api import Place, fitted_output
from statekeeper.databricks.external_table import ExternalTable
from statekeeper.databricks.managed_table import ManagedTable, Origin, TableName
from statekeeper.engines.spark.session import first_line, hold_session
from statekeeper.errors import DataError, ExitCode, StatekeeperError, UsageError, worst_exit_code
from statekeeper.model.base import Frozen
from statekeeper.model.metadata import Metadata
from statekeeper.model.table import TableRef
from statekeeper.run.choices import RunChoices
from statekeeper.store.documents import load_metadata
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.layouts import layout_of
from statekeeper.store.place import require_layout_of_run
from statekeeper.store.registry import reading_disk
from statekeeper.text.amounts import count
from statekeeper.text.html_table import html_table
from statekeeper.text.places import with_addresses

_LOG = logging.getLogger("statekeeper.load")


class LoadOutcome(StrEnum):
    """The outcome of a table in a load."""

    LOADED = "loaded"
    REGISTERED = "registered"
    """The catalog has the Delta table's address now."""
    PRESENT = "present"
    """All of its rows, or its address, were already there."""
    FAILED = "failed"


class TableLoad(Frozen):
    """The load of one table: `into` is the managed table, `rows` its number of rows from this run."""

    table: TableRef
    into: str
    outcome: LoadOutcome
    rows: int | None = None
    reason: str | None = None
    hint: str | None = None


class LoadReport(Frozen):
    """The outcome of each table of a load."""

    run_id: str
    into: str
    tables: tuple[TableLoad, ...]

    def _repr_html_(self) -> str:
        """The HTML that `display()` shows in a notebook: a row per table."""
        rows = ((each.table.key, each.into, each.outcome, count(each.rows), each.reason or "") for each in self.tables)
        return html_table(f"{self.run_id} into {self.into}", ("table", "into", "result", "rows", "why"), rows)

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def exit_code(self) -> int:
        """0 if all tables are loaded, 1 if some are not."""
        codes = (ExitCode.FAILED if table.outcome is LoadOutcome.FAILED else ExitCode.COMPLETE for table in self.tables)
        return int(worst_exit_code(codes))


def load_tables(  # noqa: PLR0913 - a run has that many choices, all by keyword
    config: str | Path,
    *,
    into: str,
    tables: Iterable[str] = (),
    exclude: Iterable[str] = (),
    date: date | str | None = None,
    today: date | None = None,
    run_id: str | None = None,
    tables_path: str | Path | None = None,
    root: str | Path | None = None,
    unity_catalog_volume: str | None = None,
    spark: object | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadReport:
    """Load what a run of a configuration has published into the schema `into` (`catalog.schema`), each row once.

    The other parameters choose run and tables, as for `StatefulDatabricksDataExtractor`. `spark` is a Spark session;
    without it the active one is used. A table that cannot be loaded is reported, and the others are loaded anyway.

    Raises:
        ConfigError: the configuration cannot be used. UsageError: `into` is not a schema, or two tables would have the
            same name in it.
    """
    environment = os.environ if environ is None else environ
    pipeline = load_pipeline(
        Path(config),
        environ=environment,
        tables_path=Path(tables_path) if tables_path else None,
        root=Path(root) if root else None,
        unset=Unset.LEAVE,
    )
    place = Place.of(environment, spark=spark, use_existing_spark=True)
    pipeline = fitted_output(pipeline, place, unity_catalog_volume)
    choices = RunChoices(tables_path=tables_path, date=date, today=today, run_id=run_id)
    run = StatefulDataExtractor.of_pipeline(pipeline, config, choices)
    require_layout_of_run(reading_disk(run.base_path), run.pipeline.output, run.identity.run_id)
    named = _named(select_tables(run.pipeline, tables, exclude=exclude), into)
    session = hold_session(run.pipeline.execution.spark, given=spark)
    try:
        load = _Load(run, session.spark)
        return LoadReport(
            run_id=run.identity.run_id, into=into, tables=tuple(load.of(each, name) for each, name in named)
        )
    finally:
        session.stop()


def _named(tables: tuple[ExtractionConfig, ...], into: str) -> list[tuple[ExtractionConfig, TableName]]:
    """Every table with the name of its managed table. Raises UsageError if two have the same."""
    named = [(each, TableName.within(into, each.table.path_name)) for each in tables]
    for name, times in Counter(name for _, name in named).items():
        if times > 1:
            both = ", ".join(each.table.key for each, found in named if found == name)
            raise UsageError(
                f"{both} would be one table: {name}",
                hint="give one of them a path_name, or load each into its own schema",
            )
    return named


@dataclass(frozen=True)
class _Load:
    """The load of one run in one session."""

    run: StatefulDataExtractor
    spark: Any

    def of(self, config: ExtractionConfig, name: TableName) -> TableLoad:
        """Load a table, and report its outcome."""
        report = TableLoad(table=config.table, into=str(name), outcome=LoadOutcome.FAILED)
        try:
            metadata = self._published(config)
            if config.is_in_table:
                outcome = self._registered(config, name)
            else:
                outcome = self._loaded(config, metadata, ManagedTable(self.spark, name))
        except StatekeeperError as error:
            _LOG.error("%s: %s", config.table.key, error.message)
            return report.model_copy(update={"reason": error.message, "hint": error.hint})
        except Exception as error:  # noqa: BLE001 - pyspark's own, py4j's, grpc's: one table's failure is its own
            reason = f"{name}: {first_line(error)}"
            _LOG.error("%s: %s", config.table.key, reason)
            return report.model_copy(update={"reason": reason})
        _LOG.info("%s: %s rows %s in %s", config.table.key, f"{metadata.record_count:,}", outcome, name)
        return report.model_copy(update={"outcome": outcome, "rows": metadata.record_count})

    def _layout(self, config: ExtractionConfig) -> ExtractionLayout:
        return layout_of(
            self.run.pipeline.output.layout,
            base_path=self.run.base_path,
            table=config.table,
            extraction_date=self.run.identity.extraction_date,
            run_id=self.run.identity.run_id,
            is_in_table=config.is_in_table,
        )

    def _published(self, config: ExtractionConfig) -> Metadata:
        path = self._layout(config).metadata
        metadata = load_metadata(reading_disk(path), path)
        if metadata is None:
            raise DataError(
                f"{config.table.key}: the run {self.run.identity.run_id} has published nothing: {path} does not exist",
                hint="extract the table, then load again",
            )
        return metadata

    def _registered(self, config: ExtractionConfig, name: TableName) -> LoadOutcome:
        if config.format != "delta":
            raise UsageError(
                f"{config.table.key}: only Delta tables are registered in Unity Catalog; its format is {config.format}",
                hint="exclude it from the load",
            )
        folder = self._layout(config).table_folder.absolute()
        table = ExternalTable(self.spark, name, with_addresses(str(folder)))
        is_new = table.register()
        table.tag({"statekeeper_pipeline": self.run.pipeline.name, "statekeeper_run": self.run.identity.run_id})
        return LoadOutcome.REGISTERED if is_new else LoadOutcome.PRESENT

    def _loaded(self, config: ExtractionConfig, metadata: Metadata, table: ManagedTable) -> LoadOutcome:
        key, origin = config.table.key, Origin.of(metadata)
        expected = {metadata.plan_id: metadata.record_count} if metadata.record_count else {}
        if table.exists() and table.loaded(origin) == expected:
            return LoadOutcome.PRESENT
        output = self._layout(config).dataset_named(metadata.output_path)
        if output is None:
            raise DataError(
                f"{key}: its metadata name {metadata.output_path}, which is not a dataset of this run",
                hint="verify what is published, then load again",
            )
        frame = self.spark.read.parquet(with_addresses(str(output.absolute())))
        read = frame.count()
        if read != metadata.record_count:
            raise DataError(
                f"{key}: Spark finds {read:,} rows in {output}; its metadata say {metadata.record_count:,}",
                hint="verify what is published, then load again",
            )
        table.put(frame, origin, label=key)
        after = table.loaded(origin)
        if after != expected or self._published(config) != metadata:
            raise DataError(
                f"{key}: {metadata.record_count:,} rows were put into {table.name}, which has "
                f"{sum(after.values()):,} of {metadata.run_id}: another load, or an extraction, ran at the same time",
                hint="load again, when nothing else works on the table",
            )
        return LoadOutcome.LOADED
