"""Which extraction dates have rows that no extraction of their own or of others has. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from statekeeper.config.resolved import ExtractionConfig, IncrementalConfig
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.axis import TimeAxis
from statekeeper.plan.coverage import Coverage, Interval


def why_nothing_is_left(config: ExtractionConfig, extraction_date: date, coverage: Coverage) -> str | None:
    """Why a date that has no extraction of its own needs none; None if some of its rows are in no extraction."""
    if config.incremental is None or config.is_full_extract:
        return None
    if has_numbers(coverage):
        newest = max(coverage.taken, key=lambda window: window.date)
        is_later = extraction_date > newest.date
        return None if is_later else f"its rows are in {newest.run_id} of {newest.extraction_date}, or before it"
    day = _day(config.incremental, extraction_date)
    if day.start == day.end:
        return "clocks in its incremental_timezone skip this date"
    if coverage.gap_in(day):
        return None
    takers = ", ".join(f"{each.run_id} of {each.extraction_date}" for each in coverage.takers_of(day))
    return f"its rows are in {takers}"


def missing_dates(config: ExtractionConfig, extraction_date: date, coverage: Coverage) -> tuple[date, ...]:
    """The dates before `extraction_date` whose rows its own window would have to take, without an extraction each."""
    if config.incremental is None or not coverage.taken or has_numbers(coverage):
        return ()
    day = _day(config.incremental, extraction_date)
    gap = coverage.gap_in(day)
    if gap is None or gap.start is None:
        return ()
    first = gap.start.astimezone(ZoneInfo(config.incremental.zone)).date()
    extracted = {window.date for window in coverage.taken}
    days = (first + timedelta(days=number) for number in range((extraction_date - first).days))
    return tuple(day for day in days if day not in extracted)


def with_earlier_dates(config: ExtractionConfig, extraction_date: date, coverage: Coverage) -> Coverage:
    """Coverage as it is once every date before `extraction_date` is extracted; for previews of such a run."""
    assert config.incremental is not None
    if has_numbers(coverage):
        return coverage
    day = _day(config.incremental, extraction_date)
    gap = coverage.gap_in(day)
    if gap is None or day.start is None or (gap.start is not None and gap.start >= day.start):
        return coverage
    earlier = TakenWindow(
        run_id="earlier dates",
        extraction_date=(extraction_date - timedelta(days=1)).isoformat(),
        column=config.incremental.column,
        start=gap.start,
        end=day.start,
        is_complete=False,
    )
    return Coverage.of((*coverage.taken, earlier), coverage.revision)


def has_numbers(coverage: Coverage) -> bool:
    """Whether windows are of whole numbers, on whose axis there are no dates."""
    return any(isinstance(window.end, int) for window in coverage.taken)


def _day(incremental: IncrementalConfig, day: date) -> Interval[datetime]:
    return TimeAxis(incremental.zone).day(day)
