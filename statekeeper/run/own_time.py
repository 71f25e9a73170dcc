"""A limit on the time that a table works in a state; the clock stops while the table only waits for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from statekeeper.engines.waiting import Waits


class OwnTimeExceeded(Exception):
    """The block worked for longer than its limit."""


@asynccontextmanager
async def own_time_limit(limit: timedelta | None, *, waits: Waits, key: str) -> AsyncIterator[None]:
    """Cancel the block once the table `key` has worked for `limit`; None means no limit.

    Raises:
        OwnTimeExceeded: the limit is reached.
    """
    if limit is None:
        yield
        return
    loop = asyncio.get_running_loop()
    left = limit.total_seconds()
    working_since: float | None = None
    scope = asyncio.timeout(None)

    def update() -> None:
        nonlocal left, working_since
        now = loop.time()
        if working_since is not None:
            left -= now - working_since
        working_since = None if waits.is_held_up(key) else now
        if not scope.expired():
            scope.reschedule(None if working_since is None else now + left)

    try:
        async with scope:
            update()
            with waits.observed(key, update):
                yield
    except TimeoutError as error:
        if not scope.expired():  # the block itself raised TimeoutError
            raise
        raise OwnTimeExceeded from error
