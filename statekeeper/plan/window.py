"""Which rows an extraction reads: mode and bounds, decided once at its first plan. Pure.

A day's window is `[date 00:00, next day 00:00)` in `incremental_timezone`, so it has 23 or 25 hours on days when clocks
change. A watermark window starts where the last complete extraction ended, less `lookback`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from statekeeper.config.resolved import ExtractionConfig, IncrementalConfig, WindowKind
from statekeeper.errors import PlanError
from statekeeper.model.table import ExtractionMode, Scope, Window


def decide_scope(
    config: ExtractionConfig,
    *,
    extraction_date: date,
    snapshot_time: datetime,
    earlier_watermarks: tuple[datetime, ...],
) -> Scope:
    """The scope of an extraction that has no plan yet.

    `earlier_watermarks` come from the table's complete extractions in other runs; without any, the extraction is full.

    Raises:
        PlanError: the window ends after the snapshot and the table does not set `allow_open_window`.
    """
    incremental = config.incremental
    if incremental is None:
        return Scope(mode=ExtractionMode.FULL)
    start, end = _day(extraction_date, incremental.timezone)
    if config.is_full_extract or not earlier_watermarks:
        return Scope(mode=ExtractionMode.FULL, watermark=min(end, snapshot_time))
    if end > snapshot_time:
        end = _open_end(incremental, end=end, snapshot_time=snapshot_time, table=config.table.key)
    if incremental.kind is WindowKind.WATERMARK:
        start = _before(min(max(earlier_watermarks), end), incremental.lookback)
    else:
        _require_started(start, snapshot_time, table=config.table.key)
        start = _before(start, incremental.lookback)
    window = Window(column=incremental.column, start=start, end=end, timezone=incremental.timezone)
    return Scope(mode=ExtractionMode.INCREMENTAL, window=window, watermark=end)


def _day(day: date, timezone: str) -> tuple[datetime, datetime]:
    zone = ZoneInfo(timezone)
    return datetime.combine(day, time.min, zone), datetime.combine(day + timedelta(days=1), time.min, zone)


def _before(moment: datetime, lookback: timedelta) -> datetime:
    """`moment` less `lookback`, in local time or in elapsed time, whichever is earlier, so that no row is missed."""
    return min(moment - lookback, (moment.astimezone(UTC) - lookback).astimezone(moment.tzinfo))


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
