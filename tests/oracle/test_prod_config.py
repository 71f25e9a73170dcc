"""configs/prod.yml, run unchanged over the driver and the wire."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.cli import app
from statekeeper.run.report import Outcome
from statekeeper.runtime.progress import NullReporter
from tests.oracle import prod
from tests.oracle.stored import published_rows, stored_rows
from tests.oracle_server import OracleServer

DAY = "2026-01-06"
ZONED = frozenset({"SHOWN_AT"})


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"EXTRACTOR": "secret"}) as server:
        prod.fill(server)
        yield server


@pytest.fixture(scope="module")
def here(server, tmp_path_factory):
    """A working directory with the pipeline, and an environment that leads to the server."""
    folder = tmp_path_factory.mktemp("prod")
    values = {"HOST": server.host, "PORT": str(server.port), "SERVICE": server.service, "USER": "EXTRACTOR"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prod.settle(folder)
        for name, value in {**values, "PASSWORD": "secret"}.items():
            patch.setenv(f"ORACLE_{name}", value)
        yield folder


@pytest.fixture(scope="module")
def first(here):
    """The first run's report."""
    return _run()


def _run():
    return StatefulDataExtractor.from_config("configs/prod.yml", date=DAY, reporter=NullReporter()).run()


def _published(table):
    (path,) = Path("data/oracle_db").glob(f"{table}/202601/06/*.parquet")
    return pq.read_table(path)


def test_the_pipeline_extracts_every_table_and_then_skips_it(first):
    assert [(table.table.table_name, table.reason) for table in first.tables if not table.is_good] == []
    assert {table.outcome for table in first.tables} == {Outcome.COMPLETED}
    assert len(first.tables) == len(prod.ROWS)
    assert {table.outcome for table in _run().tables} == {Outcome.SKIPPED}


TABLES = [key for key in prod.ROWS if key != ("CRM", "CUSTOMERS")]


@pytest.mark.parametrize(("schema", "table"), TABLES, ids=[name for _, name in TABLES])
def test_what_is_published_is_what_is_stored_value_by_value(first, server, schema, table):
    inserted = prod.ROWS[schema, table]
    published = published_rows(_published(table))
    assert published.total() == len(inserted)
    assert published == stored_rows(server, schema, table, zoned=ZONED)


def test_what_is_stored_is_what_was_inserted(first):
    """Samples of values that Oracle or others might change: '' is NULL, CHAR is padded, instants are in UTC."""
    employees = {row["EMPLOYEE_ID"]: row for row in _published("EMPLOYEES").to_pylist()}
    assert (employees[102]["FIRST_NAME"], employees[103]["FIRST_NAME"]) == (None, " ")
    assert employees[102]["HIRE_DATE"] == prod.ROWS["HR", "EMPLOYEES"][2][4]
    contracts = {row["CONTRACT_ID"]: row for row in _published("CONTRACTS").to_pylist()}
    assert contracts[1]["REFERENCE"] == "AB-1        "
    assert (contracts[1]["BODY"], contracts[1]["SCAN"]) == ("x" * 100_000, b"\x00\x01" * 40_000)
    readings = {row["READING_ID"]: row for row in _published("SENSOR_READINGS").to_pylist()}
    assert readings[3]["RECEIVED_AT"] == prod.FAR_EAST
    assert repr((readings[1]["VALUE"], readings[3]["VALUE"], readings[3]["ERROR"])) == "(-0.0, nan, -0.0)"
    ledger = {row["ENTRY_ID"]: row for row in _published("LEDGER_ENTRIES").to_pylist()}
    assert ledger[10**38 - 1]["AMOUNT"] == prod.ROWS["FINANCE", "LEDGER_ENTRIES"][0][2]


def test_the_query_reads_what_it_selects(first):
    (row,) = _published("big_customers").to_pylist()
    assert tuple(row.values()) == prod.ROWS["CRM", "CUSTOMERS"][0]


def test_check_connect_finds_every_table_readable(here, capsys):
    code = app.run_command(["check", "--connect", "configs/prod.yml"])
    assert (code, capsys.readouterr().err) == (0, "")
