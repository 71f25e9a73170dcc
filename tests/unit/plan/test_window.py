from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from statekeeper.config.resolved import IncrementalConfig, OnGap
from statekeeper.errors import PlanError
from statekeeper.model.table import ExtractionMode, TableRef
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.axis import TimeAxis
from statekeeper.plan.coverage import Coverage, Interval
from statekeeper.plan.window import decide_scope, note_on_end
from tests.messages import raises_message, says

DAY = date(2026, 1, 6)
LATER = datetime(2026, 1, 8, tzinfo=UTC)


def _covered(through, *, start=None, column="updated_at", run_id="nightly", day="2026-01-05"):
    """Coverage by one extraction of an earlier date."""
    taken = TakenWindow(run_id=run_id, extraction_date=day, column=column, start=start, end=through, is_complete=True)
    return Coverage.of((taken,))


EARLIER = _covered(datetime(2026, 1, 6, tzinfo=UTC))


def _config(*, is_full=False, on_gap=OnGap.EXTEND, **incremental):
    table = TableRef(source_name="s", table_name="t", path_name="t")
    settings = IncrementalConfig(column="updated_at", **incremental)
    return SimpleNamespace(table=table, incremental=settings, is_full_extract=is_full, on_gap=on_gap)


def _scope(config, *, day=DAY, at=LATER, earlier=EARLIER):
    return decide_scope(config, extraction_date=day, snapshot_time=at, coverage=earlier)


def test_without_an_incremental_column_everything_is_taken():
    config = SimpleNamespace(incremental=None)
    assert _scope(config).mode is ExtractionMode.FULL


def test_the_first_extraction_takes_everything_up_to_the_end_of_its_day():
    scope = _scope(_config(), earlier=Coverage())
    assert (scope.mode, scope.window.start) == (ExtractionMode.FULL, None)
    assert scope.window.end == scope.watermark == datetime(2026, 1, 7, tzinfo=UTC)


def test_the_first_extraction_ends_at_its_snapshot_if_its_day_is_not_over():
    at = datetime(2026, 1, 6, 12, tzinfo=UTC)
    scope = _scope(_config(), earlier=Coverage(), at=at)
    assert scope.window.end == scope.watermark == at


def test_a_day_is_half_open_from_midnight_to_midnight():
    window = _scope(_config()).window
    assert (window.start, window.end) == (datetime(2026, 1, 6, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC))


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
def test_days_of_clock_changes_have_23_or_25_hours(day, hours):
    config = _config(timezone="Europe/Madrid")
    midnight = datetime.combine(day, datetime.min.time(), ZoneInfo("Europe/Madrid"))
    window = _scope(config, day=day, at=datetime(2027, 1, 1, tzinfo=UTC), earlier=_covered(midnight)).window
    assert window.end.astimezone(UTC) - window.start.astimezone(UTC) == timedelta(hours=hours)
    assert (window.start.hour, window.end.hour) == (0, 0)


def test_a_window_takes_the_days_before_it_that_nobody_has_taken():
    window = _scope(_config(), earlier=_covered(datetime(2026, 1, 3, 12, tzinfo=UTC))).window
    assert (window.start, window.end) == (datetime(2026, 1, 3, 12, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC))


def test_days_that_nobody_has_taken_are_refused_if_the_table_says_so():
    config = _config(on_gap=OnGap.FAIL)
    with raises_message(PlanError, "plan.days_are_missing", start="2026-01-05T00:00:00+00:00") as caught:
        _scope(config, earlier=_covered(datetime(2026, 1, 5, tzinfo=UTC), day="2026-01-04"))
    assert "--date 2026-01-05" in caught.value.hint
    with raises_message(PlanError, "plan.days_are_missing", start="2026-01-04T00:00:00+00:00") as caught:
        _scope(config, earlier=_covered(datetime(2026, 1, 4, tzinfo=UTC), day="2026-01-03"))
    assert "--date 2026-01-04" in caught.value.hint, "the first of those that are missing"
    assert _scope(config).window.start == datetime(2026, 1, 6, tzinfo=UTC)


