"""A local worker process: receives jobs over a pipe, does them one at a time, sends results back.

It has no locks in common with any other process, so it can be killed at any instant without harm to others. It ends
when its parent does, however the parent ended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from statekeeper.errors import FailureKind, StatekeeperError, error_of
from statekeeper.logs import Redactor
from statekeeper.privacy import RowValues, name_of, text_of, trace_of
from statekeeper.work import JobSource, ProcessContext, Sessions, WorkContext

PROGRESS_EVERY_SECONDS = 0.2


@dataclass(frozen=True)
class Order:
    """A job on its way to a worker."""

    work: Callable[[Any, WorkContext], Any]
    spec: object
    source: JobSource | None
    secrets: tuple[str, ...]
    values: RowValues = RowValues.SHOWN


@dataclass(frozen=True)
class Progress:
    """Rows read since the last message."""

    rows: int


@dataclass(frozen=True)
class Raised:
    """An error as plain values, secrets removed."""

    kind: FailureKind
    message: str
    hint: str | None
    code: str | None

    def as_error(self) -> StatekeeperError:
        return error_of(self.kind, self.message, hint=self.hint, code=self.code)


@dataclass(frozen=True)
class Done:
    """The end of a job, and the sources with which the worker still has a session."""

    result: Any
    raised: Raised | None
    sessions: frozenset[str]


def worker_main(pipe: Connection, stop_flag: Any, memory_limit: str) -> None:
    """The life of a worker: until the parent closes the pipe or dies.

    `stop_flag` is a lock-free shared byte that the parent sets to stop the present job.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides; a terminal sends Ctrl-C to every process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sessions = Sessions(memory_limit)
    while (order := _receive(pipe)) is not None:
        reporter = _ProgressPipe(pipe)
        context = ProcessContext(
            sessions,
            memory_limit=memory_limit,
            is_stopping=lambda: bool(stop_flag.value),
            report=reporter.add,
            source=order.source,
        )
        if not _answer(pipe, carry_out(order, context, sessions)):
            break
    sessions.close_all()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by multiprocessing"
    parent.join()
    os._exit(1)


def _receive(pipe: Connection) -> Order | None:
    try:
        order: Order | None = pipe.recv()
    except (EOFError, OSError):
        return None
    return order


def _answer(pipe: Connection, done: Done) -> bool:
    """Send the end of a job; False where nobody listens any more."""
    try:
        pipe.send(done)
    except OSError:
        return False
    except Exception as error:  # noqa: BLE001 - pickling runs code of every class in the result
        failure = Raised(FailureKind.INTERNAL, f"a result cannot be sent from a worker: {error!r}", None, None)
        return _answer(pipe, Done(None, failure, done.sessions))
    return True


def carry_out(order: Order, context: WorkContext, sessions: Sessions) -> Done:
    """Do a job; after a failure the session that it used is closed. What was raised is free of secrets, and of values
    of rows where the order says so.
    """
    raised: Raised | None = None
    result = None
    without_secrets = Redactor(order.secrets)
    try:
        result = order.work(order.spec, context)
    except StatekeeperError as error:
        hint = without_secrets(error.hint) if error.hint else None
        raised = Raised(error.kind, without_secrets(text_of(error, order.values)), hint, error.code)
    except Exception as error:  # noqa: BLE001 - the worker boundary: whatever happened is carried to the parent as a failure
        what = f"unforeseen error in a worker: {name_of(error, order.values)}"
        text = without_secrets(f"{what}\n{trace_of(error, order.values)}")
        raised = Raised(FailureKind.INTERNAL, text, None, None)
    if raised and order.source:
        sessions.close(order.source.name)
    return Done(result=result, raised=raised, sessions=sessions.names)


class _ProgressPipe:
    """Sends rows read, not more often than a person can see."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._rows = 0
        self._sent_at = time.monotonic()

    def add(self, rows: int) -> None:
        self._rows += rows
        now = time.monotonic()
        if now - self._sent_at >= PROGRESS_EVERY_SECONDS:
            self._pipe.send(Progress(self._rows))
            self._rows, self._sent_at = 0, now
