"""The local engine: a pool of worker processes on this machine, shared by all tables of a run.

Decides which worker runs which job within each source's session budget, and notices workers that die. It uses
processes rather than threads, because decoding rows holds Python's global lock. The pools of the standard library do
not suffice: they lose every running job when one worker is killed, and cannot send a job to the worker that already
has the session it needs.

The event loop only decides. Everything that may block (starting a process, sending it a job, receiving its answer,
waiting for its end) happens in `engines.worker_link`, in one thread per worker.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, assert_never, cast

from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.queue import JobQueue, Waiting
from statekeeper.engines.spawning import start_fork_server
from statekeeper.engines.waiting import WaitKind
from statekeeper.engines.worker import LIMITS, Begun, Done, Progress, WorkRequest
from statekeeper.engines.worker_link import Ended, NotStarted, WorkerEvent, WorkerLink
from statekeeper.errors import InternalError, Interrupted, StatekeeperError, WorkerDied
from statekeeper.text.privacy import RowValues

_LOG = logging.getLogger("statekeeper.run")

GRACE_SECONDS = 5.0
"""How long a worker that was told to stop may take before it is killed."""
_KILLED_SECONDS = 2.0
"""How long the engine waits for killed workers to end."""
_MIN_IN_FLIGHT = 64
"""How many of a table's jobs are queued besides four per worker, so that the queue knows which table has least left."""
_MEMORY_HINT = "if the system ran out of memory, lower execution.workers or execution.memory_limit"


@dataclass(eq=False)
class _Running:
    """A job that was submitted to the engine. `lost_before` counts the workers that died before they began with it."""

    waiting: Waiting
    future: asyncio.Future[Any]
    lost_before: int = 0
    has_begun: bool = False
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def job(self) -> Job[Any]:
        return self.waiting.job

    def end(self, result: object) -> None:
        """Complete the job with its result or its error."""
        self.is_over.set()
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


@dataclass(eq=False)
class _Worker:
    link: WorkerLink
    sessions: frozenset[str] = frozenset()
    running: _Running | None = None

    @property
    def holds(self) -> frozenset[str]:
        """The sources whose session budget this worker uses: those with an open session, and the one being opened."""
        if self.running and self.running.job.source:
            return self.sessions | {self.running.job.source.name}
        return self.sessions


