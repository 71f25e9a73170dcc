"""Threads in which a run does what may block, so that its event loop never does.

Files, hashes, copies, syncs and imports of models are done here, one step at a time per table. Waiting for locks, which
may take long, has threads of its own, so that no step waits for it; engines give their signs of life elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import ParamSpec, Self, TypeVar

P = ParamSpec("P")
Value = TypeVar("Value")


_MOST_ON_DISK = 16


class BlockingPool:
    """Threads for blocking steps; `most` is how many steps are done at once."""

    def __init__(self, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(most, f"statekeeper-{name}")

    async def do(self, step: Callable[P, Value], *arguments: P.args, **options: P.kwargs) -> Value:
        """The result of `step`, done in a thread.

        A thread cannot be stopped: a cancelled caller is cancelled once its step has ended, or at once where no thread
        has begun it. So what a step has begun to write is whole, and nothing else is done for its caller meanwhile.
        """
        future = self._pool.submit(step, *arguments, **options)
        ended = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if not future.cancel():
                while not ended.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([ended])
            raise

    def close(self) -> None:
        """End the threads. Every step has ended, since its caller has waited for it."""
        self._pool.shutdown()


@dataclass(frozen=True)
class Threads:
    """The threads of a run."""

    disk: BlockingPool
    locks: BlockingPool

    @classmethod
    def of(cls, active_tables: int) -> Self:
        """Enough that no table waits for a lock because others do."""
        return cls(
            disk=BlockingPool(min(active_tables, _MOST_ON_DISK), "disk"), locks=BlockingPool(active_tables, "lock")
        )

    def close(self) -> None:
        """End the threads; see `BlockingPool.close`."""
        self.disk.close()
        self.locks.close()
