"""Watches the lock of a table during its work: reports trouble at once, and ends the work if the lock is lost.

Every durable write checks the lock (`store.files.durable`). But without this watch, hours of reading could follow a
loss before anything is written. A check reads no file, so it costs no request and never blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from statekeeper.errors import LockLost
from statekeeper.runtime.progress import Reporter
from statekeeper.store.locks.holder import ExtractionLock

CHECK_EVERY_SECONDS = 1.0
WARN_EVERY_SECONDS = 30.0


@asynccontextmanager
async def ended_by_loss(lock: ExtractionLock, *, key: str, reporter: Reporter) -> AsyncIterator[None]:
    """Cancel the block once `lock`, the lock of the table `key`, is lost.

    Raises:
        LockLost: the lock is lost; the message says why, where and since when.
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
        if not scope.expired():  # the block itself raised TimeoutError
            raise
        raise losses[0] from None
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _loss(lock: ExtractionLock, *, key: str, reporter: Reporter) -> LockLost:
    """The error of a lost lock, once two checks in a row find it: after a pause of the process, the first check may
    come before the next heartbeat.
    """
    loop, warned_at, is_lost = asyncio.get_running_loop(), float("-inf"), False
    while True:
        await asyncio.sleep(CHECK_EVERY_SECONDS)
        trouble = lock.trouble()
        if trouble is None:
            warned_at, is_lost = float("-inf"), False
            continue
        if loop.time() - warned_at >= WARN_EVERY_SECONDS:
            warned_at = loop.time()
            reporter.warning(key, trouble.message)
        if is_lost and trouble.loss is not None:
            return trouble.loss
        is_lost = trouble.loss is not None
