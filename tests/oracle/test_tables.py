"""configs/prod.yml into tables: an independent reader finds what the database has, in types and in values."""

from __future__ import annotations

from pathlib import Path

import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.run.report import Outcome
from statekeeper.runtime.progress import NullReporter
from tests import duckdb_reader
from tests.oracle import prod
from tests.oracle.stored import published_rows, stored_rows
from tests.oracle_server import OracleServer

DAY, ZONED = "2026-01-06", frozenset({"SHOWN_AT"})
OUTPUT = "  base_path: ${OUTPUT_PATH:-data}"
TYPES = {
    "EMPLOYEES": "BIGINT VARCHAR VARCHAR VARCHAR TIMESTAMP VARCHAR DECIMAL(8,2) DECIMAL(2,2) BIGINT",
    "ORDERS": "BIGINT BIGINT VARCHAR VARCHAR DECIMAL(12,2) TIMESTAMP TIMESTAMP",
    "ORDER_LINES": "BIGINT BIGINT VARCHAR DECIMAL(9,3) DECIMAL(12,2) TIMESTAMP",
    "LEDGER_ENTRIES": "DECIMAL(38,0) VARCHAR DECIMAL(38,10) DECIMAL(12,0) DECIMAL(30,15) TIMESTAMP",
    "SENSOR_READINGS": "BIGINT BLOB DOUBLE FLOAT TIMESTAMP TIMESTAMPTZ TIMESTAMPTZ",
    "CONTRACTS": "BIGINT VARCHAR VARCHAR VARCHAR BLOB BLOB TIMESTAMPTZ",
    "big_customers": "BIGINT VARCHAR VARCHAR DECIMAL(14,2) TIMESTAMP",
}
"""The types of the columns, in order."""


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"EXTRACTOR": "secret"}) as server:
        prod.fill(server)
        yield server


@pytest.mark.parametrize(
    ("format_name", "place"),
    [
        pytest.param("delta", "folder", marks=pytest.mark.sweep),
        ("delta", "bucket"),
        ("iceberg", "folder"),
        pytest.param("iceberg", "bucket", marks=pytest.mark.sweep),
    ],
)
def test_every_table_has_what_the_database_has(server, tmp_path, monkeypatch, request, place, format_name):
    store = request.getfixturevalue("seaweed") if place == "bucket" else None
    storage = store.storage if store else {}
    base = f"{store.url}/{tmp_path.name}" if store else str(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    prod.settle(tmp_path)
    config = Path("configs/prod.yml")
    text = config.read_text()
    assert OUTPUT in text
    output = f"{OUTPUT}\n  format: {format_name}\n"
    if format_name == "iceberg":
        output += f"  catalog: {{type: sql, uri: 'sqlite:///{tmp_path}/catalog.db'}}\n"
    config.write_text(f"{text.replace(OUTPUT, output)}\nstorage: {storage}\n")
    values = {"HOST": server.host, "PORT": str(server.port), "SERVICE": server.service, "USER": "EXTRACTOR"}
    for name, value in {**values, "PASSWORD": "secret"}.items():
        monkeypatch.setenv(f"ORACLE_{name}", value)
    monkeypatch.setenv("OUTPUT_PATH", base)

    report = StatefulDataExtractor.from_config(str(config), date=DAY, reporter=NullReporter()).run()
    assert [
        (each.table.table_name, each.reason) for each in report.tables if each.outcome is not Outcome.COMPLETED
    ] == []
    if format_name == "delta":
        found = {table: duckdb_reader.delta(f"{base}/oracle_db/{table}", storage) for table in TYPES}
    else:
        locations = {
            name: duckdb_reader.metadata_location(tmp_path / "catalog.db", "oracle_db", name) for name in TYPES
        }
        found = {table: duckdb_reader.iceberg(location, storage) for table, location in locations.items()}
    for table, types in TYPES.items():
        assert [kind.replace(" WITH TIME ZONE", "TZ") for kind in found[table].types().values()] == [
            *types.split(),
            "DATE",
        ]
    for schema, table in prod.ROWS.keys() - {("CRM", "CUSTOMERS")}:
        rows = found[table].rows().drop_columns("extraction_date")
        assert rows.num_rows == len(prod.ROWS[schema, table])
        assert published_rows(rows) == stored_rows(server, schema, table, zoned=ZONED), table
    (row,) = found["big_customers"].rows().drop_columns("extraction_date").to_pylist()
    assert tuple(row.values()) == prod.ROWS["CRM", "CUSTOMERS"][0]
