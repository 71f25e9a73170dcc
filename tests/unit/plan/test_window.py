from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from statekeeper.config.resolved import IncrementalConfig, WindowKind
from statekeeper.errors import PlanError
from statekeeper.model.table import ExtractionMode, TableRef
from statekeeper.plan.window import decide_scope
from tests.messages import raises_message

DAY = date(2026, 1, 6)
LATER = datetime(2026, 1, 8, tzinfo=UTC)
EARLIER = (datetime(2026, 1, 6, tzinfo=UTC),)


def _config(*, is_full=False, **incremental):
    table = TableRef(source_name="s", table_name="t", path_name="t")
    settings = IncrementalConfig(column="updated_at", **incremental) if incremental is not None else None
    return SimpleNamespace(table=table, incremental=settings, is_full_extract=is_full)


def _scope(config, *, day=DAY, at=LATER, earlier=EARLIER):
    return decide_scope(config, extraction_date=day, snapshot_time=at, earlier_watermarks=earlier)


def test_without_an_incremental_column_everything_is_taken():
    config = SimpleNamespace(incremental=None)
    assert _scope(config).mode is ExtractionMode.FULL


def test_the_first_extraction_is_full_and_sets_the_watermark_at_the_end_of_its_day():
    scope = _scope(_config(), earlier=())
    assert (scope.mode, scope.window) == (ExtractionMode.FULL, None)
    assert scope.watermark == datetime(2026, 1, 7, tzinfo=UTC)


def test_the_watermark_of_a_full_extraction_is_never_after_its_snapshot():
    at = datetime(2026, 1, 6, 12, tzinfo=UTC)
    assert _scope(_config(), earlier=(), at=at).watermark == at


def test_a_day_is_half_open_from_midnight_to_midnight():
    window = _scope(_config()).window
    assert (window.start, window.end) == (datetime(2026, 1, 6, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC))


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
def test_days_of_clock_changes_have_23_or_25_hours(day, hours):
    window = _scope(_config(timezone="Europe/Madrid"), day=day, at=datetime(2027, 1, 1, tzinfo=UTC)).window
    assert window.end.astimezone(UTC) - window.start.astimezone(UTC) == timedelta(hours=hours)
    assert (window.start.hour, window.end.hour) == (0, 0)


def test_a_window_that_has_not_ended_is_refused_with_a_hint():
    with raises_message(PlanError, "plan.window_ends_after_the_snapshot") as caught:
        _scope(_config(), at=datetime(2026, 1, 6, 23, 59, tzinfo=UTC))
    assert "allow_open_window" in caught.value.hint


def test_a_window_that_ends_exactly_at_the_snapshot_has_ended():
    at = datetime(2026, 1, 7, tzinfo=UTC)
    assert _scope(_config(), at=at).window.end == at


def test_an_allowed_open_window_ends_at_the_snapshot():
    at = datetime(2026, 1, 6, 12, tzinfo=UTC)
    scope = _scope(_config(allow_open_window=True), at=at)
    assert scope.window.end == scope.watermark == at


def test_a_watermark_window_starts_where_the_last_extraction_ended_less_lookback():
    earlier = (datetime(2026, 1, 3, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC))
    config = _config(kind=WindowKind.WATERMARK, lookback=timedelta(hours=2))
    window = _scope(config, earlier=earlier).window
    assert (window.start, window.end) == (datetime(2026, 1, 3, 22, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC))


def test_a_watermark_after_the_window_gives_an_empty_window():
    window = _scope(_config(kind=WindowKind.WATERMARK), earlier=(datetime(2026, 2, 1, tzinfo=UTC),)).window
    assert window.start == window.end


def test_a_requested_full_extraction_is_always_full():
    assert _scope(_config(is_full=True)).mode is ExtractionMode.FULL


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
        start = _scope(config, day=date_after, at=later).window.start.astimezone(UTC)
        midnight = _scope(plain, day=date_after, at=later).window.start
        assert midnight.astimezone(UTC) - start >= timedelta(hours=hours)
        assert start <= (midnight - timedelta(hours=hours)).astimezone(UTC)
