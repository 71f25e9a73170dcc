"""A table's turn in a run: a place among the active ones, its lock, and one report, whatever happens.

What is done while the lock is held is decided in `statekeeper.extraction`. Here ends every error of a table: one
table's failure never stops another.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from statekeeper.config.extraction import ExtractionConfig
from statekeeper.errors import LockHeld, LockLost, StatekeeperError
from statekeeper.extraction import Extraction, unforeseen
from statekeeper.layout import ExtractionLayout
from statekeeper.model.record import Failure, State
from statekeeper.report import Outcome, TableReport
from statekeeper.run import Run
from statekeeper.store.durable import storage_errors
from statekeeper.store.holder import ExtractionLock
from statekeeper.store.lock import acquire


async def perform(config: ExtractionConfig, run: Run, *, is_forced: bool) -> TableReport:
    """Bring one extraction to `complete`, or to a failure that its state tells; only cancellation passes."""
    try:
        async with run.active:  # the lock, too, which is an open file: of a thousand tables there would be a thousand
            started = run.clock()
            report = await _perform(config, run, is_forced=is_forced)
            return report.model_copy(update={"duration_seconds": (run.clock() - started).total_seconds()})
    finally:
        run.extracted.end(config.table)


async def _perform(config: ExtractionConfig, run: Run, *, is_forced: bool) -> TableReport:
    layout = run.layout_of(config)
    report = TableReport(table=config.table, outcome=Outcome.FAILED)
    try:
        with storage_errors(layout.folder, "make"):
            run.disk.make_folder(layout.folder, role="mkdir")
        with await _acquired(run, layout) as lock:
            return await Extraction(config, run, layout, lock).perform(is_forced=is_forced)
    except (LockHeld, LockLost) as error:
        run.reporter.table_state(config.table.key, Outcome.HELD, error.message)
        return report.model_copy(update={"outcome": Outcome.HELD, "reason": error.message})
    except StatekeeperError as error:
        return _unsaved_failure(report, error, run)
    except Exception as error:  # noqa: BLE001 - the table boundary: one table's failure never stops another
        return _unsaved_failure(report, unforeseen(error, config, run), run)


async def _acquired(run: Run, layout: ExtractionLayout) -> ExtractionLock:
    """The extraction's lock. A waiting thread cannot be stopped: a lock that it takes for a cancelled run is let go."""
    acquiring = asyncio.ensure_future(
        asyncio.to_thread(
            acquire,
            run.disk,
            layout,
            kind=run.pipeline.output.lock,
            owner=run.owner,
            ttl=run.pipeline.output.lease_ttl,
        )
    )
    try:
        return await asyncio.shield(acquiring)
    except asyncio.CancelledError:
        with suppress(StatekeeperError):
            (await acquiring).release()
        raise


def _unsaved_failure(report: TableReport, error: StatekeeperError, run: Run) -> TableReport:
    """The report of a failure that the state file could not or must not tell."""
    run.reporter.table_state(report.table.key, State.FAILED, error.message)
    return report.model_copy(
        update={
            "outcome": Outcome.FAILED,
            "failure": Failure.of(error, failed_in=State.PENDING),
            "reason": error.message,
        }
    )