class LocalEngine:
    """An engine of worker processes on this machine.

    `budgets` limits the sessions per source, over all workers. `secrets` are removed from everything that a worker
    reports, and values of rows from errors about `private` tables. Processes are started as jobs come, up to `workers`;
    `modules` names the modules that are imported before. A closed engine opens again with the first job of another
    event loop.
    """

    def __init__(
        self,
        *,
        workers: int,
        budgets: Mapping[str, int],
        memory_limit: str,
        secrets: tuple[str, ...] = (),
        private: frozenset[str] = frozenset(),
        modules: Iterable[str] = (),
    ) -> None:
        self._workers_wanted = workers
        self._modules = tuple(modules)
        self._budgets = budgets
        self._memory_limit = memory_limit
        self._secrets = secrets
        self._private = private
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open()

    def _open(self) -> None:
        self._max_workers = self._workers_wanted
        self._queue = JobQueue(self._workers_wanted)
        self._queued: dict[Waiting, _Running] = {}
        self._workers: list[_Worker] = []
        self._all_gone = asyncio.Event()
        self._all_gone.set()
        self._is_closed = False
        start_fork_server(self._modules)

    async def run(self, job: Job[Result]) -> Result:
        loop = asyncio.get_running_loop()
        if self._is_closed and loop is not self._loop:
            self._open()
        if self._is_closed:
            raise Interrupted("the engine is closed")
        self._loop = loop
        running = _Running(self._queue.add(job), loop.create_future())
        self._queued[running.waiting] = running
        self._dispatch()
        try:
            return cast("Result", await running.future)
        except asyncio.CancelledError:
            await self._cancel(running)
            raise

    def expect_chunks(self) -> None:
        """Does nothing: workers are started when jobs come."""

    @property
    def in_flight(self) -> int:
        return _MIN_IN_FLIGHT + 4 * self._max_workers

    def why_waiting(self, job: Job[Result]) -> tuple[WaitKind, str]:
        name = job.source.name if job.source else None
        budget = self._budgets.get(name) if name else None
        is_idle = any(name in worker.sessions for worker in self._idle)
        if name and budget is not None and not is_idle and self._sessions(name) >= budget:
            return WaitKind.SESSION, f"a session with {name} ({budget} allowed, all in use)"
        return WaitKind.WORKER, f"a worker process ({self._max_workers} allowed)"

    async def close(self) -> None:
        self._is_closed = True
        self._loop = asyncio.get_running_loop()  # also if it ran no job: it opens again only for another loop
        for running in self._queued.values():
            running.end(Interrupted("the engine was closed before the job was started"))
        self._queued.clear()
        links = [worker.link for worker in self._workers]
        for link in links:
            link.shut_down()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_gone.wait(), GRACE_SECONDS)
        self.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_gone.wait(), _KILLED_SECONDS)
        for link in links:
            link.join(0.1)  # its last event has been received

    def kill(self) -> None:
        """End every worker at once."""
        for worker in self._workers:
            worker.link.kill()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers."""
        return tuple(pid for worker in self._workers if (pid := worker.link.pid) is not None)

    def _dispatch(self) -> None:
        while not self._is_closed and (waiting := self._take()) is not None:
            running = self._queued.pop(waiting)
            try:
                self._start(running)
            except (OSError, RuntimeError) as error:  # RuntimeError: Python cannot start another thread
                self._continue_without(running, error)
            except Exception as error:  # noqa: BLE001 - the caller waits for this future and learns of nothing else
                running.end(_not_started(running.job, error))

    def _take(self) -> Waiting | None:
        idle = self._idle
        if not idle and not self._may_grow:
            return None
        can_start = {
            name: any(name in worker.sessions for worker in idle) or self._sessions(name) < budget
            for name, budget in self._budgets.items()
        }
        return self._queue.take(can_start)

    def _start(self, running: _Running) -> None:
        job = running.job
        # Before a worker is chosen: a job that cannot be pickled fails alone and occupies no worker.
        values = RowValues.of(job.table, private=self._private)
        request = pickle.dumps(WorkRequest(job.work, job.spec, job.source, self._secrets, values))
        worker = self._worker_for(job.source.name if job.source else None)
        worker.running = running
        worker.link.assign(request)

    @property
    def _idle(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.running is None]

    @property
    def _may_grow(self) -> bool:
        return len(self._workers) < self._max_workers

    def _sessions(self, source: str) -> int:
        return sum(source in worker.holds for worker in self._workers)

    def _worker_for(self, source: str | None) -> _Worker:
        idle = self._idle
        with_session = [worker for worker in idle if source in worker.sessions]
        if with_session:
            return with_session[0]
        if idle and (source is None or not self._may_grow):
            return min(idle, key=lambda worker: len(worker.sessions))
        return self._spawn()

    def _spawn(self) -> _Worker:
        loop = asyncio.get_running_loop()

        def on_event(_link: WorkerLink, event: WorkerEvent) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._on_message, worker, event)

        worker = _Worker(WorkerLink(self._memory_limit, on_event))
        worker.link.start()
        self._workers.append(worker)
        self._all_gone.clear()
        return worker

    def _on_message(self, worker: _Worker, event: WorkerEvent) -> None:
        running = worker.running
        match event:
            case Begun():
                if running and not running.future.done():
                    running.has_begun = True
                    if running.job.on_start:
                        running.job.on_start()
            case Progress(rows=rows):
                if running and running.job.on_rows:
                    running.job.on_rows(rows)
            case Done():
                self._finish(worker, event)
            case NotStarted(error=error):
                self._reap(worker)
                if worker.running:
                    self._continue_without(worker.running, error)
                self._dispatch()
            case Ended(exit_code=code):
                self._reap(worker)
                self._on_exit(worker, code)
            case _ as never:
                assert_never(never)

    def _finish(self, worker: _Worker, done: Done) -> None:
        running, worker.running, worker.sessions = worker.running, None, done.sessions
        if running:
            running.end(done.raised.as_error() if done.raised else done.result)
        self._dispatch()

    def _reap(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        if not self._workers:
            self._all_gone.set()

    def _continue_without(self, running: _Running, error: OSError | RuntimeError) -> None:
        """Handle a worker that could not be started: another runs its job; if there is none, the job fails."""
        if not self._workers:
            running.end(_not_started(running.job, error))
            return
        self._max_workers = len(self._workers)
        _LOG.warning("continuing with %d worker processes: %s", self._max_workers, _not_started(running.job, error))
        self._put_back(running)

    def _on_exit(self, worker: _Worker, code: int | None) -> None:
        """Handle the end of a worker: a job that it had not begun goes to another; one that it had begun fails."""
        running = worker.running
        if running is None or running.future.done():
            if running:
                running.is_over.set()
        elif running.has_begun or self._is_closed:
            running.end(
                WorkerDied(f"a worker process ended {_how_ended(code)} during {running.job.table}", hint=_MEMORY_HINT)
            )
        elif running.lost_before >= self._max_workers:
            message = (
                f"every worker process died before it could begin with {running.job.table}, the last {_how_ended(code)}"
            )
            running.end(WorkerDied(message, hint=_MEMORY_HINT))
        else:
            running.lost_before += 1
            self._put_back(running)
        self._dispatch()

    def _put_back(self, running: _Running) -> None:
        if running.future.done():
            running.is_over.set()
            return
        self._queue.put_back(running.waiting)
        self._queued[running.waiting] = running

    async def _cancel(self, running: _Running) -> None:
        if self._queued.pop(running.waiting, None):
            self._queue.remove(running.waiting)
            return
        worker = next((each for each in self._workers if each.running is running), None)
        if worker is None:
            return
        worker.link.stop()
        try:
            await asyncio.wait_for(running.is_over.wait(), GRACE_SECONDS)
        except TimeoutError:
            worker.link.kill()


def _how_ended(code: int | None) -> str:
    if code is None:
        return "together with its fork server"
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def _not_started(job: Job[Any], error: Exception) -> StatekeeperError:
    if isinstance(error, StatekeeperError):
        return error
    if isinstance(error, OSError | EOFError | RuntimeError):  # a thread that cannot be started is a RuntimeError
        return WorkerDied(f"no worker process could be started for {job.table}: {error}", hint=LIMITS)
    return InternalError(f"the job for {job.table} cannot be sent to a worker: {error!r}")
