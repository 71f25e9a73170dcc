"""Runs the many jobs of one table with a limit on concurrency: a plan of 16,000 chunks needs no 16,000 tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def all_done(
    items: Sequence[Item], work: Callable[[Item], Awaitable[Result]], *, at_once: int
) -> tuple[Result, ...]:
    """The results of `work` for every item, in order; at most `at_once` calls run at the same time.

    After the first failure the calls that still run are cancelled; the failure is raised once all of them have ended.
    """
    results: dict[int, Result] = {}
    remaining = iter(enumerate(items))

    async def work_off() -> None:
        for number, item in remaining:
            results[number] = await work(item)

    tasks = [asyncio.create_task(work_off()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tuple(results[number] for number in range(len(items)))
