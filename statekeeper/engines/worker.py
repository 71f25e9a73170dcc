"""A local worker process: receives jobs over a pipe, runs them one at a time, and sends the results back.

It shares no locks with other processes, so killing it at any moment harms none of them. A second pipe, the stop pipe,
tells it to stop its current job. When the parent ends, however it ends, the stop pipe closes and the worker ends.
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
    """A job as it is sent to a worker."""

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
    """The worker has begun with its job."""


Message = Begun | Progress | Done


def worker_main(pipe: Connection, stop_pipe: int, memory_limit: str) -> None:
    """Run a worker until the parent says so, closes the pipe or dies.

    Over the descriptor `stop_pipe` the parent sends the number of a request that is to stop; the first request is 1.
    """
    listener = _StopListener(stop_pipe)
    try:
        start_thread(threading.Thread(target=listener.listen, daemon=True))
    except RuntimeError as error:  # the limit of processes, threads or memory is reached
        failure = WireError(FailureKind.WORKER_DIED, f"a worker process cannot start a thread: {error}", LIMITS, None)
        _answer(pipe, Done(None, failure, frozenset()))
        return
    sessions = Sessions(memory_limit)
    while isinstance(received := _receive(pipe), WorkRequest | WireError):
        listener.received += 1
        if isinstance(received, WireError):
            done = Done(None, received, sessions.names)
        else:
            pipe.send(Begun())
            context = ProcessContext(
                sessions,
                memory_limit=memory_limit,
                is_stopping=lambda: listener.is_stopping,
                report=_ProgressPipe(pipe).add,
                source=received.source,
            )
            done = execute(received, context, sessions)
        if not _answer(pipe, done):
            break
    sessions.close_all()


LIMITS = "look at the limits of processes, open files and memory (ulimit -u, -n, -v), or lower execution.workers"


class _StopListener:
    """Reads the stop pipe while jobs run: which request is to stop, and whether the parent lives."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stopped = 0
        self.received = 0
        """How many requests the worker has received."""

    @property
    def is_stopping(self) -> bool:
        return self._stopped >= self.received

    def listen(self) -> None:
        """Listen in a thread until the parent ends, then end this process."""
        while number := os.read(self._descriptor, NUMBER.size):
            (self._stopped,) = NUMBER.unpack(number)
        os._exit(1)


def _receive(pipe: Connection) -> WorkRequest | WireError | None:
    """The next request, or the reason why it cannot be read; None if there will be no more."""
    try:
        sent = pipe.recv_bytes()
    except (EOFError, OSError):
        return None
    try:
        request: WorkRequest | None = pickle.loads(sent)  # noqa: S301 - from the process that started this one
    except Exception as error:  # noqa: BLE001 - unpickling imports modules, and runs code of every class in the spec
        return WireError(FailureKind.INTERNAL, f"a worker cannot read its job: {error!r}", None, None)
    return request


def _answer(pipe: Connection, done: Done) -> bool:
    """Send the end of a job; False if the parent has closed the pipe."""
    try:
        pipe.send(done)
    except OSError:
        return False
    except Exception as error:  # noqa: BLE001 - pickling runs code of every class in the result
        failure = WireError(FailureKind.INTERNAL, f"a result cannot be sent from a worker: {error!r}", None, None)
        return _answer(pipe, Done(None, failure, done.sessions))
    return True


def execute(request: WorkRequest, context: WorkContext, sessions: Sessions) -> Done:
    """Run a job; after a failure the session that it used is closed.

    The error is free of secrets, and of values of rows if the request says so.
    """
    raised: WireError | None = None
    result = None
    try:
        result = request.work(request.spec, context)
    except Exception as error:  # noqa: BLE001 - the worker boundary: every error is sent to the parent as a failure
        raised = _raised(error, request)
    if raised and request.source:
        sessions.close(request.source.name)
    return Done(result=result, raised=raised, sessions=sessions.names)


def _raised(error: Exception, request: WorkRequest) -> WireError:
    without_secrets = Redactor(request.secrets)
    known = error if isinstance(error, StatekeeperError) else as_system_error(error)
    if known is None:
        what = f"unexpected error in a worker: {name_of(error, request.values)}"
        return WireError(
            FailureKind.INTERNAL, without_secrets(f"{what}\n{trace_of(error, request.values)}"), hint=None, code=None
        )
    hint = without_secrets(known.hint) if known.hint else None
    return WireError(known.kind, without_secrets(text_of(known, request.values)), hint, known.code)


class _ProgressPipe:
    """Sends the number of rows read, at most every `PROGRESS_EVERY_SECONDS`."""

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
