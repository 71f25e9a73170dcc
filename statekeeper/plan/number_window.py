"""Which rows an extraction reads by a column of whole numbers that only grow, such as an id of a sequence. Pure.

A window is `[start, end)` of numbers: it starts where coverage ends, and ends above the greatest number at the
snapshot. The date names the extraction and decides nothing about its rows. So extractions are made in the order of
their dates, and an earlier date has no rows of its own.
"""

from __future__ import annotations

import re
from datetime import date

from statekeeper.config.resolved import ExtractionConfig, LateCommits
from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.table import ExtractionMode, Scope, Window
from statekeeper.plan.coverage import Coverage, Interval
from statekeeper.plan.window import require_one_axis

_WHOLE = re.compile(r"u?int\d+|decimal\d+\(\d+, ?0\)")
_BELOW_ALL = -(10**38)
"""Below every number that a column can hold: up to there a first load without a number covers."""


def holds_whole_numbers(column: SourceColumn) -> bool:
    """Whether a column holds whole numbers only, by its types."""
    types = (column.read_type, *column.alternatives)
    first = next((kind for kind in types if kind is not None), "")
    return _WHOLE.fullmatch(first) is not None


def decide_number_scope(
    config: ExtractionConfig, *, extraction_date: date, greatest: int | None, coverage: Coverage
) -> Scope:
    """The scope of an extraction that has no plan yet; `coverage` is by the table's other extractions.

    `greatest` is the greatest number at the snapshot; None without one.

    Raises:
        PlanError: a later date is extracted already, which has the rows; or earlier windows are of something else.
    """
    end = _BELOW_ALL if greatest is None else greatest + 1
    if config.is_full_extract:
        return Scope(mode=ExtractionMode.FULL, watermark=end)
    if not coverage.taken:
        return _scope(config, start=None, end=end)
    require_one_axis(config, coverage, of=int)
    gap = coverage.gap_in(Interval[int](None, None))
    assert gap is not None, "above every window there is a gap"
    if gap.end is not None:  # a hole, which any date may take
        return _scope(config, start=gap.start, end=gap.end)
    newest = max(coverage.taken, key=lambda window: window.date)
    if extraction_date < newest.date:
        raise _is_covered(config, extraction_date, f"{newest.run_id} of {newest.extraction_date}")
    assert gap.start is not None, "a window has been taken"
    return _scope(config, start=gap.start, end=max(gap.start, end))


def late_numbers(config: ExtractionConfig) -> tuple[str, ...]:
    """A note on rows that no window takes, because they are committed after windows have passed their number."""
    assert config.incremental is not None
    if config.is_full_extract or config.incremental.lookback or config.late_commits is LateCommits.IGNORE:
        return ()
    column = config.incremental.column
    note = (
        f"rows committed after the snapshot with a {column} below its greatest are in no window: "
        "set lookback: 10000, or as many numbers as your longest transaction may be late"
    )
    return (note,)


def _scope(config: ExtractionConfig, *, start: int | None, end: int) -> Scope:
    incremental = config.incremental
    assert incremental is not None
    lookback = incremental.lookback if isinstance(incremental.lookback, int) else 0  # a duration is refused before
    read_from = None if start is None else start - lookback
    window = Window(column=incremental.column, start=read_from, end=end, timezone="")
    mode = ExtractionMode.FULL if start is None else ExtractionMode.INCREMENTAL
    return Scope(mode=mode, window=window, watermark=end, covered_from=start)


def _is_covered(config: ExtractionConfig, extraction_date: date, newest: str) -> PlanError:
    return PlanError(
        f"{config.table.key}: {extraction_date} has no rows of its own: windows of whole numbers follow each other, "
        f"and {newest} has taken all before it",
        hint="run a later date; to extract one again, run its date with --force-reprocess",
    )
