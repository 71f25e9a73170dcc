"""A table's lock, watched while the table is worked on: trouble is told at once, and a loss ends the work.

Whatever is written looks at the lock by itself (`store.files.durable`). Without this, hours of reading could follow a
loss before anything is written. A look touches no file, so it costs no request and never blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from statekeeper.errors import LockLost
from statekeeper.runtime.progress import Reporter
from statekeeper.store.locks.holder import ExtractionLock

LOOK_EVERY_SECONDS = 1.0
TOLD_EVERY_SECONDS = 30.0


@asynccontextmanager
async def ended_by_loss(lock: ExtractionLock, *, key: str, reporter: Reporter) -> AsyncIterator[None]:
    """Cancel the block once `lock`, that of the table `key`, is lost.

    Raises:
        LockLost: it is; the message says why, where and since when.
    """
    scope = asyncio.timeout(None)
    losses: list[LockLost] = []

    async def watch() -> None:
        losses.append(await _loss(lock, key=key, reporter=reporter))
        scope.reschedule(asyncio.get_running_loop().time())

    watching = asyncio.create_task(watch())
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():  # a time-out of the system's, in the work itself
            raise
        raise losses[0] from None
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _loss(lock: ExtractionLock, *, key: str, reporter: Reporter) -> LockLost:
    """The error of a lost lock, once two looks in a row find it: one may be quicker than a heart that just woke up."""
    loop, told_at, is_lost = asyncio.get_running_loop(), float("-inf"), False
    while True:
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        trouble = lock.trouble()
        if trouble is None:
            told_at, is_lost = float("-inf"), False
            continue
        if loop.time() - told_at >= TOLD_EVERY_SECONDS:
            told_at = loop.time()
            reporter.warning(key, trouble.message)
        if is_lost and trouble.loss is not None:
            return trouble.loss
        is_lost = trouble.loss is not None
