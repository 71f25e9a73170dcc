"""The windows of a table's extractions tile the axis: what they leave open is taken next, and nothing twice."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from statekeeper.model.windows import TakenWindow
from statekeeper.plan.coverage import Coverage, Interval, removed_windows

JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return JUNE + timedelta(days=number - 1)


def taken(start, end, *, is_complete=True, run_id="nightly", date="2026-06-01"):
    return TakenWindow(
        run_id=run_id,
        extraction_date=date,
        column="AT",
        start=None if start is None else day(start),
        end=day(end),
        is_complete=is_complete,
    )


def covered(*windows):
    return Coverage.of(taken(start, end) for start, end in windows)


def gaps(coverage):
    return [(gap.start, gap.end) for gap in coverage.gaps]


def test_nothing_taken_is_one_gap_without_ends():
    assert gaps(Coverage()) == [(None, None)]
    assert Coverage().through is None


def test_gaps_are_what_lies_between_windows_before_the_first_and_after_the_last():
    coverage = covered((5, 6), (2, 3), (3, 4))
    assert gaps(coverage) == [(None, day(2)), (day(4), day(5)), (day(6), None)]
    assert [(hole.start, hole.end) for hole in coverage.holes] == [(None, day(2)), (day(4), day(5))]


def test_windows_are_in_the_order_of_their_starts_whatever_their_ends():
    assert gaps(covered((3, 4), (2, 9))) == [(None, day(2)), (day(9), None)]


def test_windows_that_overlap_cover_what_either_has():
    coverage = covered((None, 5), (2, 3), (4, 7))
    assert gaps(coverage) == [(day(7), None)]
    assert [(one.end, other.end) for one, other in coverage.overlaps] == [(day(5), day(3)), (day(5), day(7))]


def test_of_windows_that_end_together_the_first_is_named():
    coverage = covered((None, 5), (3, 5), (4, 6))
    assert [(one.start, other.start) for one, other in coverage.overlaps] == [(None, day(3)), (None, day(4))]


def test_intervals_that_touch_have_no_value_in_common():
    first, second = Interval(day(1), day(2)), Interval(day(2), day(3))
    assert not first.meets(second)
    assert not second.meets(first)
    assert first.meets(Interval(None, None))


def test_an_extraction_is_left_out_by_its_date_and_run():
    coverage = Coverage.of((taken(None, 2), taken(2, 3, run_id="other")), "revision")
    left = coverage.without(("2026-06-01", "nightly"))
    assert ([window.run_id for window in left.taken], left.revision) == (["other"], "revision")


def test_a_gap_for_all_time_is_unbounded():
    assert covered((None, 2)).gap_in(Interval(day(3), None)) == Interval(day(2), None)


def test_an_empty_window_takes_nothing():
    assert covered((3, 3)).taken == ()


def test_a_window_reaches_back_to_where_coverage_ends():
    assert covered((None, 2)).gap_in(Interval(day(5), day(6))) == Interval(day(2), day(6))


def test_a_window_in_a_hole_ends_where_the_next_one_begins():
    assert covered((None, 2), (4.5, 6)).gap_in(Interval(day(4), day(5))) == Interval(day(2), day(4.5))


def test_a_day_that_is_taken_has_no_gap():
    coverage = covered((None, 4))
    assert coverage.gap_in(Interval(day(2), day(3))) is None
    assert [each.end for each in coverage.takers_of(Interval(day(2), day(3)))] == [day(4)]


def test_coverage_without_an_extraction_knows_what_that_one_had_written_down():
    own = ("2026-06-01", "own")
    planned = taken(3, 4, is_complete=False, run_id="own")
    others = Coverage.of((taken(None, 2), taken(2, 3, run_id="own"), planned)).without(own)
    assert (others.claimed, gaps(others)) == (Interval(day(3), day(4)), [(day(2), None)])
    assert Coverage.of((taken(2, 3, run_id="own"),)).without(own).claimed == Interval(day(2), day(3))
    assert Coverage.of((taken(2, 3),)).without(own).claimed is None


def test_coverage_goes_through_to_the_end_of_what_is_complete():
    planned = taken(3, 4, is_complete=False)
    coverage = Coverage.of((taken(None, 2), taken(2, 3), planned, taken(4, 5)))
    assert coverage.through == day(3)
    assert gaps(coverage) == [(day(5), None)], "what is planned is taken"


def test_an_extraction_that_is_complete_carries_coverage_on():
    planned = taken(2, 3, is_complete=False, run_id="own")
    assert Coverage.of((taken(None, 2), planned)).with_complete(planned).through == day(3)


@pytest.mark.parametrize(
    ("start", "is_hole"), [(4, True), (3.5, True), (3, False), (None, False), (5, False), (6, True)]
)
def test_a_hole_that_ends_where_a_window_starts_is_seen(start, is_hole):
    assert covered((None, 3), (4, 5)).leaves_hole_before(None if start is None else day(start)) is is_hole


def test_a_hole_before_the_first_window_is_seen_where_an_extraction_follows_it():
    assert covered((3, 4)).leaves_hole_before(day(2))
    assert covered((3, 4)).leaves_hole_before(day(3))
    assert not covered((3, 4)).leaves_hole_before(day(4)), "the hole ends before"


def test_windows_decided_one_after_the_other_in_any_order_of_days_tile_the_axis():
    for seed in range(300):
        shuffled = random.Random(seed)
        days = list(range(1, 15))
        shuffled.shuffle(days)
        coverage = Coverage()
        for number in days:
            gap = coverage.gap_in(Interval(day(number), day(number + 1)))
            if gap is None:
                continue
            assert gap.end is not None
            window = TakenWindow(
                run_id="r", extraction_date="2026-06-01", column="AT", start=gap.start, end=gap.end, is_complete=True
            )
            coverage = Coverage.of((*coverage.taken, window))
        assert coverage.overlaps == (), seed
        assert coverage.holes == (), seed
        assert gaps(coverage) == [(day(15), None)], seed


def test_only_complete_dates_before_the_oldest_that_is_left_were_removed_and_none_whose_values_are_taken_since():
    old = [taken(None, 2, date="2026-01-01"), taken(2, 3, date="2026-01-02"), taken(4, 5, date="2026-01-04")]
    left = [taken(3, 4, date="2026-01-03"), taken(5, 6, date="2026-01-05")]
    assert removed_windows(old, left) == tuple(old[:2])
    assert removed_windows(old, []) == (), "nothing is left: the next extraction is the first"
    assert removed_windows([taken(2, 3, date="2026-01-02", is_complete=False)], left) == ()
    assert removed_windows(old, [taken(None, 4, date="2026-01-03")]) == ()
    assert removed_windows([taken(7, 8, date="2026-01-03", run_id="other")], left) == (), "its date is still there"
