"""What a window needs to know of its source: how its column holds points in time, and which transactions are open.

A column without a zone needs `incremental_timezone`: nobody can see in which zone its wall times are, and a wrong guess
loses rows. Open transactions have stamped rows that appear later, which a window up to the present would miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from statekeeper.config.resolved import ExtractionConfig, LateCommits, WindowKind
from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import Snapshot
from statekeeper.plan.axis import TimeAxis, axis_of
from statekeeper.plan.coverage import Coverage
from statekeeper.plan.number_window import holds_whole_numbers, late_numbers
from statekeeper.sources.columns import named_column
from statekeeper.sources.protocol import ServerSession, SourceSession

_LATE = "rows that are stamped before a window's end and committed after its snapshot are missed, except by lookback"


def time_axis(
    config: ExtractionConfig, described: Sequence[SourceColumn], session: SourceSession, coverage: Coverage
) -> TimeAxis | None:
    """The axis of a table's incremental column; None without one, and if it holds whole numbers.

    `coverage` is by the table's earlier extractions.

    Raises:
        PlanError: there is no such column; it holds no points in time, and no numbers that may bound windows;
            `lookback` is of the other kind; or it has no zone and the table does not set `incremental_timezone`, or
            another one than its earlier extractions.
    """
    if config.incremental is None:
        return None
    key, incremental = config.table.key, config.incremental
    found = named_column(described, incremental.column, f"{key}: incremental_column")
    axis = axis_of(found, incremental.zone)
    if axis is None:
        _require_numbers(key, found, incremental.kind)
        if config.late_commits is LateCommits.WAIT:
            raise PlanError(
                f"{key}: windows of whole numbers cannot wait for open transactions (late_commits: wait)",
                hint="set lookback: 10000, or as many numbers as your longest transaction may be late",
            )
    if incremental.lookback and isinstance(incremental.lookback, int) is (axis is not None):
        expected = "a duration such as 1h" if axis else "a whole number such as 10000"
        raise PlanError(
            f"{key}: incremental_column {found.name} is of type {found.database_type}, so lookback must be {expected}",
            hint="change lookback of the table",
        )
    if axis is None or axis.has_zone:
        return axis
    if incremental.timezone is None:
        raise PlanError(
            f"{key}: incremental_column {found.name} is of type {found.database_type}, which has no time zone: the "
            "table needs incremental_timezone, the zone of the column's wall times",
            hint=_ways_to_state(session, coverage),
        )
    _require_one_zone(config, axis, coverage)
    return axis


def open_since(
    config: ExtractionConfig, snapshot: Snapshot, session: SourceSession
) -> tuple[datetime | None, tuple[str, ...]]:
    """From when on rows may be committed after the snapshot, if windows wait for them; and what people should know.

    Raises:
        PlanError: the table waits for open transactions, and they cannot be read.
    """
    if config.incremental is None or config.late_commits not in {None, LateCommits.WAIT}:
        return None, ()
    if snapshot.open_since is not None:
        return snapshot.open_since, ()
    notes = _hidden_transactions(config, session)
    if not notes and isinstance(session, ServerSession):
        notes = (f"{_LATE}: its snapshot does not tell which transactions were open",)
    return None, notes


def notes_on_late_commits(
    config: ExtractionConfig, described: Sequence[SourceColumn], session: SourceSession
) -> tuple[str, ...]:
    """A note on rows that are committed too late for their window, if nothing keeps them. No row is read.

    Windows of times miss them where open transactions cannot be read, windows of numbers in any case.

    Raises:
        PlanError: the table waits for open transactions, and they cannot be read.
    """
    if config.incremental is None:
        return ()
    column = named_column(described, config.incremental.column, f"{config.table.key}: incremental_column")
    if axis_of(column, config.incremental.zone) is None:
        return late_numbers(config)
    return _hidden_transactions(config, session)


def _hidden_transactions(config: ExtractionConfig, session: SourceSession) -> tuple[str, ...]:
    """A note if the open transactions cannot be read, but should be. Raises PlanError if they must be."""
    if config.incremental is None or config.late_commits not in {None, LateCommits.WAIT}:
        return ()
    if not isinstance(session, ServerSession) or (why := session.why_transactions_are_hidden()) is None:
        return ()
    if config.late_commits is LateCommits.WAIT:
        raise PlanError(
            f"{config.table.key}: its windows wait for open transactions (late_commits: wait), which cannot be read",
            hint=why,
        )
    return (f"{_LATE}: open transactions cannot be read: {why}",)


def _require_numbers(key: str, column: SourceColumn, kind: WindowKind) -> None:
    """Require that a column without points in time holds whole numbers, and that windows are to be of numbers."""
    if not holds_whole_numbers(column):
        raise PlanError(
            f"{key}: incremental_column {column.name} is of type {column.database_type}, which holds no points in time "
            "and no whole numbers",
            hint="name a DATE or TIMESTAMP column, or cast it in a custom_query",
        )
    if kind is not WindowKind.WATERMARK:
        raise PlanError(
            f"{key}: incremental_column {column.name} is of type {column.database_type}, which holds whole numbers and "
            "no days",
            hint="set window: watermark, if its numbers only grow; else name a DATE or TIMESTAMP column",
        )


def _ways_to_state(session: SourceSession, coverage: Coverage) -> str:
    ways = "write incremental_timezone: UTC, or the zone of the programs that write the column, such as Europe/Madrid"
    if isinstance(session, ServerSession):
        ways += f"; the clock of the database is at {session.utc_offset()} now"
    if coverage.taken:
        ways += "; its windows so far, of an earlier version, are those of UTC, which go on with UTC"
    return ways


def _require_one_zone(config: ExtractionConfig, axis: TimeAxis, coverage: Coverage) -> None:
    """Bounds by the wall times of two zones cannot tile: rows would be in two windows, or in none."""
    for window in coverage.taken:
        bounds = [bound for bound in (window.start, window.end) if isinstance(bound, datetime)]
        if window.timezone in {None, axis.zone} or all(axis.is_written_in_its_zone(bound) for bound in bounds):
            continue
        raise PlanError(
            f"{config.table.key}: extractions such as {window.run_id} of {window.extraction_date} have taken windows "
            f"by the wall times of {window.timezone}, and incremental_timezone says {axis.zone}",
            hint=f"set incremental_timezone: {window.timezone}, or give the table a path_name of its own to begin anew",
        )
