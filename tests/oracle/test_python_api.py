"""The plain Python classes on an Oracle database: extract once, skip, force; as the programs that use them expect."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from statekeeper.api import DataExtractor
from statekeeper.runtime.progress import NullReporter
from tests.messages import says
from tests.oracle_server import OracleServer

DAY = "2026-01-06"


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"APP": "secret"}) as server:
        columns = [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(40)"), ("UPDATED_AT", "DATE")]
        server.create_table("APP", "CUSTOMERS", columns, [], primary_key=["ID"])
        server.create_table("APP", "ORDERS", columns, [], primary_key=["ID"])
        server.insert("APP", "CUSTOMERS", [(1, "one", None), (2, None, None)])
        days = [datetime(2026, 1, day) for day in (5, 6)]  # noqa: DTZ001 - a DATE has no zone
        server.insert("APP", "ORDERS", [(1, "early", days[0]), (2, "that day", days[1])])
        yield server


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _extractor(server, **options):
    return DataExtractor(
        oracle_host=server.host,
        oracle_port=server.port,
        oracle_service=server.service,
        oracle_user="APP",
        oracle_password=options.pop("password", "secret"),
        output_base_path="lake",
        reporter=NullReporter(),
        **options,
    )


def _file(source, table, day="202601/06", run_id="extract-20260106"):
    return Path("lake") / source / table / day / f"{run_id}.parquet"


def _selects(server, table):
    return [one for one in server.log() if f'"{table}"' in one["sql"] and "COUNT" not in one["sql"].upper()]


def test_the_source_name_is_a_free_name_for_the_folder(server, here):
    extractor = _extractor(server)
    for name in ("oracle_db", "crm"):
        assert extractor.extract_table(source_name=name, table_name="customers", extraction_date=DAY) is True
        rows = pq.read_table(_file(name, "customers")).to_pylist()
        assert sorted((row["ID"], row["NAME"]) for row in rows) == [(1, "one"), (2, None)]


def test_a_second_call_verifies_and_reads_no_row(server, here):
    def extract():
        return _extractor(server).extract_table(
            source_name="db", schema_name="APP", table_name="CUSTOMERS", extraction_date=DAY, is_full_extract=True
        )

    assert extract()
    before = _file("db", "CUSTOMERS").stat()
    server.clear_log()
    assert extract()
    assert _selects(server, "CUSTOMERS") == []
    after = _file("db", "CUSTOMERS").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_force_reprocess_reads_again(server, here):
    table = {"source_name": "db", "table_name": "CUSTOMERS", "extraction_date": DAY}
    assert _extractor(server).extract_table(**table)
    server.clear_log()
    assert _extractor(server).extract_table(**table, force_reprocess=True)
    assert _selects(server, "CUSTOMERS") != []
    state = json.loads(_file("db", "CUSTOMERS").with_name("extract-20260106_state.json").read_text())
    assert "--force-reprocess" in json.dumps(state)


def test_an_incremental_table_has_a_first_load_and_then_days(server, here):
    def rows(day, **keys):
        assert _extractor(server).extract_table(
            source_name="db",
            table_name="ORDERS",
            incremental_column="UPDATED_AT",
            incremental_timezone="UTC",
            extraction_date=day,
            **keys,
        )
        where = _file("db", "ORDERS", f"{day[:4]}{day[5:7]}/{day[8:]}", f"extract-{day.replace('-', '')}")
        return sorted(row["NAME"] for row in pq.read_table(where).to_pylist())

    assert rows("2026-01-05") == ["early"]
    assert rows("2026-01-06", is_full_extract=False) == ["that day"]


def test_concurrent_tables_are_distinguished_by_their_keys(server, here):
    tables = [
        {"source_name": "db", "schema_name": "APP", "table_name": "CUSTOMERS", "extraction_date": DAY},
        {"source_name": "db", "table_name": "ORDERS", "extraction_date": DAY},
        {"source_name": "db", "table_name": "NOPE", "extraction_date": DAY},
    ]
    expected = {"db.APP.CUSTOMERS": True, "db.ORDERS": True, "db.NOPE": False}
    assert _extractor(server).extract_tables_parallel(tables) == expected
    assert _extractor(server).extract_tables_parallel(tables, force_reprocess=True) == expected


def test_a_wrong_password_is_tried_once_and_stored_nowhere(server, here):
    extractor = _extractor(server, password="not the password")
    before = len(server.logons())
    tables = [{"source_name": "db", "table_name": name, "extraction_date": DAY} for name in ("CUSTOMERS", "ORDERS")]
    assert extractor.extract_tables_parallel(tables) == {"db.CUSTOMERS": False, "db.ORDERS": False}
    assert len(server.logons()) - before == 1
    assert "not the password" not in repr(vars(extractor))
    assert not [path for path in here.rglob("*") if path.is_file() and b"not the password" in path.read_bytes()]


def test_one_database_under_several_names_has_one_first_login_and_one_budget(server, here):
    tables = [
        {"source_name": name, "table_name": table, "path_name": table.lower(), "extraction_date": DAY}
        for name in ("a", "b", "c")
        for table in ("CUSTOMERS", "ORDERS")
    ]
    refused = _extractor(server, password="not the password")
    before = len(server.logons())
    assert set(refused.extract_tables_parallel(tables).values()) == {False}
    assert len(server.logons()) - before == 1
    server.clear_log()
    extractor = _extractor(server, execution={"workers": 2})
    assert set(extractor.extract_tables_parallel(tables).values()) == {True}
    assert server.most_sessions() <= 2
    assert len([one for one in server.logons() if not one["error"]]) <= 2


def test_the_command_extracts_one_table_and_skips_it(server, here):
    environ = {
        "ORACLE_HOST": server.host,
        "ORACLE_PORT": str(server.port),
        "ORACLE_SERVICE": server.service,
        "ORACLE_USER": "APP",
        "ORACLE_PASSWORD": "secret",
    }
    words = ["--source-name", "db", "--schema-name", "APP", "--table-name", "CUSTOMERS", "--output", "lake"]
    for result in ("completed", "skipped"):
        done = _command(*words, environ=environ)
        assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr
        assert f"db.APP.CUSTOMERS  {result}" in done.stdout


def test_a_password_among_the_arguments_works_and_is_warned_about(server, here):
    words = ["--host", server.host, "--port", str(server.port), "--service", server.service]
    words += ["--user", "APP", "--password", "secret", "--source-name", "db", "--table-name", "CUSTOMERS"]
    done = _command(*words)
    assert done.returncode == 0
    assert says(done.stderr, "cli.password_is_shown")
    assert "secret" not in done.stdout + done.stderr
    assert list(Path("data/db/CUSTOMERS").rglob("*.parquet"))


def test_the_command_ends_with_4_where_the_login_is_refused(server, here):
    words = ["--host", server.host, "--port", str(server.port), "--service", server.service, "--user", "APP"]
    words += ["--source-name", "db", "--table-name", "CUSTOMERS"]
    done = _command(*words, environ={"ORACLE_PASSWORD": "wrong"})
    assert done.returncode == 4
    assert "ORA-01017" in done.stdout


def _command(*words, environ=None):
    import os

    program = "from statekeeper.cli.data_extractor import main; main()"
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, env=os.environ | (environ or {}), capture_output=True, text=True, check=False)
