"""The local engine: a pool of worker processes on this machine, shared by all tables of a run.

Decides which worker does which job within each source's session budget, and notices workers that die. Processes
rather than threads, because decoding rows holds Python's global lock. A ready-made pool would not do: they lose every
running job when one worker is killed, and cannot send a job to the worker that already has the session it needs.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, assert_never, cast

from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.queue import JobQueue, Waiting
from statekeeper.engines.worker import Done, Order, Progress, worker_main
from statekeeper.errors import WorkerDied

GRACE_SECONDS = 5.0
"""How long a worker that was told to stop may take before it is killed."""
_PRELOADED = ["statekeeper.engines.worker", "statekeeper.chunk", "statekeeper.planning", "statekeeper.verification"]


@dataclass(eq=False)
class _Running:
    job: Job[Any]
    future: asyncio.Future[Any]


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    stop_flag: Any
    sessions: frozenset[str] = frozenset()
    running: _Running | None = None

    @property
    def holds(self) -> frozenset[str]:
        """The sources whose budget this worker uses: those with an open session, and the one being opened."""
        if self.running and self.running.job.source:
            return self.sessions | {self.running.job.source.name}
        return self.sessions


class LocalEngine:
    """Worker processes of this machine.

    `budgets` is the largest number of sessions per source, over all workers. `secrets` are removed from whatever a
    worker says. Processes are started as jobs come, up to `workers`.
    """

    def __init__(
        self, *, workers: int, budgets: Mapping[str, int], memory_limit: str, secrets: tuple[str, ...] = ()
    ) -> None:
        self._workers_most = workers
        self._budgets = budgets
        self._memory_limit = memory_limit
        self._secrets = secrets
        self._queue = JobQueue(workers)
        self._futures: dict[Waiting, asyncio.Future[Any]] = {}
        self._workers: list[_Worker] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)
        self._is_closed = False

    async def run(self, job: Job[Result]) -> Result:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiting = self._queue.add(job)
        self._futures[waiting] = future
        self._dispatch()
        try:
            return cast("Result", await future)
        except asyncio.CancelledError:
            await self._give_up(waiting, future)
            raise

    async def close(self) -> None:
        self._is_closed = True
        for worker in self._workers:
            worker.stop_flag.value = 1
            if worker.running is None:
                self._dismiss(worker)
        deadline = asyncio.get_running_loop().time() + GRACE_SECONDS
        while any(worker.process.is_alive() for worker in self._workers):
            if asyncio.get_running_loop().time() > deadline:
                self.kill()
            await asyncio.sleep(0.02)
        for worker in list(self._workers):
            self._bury(worker)

    def kill(self) -> None:
        """End every worker at once."""
        for worker in self._workers:
            worker.process.kill()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of this engine."""
        return tuple(worker.process.pid or 0 for worker in self._workers)

    def _dispatch(self) -> None:
        while not self._is_closed and (waiting := self._take()) is not None:
            future = self._futures.pop(waiting)
            source = waiting.job.source
            worker = self._worker_for(source.name if source else None)
            worker.running = _Running(waiting.job, future)
            worker.stop_flag.value = 0
            if waiting.job.on_start:
                waiting.job.on_start()
            order = Order(waiting.job.work, waiting.job.spec, source.name if source else None, self._secrets)
            try:
                worker.pipe.send(order)
            except OSError:  # it died while idle; its sentinel tells, and the job is told so
                continue

    def _take(self) -> Waiting | None:
        idle = [worker for worker in self._workers if worker.running is None]
        may_grow = len(self._workers) < self._workers_most
        if not idle and not may_grow:
            return None
        can_start = {
            name: any(name in worker.sessions for worker in idle) or self._sessions(name) < budget
            for name, budget in self._budgets.items()
        }
        return self._queue.take(can_start)

    def _sessions(self, source: str) -> int:
        return sum(source in worker.holds for worker in self._workers)

    def _worker_for(self, source: str | None) -> _Worker:
        idle = [worker for worker in self._workers if worker.running is None]
        with_session = [worker for worker in idle if source in worker.sessions]
        if with_session:
            return with_session[0]
        if idle and (source is None or len(self._workers) >= self._workers_most):
            return min(idle, key=lambda worker: len(worker.sessions))
        if len(self._workers) < self._workers_most:
            return self._hire()
        return idle[0]

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe(duplex=True)
        # Not multiprocessing.Event: a worker killed while it holds the event's lock would block everybody.
        stop_flag = self._context.RawValue(ctypes.c_byte, 0)
        process = self._context.Process(
            target=worker_main, args=(theirs, stop_flag, self._memory_limit), name="statekeeper-worker", daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(process, ours, stop_flag)
        loop = asyncio.get_running_loop()
        loop.add_reader(ours.fileno(), self._hear, worker)
        loop.add_reader(process.sentinel, self._mourn, worker)
        self._workers.append(worker)
        return worker

    def _hear(self, worker: _Worker) -> bool:
        """Take one message; False where the worker can say no more."""
        try:
            message: Progress | Done = worker.pipe.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(worker.pipe.fileno())
            return False
        match message:
            case Progress(rows=rows):
                if worker.running and worker.running.job.on_rows:
                    worker.running.job.on_rows(rows)
            case Done():
                self._settle(worker, message)
            case _ as never:
                assert_never(never)
        return True

    def _settle(self, worker: _Worker, done: Done) -> None:
        running, worker.running, worker.sessions = worker.running, None, done.sessions
        if running and not running.future.done():
            if done.raised:
                running.future.set_exception(done.raised.as_error())
            else:
                running.future.set_result(done.result)
        if self._is_closed:
            self._dismiss(worker)
        self._dispatch()

    def _mourn(self, worker: _Worker) -> None:
        while worker.running and worker.pipe.poll() and self._hear(worker):
            pass  # what it said before it died still counts
        running = worker.running
        code = worker.process.exitcode
        self._bury(worker)
        if running and not running.future.done():
            how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
            running.future.set_exception(
                WorkerDied(
                    f"a worker process ended {how} during {running.job.table}",
                    hint="if the system ran out of memory, lower execution.workers or execution.memory_limit",
                )
            )
        self._dispatch()

    def _dismiss(self, worker: _Worker) -> None:
        try:
            worker.pipe.send(None)
        except OSError:
            return

    def _bury(self, worker: _Worker) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        loop = asyncio.get_running_loop()
        loop.remove_reader(worker.pipe.fileno())
        loop.remove_reader(worker.process.sentinel)
        worker.pipe.close()
        worker.process.join()
        worker.process.close()

    async def _give_up(self, waiting: Waiting, future: asyncio.Future[Any]) -> None:
        if waiting in self._futures:
            self._queue.remove(waiting)
            del self._futures[waiting]
            return
        worker = next((each for each in self._workers if each.running and each.running.future is future), None)
        if worker is None:
            return
        worker.stop_flag.value = 1
        for _ in range(int(GRACE_SECONDS / 0.02)):
            if worker.running is None or worker.running.future is not future or worker not in self._workers:
                return
            await asyncio.sleep(0.02)
        worker.process.kill()
