"""Bounds how long a blocking call may take that has no time limit of its own, such as a driver's login.

The call runs in a thread. A call that is too late keeps its thread, which nothing waits for; what it returns then is
handed to `discard`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Thread
from typing import TypeVar

from statekeeper.system_errors import start_thread

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result], *, discard: Callable[[Result], object]) -> Result:
    """What `call` returns or raises.

    Raises:
        TimeoutError: it took longer than `seconds`.
    """
    answer: Future[Result] = Future()
    # A daemon: at its exit the interpreter waits for the threads of an executor, and not for this one.
    start_thread(Thread(target=_answer, args=(answer, call, discard), name="statekeeper-time-limit", daemon=True))
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.cancel():
            raise
        return answer.result()  # it arrived just now
    except BaseException:
        answer.cancel()
        raise


def _answer(answer: Future[Result], call: Callable[[], Result], discard: Callable[[Result], object]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
        with suppress(InvalidStateError):
            answer.set_exception(error)
        return
    try:
        answer.set_result(result)
    except InvalidStateError:  # nobody waits any more
        discard(result)
