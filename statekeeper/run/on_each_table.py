"""Inspects each table of a run, concurrently, without running it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import (
    Interrupted,
    Terminated,
)
from statekeeper.run.interruption import Interruption
from statekeeper.run.runner import Runner
from statekeeper.runtime.context import Run

Value = TypeVar("Value")


async def _nothing(_run: Run) -> None:
    """The default for what is done before the tables are inspected."""


def on_each_table(
    runner: Runner,
    tables: tuple[ExtractionConfig, ...],
    look: Callable[[ExtractionConfig, Run], Awaitable[Value]],
    *,
    first: Callable[[Run], Awaitable[None]] = _nothing,
) -> tuple[Value, ...]:
    """The result of `look` for each table, in their order; `first` runs before.

    Raises:
        Interrupted, Terminated: a signal arrived.
    """

    async def look_at(config: ExtractionConfig, run: Run) -> Value:
        return await look(config, run)

    async def work(run: Run, interruption: Interruption) -> tuple[Value, ...]:
        await first(run)
        tasks = [asyncio.create_task(look_at(config, run)) for config in tables]
        interruption.cancels(tasks)
        if tasks:
            await asyncio.wait(tasks)
        match interruption.signal_number:
            case None:
                return tuple(task.result() for task in tasks)
            case signal.SIGTERM:
                raise Terminated("interrupted; nothing was changed")
            case _:
                raise Interrupted("interrupted; nothing was changed")

    return runner.within_engine(work, Interruption())
