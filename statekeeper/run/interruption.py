"""How a run is stopped: by a signal, or from another thread; and which thread its event loop runs in.

The first request ends a run cleanly, with its state saved; the second one ends it at once. What a table does when it is
cancelled is `statekeeper.run.table_task`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from statekeeper.engines.protocol import Engine

_LOG = logging.getLogger("statekeeper.run")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Value = TypeVar("Value")


@dataclass
class Interruption:
    """The requests to stop one run: SIGINT and SIGTERM, and `ask`. `signal_number` is that of the first request."""

    signal_number: int | None = None
    _tasks: tuple[asyncio.Task[Any], ...] = ()
    _asked: tuple[signal.Signals, ...] = ()
    _answered: int = 0
    _wake: Callable[[], object] = lambda: None

    def cancels(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Name the tasks that the first request cancels."""
        self._tasks = tuple(tasks)
        if self.signal_number is not None:
            self._cancel()

    @contextmanager
    def watched(self, engine: Engine) -> Iterator[None]:
        """Listen while the block runs: to the signals where this is the main thread, and everywhere to `ask`."""
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        heard: list[signal.Signals] = []
        self._wake = lambda: loop.call_soon_threadsafe(self._answer, engine)
        self._answer(engine)  # what was asked before the loop ran
        try:
            with suppress(RuntimeError, ValueError, NotImplementedError):
                for number in _SIGNALS:
                    loop.add_signal_handler(number, self._hear, number, engine)
                    heard.append(number)
            yield
        finally:
            self._wake = lambda: None
            for number in heard:
                loop.remove_signal_handler(number)
                _put_back(number, before[number])

    def ask(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the run as a signal would, from any thread and at any time, also before the run has begun.

        The second time, the run's processes are killed, and this one is not.
        """
        self._asked += (number,)
        with suppress(RuntimeError):  # the loop has just been closed: the run is over
            self._wake()

    @contextmanager
    def signals_as_requests(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as requests to a run in another thread, while the block runs in the main thread."""
        before: dict[signal.Signals, Any] = {}
        try:
            with suppress(ValueError):  # only the main thread may do this
                for number in _SIGNALS:
                    before[number] = signal.signal(number, lambda number, _frame: self.ask(signal.Signals(number)))
            yield
        finally:
            for number, handler in before.items():
                _put_back(number, handler)

    @property
    def was_requested(self) -> bool:
        """Whether the run was asked to stop by `ask`, be it that it had ended already."""
        return bool(self._asked)

    def hand_on(self) -> None:
        """Let the signal that came do, now that the run has ended, what it does without us.

        A handler of the program around us is called; if it returns, so does this.

        Raises:
            KeyboardInterrupt: it was SIGINT.
            SystemExit: it was SIGTERM; the code is 143.
        """
        if self.signal_number is not None:
            hand_on(self.signal_number)

    def _hear(self, number: signal.Signals, engine: Engine) -> None:
        if self.signal_number is not None:
            engine.kill()
            os._exit(128 + number)
        self._begin(number)

    def _answer(self, engine: Engine) -> None:
        while self._answered < len(self._asked):
            number = self._asked[self._answered]
            self._answered += 1
            if self.signal_number is not None:
                engine.kill()
            else:
                self._begin(number)

    def _begin(self, number: signal.Signals) -> None:
        self.signal_number = number
        _LOG.warning("%s: ending cleanly, state is saved; once more to stop at once", number.name)
        self._cancel()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


def _put_back(number: signal.Signals, handler: Any) -> None:
    """Give a signal to the handler of the program around us again; one that is not Python's own cannot be named."""
    if handler is not None:
        signal.signal(number, handler)


def hand_on(number: int) -> None:
    """Do what a signal does to a program that is in no run; see `Interruption.hand_on`."""
    handler = signal.getsignal(number)
    if callable(handler):
        handler(number, None)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)


def run_to_end(main: Callable[[], Coroutine[Any, Any, Value]], interruption: Interruption) -> Value:
    """What the coroutine of `main` returns, from an event loop of its own: in this thread if it has none that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    # A notebook's event loop runs already in this thread: use another thread with a loop of its own.
    future = start_in_thread(lambda: asyncio.run(main()))
    while True:
        try:
            return future.result()
        except KeyboardInterrupt:
            interruption.ask()


def start_in_thread(work: Callable[[], Value]) -> Future[Value]:
    """Begin `work` in a new thread, which has in Spark what this one has; the future of what it returns or raises."""
    from statekeeper.engines.spark.session import inheriting_thread

    future: Future[Value] = Future()

    def target() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the run is waited for
            future.set_exception(error)

    inheriting_thread(target=target, name="statekeeper-run").start()
    return future
