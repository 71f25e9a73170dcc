"""The demo as tables of each format, on disk and on an S3 server, equals its source: an independent reader says so."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import date
from pathlib import Path

import pytest
import yaml

from statekeeper.config.loader import pipeline_of
from statekeeper.engines.inline import InlineEngine
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.registry import writing_disk
from tests import duckdb_reader

ROOT = Path(__file__).parents[2]
DAY = date(2026, 1, 6)
SOURCES = {
    "orders": "from shop.shop.orders",
    "order_events": "from shop.shop.order_events where updated_at < timestamp '2026-01-07' or updated_at is null",
    "returns": "from shop.shop.returns",
    "payments": "from shop.shop.payments",
    "employees": "from shop.hr.employees",
    "departments": "from shop.hr.departments",
    "big_customers": "select id, name, country, revenue, since from shop.crm.customers where revenue > 1000000",
}
TEXT = ("JSON", "UUID", "ENUM('web', 'app', 'store')")
"""Types of the source that are text in every file of the demo."""
OTHER_TYPES = {"delta": {}, "iceberg": {"SMALLINT": "INTEGER"}}
"""Types of the source that a format does not have, and what it has instead."""
WITHOUT_TIME = {
    "table_name": "employees",
    "custom_query": "select * replace (shift_start::varchar as shift_start) from hr.employees",
}
"""Delta has no time of day."""


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "shop.duckdb"
    subprocess.run([sys.executable, ROOT / "configs/make_demo.py", path], check=True, capture_output=True)
    return path


class Demo:
    """The demo's configuration with another output."""

    def __init__(self, folder, database, format_name, server):
        self.folder, self.database, self.format = folder, database, format_name
        self.base = f"{server.url}/{uuid.uuid4().hex}" if server else str(folder / "out")
        self.storage = server.storage if server else {}

    def run(self, *replaced):
        """Run it; tables with the names of `replaced` are as written there. The results by table."""
        config = yaml.safe_load((ROOT / "configs/demo.yml").read_text())
        config["sources"]["shop"]["path"] = str(self.database)
        config["output"] = {"base_path": self.base, "format": self.format}
        config["storage"] = self.storage
        if self.format == "iceberg":
            config["output"]["catalog"] = {"type": "sql", "uri": f"sqlite:///{self.folder}/catalog.db"}
        tables = {table["table_name"]: table for table in [*config["tables"], *replaced]}
        pipeline = pipeline_of(config | {"tables": list(tables.values())}, root=ROOT)
        runner = Runner(
            pipeline=pipeline,
            identity=RunIdentity("demo-20260106", DAY),
            reporter=NullReporter(),
            disk=writing_disk(pipeline.base_path, pipeline.output.writes),
            make_engine=lambda _pipeline: InlineEngine(memory_limit="512MiB"),
        )
        return {each.table.table_name: each for each in runner.run(pipeline.tables, reprocess=Reprocess.STALE).tables}

    def table(self, name):
        """The table as the independent reader finds it."""
        if self.format == "delta":
            return duckdb_reader.delta(f"{self.base}/shop/{name}", self.storage)
        location = duckdb_reader.metadata_location(self.folder / "catalog.db", "shop", name)
        return duckdb_reader.iceberg(location, self.storage)

    def assert_equals_source(self, name):
        """Every row of the source once, every column with the type of the source, and the extraction date."""
        query, exported = SOURCES[name], self.folder / f"{name}.parquet"
        if self.format == "delta" and name == "employees":
            query = "select * replace (shift_start::varchar as shift_start) from shop.hr.employees"
        types = duckdb_reader.export(self.database, query, exported)
        found = self.table(name).compare(exported)
        found.assert_equal()
        others = dict.fromkeys(TEXT, "VARCHAR") | OTHER_TYPES[self.format]
        expected = {column: others.get(kind, kind) for column, kind in types.items()}
        assert found.types == expected | {"extraction_date": "DATE"}
        return found.rows


@pytest.mark.parametrize(
    ("format_name", "place"),
    [
        ("delta", "folder"),
        pytest.param("delta", "bucket", marks=pytest.mark.sweep),
        pytest.param("iceberg", "folder", marks=pytest.mark.sweep),
        ("iceberg", "bucket"),
    ],
)
def test_every_table_of_the_demo_equals_its_source(format_name, place, database, tmp_path, request):
    server = request.getfixturevalue("seaweed") if place == "bucket" else None
    demo = Demo(tmp_path, database, format_name, server)
    results = demo.run(*([WITHOUT_TIME] if format_name == "delta" else []))
    assert [(name, each.reason) for name, each in results.items() if each.outcome is not Outcome.COMPLETED] == []
    rows = {name: demo.assert_equals_source(name) for name in SOURCES}
    assert rows["orders"] == 1_200_000
    assert rows["returns"] == 0
    assert min(rows[name] for name in SOURCES if name != "returns") > 0