def test_the_rest_of_a_day_that_an_extraction_has_begun_is_no_missing_day():
    """A first load up to noon would be followed by refusals for ever: its own date is complete, and skipped."""
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    config = _config(on_gap=OnGap.FAIL)
    assert _scope(config, earlier=_covered(noon)).window.start == noon
    with raises_message(PlanError, "plan.days_are_missing", start=noon.isoformat()) as caught:
        _scope(config, day=date(2026, 1, 7), earlier=_covered(noon), at=LATER)
    assert "--date 2026-01-06" in caught.value.hint


def test_a_window_that_was_written_down_is_kept_although_a_later_one_has_the_rest_of_its_day():
    """A run was killed before it had saved its plan; the next date began where that window ends."""
    claimed = Interval(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
    first = _covered(claimed.start, day="2026-01-04")
    later = _covered(datetime(2026, 1, 8, tzinfo=UTC), start=claimed.end, day="2026-01-07")
    coverage = Coverage.of((*first.taken, *later.taken))
    with raises_message(PlanError, "plan.rows_are_in_other_extractions"):
        _scope(_config(), earlier=coverage)
    scope = _scope(_config(), earlier=replace(coverage, claimed=claimed))
    assert (scope.covered, scope.watermark) == (claimed.start, claimed.end)


def test_a_window_that_was_written_down_is_decided_anew_if_it_ends_after_the_snapshot():
    """The clock of the server was ahead: rows of the time up to its end may still come."""
    start, end = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, 12, tzinfo=UTC)
    at = end - timedelta(minutes=20)
    scope = _scope(
        _config(allow_open_window=True), at=at, earlier=replace(_covered(start), claimed=Interval(start, end))
    )
    assert scope.watermark == at


def test_a_window_that_was_written_down_and_ends_at_the_snapshot_is_kept():
    start, at = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, 12, tzinfo=UTC)
    scope = _scope(_config(), at=at, earlier=replace(_covered(start, day="2026-01-04"), claimed=Interval(start, at)))
    assert (scope.covered, scope.watermark) == (start, at)


@pytest.mark.parametrize(
    "claimed",
    [
        Interval(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)),
        Interval(datetime(2026, 1, 4, tzinfo=UTC), datetime(2026, 1, 5, 12, tzinfo=UTC)),
        Interval(1, 5),
    ],
    ids=["taken by another", "ends in another", "of numbers"],
)
def test_a_window_that_was_written_down_and_is_of_no_use_any_more_is_decided_anew(claimed):
    midnight = datetime(2026, 1, 6, tzinfo=UTC)
    others = _covered(midnight, start=datetime(2026, 1, 5, tzinfo=UTC))
    scope = _scope(_config(), earlier=replace(others, claimed=claimed))
    assert (scope.covered, scope.watermark) == (midnight, midnight + timedelta(days=1))


@pytest.mark.parametrize(
    ("covered_days", "message"), [(0, "plan.clocks_skip_the_date"), (1, "plan.rows_are_in_other_extractions")]
)
def test_a_date_that_the_clocks_skip_is_refused_for_what_it_is(covered_days, message):
    """Samoa had no 30 December 2011."""
    midnight = datetime(2011, 12, 31, tzinfo=ZoneInfo("Pacific/Apia")) + timedelta(days=covered_days)
    with raises_message(PlanError, message):
        _scope(_config(timezone="Pacific/Apia"), day=date(2011, 12, 30), earlier=_covered(midnight))


@pytest.mark.parametrize("day", [DAY, DAY - timedelta(days=1), DAY - timedelta(days=400)])
def test_a_day_that_others_have_taken_is_refused_with_their_names(day):
    with raises_message(PlanError, "plan.rows_are_in_other_extractions", extractions="nightly of 2026-01-05"):
        _scope(_config(), day=day, earlier=_covered(datetime(2026, 1, 7, tzinfo=UTC)))


@pytest.mark.parametrize("minutes", [0, 5])
def test_an_open_window_is_covered_where_another_has_taken_all_up_to_the_snapshot(minutes):
    at = datetime(2026, 1, 6, 12, tzinfo=UTC)
    with raises_message(PlanError, "plan.rows_are_in_other_extractions", date="2026-01-06"):
        _scope(_config(allow_open_window=True), at=at, earlier=_covered(at + timedelta(minutes=minutes)))


