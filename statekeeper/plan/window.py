"""Which rows an extraction reads: mode and bounds, decided once at its first plan. Pure.

A day's window is `[date 00:00, next day 00:00)` in `incremental_timezone`, so it has 23 or 25 hours on days when clocks
change. It starts earlier if days before it were never extracted (`on_gap: extend`): at the point up to which
earlier extractions cover the column. The first extraction takes everything up to the end of its day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from statekeeper.config.resolved import ExtractionConfig, IncrementalConfig, OnGap
from statekeeper.errors import PlanError
from statekeeper.model.table import ExtractionMode, Scope, Window
from statekeeper.plan.coverage import Coverage, Interval


def decide_scope(
    config: ExtractionConfig, *, extraction_date: date, snapshot_time: datetime, coverage: Coverage
) -> Scope:
    """The scope of an extraction that has no plan yet; `coverage` is by the table's other extractions.

    Raises:
        PlanError: all of the date's window is in other extractions; days before it are in none, and `on_gap` is fail;
            or the window ends after the snapshot and the table does not set `allow_open_window`.
    """
    incremental = config.incremental
    if incremental is None:
        return Scope(mode=ExtractionMode.FULL)
    day = _day(extraction_date, incremental.timezone)
    assert day.start is not None
    assert day.end is not None
    if config.is_full_extract:
        return Scope(mode=ExtractionMode.FULL, watermark=min(day.end, snapshot_time))
    if not coverage.taken:
        return _scope(incremental, start=None, end=min(day.end, snapshot_time.astimezone(day.end.tzinfo)))
    _require_one_column(config, incremental, coverage)
    gap = coverage.gap_in(day)
    if gap is None:
        raise _is_covered(config, extraction_date, day, coverage)
    end = gap.end or day.end
    if end > snapshot_time:
        _require_started(day.start, snapshot_time, table=config.table.key)
        end = _open_end(incremental, end=end, snapshot_time=snapshot_time, table=config.table.key)
    if gap.start is not None and gap.start >= end:
        raise _is_covered(config, extraction_date, day, coverage)
    if config.on_gap is OnGap.FAIL and gap.start is not None and gap.start < day.start:
        raise _days_are_missing(config, gap.start, day.start)
    start = None if gap.start is None else gap.start.astimezone(day.end.tzinfo)
    return _scope(incremental, start=start, end=end)


def _scope(incremental: IncrementalConfig, *, start: datetime | None, end: datetime) -> Scope:
    mode = ExtractionMode.FULL if start is None else ExtractionMode.INCREMENTAL
    read_from = None if start is None else _before(start, incremental.lookback)
    window = Window(column=incremental.column, start=read_from, end=end, timezone=incremental.timezone)
    return Scope(mode=mode, window=window, watermark=end, covered_from=start)


def _day(day: date, timezone: str) -> Interval:
    zone = ZoneInfo(timezone)
    midnight = datetime.combine(day, time.min, zone)
    return Interval(midnight, datetime.combine(day + timedelta(days=1), time.min, zone))


def _before(moment: datetime, lookback: timedelta) -> datetime:
    """`moment` less `lookback`, in local time or in elapsed time, whichever is earlier, so that no row is missed."""
    return min(moment - lookback, (moment.astimezone(UTC) - lookback).astimezone(moment.tzinfo))


def _is_covered(config: ExtractionConfig, extraction_date: date, day: Interval, coverage: Coverage) -> PlanError:
    takers = ", ".join(f"{each.run_id} of {each.extraction_date}" for each in coverage.takers_of(day)) or "none"
    return PlanError(
        f"{config.table.key}: the rows of {extraction_date} are already in other extractions: {takers}",
        hint="read them there; to extract them again, run that date with --force-reprocess",
    )


def _require_one_column(config: ExtractionConfig, incremental: IncrementalConfig, coverage: Coverage) -> None:
    """Windows of two columns cannot tile: rows would be in two of them, or in none."""
    for window in coverage.taken:
        if window.column.casefold() != incremental.column.casefold():
            raise PlanError(
                f"{config.table.key}: extractions such as {window.run_id} of {window.extraction_date} have taken "
                f"windows of {window.column}, and incremental_column says {incremental.column}",
                hint=f"set incremental_column: {window.column}, or give the table a path_name of its own",
            )


def _days_are_missing(config: ExtractionConfig, start: datetime, end: datetime) -> PlanError:
    return PlanError(
        f"{config.table.key}: no extraction has the rows from {start.isoformat()} to {end.isoformat()} (on_gap: fail)",
        hint=f"run --date {start.date()} first, or set on_gap: extend, by which the next window takes them",
    )


def _require_started(start: datetime, snapshot_time: datetime, *, table: str) -> None:
    """Refuse a window that starts after the snapshot, even an open one: it would be complete forever, and empty."""
    if start > snapshot_time:
        snapshot = snapshot_time.isoformat(timespec="seconds")
        raise PlanError(
            f"{table}: its window begins at {start.isoformat()}, after the snapshot of {snapshot}",
            hint="run it when the day has started in its incremental_timezone, or with an earlier --date",
        )


def _open_end(incremental: IncrementalConfig, *, end: datetime, snapshot_time: datetime, table: str) -> datetime:
    """The end of a window that has not ended: the snapshot, because later rows cannot be seen."""
    if incremental.allow_open_window:
        return snapshot_time.astimezone(end.tzinfo)
    snapshot = snapshot_time.isoformat(timespec="seconds")
    raise PlanError(
        f"{table}: its window ends at {end.isoformat()}, after the snapshot of {snapshot}: "
        "rows that arrive until then would be missed",
        hint="run it when the day is over, with an earlier --date, or set allow_open_window: true for the table",
    )
