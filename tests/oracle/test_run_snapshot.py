"""One SCN for all tables of a run, although rows change between them."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import pytest

from statekeeper.errors import FailureKind
from statekeeper.run.report import Outcome
from tests.acceptance.pipeline import wait_until
from tests.oracle.pipelines import Lake, serving

SCOPE = {"snapshot_scope": "run"}
ORDERS = {"schema_name": "SALES", "table_name": "ORDERS", "chunking": {"target_rows": 200}}
CUSTOMERS = {"schema_name": "SALES", "table_name": "CUSTOMERS"}
QUERY = {"table_name": "BUYERS", "custom_query": "select distinct customer from sales.orders"}
ROWS = 1000


@pytest.fixture
def lake(tmp_path):
    with serving("SALES") as server:
        columns = [("ID", "NUMBER(9)"), ("CUSTOMER", "NUMBER(9)")]
        server.create_table("SALES", "ORDERS", columns, [(number, number % 10) for number in range(ROWS)])
        server.create_table("SALES", "CUSTOMERS", [("ID", "NUMBER(9)")], [(number,) for number in range(10)])
        for table in ("ORDERS", "CUSTOMERS"):
            server.set_table("SALES", table, ddl_time=datetime.now(UTC) - timedelta(hours=1))
        yield Lake(tmp_path, server)


def change(lake: Lake) -> None:
    """Another session writes to every table."""
    lake.server.insert("SALES", "ORDERS", [(9000, 9000)])
    lake.server.insert("SALES", "CUSTOMERS", [(9000,)])


def scns(lake: Lake) -> set[int]:
    """The SCNs in all queries that name one."""
    return {one["scn"] for one in lake.server.log() if one["scn"]}


def test_tables_are_read_at_one_scn_although_rows_change_between_them(lake):
    lake.configure(ORDERS, CUSTOMERS, QUERY, source=SCOPE)
    (first,) = lake.extractor.run(tables=["CUSTOMERS"]).tables
    assert first.outcome is Outcome.COMPLETED, first.reason
    change(lake)
    lake.server.advance_scn(1000)
    report = lake.run()
    assert report.exit_code == 0, report.tables
    queries = [one for one in lake.server.log() if one["scn"]]
    assert len({one["scn"] for one in queries}) == 1
    read = {one["action"].partition(" ")[0] for one in queries}
    assert read == {"SALES.ORDERS", "SALES.CUSTOMERS", "custom_query"}, "every table's queries, the query's too"
    assert lake.published("ORDERS").num_rows == ROWS
    assert sorted(lake.published("CUSTOMERS").column("ID").to_pylist()) == list(range(10))
    assert sorted(lake.published("BUYERS").column("CUSTOMER").to_pylist()) == list(range(10))
    kept = lake.cwd / "lake/_runs/ora-20260106_snapshots/ora/0001.json"
    assert f'"token": "{queries[0]["scn"]}"' in kept.read_text()


def test_a_run_right_after_a_truncate_and_load_takes_an_scn_that_works_for_every_table(lake):
    lake.configure(CUSTOMERS, ORDERS, source=SCOPE)
    lake.server.set_ddl_settles(3)
    for table in ("ORDERS", "CUSTOMERS"):
        lake.server.sql(f"TRUNCATE TABLE SALES.{table}")
    change(lake)
    report = lake.run()
    assert report.exit_code == 0, [table.failure for table in report.tables]
    assert len(scns(lake)) == 1
    assert (lake.published("ORDERS").num_rows, lake.published("CUSTOMERS").num_rows) == (1, 1)


def test_a_killed_run_is_resumed_at_its_scn_also_for_a_table_that_was_not_started(lake):
    lake.configure(ORDERS, CUSTOMERS, source=SCOPE, workers=1, execution={"workers": 1, "active_tables": 1})
    lake.server.fault("delay", match="AS OF SCN.*CHARTOROWID", seconds=0.3, times=None)
    process = lake.begin("run", "ora.yml", "--date", "2026-01-06", "--no-progress")
    wait_until(lambda: lake.receipts() or process.poll() is not None, what="a receipt")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lake.server.clear_faults()
    change(lake)
    resumed = lake.command("resume", "ora.yml", "--run-id", "ora-20260106")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert len(scns(lake)) == 1
    assert (lake.published("ORDERS").num_rows, lake.published("CUSTOMERS").num_rows) == (ROWS, 10)


def test_a_lost_scn_fails_its_table_until_all_are_forced_to_a_new_one(lake):
    lake.configure(ORDERS, CUSTOMERS, source=SCOPE)
    lake.server.fault("error", match="AS OF SCN.*CHARTOROWID", code=1555, skip=1)
    orders, customers = lake.run().tables
    assert (orders.outcome, customers.outcome) == (Outcome.FAILED, Outcome.COMPLETED)
    assert (orders.failure.kind, orders.failure.code) == (FailureKind.SNAPSHOT_LOST, "ORA-01555")
    assert f"`statekeeper run {lake.cwd / 'ora.yml'} --date 2026-01-06 --force-reprocess` takes a new snapshot" in (
        orders.failure.hint
    )
    assert "UNDO_RETENTION" in orders.failure.hint
    (old,) = scns(lake)
    change(lake)
    lake.server.advance_scn(1000)
    lake.server.clear_log()
    assert lake.run(force=True).exit_code == 0
    (new,) = scns(lake)
    assert new > old
    assert {lake.metadata(table)["snapshot"]["token"] for table in ("ORDERS", "CUSTOMERS")} == {str(new)}
    assert (lake.published("ORDERS").num_rows, lake.published("CUSTOMERS").num_rows) == (ROWS + 1, 11)
    lake.server.clear_log()
    assert [table.outcome for table in lake.run().tables] == [Outcome.SKIPPED] * 2
    assert lake.server.log() == []


def test_a_missing_grant_is_reported_for_each_table(lake):
    lake.server.create_user("POOR", "poor-secret", "scn")
    lake.configure(ORDERS, source={**SCOPE, "user": "POOR", "password": "poor-secret"})
    (table,) = lake.run().tables
    assert table.failure.hint == 'GRANT FLASHBACK ON "SALES"."ORDERS" TO POOR'
