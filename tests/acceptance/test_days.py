"""Incremental extraction over several days: a first load up to the end of its day, then windows that tile the rest."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from tests.messages import says

from .pipeline import Workplace

_CONFIG = """\
pipeline: nightly
sources:
  shop: {type: duckdb, path: shop.duckdb}
output: {base_path: data}
execution: {workers: 2, memory_limit: 256MiB}
tables:
  - {table_name: events, incremental_column: changed_at, incremental_timezone: UTC, is_full_extract: false}
"""
_EVENTS = {
    1: "2026-01-05 12:00:00",
    2: "2026-01-05 23:59:59.999999",
    3: "2026-01-06 00:00:00",
    4: "2026-01-06 18:00:00",
    5: "2026-01-06 23:59:59.999999",
    6: "2026-01-07 00:00:00",
    7: "2026-01-07 20:00:00",
    8: "2026-01-08 01:00:00",
    9: None,
    10: None,
}


class _Days:
    def __init__(self, work):
        self.work = work

    def run(self, day, *options):
        return self.work.run("run", "nightly.yml", "--date", day, *options)

    def path(self, day, suffix=".parquet"):
        year, month, number = day.split("-")
        return self.work.folder / f"data/shop/events/{year}{month}/{number}/nightly-{year}{month}{number}{suffix}"

    def ids(self, day):
        with duckdb.connect() as connection:
            rows = connection.execute("select id from read_parquet(?) order by id", [str(self.path(day))]).fetchall()
        return [number for (number,) in rows]

    def document(self, day, name):
        return json.loads(self.path(day, f"_{name}.json").read_text())

    def nulls(self, day):
        validation = self.document(day, "metadata")["validation"]
        return validation["null_incremental_rows"], validation["untaken_null_rows"]

    def extracted(self, day, *options):
        run = self.run(day, *options)
        assert run.returncode == 0, run.stderr
        return self.ids(day)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A pipeline whose first day was extracted; tests take copies."""
    work = Workplace.make(tmp_path_factory.mktemp("days") / "work", rows=0, config=_CONFIG)
    rows = ", ".join(f"({number}, {repr(at) if at else 'null'}::timestamp)" for number, at in _EVENTS.items())
    work.sql(f"create table events as select * from (values {rows}) as v(id, changed_at)")
    assert _Days(work).extracted("2026-01-05") == [1, 2, 9, 10], "with the rows that have no time"
    return work


@pytest.fixture
def days(template, tmp_path):
    return _Days(template.copy_to(tmp_path / "work"))


def test_the_first_day_takes_what_is_before_and_later_days_are_half_open_windows(days):
    assert days.document("2026-01-05", "state")["scope"]["mode"] == "full"
    assert days.extracted("2026-01-06") == [3, 4, 5]
    assert days.extracted("2026-01-07") == [6, 7]
    scope = days.document("2026-01-07", "metadata")["table_config"]["scope"]
    assert scope["mode"] == "incremental"
    assert (scope["window"]["start"], scope["window"]["end"]) == (
        "2026-01-07T00:00:00+00:00",
        "2026-01-08T00:00:00+00:00",
    )
    # What was decided at the first plan is kept: each day again takes its own rows.
    days.work.sql(
        "insert into events values (11, timestamp '2026-01-05 08:00:00'), (12, timestamp '2026-01-06 08:00:00')"
    )
    assert days.extracted("2026-01-05", "--force-reprocess") == [1, 2, 9, 10, 11]
    assert days.extracted("2026-01-06", "--force-reprocess") == [3, 4, 5, 12]
    assert days.ids("2026-01-07") == [6, 7]


def test_a_night_that_was_missed_comes_with_the_next_one(days):
    assert days.extracted("2026-01-08") == [3, 4, 5, 6, 7, 8]
    refused = days.run("2026-01-07")
    assert refused.returncode == 1
    assert "already in other extractions: nightly-20260108 of 2026-01-08" in refused.stderr
    assert not days.path("2026-01-07").exists()


def test_days_in_any_order_take_every_row_once(days):
    taken = [*days.ids("2026-01-05")]
    for day in ("2026-01-07", "2026-01-06", "2026-01-09", "2026-01-08"):
        if days.run(day).returncode == 0:
            taken += days.ids(day)
    assert sorted(taken) == list(_EVENTS)


