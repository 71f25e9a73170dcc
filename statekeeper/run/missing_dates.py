"""The earlier dates that a run extracts first, for tables with `on_gap: backfill`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from statekeeper.config.resolved import ExtractionConfig, OnGap
from statekeeper.errors import StatekeeperError
from statekeeper.plan.dates import missing_dates
from statekeeper.plan.plan_spec import windows_of
from statekeeper.runtime.context import Run


async def tables_by_missing_date(
    tables: Iterable[ExtractionConfig], run: Run
) -> dict[date, tuple[ExtractionConfig, ...]]:
    """Which tables have rows before the run's date that no extraction has taken, by those dates, in their order."""
    found: defaultdict[date, list[ExtractionConfig]] = defaultdict(list)
    for config in tables:
        for day in await missing_dates_of(config, run):
            found[day].append(config)
    return {day: tuple(found[day]) for day in sorted(found)}


async def missing_dates_of(config: ExtractionConfig, run: Run) -> tuple[date, ...]:
    """The dates before the run's that a table is extracted on first; none unless it has `on_gap: backfill`."""
    if config.on_gap is not OnGap.BACKFILL or config.incremental is None or config.is_full_extract:
        return ()
    try:
        coverage = await run.threads.disk.do(windows_of(config, run).coverage)
    except StatekeeperError:  # the table's plan needs the same, and fails with it
        return ()
    own = (run.extraction_date.isoformat(), run.run_id)
    if any(window.extraction == own for window in coverage.taken):
        return ()
    return missing_dates(config, run.extraction_date, coverage)
