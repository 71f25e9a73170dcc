"""The task of one table in a run: a place among the active tables, its lock, and one report, whatever happens.

`statekeeper.run.table_run` decides what is done while the lock is held, and `statekeeper.run.ending` how the task ends.
One table's failure never stops another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.waiting import WaitKind
from statekeeper.run.ending import Ending
from statekeeper.run.lock_watch import ended_by_loss
from statekeeper.run.report import TableReport
from statekeeper.run.resume import Reprocess
from statekeeper.run.skip import skip_unchanged
from statekeeper.run.table_run import TableRun
from statekeeper.runtime.context import Run
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.locks.holder import ExtractionLock
from statekeeper.store.locks.lease_watch import LeaseWatch
from statekeeper.store.locks.lock import acquire, watch_lease
from statekeeper.store.place import require_layout_of_table

_LOG = logging.getLogger("statekeeper.run")


async def run_table_task(config: ExtractionConfig, run: Run, reprocess: Reprocess) -> TableReport:
    """Bring one extraction to `complete`, or to a failure that its state or the run's record has.

    Raises:
        asyncio.CancelledError: the run was interrupted; no other error leaves this function.
    """
    try:
        async with run.active:  # the lock as well: it is an open file, and there may be a thousand tables
            started = run.clock()
            report = await _run_locked(config, run, reprocess)
            report = report.model_copy(update={"duration_seconds": (run.clock() - started).total_seconds()})
            run.reporter.table_ended(config.table.key, report.end)
            return report
    finally:
        run.extracted.end(config.table)


async def _run_locked(config: ExtractionConfig, run: Run, reprocess: Reprocess) -> TableReport:
    layout, ending = run.layout_of(config), Ending(config, run)
    async with AsyncExitStack() as held:
        try:
            if await skip_unchanged(config, run, layout, ending, reprocess):
                return await ending.complete()
            lock = await held.enter_async_context(_lock(config.table.key, run, layout))
            async with ended_by_loss(lock, key=config.table.key, reporter=run.reporter):
                await TableRun(config, run, layout, lock, ending).execute(reprocess)
            return await ending.complete()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - one table's failure never stops another
            return await ending.after(error)  # while the lock is held: it may write the state


@asynccontextmanager
async def _lock(key: str, run: Run, layout: ExtractionLayout) -> AsyncIterator[ExtractionLock]:
    """The extraction's lock, held while the block runs."""
    lock = await _acquired(key, run, layout)
    try:
        yield lock
    finally:
        await run.threads.disk.do(_release, lock)


def _release(lock: ExtractionLock) -> None:
    try:
        lock.release()
    except OSError as error:  # the table's outcome is decided; the lock ends with this process at the latest
        _LOG.warning("a lock could not be released: %s", error)


async def _acquired(key: str, run: Run, layout: ExtractionLayout) -> ExtractionLock:
    """The extraction's lock. A thread cannot be stopped: a lock that it takes for a cancelled run is released."""
    taken: list[ExtractionLock] = []
    output, do = run.pipeline.output, run.threads.locks.do
    kind, ttl = output.lock, output.lease_lifetime
    try:
        with run.waits.on(key, WaitKind.LOCK, f"the lock {layout.lock.name}, whose holder may be dead"):
            watch = await do(watch_lease, run.disk, layout, kind=kind, ttl=ttl)
            if watch is not None and not await do(watch.look):
                # Other tables continue meanwhile; a dead host may have left a hundred leases, all watched at once.
                async with run.active_slot_released():
                    await _until_free(watch, run)

            def take() -> None:
                require_layout_of_table(run.disk, layout)  # before the lock makes the first folder
                held = acquire(run.disk, layout, kind=kind, owner=run.owner, ttl=ttl, watch=watch)
                taken.append(held)

            await do(take)
    except asyncio.CancelledError:
        for lock in taken:
            await run.threads.disk.do(_release, lock)
        raise
    return taken[0]


async def _until_free(watch: LeaseWatch, run: Run) -> None:
    """Return once the lease may be taken. Raises like `LeaseWatch.look`."""
    is_free = False
    while not is_free:
        await asyncio.sleep(watch.pause)
        is_free = await run.threads.locks.do(watch.look)