def test_a_day_in_a_hole_takes_the_hole_alone():
    first = _covered(datetime(2026, 1, 4, tzinfo=UTC))
    later = _covered(datetime(2026, 1, 9, tzinfo=UTC), start=datetime(2026, 1, 6, 8, tzinfo=UTC), run_id="later")
    windows = (*first.taken, *later.taken)
    scope = _scope(_config(), earlier=Coverage.of(windows))
    assert scope.covered == datetime(2026, 1, 4, tzinfo=UTC)
    assert scope.window.end == datetime(2026, 1, 6, 8, tzinfo=UTC)


def test_a_first_load_keeps_its_rows_if_its_zone_is_configured_otherwise_afterwards():
    """Its date then is another interval, which may not even meet the window that it has published."""
    at = datetime(2026, 1, 6, 0, 9, tzinfo=UTC)
    first = _covered(at, run_id="own")
    later = _covered(at + timedelta(days=1), start=at, run_id="later")
    coverage = Coverage.of((*first.taken, *later.taken)).without(("2026-01-05", "own"))
    scope = _scope(_config(timezone="America/Lima"), earlier=coverage)
    assert (scope.window.start, scope.watermark) == (None, at)


def test_at_the_first_moment_of_a_date_an_open_window_takes_the_days_that_were_missed():
    midnight = datetime(2026, 1, 6, tzinfo=UTC)
    scope = _scope(_config(allow_open_window=True), at=midnight, earlier=_covered(midnight - timedelta(days=2)))
    assert (scope.covered, scope.watermark) == (midnight - timedelta(days=2), midnight)
    with raises_message(PlanError, "plan.window_begins_after_the_snapshot") as caught:
        _scope(
            _config(allow_open_window=True),
            at=midnight - timedelta(seconds=1),
            earlier=_covered(midnight - timedelta(days=2)),
        )
    assert caught.value.message.endswith("after the snapshot of 2026-01-05T23:59:59+00:00")


def test_windows_of_two_columns_are_refused():
    other = _covered(datetime(2026, 1, 6, tzinfo=UTC), column="created_at")
    with pytest.raises(PlanError, match="windows of created_at, and incremental_column says updated_at"):
        _scope(_config(), earlier=other)
    assert _scope(_config(), earlier=_covered(datetime(2026, 1, 6, tzinfo=UTC), column="UPDATED_AT")).window.start


def test_windows_of_numbers_and_of_times_are_refused():
    with raises_message(
        PlanError, "plan.windows_of_another_kind", were="numbers", column="updated_at", are="times"
    ) as caught:
        _scope(_config(), earlier=_covered(5))
    assert "path_name" in caught.value.hint


def test_a_window_that_has_not_ended_is_refused_with_a_hint():
    with raises_message(
        PlanError, "plan.window_ends_after_the_snapshot", snapshot="2026-01-06T23:59:00+00:00"
    ) as caught:
        _scope(_config(), at=datetime(2026, 1, 6, 23, 59, tzinfo=UTC))
    assert "allow_open_window" in caught.value.hint


def test_a_window_that_ends_exactly_at_the_snapshot_has_ended():
    at = datetime(2026, 1, 7, tzinfo=UTC)
    assert _scope(_config(), at=at).window.end == at


def test_an_allowed_open_window_ends_at_the_snapshot():
    at = datetime(2026, 1, 6, 12, tzinfo=UTC)
    scope = _scope(_config(allow_open_window=True), at=at)
    assert scope.window.end == scope.watermark == at


def test_lookback_is_read_and_belongs_to_the_window_before():
    scope = _scope(_config(lookback=timedelta(hours=2)))
    assert scope.window.start == datetime(2026, 1, 5, 22, tzinfo=UTC)
    assert (scope.covered_from, scope.covered) == (datetime(2026, 1, 6, tzinfo=UTC),) * 2


def test_a_requested_full_extraction_is_always_full():
    assert _scope(_config(is_full=True)).mode is ExtractionMode.FULL


def _settled(config, since, *, at=LATER, earlier=EARLIER, day=DAY):
    return decide_scope(config, extraction_date=day, snapshot_time=at, coverage=earlier, open_since=since)


