"""How a run is stopped, by a signal or from another thread; and in which thread its event loop runs.

The first request ends a run cleanly, with its state saved; the second one ends it at once. `statekeeper.run.table_task`
decides what a cancelled table does.
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
    _requests: tuple[signal.Signals, ...] = ()
    _handled: int = 0
    _wake: Callable[[], object] = lambda: None

    def cancels(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Set the tasks that the first request cancels."""
        self._tasks = tuple(tasks)
        if self.signal_number is not None:
            self._cancel()

    @contextmanager
    def watched(self, engine: Engine) -> Iterator[None]:
        """Handle requests while the block runs: those of `ask` and, in the main thread, signals."""
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        installed: list[signal.Signals] = []
        self._wake = lambda: loop.call_soon_threadsafe(self._handle_requests, engine)
        self._handle_requests(engine)  # those from before the loop ran
        try:
            with suppress(RuntimeError, ValueError, NotImplementedError):
                for number in _SIGNALS:
                    loop.add_signal_handler(number, self._on_signal, number, engine)
                    installed.append(number)
            yield
        finally:
            self._wake = lambda: None
            for number in installed:
                loop.remove_signal_handler(number)
                _restore_handler(number, before[number])

    def ask(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the run as a signal would, from any thread and at any time, even before the run has started.

        The second call kills the run's processes, but not this one.
        """
        self._requests += (number,)
        with suppress(RuntimeError):  # the loop has just been closed: the run has ended
            self._wake()

    @contextmanager
    def signals_as_requests(self) -> Iterator[None]:
        """Send SIGINT and SIGTERM to a run in another thread, while the block runs in the main thread."""
        before: dict[signal.Signals, Any] = {}
        try:
            with suppress(ValueError):  # only the main thread may set handlers
                for number in _SIGNALS:
                    before[number] = signal.signal(number, lambda number, _frame: self.ask(signal.Signals(number)))
            yield
        finally:
            for number, handler in before.items():
                _restore_handler(number, handler)

    @property
    def was_requested(self) -> bool:
        """Whether `ask` was called, even if the run had already ended."""
        return bool(self._requests)

    def hand_on(self) -> None:
        """After the run has ended, do what its signal does in a program without a run.

        A handler of the calling program is called; if it returns, this returns too.

        Raises:
            KeyboardInterrupt: it was SIGINT.
            SystemExit: it was SIGTERM; the code is 143.
        """
        if self.signal_number is not None:
            hand_on(self.signal_number)

    def _on_signal(self, number: signal.Signals, engine: Engine) -> None:
        if self.signal_number is not None:
            engine.kill()
            os._exit(128 + number)
        self._stop(number)

    def _handle_requests(self, engine: Engine) -> None:
        while self._handled < len(self._requests):
            number = self._requests[self._handled]
            self._handled += 1
            if self.signal_number is not None:
                engine.kill()
            else:
                self._stop(number)

    def _stop(self, number: signal.Signals) -> None:
        self.signal_number = number
        _LOG.warning("%s: ending cleanly, state is saved; repeat the signal to stop at once", number.name)
        self._cancel()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


def _restore_handler(number: signal.Signals, handler: Any) -> None:
    """Restore the handler of the calling program; None stands for one that Python did not set and cannot restore."""
    if handler is not None:
        signal.signal(number, handler)


def hand_on(number: int) -> None:
    """Do what a signal does in a program without a run; see `Interruption.hand_on`."""
    handler = signal.getsignal(number)
    if callable(handler):
        handler(number, None)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)


def run_to_end(main: Callable[[], Coroutine[Any, Any, Value]], interruption: Interruption) -> Value:
    """Run the coroutine of `main` in a new event loop: in this thread, or in another if this one runs a loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    # A notebook already runs an event loop in this thread: use another thread with its own loop.
    future = start_in_thread(lambda: asyncio.run(main()))
    while True:
        try:
            return future.result()
        except KeyboardInterrupt:
            interruption.ask()


def start_in_thread(work: Callable[[], Value]) -> Future[Value]:
    """Run `work` in a new thread, with this thread's Spark properties; returns the future of its result or error."""
    from statekeeper.engines.spark.session import inheriting_thread

    future: Future[Value] = Future()

    def target() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the run is awaited
            future.set_exception(error)

    inheriting_thread(target=target, name="statekeeper-run").start()
    return future
