"""Every command and every call of the Python API, once, with output in a bucket; in this process, on moto."""

from __future__ import annotations

import json
import shutil
from datetime import date

import duckdb
import obstore
import pyarrow.parquet as pq
import pytest

from statekeeper import DataExtractor, StatefulDataExtractor
from statekeeper.cli.app import run_command
from statekeeper.run.report import Outcome
from tests.object_servers import SECRET, keys_of, running

DAYS = ("2026-01-06", "2026-01-07", "2026-01-08")
LATE = "2026-01-06 23:30:00"
"""In the lookback of the second day."""


@pytest.fixture(scope="module")
def server():
    with running("moto") as server:
        yield server


@pytest.fixture
def shop(server, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("LAKE_SECRET", SECRET)
    return Shop(tmp_path, server, monkeypatch, capfd)


class Shop:
    """A database, its pipeline, and the bucket that it writes to."""

    def __init__(self, folder, server, monkeypatch, capfd):
        self.folder, self.monkeypatch, self.capfd = folder / "first", monkeypatch, capfd
        self.prefix = folder.name
        self.storage, self.bucket = (
            {**server.storage, "secret_access_key": "${LAKE_SECRET}", "retry_timeout": "1m"},
            server.bucket,
        )
        self.folder.mkdir()
        monkeypatch.chdir(self.folder)
        self.database = str(folder / "shop.duckdb")
        with duckdb.connect(self.database) as connection:
            connection.execute("create table customers as select i as id from range(7) t(i)")
            connection.execute(
                "create table orders as select i as id, timestamp '2026-01-06' + to_hours(i) as at from range(60) t(i)"
            )
            connection.execute(f"insert into orders values (1000, timestamp '{LATE}')")
        (self.folder / "shop.yml").write_text(
            "pipeline: shop\nroot: .\n"
            f"sources: {{shop: {{type: duckdb, path: {self.database}}}}}\n"
            f"output: {{base_path: 's3://lake/{folder.name}'}}\nexecution: {{workers: 2}}\n"
            f"storage: {json.dumps(self.storage)}\n"
            "tables:\n"
            "  - {table_name: customers, unique: [id], columns: {id: {type: int}}}\n"
            "  - {table_name: orders, incremental_column: at, incremental_timezone: UTC, lookback: 2h, unique: [id],\n"
            "     mark_taken_before: true}\n"
        )

    def move(self):
        """Go to another machine: nothing but the configuration."""
        other = self.folder.with_name("second")
        other.mkdir()
        shutil.move(self.folder / "shop.yml", other)
        self.monkeypatch.chdir(other)
        self.monkeypatch.setenv("HOME", str(other))

    def do(self, *arguments, code=0):
        self.capfd.readouterr()
        found = run_command(arguments)
        out, err = self.capfd.readouterr()
        assert SECRET not in out + err
        assert found == code, out + err
        return out

    def json(self, *arguments):
        return json.loads(self.do(*arguments, "--json"))

    def rows(self, table, day):
        """The rows of a table in one extraction, as its commit record names them."""
        folder = f"{self.prefix}/shop/{table}/{day[:7].replace('-', '')}/{day[8:]}"
        (record,) = [key for key in keys_of(self.bucket) if key.startswith(folder) and key.endswith("_metadata.json")]
        output = json.loads(bytes(obstore.get(self.bucket, record).bytes()))["output_path"]
        copy = self.folder / "copy.parquet"
        copy.write_bytes(bytes(obstore.get(self.bucket, output.removeprefix("s3://lake/")).bytes()))
        return pq.read_table(copy).to_pylist()


def test_every_command_works_on_an_object_store_and_from_another_machine(shop):
    assert shop.json("check", "shop.yml", "--connect")
    before = shop.json("plan", "shop.yml", "--date", DAYS[0])
    assert {table["verdict"] for table in before["tables"]} == {"start"}, before
    assert not [key for key in keys_of(shop.bucket) if key.startswith(shop.prefix)]
    first = shop.json("run", "shop.yml", "--date", DAYS[0])
    assert {table["outcome"] for table in first["tables"]} == {"completed"}
    filled = shop.json("backfill", "shop.yml", "--from", DAYS[0], "--to", DAYS[2])
    assert [table["outcome"] for run in filled["runs"] for table in run["tables"]] == ["skipped", *["completed"] * 2]
    marks = {row["id"]: row["taken_before"] for row in shop.rows("orders", DAYS[1])}
    assert {number for number, is_marked in marks.items() if is_marked} == {22, 23, 1000}
    assert set(range(22, 48)) | {1000} == set(marks)

    shop.move()
    assert shop.json("status", "shop.yml", "--date", DAYS[0])["state"] == "complete"
    assert "complete" in shop.do("status", "shop.yml", "--date", DAYS[0], "--watch", "--exit-code")
    assert shop.json("status", "shop.yml")["run_id"] == "shop-20260108"
    history = shop.json("history", "orders", "shop.yml")
    assert [each["extraction_date"] for each in history["extractions"]] == list(DAYS)
    verified = shop.json("verify", "shop.yml", "--date", DAYS[2])
    assert {table["outcome"] for table in verified["tables"]} == {"skipped"}
    forced = shop.json("run", "shop.yml", "--date", DAYS[1], "--force-reprocess", "--table", "orders")
    assert forced["tables"][0]["outcome"] == "completed"
    assert {row["id"] for row in shop.rows("orders", DAYS[1]) if row["taken_before"]} == {22, 23, 1000}
    shop.do("reset", "shop.yml", "--date", DAYS[0], "--table", "customers")
    resumed = shop.json("resume", "shop.yml", "--date", DAYS[0])
    assert {table["table"]["table_name"]: table["outcome"] for table in resumed["tables"]} == {
        "customers": "completed",
        "orders": "skipped",
    }
    assert shop.json("run", "shop.yml", "--date", DAYS[0], "--dry-run")
    assert "NULL" in shop.do("schemas", "diff", "shop.yml", code=1)
    assert shop.json("status")["state"] == "complete"


def test_every_call_of_the_python_api_works_on_an_object_store(shop):
    run = StatefulDataExtractor.from_config("shop.yml", date=DAYS[0])
    assert len(list(run.events())) > 2
    assert {table.outcome for table in run.verify().tables} == {Outcome.SKIPPED}
    assert run.status().tables
    assert run.preview().tables
    assert run.check_connections().tables
    assert run.history("customers").extractions
    assert run.reset(tables=["customers"]) == ("shop.customers",)
    assert run.reset_failed() == ()
    assert [table.outcome for table in run.resume(tables=["customers"]).tables] == [Outcome.COMPLETED]

    plain = DataExtractor(
        sources={"shop": {"type": "duckdb", "path": shop.database}},
        output_base_path="s3://lake/plain",
        storage={**shop.storage, "secret_access_key": SECRET},
    )
    day = date.fromisoformat(DAYS[0])
    assert plain.extract_table(source_name="shop", table_name="customers", extraction_date=day)
    orders = {"source_name": "shop", "table_name": "orders", "extraction_date": day}
    assert plain.extract_tables_parallel([orders]) == {"shop.orders": True}
