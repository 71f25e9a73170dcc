"""What a count costs the database: access paths, time limits, parallel servers, rows that are not counted."""

from __future__ import annotations

import datetime as dt

import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.run.report import Outcome, TableReport
from tests.messages import says
from tests.oracle.pipelines import Lake, Warnings, serving

COLUMNS = [("ID", "NUMBER(9)", "NOT NULL"), ("AT", "TIMESTAMP(6)"), ("MADE", "DATE", "NOT NULL")]
DAY = dt.datetime(2026, 1, 6, 12)  # noqa: DTZ001 - a TIMESTAMP has no zone
ROWS = [(n, None if n % 10 == 0 else DAY + dt.timedelta(days=n % 3), DAY) for n in range(300)]


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
    table = {"schema_name": "SALES", "table_name": "EVENTS"} | ({"incremental_column": column} if column else {})
    path = lake.configure(table, source=source)
    for day in ["2026-01-05", "2026-01-06"] if column else ["2026-01-06"]:
        lake.server.clear_log()
        warnings = Warnings()
        extractor = StatefulDataExtractor.from_config(path, date=day, reporter=warnings)
        (report,) = extractor.run().tables
    return report, warnings


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
    assert lake.metadata("EVENTS")["validation"]["null_incremental_rows"] == 30
    assert not of_nulls(warnings), warnings.told
    assert [one["access"] for one in data(lake)][-1] == "TABLE ACCESS FULL"


@pytest.mark.parametrize("asked", [True, False])
def test_rows_without_a_value_of_a_not_null_column_are_not_counted(lake, asked):
    report, warnings = run(lake, column="MADE", count_nulls=asked)
    assert report.outcome is Outcome.COMPLETED, report.reason
    assert not of_nulls(warnings), warnings.told
    assert lake.metadata("EVENTS")["validation"]["null_incremental_rows"] == (0 if asked else None)
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
