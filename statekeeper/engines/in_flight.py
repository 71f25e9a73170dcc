"""Many pieces of work of one table, so many at once: a plan of 16,000 chunks is no 16,000 tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def all_done(
    items: Sequence[Item], work: Callable[[Item], Awaitable[Result]], *, at_once: int
) -> tuple[Result, ...]:
    """What `work` returns for every item, in order; at most `at_once` are under way.

    The first failure is raised once nothing is under way any more: what was is cancelled, since nobody asks for it.
    """
    results: dict[int, Result] = {}
    left = iter(enumerate(items))

    async def go_on() -> None:
        for number, item in left:
            results[number] = await work(item)

    tasks = [asyncio.create_task(go_on()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tuple(results[number] for number in range(len(items)))
