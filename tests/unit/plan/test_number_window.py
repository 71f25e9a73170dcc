"""Windows of whole numbers: they follow each other in the order of their dates, and dates decide nothing else."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from statekeeper.config.resolved import IncrementalConfig, LateCommits, WindowKind
from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.table import ExtractionMode, TableRef
from statekeeper.model.windows import TableWindows, TakenWindow
from statekeeper.plan.coverage import Coverage
from statekeeper.plan.dates import missing_dates, why_nothing_is_left, with_earlier_dates
from statekeeper.plan.number_window import decide_number_scope, holds_whole_numbers, late_numbers
from statekeeper.plan.window import decide_scope
from statekeeper.plan.window_source import time_axis
from tests.messages import raises_message, text_of

DAY = date(2026, 1, 6)
TABLE = TableRef(source_name="s", table_name="t", path_name="t")


def config_of(*, is_full=False, kind=WindowKind.WATERMARK, late_commits=None, **incremental):
    settings = IncrementalConfig(column="id", kind=kind, **incremental)
    return SimpleNamespace(table=TABLE, incremental=settings, is_full_extract=is_full, late_commits=late_commits)


def taken(start, end, *, day=5, column="id", run_id="nightly"):
    return TakenWindow(
        run_id=run_id, extraction_date=f"2026-01-{day:02}", column=column, start=start, end=end, is_complete=True
    )


def scope_of(greatest, *windows, day=DAY, **config):
    return decide_number_scope(
        config_of(**config), extraction_date=day, greatest=greatest, coverage=Coverage.of(windows)
    )


def bounds(scope):
    return scope.window.start, scope.window.end


def test_the_first_extraction_takes_everything_up_to_the_greatest_number():
    scope = scope_of(41)
    assert (scope.mode, bounds(scope), scope.watermark) == (ExtractionMode.FULL, (None, 42), 42)


def test_a_later_one_starts_where_coverage_ends():
    scope = scope_of(99, taken(None, 42))
    assert (scope.mode, bounds(scope), scope.covered) == (ExtractionMode.INCREMENTAL, (42, 100), 42)


@pytest.mark.parametrize("greatest", [41, 7, None])
def test_without_new_numbers_a_window_is_empty(greatest):
    assert bounds(scope_of(greatest, taken(None, 42))) == (42, 42)


def test_a_first_extraction_without_a_number_covers_none():
    scope = scope_of(None)
    assert scope.window.end < -(10**38) + 1
    assert bounds(scope_of(-5, taken(None, scope.watermark))) == (scope.watermark, -4)


def test_a_lookback_of_numbers_starts_the_reading_earlier_and_not_the_coverage():
    scope = scope_of(99, taken(None, 42), lookback=10)
    assert (bounds(scope), scope.covered, scope.watermark) == ((32, 100), 42, 100)
    assert scope_of(99, taken(None, 0), lookback=10).covered == 0, "zero is a number"


def test_a_whole_table_is_covered_up_to_its_greatest_number():
    scope = scope_of(41, is_full=True)
    assert (scope.window, scope.watermark) == (None, 42)


def test_a_date_before_the_newest_extraction_has_no_rows():
    windows = (taken(None, 42, day=5), taken(42, 50, day=7))
    newest = "nightly of 2026-01-07"
    with raises_message(PlanError, "plan.date_has_no_numbers", date="2026-01-06", newest=newest):
        scope_of(99, *windows)
    assert bounds(scope_of(99, *windows, day=date(2026, 1, 7))) == (50, 100), "another run of the newest date"


def test_a_hole_is_taken_first_whatever_the_date():
    windows = (taken(None, 42, day=4), taken(50, 60, day=7))
    assert bounds(scope_of(99, *windows)) == (42, 50)
    assert bounds(scope_of(99, taken(50, 60, day=7))) == (None, 50), "what is before the first window too"


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (taken(None, 42, column="no"), "plan.windows_of_another_column"),
        (taken(None, datetime(2026, 1, 6, tzinfo=UTC)), "plan.windows_of_another_kind"),
    ],
)
def test_windows_of_another_axis_are_refused(window, message):
    with raises_message(PlanError, message):
        scope_of(99, window)


def test_times_do_not_follow_numbers():
    coverage = Coverage.of((taken(None, 42),))
    with raises_message(PlanError, "plan.windows_of_another_kind", were="numbers", are="times"):
        decide_scope(
            config_of(), extraction_date=DAY, snapshot_time=datetime(2026, 1, 8, tzinfo=UTC), coverage=coverage
        )


def test_windows_of_both_kinds_in_one_document_are_ordered_and_reported():
    """A first load that is extracted again by another kind of column has both until it is complete."""
    coverage = Coverage.of((taken(datetime(2026, 1, 6, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC)), taken(None, 42)))
    assert [type(window.end) for window in coverage.taken] == [int, datetime]
    assert coverage.holes
    assert coverage.overlaps == ()


@pytest.mark.parametrize("end", [0, 5, 10**38 - 1, -(10**38), datetime(2026, 1, 6, tzinfo=UTC)])
def test_a_document_keeps_numbers_and_times_as_they_are(end):
    document = TableWindows(table=TABLE, taken=(taken(None, end),))
    (read,) = TableWindows.model_validate_json(document.to_bytes()).taken
    assert (read.end, type(read.end)) == (end, type(end))


@pytest.mark.parametrize("seed", range(200))
def test_every_number_is_in_exactly_one_window(seed):
    """Of extractions in the order of their dates, with rows that are deleted and dates that are missed."""
    chance = random.Random(seed)
    windows, rows, read = [], set(), []
    for day in range(1, 20):
        rows |= {max(rows, default=chance.randint(-3, 3)) + number for number in range(1, chance.randint(1, 5))}
        if chance.random() < 0.3:
            continue
        if windows and chance.random() < 0.1:
            del windows[chance.randrange(len(windows))]
            read = [row for row in read if any((w.start is None or w.start <= row) and row < w.end for w in windows)]
        for _ in range(2):  # a hole first, then what is new
            scope = scope_of(max(rows, default=None), *windows, day=date(2026, 1, day))
            start, end = bounds(scope)
            read += [row for row in rows if (start is None or start <= row) and row < end]
            windows.append(taken(start, end, day=day, run_id=f"r{len(windows)}"))
    assert sorted(read) == sorted(row for row in rows if row < max(window.end for window in windows))


@pytest.mark.parametrize(
    ("read_type", "is_whole"),
    [("int64", True), ("uint8", True), ("decimal128(38, 0)", True), ("decimal128(9, 2)", False), ("string", False)],
)
def test_which_columns_hold_whole_numbers(read_type, is_whole):
    assert holds_whole_numbers(SourceColumn(name="id", database_type="t", read_type=read_type)) is is_whole


NUMBER = SourceColumn(name="id", database_type="BIGINT", read_type="int64")
TIME = SourceColumn(name="id", database_type="TIMESTAMP WITH TIME ZONE", read_type="timestamp[us, tz=UTC]")


def axis_of(config, *columns):
    return time_axis(config, columns, session=None, coverage=Coverage())


def test_what_does_not_fit_the_column_is_refused_with_what_to_write():
    with raises_message(PlanError, "plan.numbers_have_no_days"):
        axis_of(config_of(kind=WindowKind.DAY), NUMBER)
    for column, lookback in ((NUMBER, timedelta(hours=1)), (TIME, 10)):
        with raises_message(PlanError, "plan.lookback_of_another_kind"):
            axis_of(config_of(lookback=lookback), column)
    with raises_message(PlanError, "plan.numbers_cannot_wait"):
        axis_of(config_of(late_commits=LateCommits.WAIT), NUMBER)
    with raises_message(PlanError, "plan.neither_times_nor_numbers"):
        axis_of(config_of(), SourceColumn(name="id", database_type="VARCHAR", read_type="string"))
    for column, lookback in ((NUMBER, 10), (TIME, timedelta(hours=1)), (NUMBER, timedelta()), (TIME, 0)):
        assert (axis_of(config_of(lookback=lookback), column) is None) is (column is NUMBER)


def test_the_plan_says_which_rows_may_come_too_late():
    assert late_numbers(config_of()) == (text_of("plan.late_numbers", column="id"),)
    for config in (config_of(lookback=10), config_of(is_full=True), config_of(late_commits=LateCommits.IGNORE)):
        assert late_numbers(config) == ()


def test_dates_between_windows_of_numbers_are_not_missing():
    config, coverage = config_of(), Coverage.of((taken(None, 42, day=3), taken(42, 50, day=5)))
    assert missing_dates(config, DAY, coverage) == ()
    assert with_earlier_dates(config, DAY, coverage) is coverage
    assert why_nothing_is_left(config, DAY, coverage) is None
    assert (
        why_nothing_is_left(config, date(2026, 1, 4), coverage) == "its rows are in nightly of 2026-01-05, or before it"
    )
