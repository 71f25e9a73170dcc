"""Keys of Oracle tables: unique columns and references, at one SCN, over worker processes."""

from __future__ import annotations

import json

import pytest

from statekeeper.errors import FailureKind
from statekeeper.run.report import Outcome
from tests.messages import says
from tests.oracle.pipelines import Lake, serving

CUSTOMERS = {
    "schema_name": "SALES",
    "table_name": "CUSTOMERS",
    "unique": ["id", ["COUNTRY", "NAME"]],
    "chunking": {"target_rows": 100},
}
ORDERS = {
    "schema_name": "SALES",
    "table_name": "ORDERS",
    "unique": ["ID"],
    "references": [
        {"columns": "CUSTOMER", "table": "sales.customers", "to": "ID"},
        {"columns": "REPLACES", "table": "ORDERS", "to": "ID"},
    ],
    "chunking": {"target_rows": 200},
}
ROWS = 1000
PARENTS = 300


@pytest.fixture
def lake(tmp_path):
    with serving("SALES") as server:
        # The same numbers in three declarations, which become three types in the files.
        columns = [("ID", "NUMBER(9)"), ("CUSTOMER", "NUMBER"), ("REPLACES", "NUMBER(20)")]
        rows = [(number, number % PARENTS, number - 1 if number else None) for number in range(ROWS)]
        server.create_table("SALES", "ORDERS", columns, rows)
        columns = [("ID", "NUMBER(12)"), ("COUNTRY", "CHAR(2)"), ("NAME", "VARCHAR2(40)")]
        rows = [(number, "ES" if number % 2 else None, f"name {number // 2}") for number in range(PARENTS)]
        server.create_table("SALES", "CUSTOMERS", columns, rows)
        lake = Lake(tmp_path, server)
        lake.configure(ORDERS, CUSTOMERS, source={"snapshot_scope": "run"})
        yield lake


def violations(lake: Lake, table: str) -> list[dict]:
    path = lake.output(table).with_name("ora-20260106_violations.json")
    return json.loads(path.read_text())["violations"]


def test_orders_and_customers_after_the_snapshot_are_not_seen(lake):
    (customers,) = lake.extractor.run(tables=["CUSTOMERS"]).tables
    assert customers.outcome is Outcome.COMPLETED, customers.reason
    lake.server.insert("SALES", "CUSTOMERS", [(9000, "ES", "late")])
    lake.server.insert("SALES", "ORDERS", [(9000, 9000, None)])
    orders, customers = lake.run().tables
    assert (orders.outcome, customers.outcome) == (Outcome.COMPLETED, Outcome.SKIPPED), orders.reason
    assert lake.published("ORDERS").num_rows == ROWS
    assert len({one["scn"] for one in lake.server.log() if one["scn"]}) == 1
    assert lake.metadata("ORDERS")["validation"]["checks"] == 3


def test_rows_that_break_keys_are_reported_and_the_command_says_what_to_do(lake):
    lake.server.insert("SALES", "ORDERS", [(9000, 9000, 12345), (1, 1, None)])
    lake.server.insert("SALES", "CUSTOMERS", [(9001, "ES", "name 7"), (9002, None, "name 7")])
    ran = lake.command("run", "ora.yml", "--date", "2026-01-06")
    said = " ".join((ran.stdout + ran.stderr).split())
    assert ran.returncode == 1, said
    assert (
        "ora.SALES.ORDERS: 3 of 1,002 rows break a key: ID unique (2), CUSTOMER references (1), REPLACES references (1)"
        in said
    )
    assert "ora.SALES.CUSTOMERS: 2 of 302 rows break a key: COUNTRY, NAME unique (2)" in said
    by_id, by_customer, by_replaced = violations(lake, "ORDERS")
    assert {sample["message"] for sample in by_id["samples"]} == {"ID=1 is in 2 rows"}
    assert by_customer["samples"][0]["message"] == ("CUSTOMER=9000 is in no row of ora.SALES.CUSTOMERS (ID)")
    assert by_replaced["samples"][0]["message"] == "REPLACES=12345 is in no row of ora.SALES.ORDERS (ID)"
    (by_pair,) = violations(lake, "CUSTOMERS")
    assert (by_pair["columns"], by_pair["count"]) == (["COUNTRY", "NAME"], 2), "where one is NULL there is no other"
    assert not lake.output("ORDERS").exists()


def test_a_parent_whose_snapshot_is_lost_leaves_its_child_extracted_until_all_are_forced(lake):
    lake.server.fault("error", match="SALES.*CUSTOMERS.*AS OF SCN.*CHARTOROWID", code=1555)
    orders, customers = lake.run().tables
    assert customers.failure is not None
    assert customers.failure.kind is FailureKind.SNAPSHOT_LOST
    assert orders.failure is not None
    assert orders.failure.kind is FailureKind.PARENT_MISSING
    assert says(
        orders.failure.message, "validate.no_rows_of_the_parent", parent="ora.SALES.CUSTOMERS", why="it failed (..."
    )
    lake.server.insert("SALES", "CUSTOMERS", [(9000, "ES", "late")])
    lake.server.insert("SALES", "ORDERS", [(9000, 9000, None)])
    assert lake.run(force=True).exit_code == 0
    assert lake.published("ORDERS").num_rows == ROWS + 1
