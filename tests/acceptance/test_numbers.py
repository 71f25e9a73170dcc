"""Incremental extraction by whole numbers over several days, through the command line."""

from __future__ import annotations

import json

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
  - {table_name: events, incremental_column: id, window: watermark}
"""


class Numbers:
    """A table of whole numbers, and its extractions."""

    def __init__(self, work: Workplace) -> None:
        self.work = work

    def insert(self, *numbers: int | str) -> None:
        self.work.sql(f"insert into events values {', '.join(f'({number})' for number in numbers)}")

    def run(self, day: int, *options: str):
        return self.work.run("run", "nightly.yml", "--date", f"2026-01-{day:02}", *options)

    def path(self, day: int, suffix: str = ".parquet"):
        return self.work.folder / f"data/shop/events/202601/{day:02}/nightly-202601{day:02}{suffix}"

    def scope(self, day: int):
        return json.loads(self.path(day, "_metadata.json").read_text())["table_config"]["scope"]

    def extracted(self, day: int, *options: str) -> list[int | None]:
        run = self.run(day, *options)
        assert run.returncode == 0, run.stderr
        with duckdb.connect() as connection:
            rows = connection.execute("select id from read_parquet(?) order by id nulls last", [str(self.path(day))])
            return [number for (number,) in rows.fetchall()]


@pytest.fixture
def numbers(tmp_path):
    work = Workplace.make(tmp_path / "work", rows=0, config=_CONFIG)
    work.sql("create table events (id bigint)")
    return Numbers(work)


def test_extractions_follow_each_other_by_number(numbers):
    numbers.insert(1, 2, 5, "null")
    assert numbers.extracted(5) == [1, 2, 5, None]
    assert numbers.scope(5)["window"] == {"column": "id", "start": None, "end": 6, "timezone": ""}
    assert numbers.extracted(6) == [], "no new number is no error"
    numbers.insert(6, 9)
    assert numbers.extracted(8) == [6, 9], "the night of the 7th comes with the next one"
    refused = numbers.run(7)
    assert refused.returncode == 1
    assert says(refused.stderr, "plan.date_has_no_numbers", date="2026-01-07", newest="nightly-20260108 of 2026-01-08")
    assert not numbers.path(7).exists()
    numbers.insert(20, "null")
    assert numbers.extracted(8, "--force-reprocess") == [6, 9], "the same numbers"
    last = numbers.run(9)
    assert says(last.stderr, "extract.untaken_null_rows", rows=1)
    assert says(last.stderr, "plan.late_numbers", column="id")
    history = numbers.work.run("history", "events").stdout
    assert "every value of id before 21 is covered" in history
    assert '"covered_through": 21' in numbers.work.run("status", "--json").stdout
    assert numbers.work.run("verify", "nightly.yml", "--date", "2026-01-09").returncode == 0


def test_a_table_that_was_empty_loses_no_number_whatever_comes(numbers):
    assert numbers.extracted(5) == []
    numbers.insert(-7, 0, 3)
    assert numbers.extracted(6) == [-7, 0, 3]


def test_a_lookback_of_numbers_takes_what_was_committed_late(numbers):
    numbers.work.configure(_CONFIG.replace("window:", "lookback: 3, window:"))
    numbers.insert(1, 2, 10)
    first = numbers.run(5)
    assert "lookback" not in first.stderr
    numbers.insert(9, 11)
    assert numbers.extracted(6) == [9, 10, 11]
    assert (numbers.scope(6)["window"]["start"], numbers.scope(6)["covered_from"]) == (8, 11)


def test_dates_of_a_backfill_that_have_no_numbers_are_skipped(numbers):
    numbers.insert(1, 2)
    assert numbers.extracted(5) == [1, 2]
    numbers.insert(3)
    filled = numbers.work.run("backfill", "nightly.yml", "--from", "2026-01-03", "--to", "2026-01-06")
    assert filled.returncode == 0, filled.stderr
    assert numbers.extracted(6) == [3]
    assert not numbers.path(4).exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("window: watermark", "window: day", "plan.numbers_have_no_days"),
        ("window: watermark", "window: watermark, lookback: 1h", "plan.lookback_of_another_kind"),
    ],
)
def test_what_does_not_fit_numbers_is_refused(numbers, old, new, message):
    numbers.work.configure(_CONFIG.replace(old, new))
    refused = numbers.run(5)
    assert refused.returncode == 1
    assert says(refused.stderr, message)


def test_a_column_that_holds_times_now_needs_a_path_of_its_own(numbers):
    numbers.insert(1)
    assert numbers.extracted(5) == [1]
    numbers.work.sql("create or replace table events as select timestamptz '2026-01-06 08:00:00+00' as id")
    numbers.work.configure(_CONFIG.replace("window:", "on_drift: evolve, window:"))
    refused = numbers.run(6)
    assert refused.returncode == 1
    assert says(refused.stderr, "plan.windows_of_another_kind", were="numbers", are="times")
    numbers.work.configure(_CONFIG.replace("table_name: events,", "table_name: events, path_name: moments,"))
    assert numbers.run(6).returncode == 0


def test_a_number_is_no_lookback_of_days(numbers):
    numbers.work.configure(_CONFIG.replace("window: watermark", "lookback: 30"))
    refused = numbers.run(5)
    assert refused.returncode == 2
    assert says(refused.stderr, "config.number_as_lookback", number=30)


def test_every_number_is_published_once_however_many_nights_there_are(numbers):
    taken: list[int | None] = []
    for day in range(1, 8):
        numbers.insert(*range(day * 10, day * 10 + day))
        if day not in {3, 5}:
            taken += numbers.extracted(day)
    assert sorted(filter(None, taken)) == [number for day in range(1, 8) for number in range(day * 10, day * 10 + day)]
