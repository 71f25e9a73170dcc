"""A local worker process: receives jobs over a pipe, does them one at a time, sends results back.

It has no locks in common with any other process, so it can be killed at any instant without harm to others. It ends
when its parent does, however the parent ended: then its reins, a second pipe that tells it to stop, are let go.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from statekeeper.engines.context import JobSource, ProcessContext, Sessions, WorkContext
from statekeeper.engines.fork_server import NUMBER
from statekeeper.errors import FailureKind, StatekeeperError, error_of
from statekeeper.logs import Redactor
from statekeeper.system_errors import as_system_error, start_thread
from statekeeper.text.privacy import RowValues, name_of, text_of, trace_of

PROGRESS_EVERY_SECONDS = 0.2


@dataclass(frozen=True)
class WorkRequest:
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
class WireError:
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
    raised: WireError | None
    sessions: frozenset[str]


@dataclass(frozen=True)
class Begun:
    """The worker has taken up the job that it was sent."""


Message = Begun | Progress | Done


def worker_main(pipe: Connection, reins: int, memory_limit: str) -> None:
    """The life of a worker: until the parent says so, closes the pipe or dies.

    Over `reins`, a descriptor, comes the number of an order that is to be stopped; the first is 1.
    """
    watch = _Reins(reins)
    try:
        start_thread(threading.Thread(target=watch.hold, daemon=True))
    except RuntimeError as error:  # no more processes, threads or memory are allowed
        failure = WireError(FailureKind.WORKER_DIED, f"a worker process cannot start a thread: {error}", LIMITS, None)
        _answer(pipe, Done(None, failure, frozenset()))
        return
    sessions = Sessions(memory_limit)
    while isinstance(received := _receive(pipe), WorkRequest | WireError):
        watch.taken += 1
        if isinstance(received, WireError):
            done = Done(None, received, sessions.names)
        else:
            pipe.send(Begun())
            context = ProcessContext(
                sessions,
                memory_limit=memory_limit,
                is_stopping=lambda: watch.is_stopping,
                report=_ProgressPipe(pipe).add,
                source=received.source,
            )
            done = execute(received, context, sessions)
        if not _answer(pipe, done):
            break
    sessions.close_all()


LIMITS = "look at the limits of processes, open files and memory (ulimit -u, -n, -v), or lower execution.workers"


class _Reins:
    """What the parent says while an order is at work: which one is to stop; and whether the parent lives."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stopped = 0
        self.taken = 0
        """How many orders the worker has taken up."""

    @property
    def is_stopping(self) -> bool:
        return self._stopped >= self.taken

    def hold(self) -> None:
        """Listen, in a thread, for as long as the parent lives; then end the process."""
        while told := os.read(self._descriptor, NUMBER.size):
            (self._stopped,) = NUMBER.unpack(told)
        os._exit(1)


def _receive(pipe: Connection) -> WorkRequest | WireError | None:
    """The next order, or why it cannot be read; None where there will be none."""
    try:
        sent = pipe.recv_bytes()
    except (EOFError, OSError):
        return None
    try:
        order: WorkRequest | None = pickle.loads(sent)  # noqa: S301 - from the process that started this one
    except Exception as error:  # noqa: BLE001 - unpickling imports modules, and runs code of every class in the spec
        return WireError(FailureKind.INTERNAL, f"a worker cannot read what it is to do: {error!r}", None, None)
    return order


def _answer(pipe: Connection, done: Done) -> bool:
    """Send the end of a job; False where nobody listens any more."""
    try:
        pipe.send(done)
    except OSError:
        return False
    except Exception as error:  # noqa: BLE001 - pickling runs code of every class in the result
        failure = WireError(FailureKind.INTERNAL, f"a result cannot be sent from a worker: {error!r}", None, None)
        return _answer(pipe, Done(None, failure, done.sessions))
    return True


def execute(order: WorkRequest, context: WorkContext, sessions: Sessions) -> Done:
    """Do a job; after a failure the session that it used is closed. What was raised is free of secrets, and of values
    of rows where the order says so.
    """
    raised: WireError | None = None
    result = None
    try:
        result = order.work(order.spec, context)
    except Exception as error:  # noqa: BLE001 - the worker boundary: whatever happened is carried to the parent as a failure
        raised = _raised(error, order)
    if raised and order.source:
        sessions.close(order.source.name)
    return Done(result=result, raised=raised, sessions=sessions.names)


def _raised(error: Exception, order: WorkRequest) -> WireError:
    without_secrets = Redactor(order.secrets)
    known = error if isinstance(error, StatekeeperError) else as_system_error(error)
    if known is None:
        what = f"unforeseen error in a worker: {name_of(error, order.values)}"
        return WireError(
            FailureKind.INTERNAL, without_secrets(f"{what}\n{trace_of(error, order.values)}"), hint=None, code=None
        )
    hint = without_secrets(known.hint) if known.hint else None
    return WireError(known.kind, without_secrets(text_of(known, order.values)), hint, known.code)


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
