"""The events of a run as a stream, for `for` and for `async for`.

The run works in a thread of its own. Whoever stops listening stops the run, which then ends cleanly.
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
    """The run has ended: the last event of every run that could begin."""

    report: RunReport


RunEvent: TypeAlias = ProgressEvent | RunEnded
_Tell: TypeAlias = Callable[[ProgressEvent], None]


class RunEvents:
    """The events of a run, in order, as they happen. Each iteration is a run, which begins with the iteration.

    Leaving the loop early (`break`, an exception, a cancelled task) stops the run: it ends cleanly, with its state
    saved, before the statement after the loop. After a `break` from `async for` the event loop does that soon; with
    `contextlib.aclosing` it is done at once. SIGINT and SIGTERM during a `for` in the main thread do the same as during
    `StatefulDataExtractor.run`. What a slow reader has not taken yet waits in memory, a few hundred bytes an event.
    """

    def __init__(self, run: Callable[[_Tell, Interruption], RunReport], *, report_interrupt: bool = False) -> None:
        self._run = run
        self._report_interrupt = report_interrupt

    def __iter__(self) -> Iterator[RunEvent]:
        interruption = Interruption()
        waiting: SimpleQueue[ProgressEvent | None] = SimpleQueue()
        with interruption.signals_as_requests():
            ended = self._begun(waiting.put, interruption)
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

        def tell(event: ProgressEvent) -> None:
            with suppress(RuntimeError):  # the loop was closed, and nobody listens any more
                loop.call_soon_threadsafe(waiting.put_nowait, event)

        ended = asyncio.wrap_future(self._begun(tell, interruption))
        ended.add_done_callback(lambda _: waiting.put_nowait(None))
        try:
            while (event := await waiting.get()) is not None:
                yield event
            yield RunEnded(report=ended.result())
        finally:
            if not ended.done():
                interruption.ask()
            await wait_until_ended(ended, interruption)

    def _begun(self, tell: _Tell, interruption: Interruption) -> Future[RunReport]:
        return start_in_thread(lambda: self._run(tell, interruption))


async def wait_until_ended(ended: asyncio.Future[RunReport], interruption: Interruption) -> None:
    """Wait until a run is over. Each time that this task is cancelled, the run is asked to stop.

    Raises:
        CancelledError: the task was cancelled; the run is over all the same.
    """
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError as error:
            cancelled = error
            interruption.ask()
    if cancelled is not None:
        ended.exception()  # what it was is in the state; the task asked for an end, and that is what it is told
        raise cancelled
