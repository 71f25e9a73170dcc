"""A small database and runs over it within this very process, which takes a test no worker processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from statekeeper.api import StatefulDataExtractor
from statekeeper.config.loader import pipeline_of
from statekeeper.engines.inline import InlineEngine
from statekeeper.model.metadata import parse_metadata
from statekeeper.model.record import StateRecord
from statekeeper.model.table import Layout, TableRef
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layouts import layout_of
from statekeeper.store.manifest import load_manifest

DAY = date(2026, 1, 6)
RUN_ID = f"shop-{DAY:%Y%m%d}"
CONFIG = """\
pipeline: shop
extraction_date: 2026-01-06
sources: {shop: {type: duckdb, path: shop.duckdb}}
output: {base_path: data}
execution: {workers: 1}
tables: [{table_name: orders}, {table_name: customers}]
"""
"""What a test that needs a config's file writes to `shop.yml` beside the database."""


WINDOWS_CONFIG = """\
pipeline: shop
sources: {shop: {type: duckdb, path: shop.duckdb}}
output: {base_path: data}
execution: {workers: 1}
tables: [{table_name: orders, incremental_column: at, incremental_timezone: UTC}, {table_name: customers}]
"""
"""The same for tables of which one is extracted by windows."""


def configured(config="shop.yml", **choices):
    """The extractor of a config in the working directory, which reports to nobody unless it is told to."""
    return StatefulDataExtractor.from_config(config, **{"reporter": NullReporter(), **choices})


def manifest(run_id=RUN_ID):
    """The manifest of a run of such a config."""
    return load_manifest(LocalDisk(), Path("data"), run_id)


class Heard(NullReporter):
    """Remembers what it was told."""

    def __init__(self):
        self.states = []
        self.warnings = []

    def table_state(self, key, state, reason):
        self.states.append((key, str(state), reason))

    def warning(self, key, message):
        self.warnings.append(message)


@dataclass(frozen=True)
class Shop:
    """A folder with `shop.duckdb` and, after a run, `data/`, whose files lie as `kind` says."""

    folder: Path
    kind: Layout = Layout.DATED

    def execute(self, *statements):
        with duckdb.connect(self.folder / "shop.duckdb") as connection:
            for statement in statements:
                connection.execute(statement)

    def runner(self, *tables, day=DAY, reporter=None, disk=None, make_engine=None, **sections):
        pipeline = pipeline_of(
            {
                "pipeline": "shop",
                "sources": {"shop": {"type": "duckdb", "path": str(self.folder / "shop.duckdb")}},
                "output": {"base_path": str(self.folder / "data"), "layout": self.kind.value},
                "tables": [{"table_name": table} if isinstance(table, str) else table for table in tables],
                **sections,
            },
            root=self.folder,
        )
        return Runner(
            pipeline=pipeline,
            identity=RunIdentity(f"shop-{day:%Y%m%d}", day),
            reporter=reporter or NullReporter(),
            disk=disk or LocalDisk(),
            make_engine=make_engine or (lambda _pipeline: InlineEngine(memory_limit="100MB")),
            clock=lambda: datetime.now(UTC),
        )

    def run(self, *tables, is_forced=False, **choices):
        """The outcome of each table, by name."""
        runner = self.runner(*tables, **choices)
        return {
            each.table.table_name: each
            for each in runner.run(
                runner.pipeline.tables, reprocess=Reprocess.ALL if is_forced else Reprocess.STALE
            ).tables
        }

    def layout(self, table="orders", *, day=DAY):
        base_path, run_id = self.folder / "data", f"shop-{day:%Y%m%d}"
        ref = TableRef(source_name="shop", table_name=table, path_name=table)
        return layout_of(self.kind, base_path=base_path, table=ref, extraction_date=day, run_id=run_id)

    def state(self, table="orders", *, day=DAY):
        path = self.layout(table, day=day).state
        return StateRecord.from_bytes(path.read_bytes(), where=str(path))

    def metadata(self, table="orders", *, day=DAY):
        return parse_metadata(self.layout(table, day=day).metadata.read_bytes())

    def quarantine(self, table="orders", *, day=DAY):
        """The file of quarantined rows; None where there is none."""
        return next(self.layout(table, day=day).quarantine_folder.glob("*"), None)

    def violating_rows(self, table="orders", *, day=DAY):
        """The file of rows that break the schema, which are no part of what is published; None where there is none."""
        return next(self.layout(table, day=day).violating_rows_folder.glob("*"), None)

    def rows(self, table="orders", *, day=DAY):
        """How many rows readers see."""
        output = self.layout(table, day=day).output
        files = f"{output}/*.parquet" if output.is_dir() else str(output)
        with duckdb.connect() as connection:
            return connection.execute("select count(*) from read_parquet(?)", [files]).fetchone()[0]
