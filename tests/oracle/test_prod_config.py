"""configs/prod.yml, run as it stands over the driver and the wire."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from statekeeper.cli import app
from statekeeper.extractor import StatefulDataExtractor
from statekeeper.report import Outcome
from statekeeper.reporting import NullReporter
from tests.oracle import prod
from tests.oracle_server import OracleServer

DAY = "2026-01-06"


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"EXTRACTOR": "secret"}) as server:
        prod.fill(server)
        yield server


@pytest.fixture
def here(server, tmp_path, monkeypatch):
    """A working directory with the pipeline, and an environment that leads to the server."""
    monkeypatch.chdir(tmp_path)
    prod.settle(tmp_path)
    values = {"HOST": server.host, "PORT": str(server.port), "SERVICE": server.service, "USER": "EXTRACTOR"}
    for name, value in {**values, "PASSWORD": "secret"}.items():
        monkeypatch.setenv(f"ORACLE_{name}", value)
    return tmp_path


def _run():
    return StatefulDataExtractor.from_config("configs/prod.yml", date=DAY, reporter=NullReporter()).run()


def _rows(table):
    (path,) = Path("data/oracle_db").glob(f"{table}/202601/06/*.parquet")
    name = f"{path}/*.parquet" if path.is_dir() else str(path)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute("SELECT * FROM read_parquet(?) ORDER BY 1, 2", [name]).fetchall()


def test_the_pipeline_extracts_every_table_and_then_skips_it(here):
    first = _run()
    assert [(table.table.table_name, table.reason) for table in first.tables if not table.is_good] == []
    assert {table.outcome for table in _run().tables} == {Outcome.SKIPPED}


@pytest.mark.parametrize("table", ["EMPLOYEES", "ORDERS", "ORDER_LINES", "LEDGER_ENTRIES"])
def test_what_is_published_is_what_was_inserted(here, table):
    assert _run().exit_code == 0
    (inserted,) = [rows for (_, name), rows in prod.ROWS.items() if name == table]
    assert _rows(table) == sorted(inserted, key=lambda row: row[:2])


def test_the_query_reads_what_it_selects(here):
    assert _run().exit_code == 0
    assert _rows("big_customers") == [prod.ROWS["CRM", "CUSTOMERS"][0]]


def test_check_connect_finds_every_table_readable(here, capsys):
    code = app.run_command(["check", "--connect", "configs/prod.yml"])
    assert (code, capsys.readouterr().err) == (0, "")
