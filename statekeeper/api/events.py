"""The events of a run as a stream, for `for` and for `async for`.

The run works in a separate thread. If the listener stops, the run ends cleanly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

from statekeeper.run.interruption import Interruption, start_in_thread
from statekeeper.run.report import RunReport
from statekeeper.runtime.events import ProgressEvent


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """The run has ended: the last event of every run that could start."""

    report: RunReport


RunEvent: TypeAlias = ProgressEvent | RunEnded
_Send: TypeAlias = Callable[[ProgressEvent], None]


class RunEvents:
    """The events of a run, in order, as they happen. Each iteration starts a run.

    Leaving the loop early (`break`, an exception, a cancelled task) stops the run: it ends cleanly, with its state
    saved, before the statement after the loop. After a `break` from `async for` the event loop does that soon; with
    `contextlib.aclosing` it happens at once. SIGINT and SIGTERM during a `for` in the main thread have the same effect
    as during `StatefulDataExtractor.run`. Events that a slow reader has not taken yet wait in memory, a few hundred
    bytes per event.
    """

    def __init__(self, run: Callable[[_Send, Interruption], RunReport], *, report_interrupt: bool = False) -> None:
        self._run = run
        self._report_interrupt = report_interrupt

    def __iter__(self) -> Iterator[RunEvent]:
        interruption = Interruption()
        waiting: SimpleQueue[ProgressEvent | None] = SimpleQueue()
        with interruption.signals_as_requests():
            ended = self._start(waiting.put, interruption)
            ended.add_done_callback(lambda _: waiting.put(None))
            try:
                while (event := waiting.get()) is not None:
                    yield event
                yield RunEnded(report=ended.result())
            finally:
                if not (ended.done() or interruption.was_requested):  # a second request would kill the run
                    interruption.ask()
                wait([ended])
        if not self._report_interrupt:
            interruption.hand_on()

    async def __aiter__(self) -> AsyncIterator[RunEvent]:
        interruption, loop = Interruption(), asyncio.get_running_loop()
        waiting: asyncio.Queue[ProgressEvent | None] = asyncio.Queue()

        def send(event: ProgressEvent) -> None:
            with suppress(RuntimeError):  # the loop was closed, and nobody listens any more
                loop.call_soon_threadsafe(waiting.put_nowait, event)

        ended = asyncio.wrap_future(self._start(send, interruption))
        ended.add_done_callback(lambda _: waiting.put_nowait(None))
        try:
            while (event := await waiting.get()) is not None:
                yield event
            yield RunEnded(report=ended.result())
        finally:
            if not ended.done():
                interruption.ask()
            await wait_until_ended(ended, interruption)

    def _start(self, send: _Send, interruption: Interruption) -> Future[RunReport]:
        return start_in_thread(lambda: self._run(send, interruption))


async def wait_until_ended(ended: asyncio.Future[RunReport], interruption: Interruption) -> None:
    """Wait until a run has ended. Each cancellation of this task asks the run to stop.

    Raises:
        CancelledError: the task was cancelled; the run has ended anyway.
    """
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError as error:
            cancelled = error
            interruption.ask()
    if cancelled is not None:
        ended.exception()  # mark it as retrieved: the state has it, and the caller gets the cancellation
        raise cancelled
