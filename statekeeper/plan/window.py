"""Which rows an extraction reads: mode and bounds, decided once at its first plan. Pure.

A day's window is `[date 00:00, next day 00:00)` in `incremental_timezone`, so it has 23 or 25 hours on days when clocks
change. It starts earlier if days before it were never extracted (`on_gap: extend`): at the point up to which
earlier extractions cover the column. The first extraction takes everything up to the end of its day.
`statekeeper.plan.axis` decides what a bound of a column without a zone is.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from statekeeper.config.resolved import ExtractionConfig, IncrementalConfig, OnGap
from statekeeper.errors import PlanError
from statekeeper.model.table import ExtractionMode, Scope, Window
from statekeeper.plan.axis import Reach, TimeAxis
from statekeeper.plan.coverage import Coverage, Interval
from statekeeper.plan.dates import missing_dates

_SOON = timedelta(seconds=5)
"""A window that ends so shortly before its snapshot ends at it, for people."""


def decide_scope(
    config: ExtractionConfig,
    *,
    extraction_date: date,
    snapshot_time: datetime,
    coverage: Coverage,
    axis: TimeAxis | None = None,
    open_since: datetime | None = None,
) -> Scope:
    """The scope of an extraction that has no plan yet; `coverage` is by the table's other extractions.

    `axis` is that of the incremental column; by default, that of a column with a zone. Rows that are stamped after
    `open_since` may be committed after the snapshot: the window ends there at the latest. A window that this
    extraction wrote down before it was killed is kept, because later windows begin where it ends.

    Raises:
        PlanError: all of the date's window is in other extractions; days before it are in none, and `on_gap` is fail;
            or the window ends after the snapshot and the table does not set `allow_open_window`.
    """
    incremental = config.incremental
    if incremental is None:
        return Scope(mode=ExtractionMode.FULL)
    axis = axis or TimeAxis(incremental.zone)
    day, reach = axis.day(extraction_date), axis.reach(snapshot_time)
    settled = _settled(axis, reach, open_since)
    assert day.start is not None
    assert day.end is not None
    if config.is_full_extract:
        return Scope(mode=ExtractionMode.FULL, watermark=min(day.end, reach.end, settled.end))
    if not coverage.taken:
        return _scope(incremental, axis, start=None, end=min(day.end, reach.end, settled.end))
    require_one_axis(config, coverage, of=datetime)
    if (kept := _kept(coverage, settled)) is not None:
        return _scope(incremental, axis, start=kept[0], end=kept[1])
    gap = coverage.gap_in(day)
    if gap is None:
        raise _is_covered(config, extraction_date, day, coverage)
    end = gap.end or day.end
    if end > reach.end:
        _require_started(day.start, reach, snapshot_time, table=config.table.key)
        end = _open_end(incremental, end=end, reach=reach, snapshot_time=snapshot_time, table=config.table.key)
    end = min(end, settled.end)
    if gap.start is not None and gap.start >= end:
        why = settled.why or reach.why
        if why is None and coverage.takers_of(day):
            raise _is_covered(config, extraction_date, day, coverage)
        raise _has_not_ended(config, why, snapshot_time)
    if config.on_gap is OnGap.FAIL and gap.start is not None:
        _require_no_missing_date(config, extraction_date, coverage, Interval(gap.start, day.start))
    return _scope(incremental, axis, start=gap.start, end=end)


def note_on_end(
    scope: Scope, *, snapshot_time: datetime, axis: TimeAxis, open_since: datetime | None = None
) -> str | None:
    """Why a window that was just decided ends well before the snapshot; None if it does not."""
    reach = axis.reach(snapshot_time)
    for limit in (_settled(axis, reach, open_since), reach):
        if limit.why is not None and scope.watermark == limit.end:
            end = limit.end.isoformat()
            return f"its window ends at {end}, before the snapshot: {limit.why}; the next window goes on there"
    return None


def _settled(axis: TimeAxis, reach: Reach, open_since: datetime | None) -> Reach:
    """Up to where no open transaction can have stamped rows."""
    if open_since is None:
        return reach
    settled = axis.reach(open_since)
    is_worth_a_word = reach.end - settled.end >= _SOON
    return Reach(settled.end, f"a transaction is open since {open_since.isoformat()}" if is_worth_a_word else None)


def _kept(coverage: Coverage, settled: Reach) -> tuple[datetime | None, datetime] | None:
    """The start and end of a window that was written down, with a hole right before it; None if it is of no use.

    It may end after the snapshot because the server's clock was ahead: more of its rows may come.
    """
    claimed = coverage.claimed
    gap = claimed and coverage.gap_in(claimed)
    if claimed is None or gap is None or gap.end != claimed.end:
        return None
    if not isinstance(gap.end, datetime) or isinstance(gap.start, int) or gap.end > settled.end:
        return None
    return gap.start, gap.end


def _scope(incremental: IncrementalConfig, axis: TimeAxis, *, start: datetime | None, end: datetime) -> Scope:
    mode = ExtractionMode.FULL if start is None else ExtractionMode.INCREMENTAL
    start = None if start is None else axis.position(start)
    lookback = incremental.lookback if isinstance(incremental.lookback, timedelta) else timedelta()
    read_from = None if start is None else axis.back(start, lookback)
    window = Window(column=incremental.column, start=read_from, end=end, timezone=axis.zone)
    return Scope(mode=mode, window=window, watermark=end, covered_from=start)


def _is_covered(
    config: ExtractionConfig, extraction_date: date, day: Interval[datetime], coverage: Coverage
) -> PlanError:
    if day.start == day.end and not coverage.takers_of(day):
        return PlanError(
            f"{config.table.key}: clocks in its incremental_timezone skip {extraction_date}",
            hint="run the next date: its window goes on where coverage ends",
        )
    takers = ", ".join(f"{each.run_id} of {each.extraction_date}" for each in coverage.takers_of(day)) or "none"
    return PlanError(
        f"{config.table.key}: the rows of {extraction_date} are already in other extractions: {takers}",
        hint="read them there; to extract them again, run that date with --force-reprocess",
    )


def require_one_axis(config: ExtractionConfig, coverage: Coverage, *, of: type[datetime | int]) -> None:
    """Require that earlier windows are of the same column, and of times or of numbers as it is now.

    Windows of two axes cannot tile: rows would be in two of them, or in none. Raises PlanError.
    """
    assert config.incremental is not None
    column = config.incremental.column
    for window in coverage.taken:
        extraction = f"{window.run_id} of {window.extraction_date}"
        if window.column.casefold() != column.casefold():
            raise PlanError(
                f"{config.table.key}: extractions such as {extraction} have taken "
                f"windows of {window.column}, and incremental_column says {column}",
                hint=f"set incremental_column: {window.column}, or give the table a path_name of its own",
            )
        if not isinstance(window.end, of):
            were, are = ("numbers", "times") if of is datetime else ("times", "numbers")
            raise PlanError(
                f"{config.table.key}: extractions such as {extraction} have taken windows of {were}, "
                f"and {column} has {are} now",
                hint="give the table a path_name of its own",
            )


def _require_no_missing_date(
    config: ExtractionConfig, extraction_date: date, coverage: Coverage, missing: Interval[datetime]
) -> None:
    """Refuse a window that would take the rows of dates without an extraction of their own.

    A date that has one is no missing date, although its window may have ended within it: nothing else takes the rest.
    """
    dates = missing_dates(config, extraction_date, coverage)
    if dates and missing.start is not None and missing.end is not None:
        raise PlanError(
            f"{config.table.key}: no extraction has the rows from {missing.start.isoformat()} to "
            f"{missing.end.isoformat()} (on_gap: fail)",
            hint=f"run --date {dates[0]} first, or set on_gap: extend, by which the next window takes them",
        )


def _has_not_ended(config: ExtractionConfig, why: str | None, snapshot_time: datetime) -> PlanError:
    """The error for a window of which no part has ended."""
    snapshot = snapshot_time.isoformat(timespec="seconds")
    return PlanError(
        f"{config.table.key}: nothing of its window has ended at the snapshot of {snapshot}{f': {why}' if why else ''}",
        hint="run it again later: rows of the time up to now may still come",
    )


def _require_started(start: datetime, reach: Reach, snapshot_time: datetime, *, table: str) -> None:
    """Refuse a window that starts after the snapshot, even an open one: it would be complete forever, and empty."""
    if start > reach.end:
        snapshot = snapshot_time.isoformat(timespec="seconds")
        why = f" ({reach.why})" if reach.why else ""
        raise PlanError(
            f"{table}: its window begins at {start.isoformat()}, after the snapshot of {snapshot}{why}",
            hint="run it when the day has started in its incremental_timezone, or with an earlier --date",
        )


def _open_end(
    incremental: IncrementalConfig, *, end: datetime, reach: Reach, snapshot_time: datetime, table: str
) -> datetime:
    """The end of a window that has not ended: later rows cannot be seen yet."""
    if incremental.allow_open_window:
        return reach.end
    snapshot = snapshot_time.isoformat(timespec="seconds")
    why = f" ({reach.why})" if reach.why else ""
    raise PlanError(
        f"{table}: its window ends at {end.isoformat()}, after the snapshot of {snapshot}{why}: "
        "rows that arrive until then would be missed",
        hint="run it when the day is over, with an earlier --date, or set allow_open_window: true for the table",
    )
