"""Windows of whole numbers over the wire: bounds are numbers, and the greatest one is read at the snapshot."""

from __future__ import annotations

import json

import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.run.report import Outcome
from tests.messages import is_silent, says
from tests.oracle.pipelines import Lake, Warnings, serving

BIG = 10**37
LIMITED = {"user": "LIMITED", "password": "limited-secret"}
"""May not read which transactions are open."""


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        server.create_table("SALES", "EVENTS", [("ID", "NUMBER(12)"), ("BIG", "NUMBER(38)"), ("ANY", "NUMBER")], [])
        server.create_index("SALES", "EVENTS", "ID")
        yield server


@pytest.fixture
def lake(tmp_path, server):
    server.sql("DELETE FROM EVENTS", "SALES")
    server.clear_log()
    return Lake(tmp_path, server)


def table_of(column: str = "ID", **keys: object):
    columns: dict[str, dict[str, object]] = {
        "ID": {"type": "int", "nullable": True},
        "BIG": {"type": "decimal", "max_digits": 38, "decimal_places": 0, "nullable": True},
        "ANY": {"type": "decimal", "max_digits": 20, "decimal_places": 2, "nullable": True},
    }
    table = {"schema_name": "SALES", "table_name": "EVENTS", "incremental_column": column, "window": "watermark"}
    return {**table, "columns": columns, **keys}


def extract(lake: Lake, day: int, column: str = "ID", **keys: object):
    path = lake.configure(table_of(column, **keys))
    warnings = Warnings()
    extractor = StatefulDataExtractor.from_config(path, date=f"2026-01-{day:02}", reporter=warnings)
    (report,) = extractor.run().tables
    return report, warnings


def window(lake: Lake, day: int):
    path = lake.output("EVENTS").parents[1] / f"{day:02}/ora-202601{day:02}_metadata.json"
    record = json.loads(path.read_text())
    scope = record["table_config"]["scope"]
    return record["record_count"], scope["covered_from"], scope["watermark"]


@pytest.mark.parametrize("column", ["ID", "BIG"])
def test_windows_of_numbers_follow_each_other(lake, server, column):
    offset = 0 if column == "ID" else BIG
    server.insert("SALES", "EVENTS", [(number, BIG + number, None) for number in (1, 2, 5)])
    server.insert("SALES", "EVENTS", [(None, None, None)])
    assert extract(lake, 4, column)[0].outcome is Outcome.COMPLETED
    assert window(lake, 4) == (4, None, offset + 6)
    assert extract(lake, 5, column)[0].outcome is Outcome.COMPLETED
    assert window(lake, 5) == (0, offset + 6, offset + 6)
    server.insert("SALES", "EVENTS", [(number, BIG + number, None) for number in (6, 8)])
    server.clear_log()
    report, warnings = extract(lake, 7, column)
    assert report.outcome is Outcome.COMPLETED, report.failure
    assert window(lake, 7) == (2, offset + 6, offset + 9)
    assert any(says(text, "plan.late_numbers", column=column) for text in warnings.told)
    (greatest,) = (one["sql"] for one in server.log() if "MAX(" in one["sql"])
    assert "AS OF SCN" in greatest
    if column == "ID":
        read = [one for one in server.log() if " chunk " in (one["action"] or "") and '"ID" >= ' in one["sql"]]
        assert {one["access"] for one in read} == {"INDEX RANGE SCAN"}
    refused, _ = extract(lake, 6, column)
    assert refused.failure is not None
    assert says(refused.failure.message, "plan.date_has_no_numbers", newest="ora-20260107 of 2026-01-07")


def test_an_empty_table_begins_below_every_number(lake, server):
    assert extract(lake, 4, "BIG")[0].outcome is Outcome.COMPLETED
    assert window(lake, 4) == (0, None, -(10**38))
    server.insert("SALES", "EVENTS", [(1, -(10**38) + 1, None), (2, 10**38 - 1, None)])
    assert extract(lake, 5, "BIG")[0].outcome is Outcome.COMPLETED
    assert window(lake, 5) == (2, -(10**38), 10**38)


def test_a_number_that_may_have_decimals_is_refused(lake):
    report, _ = extract(lake, 4, "ANY")
    assert report.failure is not None
    assert says(report.failure.message, "plan.neither_times_nor_numbers", column="ANY")


def test_a_check_speaks_of_late_numbers_and_not_of_open_transactions(lake, server):
    server.create_user(LIMITED["user"], LIMITED["password"])
    server.grant("FLASHBACK ANY TABLE", LIMITED["user"])
    path = lake.configure(table_of(), source=LIMITED)
    (checked,) = StatefulDataExtractor.from_config(path).check_connections().tables
    told = "\n".join(checked.notes)
    assert says(told, "plan.late_numbers", column="ID")
    assert is_silent(told, "plan.late_commits_are_missed")