def test_a_first_load_in_the_middle_of_its_day_leaves_the_rest_of_it_to_the_next_window(tmp_path):
    work = Workplace.make(tmp_path / "work", rows=0, config=_CONFIG)
    days, now = _Days(work), datetime.now(UTC)
    yesterday, today = now - timedelta(days=1), f"{now:%Y-%m-%d}"
    work.sql(
        "create table events as select * from (values (1, timestamp '2026-01-01'), "
        f"(2, timestamp '{yesterday:%Y-%m-%d %H:%M:%S}'), "
        f"(3, timestamp '{now + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}')) as v(id, changed_at)"
    )
    assert days.extracted(today) == [1, 2], "row 3 has a time after the snapshot"
    scope = days.document(today, "state")["scope"]
    assert now <= datetime.fromisoformat(scope["watermark"]) <= datetime.now(UTC)


def test_rows_without_a_time_are_counted_and_those_in_no_extraction_are_reported(days):
    first = days.run("2026-01-06")
    assert first.returncode == 0
    assert "have no value" not in first.stderr
    assert days.nulls("2026-01-05") == (2, 0), "the first load took them"
    assert days.nulls("2026-01-06") == (2, 0)
    days.work.sql("insert into events values (20, null), (21, null), (22, null)")
    warned = days.run("2026-01-07")
    assert warned.returncode == 0
    assert says(warned.stderr, "extract.untaken_null_rows", rows=3, column="changed_at")
    assert days.nulls("2026-01-07") == (5, 3)
    assert says(days.work.run("status").stdout, "extract.rows_in_no_extraction", rows=3)
    days.work.sql("update events set changed_at = timestamp '2026-01-08 10:00:00' where id in (9, 20)")
    assert says(days.run("2026-01-08").stderr, "extract.untaken_null_rows", rows=1), "at least: 3 are left of 2 and 3"
    assert days.nulls("2026-01-08") == (3, 1)
    assert days.ids("2026-01-08") == [8, 9, 20]


def test_rows_without_a_time_fail_a_table_until_the_first_load_has_them(days):
    days.work.configure(_CONFIG.replace("changed_at,", "changed_at, null_rows: fail,"))
    days.work.sql("insert into events values (20, null)")
    failed = days.run("2026-01-06")
    assert failed.returncode == 1
    failure = days.work.tables()["events"]["failure"]
    assert says(failure["message"], "extract.untaken_null_rows", rows=1)
    assert says(failure["hint"], "extract.give_them_a_value")
    assert not days.path("2026-01-06").exists()
    assert days.extracted("2026-01-05", "--force-reprocess") == [1, 2, 9, 10, 20]
    assert days.extracted("2026-01-06") == [3, 4, 5]
    assert days.nulls("2026-01-06") == (3, 0)


def test_ignored_rows_without_a_time_are_not_counted(days):
    days.work.configure(_CONFIG.replace("changed_at,", "changed_at, null_rows: ignore,"))
    days.work.sql("insert into events values (20, null)")
    run = days.run("2026-01-06")
    assert run.returncode == 0
    assert "have no value" not in run.stderr
    assert days.nulls("2026-01-06") == (None, None)
    days.work.configure(_CONFIG)
    assert says(days.run("2026-01-07").stderr, "extract.no_incremental_value", rows=3), "unknown: 01-06 counted none"
    assert "have no value" not in days.run("2026-01-08").stderr


def test_a_window_that_has_not_ended_is_refused_unless_allowed(days):
    now = datetime.now(UTC)
    today = f"{now:%Y-%m-%d}"
    days.work.sql(f"insert into events values (20, timestamp '{now - timedelta(seconds=1):%Y-%m-%d %H:%M:%S}')")
    refused = days.run(today)
    assert refused.returncode == 1
    failure = days.work.tables()["events"]["failure"]
    assert failure["kind"] == "plan"
    assert says(failure["message"], "plan.window_ends_after_the_snapshot")
    assert "allow_open_window" in failure["hint"]
    assert not days.path(today).exists()
    days.work.configure(_CONFIG.replace("changed_at,", "changed_at, allow_open_window: true,"))
    assert days.extracted(today) == [3, 4, 5, 6, 7, 8, 20], "and the days in between, which nobody has taken"
    end = datetime.fromisoformat(days.document(today, "state")["scope"]["window"]["end"])
    assert now <= end <= datetime.now(UTC)


def test_lookback_reaches_back_for_late_rows(days):
    days.work.configure(_CONFIG.replace("changed_at,", "changed_at, lookback: 1h,"))
    assert days.extracted("2026-01-06") == [2, 3, 4, 5]
    # A window that is configured otherwise is another window: the next run decides it anew, and says why.
    days.work.configure(_CONFIG.replace("changed_at,", "changed_at, lookback: 13h,"))
    again = days.run("2026-01-06")
    assert again.returncode == 0, again.stderr
    assert says(again.stderr, "run.configuration_changed", keys="window")
    assert days.ids("2026-01-06") == [1, 2, 3, 4, 5]
