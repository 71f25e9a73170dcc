"""Bounds of columns without a zone: every row is in one window, and was there when that window was read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statekeeper.config.resolved import IncrementalConfig, OnGap
from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.table import TableRef, Window
from statekeeper.plan.axis import TimeAxis, axis_of
from statekeeper.plan.coverage import Coverage
from statekeeper.plan.taken_window import taken_window
from statekeeper.plan.window import decide_scope, note_on_end
from statekeeper.sources.scope import wall_time
from tests.messages import raises_message, says

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
CHANGES = {
    "Europe/Madrid, an hour twice": ("Europe/Madrid", "2026-10-25T01:00Z"),
    "Europe/Madrid, an hour skipped": ("Europe/Madrid", "2026-03-29T01:00Z"),
    "America/New_York": ("America/New_York", "2026-11-01T06:00Z"),
    "a fold that ends at midnight": ("America/Havana", "2026-11-01T05:00Z"),
    "a gap at midnight": ("America/Havana", "2026-03-08T05:00Z"),
    "a fold into the day before": ("America/Sao_Paulo", "2018-02-18T02:00Z"),
    "midnight skipped": ("America/Sao_Paulo", "2018-11-04T03:00Z"),
    "one minute of a day, then the day before": ("America/St_Johns", "2010-11-07T02:31Z"),
    "half an hour twice": ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    "half an hour skipped": ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    "rules that changed, back by half an hour": ("Asia/Pyongyang", "2015-08-14T15:00Z"),
    "rules that changed, forth by half an hour": ("Asia/Pyongyang", "2018-05-04T15:00Z"),
    "another standard time": ("Europe/Lisbon", "1992-09-27T01:00Z"),
    "a day skipped": ("Pacific/Apia", "2011-12-30T10:00Z"),
    "a day twice": ("Pacific/Kwajalein", "1969-09-30T13:00Z"),
    "never": ("UTC", "2026-10-25T00:00Z"),
}
UNITS = [SECOND, DAY]


def _wall(text):
    return datetime.fromisoformat(text)


def _config(zone, **incremental):
    table = TableRef(source_name="s", table_name="t", path_name="t")
    settings = IncrementalConfig(column="at", timezone=zone, **incremental)
    return SimpleNamespace(table=table, incremental=settings, is_full_extract=False, on_gap=OnGap.EXTEND)


def _stored(instant, zone, unit):
    """What a row that is written at an instant has in a column without a zone."""
    wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    return wall - (wall - _wall("1970-01-01")) % unit


def _bound(position, zone, unit):
    """What a window's condition compares the column with."""
    return (
        None
        if position is None
        else wall_time(position, Window(column="at", start=None, end=position, timezone=zone), unit)
    )


def _instants(change):
    """Instants within 36 hours of a change of clocks, in half seconds."""
    around, middle = int(3 * DAY / SECOND), datetime.fromisoformat(change)
    return st.integers(-around, around).map(lambda halves: middle + halves * SECOND / 2)


