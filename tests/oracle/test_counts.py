"""What a count costs the database: access paths, time limits, parallel servers, rows that are not counted."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.run.report import Outcome, TableReport
from tests.messages import says
from tests.oracle.pipelines import Lake, Warnings, serving
from tests.oracle_server import OracleServer

COLUMNS = [
    ("ID", "NUMBER(9)", "NOT NULL"),
    ("AT", "TIMESTAMP(6)"),
    ("MADE", "DATE", "NOT NULL"),
    ("NOTE", "VARCHAR2(9)"),
]
DAY = dt.datetime(2026, 1, 6, 12)  # noqa: DTZ001 - a TIMESTAMP has no zone
ROWS = [(n, None if n % 10 == 0 else DAY + dt.timedelta(days=n % 3), DAY, None) for n in range(300)]


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        server.create_table("SALES", "EVENTS", COLUMNS, ROWS)
        for column in ("AT", "MADE"):
            server.create_index("SALES", "EVENTS", column)
        yield server


@pytest.fixture
def lake(tmp_path, server):
    server.clear_log()
    server.clear_faults()
    return Lake(tmp_path, server)


def run(lake: Lake, *, column: str | None = None, **source: object) -> tuple[TableReport, Warnings]:
    """A full extraction of the table; with a `column`, then its window of the next day."""
    table = {"schema_name": "SALES", "table_name": "EVENTS"}
    if column:
        table |= {"incremental_column": column, "incremental_timezone": "UTC"}
    path = lake.configure(table, source=source)
    for day in ["2026-01-05", "2026-01-06"] if column else ["2026-01-06"]:
        lake.server.clear_log()
        warnings = Warnings()
        extractor = StatefulDataExtractor.from_config(path, date=day, reporter=warnings)
        (report,) = extractor.run().tables
    return report, warnings


def windows(lake: Lake, *days: str, column: str = "AT", **table: object) -> tuple[TableReport, Warnings]:
    """The extractions of the table at these days, the first of which is a first load."""
    names = {"schema_name": "SALES", "table_name": "EVENTS", "incremental_column": column}
    path = lake.configure({**names, "incremental_timezone": "UTC", **table})
    for day in days:
        lake.server.clear_log()
        warnings = Warnings()
        (report,) = StatefulDataExtractor.from_config(path, date=day, reporter=warnings).run().tables
    return report, warnings


@contextmanager
def an_index(server: OracleServer, *parts: str) -> Iterator[None]:
    server.create_index("SALES", "EVENTS", *parts)
    try:
        yield
    finally:
        server.drop_index("SALES", "EVENTS", *parts)


def null_counts(lake: Lake, run_id: str = "ora-20260106") -> dict:
    path = lake.output("EVENTS").parents[1] / run_id[-2:] / f"{run_id}_metadata.json"
    validation = json.loads(path.read_text())["validation"]
    return {name: validation[name] for name in ("null_incremental_rows", "untaken_null_rows")}


def of_nulls(warnings: Warnings) -> bool:
    return any("not counted" in message for message in warnings.told)


def counts(lake: Lake) -> list[dict]:
    return [one for one in lake.server.log() if one["sql"].startswith("SELECT COUNT") and '"EVENTS"' in one["sql"]]


def data(lake: Lake) -> list[dict]:
    """The counts that read rows."""
    return [one for one in counts(lake) if "1 = 0" not in one["sql"]]


def test_a_window_is_counted_by_its_index_and_never_by_reading_the_whole_table(lake):
    report, warnings = run(lake, column="AT")
    assert report.outcome is Outcome.COMPLETED, report.reason
    assert {one["access"] for one in data(lake)} == {"INDEX RANGE SCAN"}
    assert of_nulls(warnings), warnings.told


def test_rows_without_a_value_are_counted_on_request(lake):
    _, warnings = run(lake, column="AT", count_nulls=True)
    assert null_counts(lake) == {"null_incremental_rows": 30, "untaken_null_rows": 0}
    assert not of_nulls(warnings), warnings.told
    assert [one["access"] for one in data(lake)][-1] == "TABLE ACCESS FULL"


def test_a_first_load_counts_the_rows_without_a_value_as_it_counts_the_others(lake):
    windows(lake, "2026-01-05")
    assert null_counts(lake, "ora-20260105") == {"null_incremental_rows": 30, "untaken_null_rows": 0}
    (counted,) = (one for one in data(lake) if one["action"] == "SALES.EVENTS count")
    assert "COUNT(*) - COUNT(" in counted["sql"]


@pytest.mark.parametrize("part", ["0", "'x'", "ID"])
def test_rows_without_a_value_are_counted_by_an_index_that_has_them(lake, server, part):
    with an_index(server, "AT", part):
        _, warnings = windows(lake, "2026-01-05", "2026-01-06")
    assert null_counts(lake) == {"null_incremental_rows": 30, "untaken_null_rows": 0}
    assert not of_nulls(warnings), warnings.told
    assert {one["access"] for one in data(lake)} == {"INDEX RANGE SCAN"}


@pytest.mark.parametrize("parts", [("NOTE", "AT", "0"), ("AT", "NOTE"), ("AT", "NULL")])
def test_an_index_without_these_rows_does_not_count(lake, server, parts):
    with an_index(server, *parts):
        _, warnings = windows(lake, "2026-01-05", "2026-01-06")
    assert null_counts(lake) == {"null_incremental_rows": None, "untaken_null_rows": None}
    assert of_nulls(warnings), warnings.told


def test_ignored_rows_without_a_value_are_neither_counted_nor_reported(lake, server):
    with an_index(server, "AT", "0"):
        _, warnings = windows(lake, "2026-01-05", "2026-01-06", null_rows="ignore")
    assert null_counts(lake) == {"null_incremental_rows": None, "untaken_null_rows": None}
    assert not of_nulls(warnings), warnings.told


def test_a_table_that_must_have_no_such_rows_is_refused_at_its_first_plan_if_they_cannot_be_counted(lake, server):
    report, _ = windows(lake, "2026-01-05", null_rows="fail")
    assert report.failure is not None
    assert says(report.failure.message, "plan.null_rows_cannot_be_counted", column="AT")
    index = 'CREATE INDEX <name> ON "SALES"."EVENTS" ("AT", 0), or '
    assert says(report.failure.hint, "oracle.count_null_rows_by_an_index", index=index)
    with an_index(server, "AT", "0"):
        report, _ = windows(lake, "2026-01-05", "2026-01-06", null_rows="fail")
    assert report.outcome is Outcome.COMPLETED, report.failure


def test_new_rows_without_a_value_fail_or_are_warned_of(lake, server):
    with an_index(server, "AT", "0"):
        windows(lake, "2026-01-05", null_rows="fail")
        server.insert("SALES", "EVENTS", [(999, None, DAY, None)])
        try:
            failed, _ = windows(lake, "2026-01-06", null_rows="fail")
            warned, warnings = windows(lake, "2026-01-06", null_rows="count")
        finally:
            server.sql("DELETE FROM EVENTS WHERE ID = 999", "SALES")
    assert failed.failure is not None
    assert says(failed.failure.message, "extract.untaken_null_rows", rows=1, column="AT")
    assert says(failed.failure.hint, "extract.give_them_a_value")
    assert warned.outcome is Outcome.COMPLETED, warned.failure
    assert any(says(text, "extract.untaken_null_rows", rows=1) for text in warnings.told)
    assert null_counts(lake) == {"null_incremental_rows": 31, "untaken_null_rows": 1}


@pytest.mark.parametrize("asked", [True, False])
def test_rows_without_a_value_of_a_not_null_column_are_not_counted(lake, asked):
    report, warnings = run(lake, column="MADE", count_nulls=asked)
    assert report.outcome is Outcome.COMPLETED, report.reason
    assert not of_nulls(warnings), warnings.told
    assert null_counts(lake) == {"null_incremental_rows": 0, "untaken_null_rows": 0}
    assert {one["access"] for one in data(lake)} == {"INDEX RANGE SCAN"}


def test_a_count_may_take_longer_than_any_other_call(lake):
    lake.server.fault("delay", match="COUNT.*EVENTS", action="SALES.EVENTS count", seconds=1.5, times=None)
    report, _ = run(lake, call_timeout="700ms")
    assert report.outcome is Outcome.COMPLETED, report.reason
    assert lake.server.fired() == ["delay"]


def test_a_count_that_exceeds_its_time_limit_is_not_retried(lake):
    lake.server.fault("delay", match="COUNT.*EVENTS", action="SALES.EVENTS count", seconds=3, times=None)
    report, _ = run(lake, count_timeout="300ms")
    assert report.outcome is Outcome.FAILED
    assert report.failure is not None
    assert says(report.failure.message, "oracle.count_took_too_long", limit="300ms")
    assert says(report.failure.hint, "oracle.raise_count_timeout")
    assert len([one for one in data(lake) if one["action"] == "SALES.EVENTS count"]) == 1


def test_only_counts_run_in_parallel_and_only_if_configured(lake):
    report, _ = run(lake, count_parallel=8)
    assert report.outcome is Outcome.COMPLETED, report.reason
    assert {one["parallel"] for one in data(lake)} == {8}
    queries = [one for one in lake.server.log() if one["sql"].startswith("SELECT")]
    assert all(one["parallel"] == 0 for one in queries if one not in data(lake))