def test_a_window_ends_where_the_oldest_open_transaction_began():
    since, at = datetime(2026, 1, 6, 23, 50, tzinfo=UTC), datetime(2026, 1, 7, 0, 5, tzinfo=UTC)
    scope = _settled(_config(), since, at=at)
    assert scope.window.end == scope.watermark == since
    note = note_on_end(scope, snapshot_time=at, axis=TimeAxis(), open_since=since)
    assert says(note, "plan.window_ends_before_the_snapshot", end=since.isoformat())
    assert says(note, "plan.a_transaction_is_open", since=since.isoformat())
    for whole in (Coverage(), EARLIER):
        assert _settled(_config(), since, at=at, earlier=whole).watermark == since
    assert _settled(_config(is_full=True), since, at=at).watermark == since


def test_a_window_that_ended_before_every_open_transaction_is_whole():
    since = datetime(2026, 1, 7, tzinfo=UTC)
    scope = _settled(_config(), since)
    assert scope.window.end == since
    assert note_on_end(scope, snapshot_time=since, axis=TimeAxis(), open_since=since) is None


def test_a_window_before_which_a_transaction_is_open_is_refused_until_it_ends():
    since = datetime(2026, 1, 5, 23, 50, tzinfo=UTC)
    with raises_message(
        PlanError, "plan.nothing_has_ended", table="s.t", snapshot="2026-01-08T00:00:00+00:00"
    ) as caught:
        _settled(_config(), since)
    assert says(caught.value, "plan.a_transaction_is_open", since=since.isoformat())


def test_a_day_of_which_another_has_all_that_is_settled_is_refused_until_a_transaction_ends():
    noon = datetime(2026, 1, 6, 12, tzinfo=UTC)
    with raises_message(PlanError, "plan.nothing_has_ended", snapshot=noon.isoformat()):
        _settled(
            _config(allow_open_window=True),
            noon - timedelta(minutes=20),
            at=noon,
            earlier=_covered(noon - timedelta(minutes=10)),
        )


@pytest.mark.parametrize(("seconds", "is_noted"), [(4, False), (5, True)])
def test_a_transaction_of_less_than_five_seconds_is_not_worth_a_word(seconds, is_noted):
    at = datetime(2026, 1, 6, 12, tzinfo=UTC)
    since = at - timedelta(seconds=seconds)
    scope = _settled(_config(allow_open_window=True), since, at=at)
    assert scope.watermark == since
    note = note_on_end(scope, snapshot_time=at, axis=TimeAxis(), open_since=since)
    assert (note is not None) == is_noted


def test_a_date_whose_window_was_ended_early_is_not_missing():
    within = _covered(datetime(2026, 1, 5, 23, 50, tzinfo=UTC))
    assert _scope(_config(on_gap=OnGap.FAIL), earlier=within).covered == datetime(2026, 1, 5, 23, 50, tzinfo=UTC)
    with raises_message(PlanError, "plan.days_are_missing"):
        _scope(_config(on_gap=OnGap.FAIL), earlier=within, day=DAY + timedelta(days=1))


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_day_that_has_not_started_is_refused_even_with_open_windows(is_allowed):
    # At 01:00 UTC it is already today, and in Los Angeles still yesterday.
    config = _config(timezone="America/Los_Angeles", allow_open_window=is_allowed)
    with pytest.raises(PlanError, match=r"begins at|ends at"):
        _scope(config, at=datetime(2026, 1, 6, 1, tzinfo=UTC))


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 22), (date(2026, 10, 25), 22), (date(2026, 3, 29), 24)])
def test_a_lookback_over_a_clock_change_is_never_too_short(day, hours):
    config = _config(timezone="Europe/Madrid", lookback=timedelta(hours=hours))
    plain = _config(timezone="Europe/Madrid")
    for date_after in (day, day + timedelta(days=1)):
        later = datetime(2027, 1, 1, tzinfo=UTC)
        covered = _covered(datetime.combine(date_after, datetime.min.time(), ZoneInfo("Europe/Madrid")))
        start = _scope(config, day=date_after, at=later, earlier=covered).window.start.astimezone(UTC)
        midnight = _scope(plain, day=date_after, at=later, earlier=covered).window.start
        assert midnight.astimezone(UTC) - start >= timedelta(hours=hours)
        assert start <= (midnight - timedelta(hours=hours)).astimezone(UTC)
