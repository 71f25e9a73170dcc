"""The three examples by which windows once lost and doubled rows, through the real program, with the right counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.messages import says
from tests.oracle.pipelines import serving

from .histories import Clock, Column, History, RunDay, Settings, Version
from .lakes import STAMP
from .program import DuckDB, Oracle, ProgramLake

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
NEW_YORK = "America/New_York"


def day(number):
    return date(2026, 6, number)


def history_of(column, zone, stamps, **settings):
    """A table whose rows are committed when they are stamped; ids count from 1."""
    versions = tuple(Version(number, 1, at, at, at) for number, at in enumerate(stamps, 1))
    return History(
        seed="",
        column=column,
        is_updated=False,
        zone=zone,
        clock=Clock(),
        settings=Settings(**{"timezone": zone, **settings}),
        versions=versions,
        commands=(),
        ended=max(stamps, default=JUNE),
    )


def opened(history, database, folder, patches):
    patches.chdir(folder)
    database.create(history.column)
    return ProgramLake(history, database, patches)


def rows_by_day(lake):
    """The ids in each date's dataset."""
    return {found.day: sorted(row.row for row in dataset.rows) for found, dataset in lake.datasets.items()}


def outcome(lake, number, *, at):
    (ended,) = lake.run(RunDay(at, day(number)))
    return ended.outcome


def test_rows_after_a_first_run_at_noon_come_with_the_next_date_and_so_does_a_missed_night(tmp_path, monkeypatch):
    hours = (-40, 9, 18, 34, 60, 80)  # row 3 is written after the first run, on its date; row 5 on June 3, unheard
    table = history_of(Column.ZONED, "UTC", [JUNE + timedelta(hours=hour) for hour in hours])
    lake = opened(table, DuckDB(tmp_path, monkeypatch), tmp_path, monkeypatch)
    assert outcome(lake, 1, at=JUNE + timedelta(hours=12)) == "completed"
    assert outcome(lake, 1, at=JUNE + timedelta(days=1, hours=1)) == "skipped"
    assert outcome(lake, 2, at=JUNE + timedelta(days=2, hours=1)) == "completed"
    assert rows_by_day(lake) == {1: [1, 2], 2: [3, 4]}
    assert outcome(lake, 4, at=JUNE + timedelta(days=4, hours=1)) == "completed"
    assert rows_by_day(lake) == {1: [1, 2], 2: [3, 4], 4: [5, 6]}


def test_a_loop_over_five_days_takes_every_row_once(tmp_path, monkeypatch):
    rows = 30_000
    table = history_of(Column.WALL, "UTC", [])
    lake = opened(table, DuckDB(tmp_path, monkeypatch), tmp_path, monkeypatch)
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute(
            f"insert into orders (row_id, version, {STAMP}) select i, 1, timestamp '2026-06-01' + "
            f"to_microseconds((i * {5 * 86_400_000_000 // rows})::bigint) from range({rows}) as r(i)"
        )
    for number in range(1, 6):
        assert outcome(lake, number, at=JUNE + timedelta(days=9)) == "completed"
    found = [row for rows_of_day in rows_by_day(lake).values() for row in rows_of_day]
    assert (len(found), len(set(found))) == (rows, rows)
    assert {len(rows_of_day) for rows_of_day in rows_by_day(lake).values()} == {rows // 5}


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        yield server


@pytest.fixture
def new_york(server, tmp_path, monkeypatch, request):
    """A DATE column in New York's wall time over the night in which clocks go back, a row each quarter of an hour."""
    begin = datetime(2026, 10, 31, 12, tzinfo=UTC)
    stamps = [begin + timedelta(minutes=15 * number) for number in range(4 * 36)]
    table = history_of(Column.SECONDS, NEW_YORK, stamps, allow_open_window=True, **getattr(request, "param", {}))
    return opened(table, Oracle(server, tmp_path.name.upper()), tmp_path, monkeypatch)


@pytest.mark.parametrize("wall", ["00:40", "01:10", "01:50", "the second 01:10", "02:20"])
def test_a_date_column_in_new_york_loses_no_row_at_any_time_of_the_night_in_which_clocks_go_back(new_york, wall):
    hour, minute = map(int, wall[-5:].split(":"))
    fold = int(wall.startswith("the second"))
    at = datetime(2026, 11, 1, hour, minute, fold=fold, tzinfo=ZoneInfo(NEW_YORK)).astimezone(UTC)
    later = new_york.history.ended + timedelta(days=2)
    for when, number in ((at, 1), (later, 2)):
        (ended,) = new_york.run(RunDay(when, date(2026, 11, number)))
        assert ended.outcome == "completed", ended
    found = [row.row for dataset in new_york.datasets.values() for row in dataset.rows]
    assert sorted(found) == list(range(1, len(new_york.history.versions) + 1))


@pytest.mark.parametrize("new_york", [{"timezone": None}], indirect=True)
def test_a_date_column_without_a_stated_zone_is_refused(new_york):
    (ended,) = new_york.run(RunDay(new_york.history.ended, date(2026, 10, 31)))
    assert ended.outcome == "failed"
    assert says(ended.told[0], "plan.column_has_no_zone", column=STAMP)
    assert new_york.datasets == {}