@pytest.mark.parametrize("unit", UNITS, ids=str)
@pytest.mark.parametrize(("zone", "change"), CHANGES.values(), ids=CHANGES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_sequence_of_snapshots_takes_every_row_once_and_after_it_was_written(zone, change, unit, data):
    axis = TimeAxis(zone, has_zone=False, unit=unit)
    snapshots = sorted(data.draw(st.lists(_instants(change), min_size=1, max_size=6)))
    rows = data.draw(st.lists(_instants(change), min_size=1, max_size=20))
    ends = [axis.reach(snapshot).end for snapshot in snapshots]
    assert ends == sorted(ends)
    bounds = [_bound(end, zone, unit) for end in ends]
    assert bounds == sorted(bounds), "bounds compare as instants as they do as wall times"
    for row in rows:
        value = _stored(row, zone, unit)
        taken = [n for n, end in enumerate(bounds) if (n == 0 or bounds[n - 1] <= value) and value < end]
        assert len(taken) == (value < bounds[-1])
        assert all(row < snapshots[n] for n in taken), "it was read before it was written"


@pytest.mark.parametrize("unit", UNITS, ids=str)
@pytest.mark.parametrize(("zone", "change"), CHANGES.values(), ids=CHANGES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_windows_of_any_dates_and_snapshots_tile_the_wall_times(zone, change, unit, data):
    axis = TimeAxis(zone, has_zone=False, unit=unit)
    config = _config(zone, allow_open_window=True)
    runs = data.draw(st.lists(st.tuples(_instants(change), st.integers(-2, 0)), min_size=1, max_size=8))
    coverage, windows = Coverage(), []
    for number, (snapshot, days) in enumerate(sorted(runs)):
        day = snapshot.astimezone(ZoneInfo(zone)).date() + days * DAY
        try:
            scope = decide_scope(config, extraction_date=day, snapshot_time=snapshot, coverage=coverage, axis=axis)
        except PlanError:
            continue
        taken = taken_window(scope, f"run-{number}", day)
        coverage = Coverage.of((*coverage.taken, taken.model_copy(update={"is_complete": True})))
        windows.append((_bound(scope.window.start, zone, unit), _bound(scope.window.end, zone, unit), snapshot))
    assert not coverage.holes
    assert not coverage.overlaps
    reached = max((end for _, end, _ in windows), default=_wall("0001-01-01"))
    for row in data.draw(st.lists(_instants(change), max_size=20)):
        value = _stored(row, zone, unit)
        takers = [snapshot for start, end, snapshot in windows if (start is None or start <= value) and value < end]
        assert len(takers) == (value < reached)
        assert all(row < snapshot for snapshot in takers)


def test_a_window_that_ends_in_an_hour_that_comes_twice_leaves_all_of_it_to_the_next():
    axis = TimeAxis("Europe/Madrid", has_zone=False)
    config, day = _config("Europe/Madrid", allow_open_window=True), date(2026, 10, 25)
    snapshot = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30, for the first time
    scope = decide_scope(config, extraction_date=day, snapshot_time=snapshot, coverage=Coverage(), axis=axis)
    assert scope.window.end.isoformat() == "2026-10-25T02:00:00+02:00"
    note = note_on_end(scope, snapshot_time=snapshot, axis=axis)
    assert says(note, "plan.window_ends_before_the_snapshot", end="2026-10-25T02:00:00+02:00")
    assert says(note, "plan.clocks_go_back", zone="Europe/Madrid", time="02:00:00")
    an_hour_later = decide_scope(
        config, extraction_date=day, snapshot_time=snapshot + HOUR, coverage=Coverage(), axis=axis
    )
    assert an_hour_later.window.end.isoformat() == "2026-10-25T02:30:00+02:00"
    assert note_on_end(an_hour_later, snapshot_time=snapshot + HOUR, axis=axis) is None
    with_zone = decide_scope(config, extraction_date=day, snapshot_time=snapshot, coverage=Coverage())
    assert with_zone.window.end == snapshot
    assert note_on_end(with_zone, snapshot_time=snapshot, axis=TimeAxis("Europe/Madrid")) is None


def test_a_day_to_which_clocks_go_back_has_not_ended():
    """St John's went from 00:01 back to 23:01 of the day before: it had one minute of the next day already."""
    axis, config = TimeAxis("America/St_Johns", has_zone=False), _config("America/St_Johns")
    midnight = datetime(2010, 11, 7, 2, 30, tzinfo=UTC)
    covered = decide_scope(
        config, extraction_date=date(2010, 11, 5), snapshot_time=midnight, coverage=Coverage(), axis=axis
    )
    coverage = Coverage.of((taken_window(covered, "first", date(2010, 11, 5)),))
    again = {"extraction_date": date(2010, 11, 6), "coverage": coverage, "axis": axis}
    with raises_message(PlanError, "plan.window_ends_after_the_snapshot"):
        decide_scope(config, snapshot_time=midnight + SECOND, **again)
    assert decide_scope(config, snapshot_time=midnight + HOUR, **again).window.end == midnight


def test_a_date_that_clocks_skip_is_refused_and_the_next_one_goes_on():
    axis, config = TimeAxis("Pacific/Apia", has_zone=False), _config("Pacific/Apia")
    later = datetime(2012, 1, 5, tzinfo=UTC)
    first = decide_scope(
        config, extraction_date=date(2011, 12, 29), snapshot_time=later, coverage=Coverage(), axis=axis
    )
    coverage = Coverage.of((taken_window(first, "first", date(2011, 12, 29)),))
    with raises_message(PlanError, "plan.clocks_skip_the_date", date="2011-12-30") as caught:
        decide_scope(config, extraction_date=date(2011, 12, 30), snapshot_time=later, coverage=coverage, axis=axis)
    assert "next date" in caught.value.hint
    window = decide_scope(
        config, extraction_date=date(2011, 12, 31), snapshot_time=later, coverage=coverage, axis=axis
    ).window
    assert (_bound(window.start, "Pacific/Apia", SECOND), _bound(window.end, "Pacific/Apia", SECOND)) == (
        _wall("2011-12-30"),
        _wall("2012-01-01"),
    )


def test_whole_days_of_a_day_that_is_not_over_are_left_to_the_next_window():
    axis, config = TimeAxis(has_zone=False, unit=DAY), _config("UTC", allow_open_window=True)
    noon = datetime(2026, 1, 6, 12, tzinfo=UTC)
    again = {"extraction_date": date(2026, 1, 6), "snapshot_time": noon, "axis": axis}
    first = decide_scope(config, coverage=Coverage(), **again)
    assert first.window.end == datetime(2026, 1, 6, tzinfo=UTC)
    coverage = Coverage.of((taken_window(first, "first", date(2026, 1, 5)),))
    with raises_message(PlanError, "plan.nothing_has_ended", snapshot="2026-01-06T12:00:00+00:00"):
        decide_scope(config, coverage=coverage, **again)


def test_a_midnight_that_clocks_skip_is_bound_as_a_midnight():
    """A column of whole days holds it: bound as 01:00, the window of the day before would take the day, too soon."""
    day = TimeAxis("America/Sao_Paulo", has_zone=False).day(date(2018, 11, 4))
    for unit in UNITS:
        assert _bound(day.start, "America/Sao_Paulo", unit) == _wall("2018-11-04")


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_a_lookback_is_never_shorter_than_it_says_in_either_time(unit):
    zone = "Europe/Madrid"
    axis, madrid = TimeAxis(zone, has_zone=False, unit=unit), ZoneInfo(zone)
    for hour in range(72):
        position = axis.reach(datetime(2026, 10, 24, tzinfo=UTC) + hour * HOUR).end
        back = axis.back(position, 5 * HOUR)
        assert _bound(back, zone, unit) <= _bound(position, zone, unit) - 5 * HOUR
        elapsed = position.astimezone(UTC) - 5 * HOUR
        assert _bound(back, zone, unit) <= elapsed.astimezone(madrid).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("database_type", "read_type", "alternatives", "expected"),
    [
        ("DATE", "timestamp[us]", ("date32[day]",), TimeAxis("UTC", has_zone=False)),
        ("DATE", "date32[day]", (), TimeAxis("UTC", has_zone=False, unit=DAY)),
        ("TIMESTAMP(9)", None, ("timestamp[us]", "timestamp[ns]"), TimeAxis("UTC", has_zone=False)),
        ("TIMESTAMP(9) WITH LOCAL TIME ZONE", "timestamp[ns]", (), TimeAxis("UTC")),
        ("TIMESTAMP(9) WITH TIME ZONE", None, ("timestamp[us, tz=UTC]",), TimeAxis("UTC")),
        ("timestamptz", "timestamp[us, tz=UTC]", (), TimeAxis("UTC")),
        ("NUMBER(9)", "int64", ("string",), None),
        ("TIME", "time64[us]", (), None),
        ("BFILE", None, (), None),
    ],
)
def test_the_axis_follows_from_the_columns_types(database_type, read_type, alternatives, expected):
    column = SourceColumn(name="at", database_type=database_type, read_type=read_type, alternatives=alternatives)
    assert axis_of(column, "UTC") == expected
