"""The local engine: a pool of worker processes on this machine, shared by all tables of a run.

Decides which worker does which job within each source's session budget, and notices workers that die. Processes
rather than threads, because decoding rows holds Python's global lock. A ready-made pool would not do: they lose every
running job when one worker is killed, and cannot send a job to the worker that already has the session it needs.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any, assert_never, cast

from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.queue import JobQueue, Waiting
from statekeeper.engines.spawning import WORKER_NAME, context_without_main, start_fork_server
from statekeeper.engines.worker import Done, Order, Progress, worker_main
from statekeeper.errors import InternalError, Interrupted, StatekeeperError, WorkerDied
from statekeeper.privacy import RowValues

GRACE_SECONDS = 5.0
"""How long a worker that was told to stop may take before it is killed."""
_MEMORY_HINT = "if the system ran out of memory, lower execution.workers or execution.memory_limit"


@dataclass(eq=False)
class _Running:
    job: Job[Any]
    future: asyncio.Future[Any]


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    stop_flag: Any
    at_exit: Finalize
    sessions: frozenset[str] = frozenset()
    running: _Running | None = None
    is_gone: bool = False
    """It is dead or dying, and gets no job any more; `_mourn` follows."""

    @property
    def holds(self) -> frozenset[str]:
        """The sources whose budget this worker uses: those with an open session, and the one being opened."""
        if self.running and self.running.job.source:
            return self.sessions | {self.running.job.source.name}
        return self.sessions


class LocalEngine:
    """Worker processes of this machine.

    `budgets` is the largest number of sessions per source, over all workers. `secrets` are removed from whatever a
    worker says, and values of rows from what is said of `private` tables. Processes are started as jobs come, up to
    `workers`; what sessions with sources of the types `kinds` need is imported before.
    """

    def __init__(
        self,
        *,
        workers: int,
        budgets: Mapping[str, int],
        memory_limit: str,
        secrets: tuple[str, ...] = (),
        private: frozenset[str] = frozenset(),
        kinds: Iterable[str] = (),
    ) -> None:
        self._workers_most = workers
        self._budgets = budgets
        self._memory_limit = memory_limit
        self._secrets = secrets
        self._private = private
        self._queue = JobQueue(workers)
        self._futures: dict[Waiting, asyncio.Future[Any]] = {}
        self._workers: list[_Worker] = []
        start_fork_server(kinds)
        self._context = context_without_main()
        self._is_closed = False

    async def run(self, job: Job[Result]) -> Result:
        if self._is_closed:
            raise Interrupted("the engine is closed")
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
        for future in self._futures.values():
            if not future.done():
                future.set_exception(Interrupted("the engine was closed before the work was begun"))
        self._futures.clear()
        for worker in self._workers:
            worker.stop_flag.value = 1
            if worker.running is None:
                self._dismiss(worker)
        deadline = asyncio.get_running_loop().time() + GRACE_SECONDS
        pause = 0.001
        while any(worker.process.is_alive() for worker in self._workers):
            if asyncio.get_running_loop().time() > deadline:
                self.kill()
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.02)
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
            running = _Running(waiting.job, self._futures.pop(waiting))
            try:
                self._start(running)
            except Exception as error:  # noqa: BLE001 - its caller waits for this future and hears of nothing else
                if not running.future.done():
                    running.future.set_exception(_not_started(running.job, error))

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
        source = job.source.name if job.source else None
        values = RowValues.of(job.table, private=self._private)
        # Before a worker is taken: what cannot be pickled costs its own job and no worker.
        order = ForkingPickler.dumps(Order(job.work, job.spec, job.source, self._secrets, values))
        for _ in range(self._workers_most + 1):
            worker = self._worker_for(source)
            worker.stop_flag.value = 0
            try:
                worker.is_gone = not worker.process.is_alive()
                worker.pipe.send_bytes(order)
            except OSError:
                worker.is_gone = True
            if worker.is_gone:  # it died while idle, and `_mourn` is still to hear of it: the job has not begun
                continue
            worker.running = running
            if job.on_start:
                job.on_start()
            return
        raise WorkerDied(f"every worker process died before it could begin with {job.table}", hint=_MEMORY_HINT)

    @property
    def _idle(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.running is None and not worker.is_gone]

    @property
    def _may_grow(self) -> bool:
        return sum(not worker.is_gone for worker in self._workers) < self._workers_most

    def _sessions(self, source: str) -> int:
        return sum(source in worker.holds for worker in self._workers)

    def _worker_for(self, source: str | None) -> _Worker:
        idle = self._idle
        with_session = [worker for worker in idle if source in worker.sessions]
        if with_session:
            return with_session[0]
        if idle and (source is None or not self._may_grow):
            return min(idle, key=lambda worker: len(worker.sessions))
        return self._hire()

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe(duplex=True)
        # Not multiprocessing.Event: a worker killed while it holds the event's lock would block everybody.
        stop_flag = self._context.RawValue(ctypes.c_byte, 0)
        process = self._context.Process(
            target=worker_main, args=(theirs, stop_flag, self._memory_limit), name=WORKER_NAME, daemon=True
        )
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        # At its exit Python asks daemons to end, which ours do not hear, and waits: so they are killed before.
        worker = _Worker(process, ours, stop_flag, Finalize(None, process.kill, exitpriority=10))
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
        except Exception:  # noqa: BLE001 - an answer that cannot be read, of whatever kind: nothing good follows it
            worker.process.kill()
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
        worker.is_gone = True
        while worker.running and worker.pipe.poll() and self._hear(worker):
            pass  # what it said before it died still counts
        running, worker.running = worker.running, None
        code = worker.process.exitcode
        self._bury(worker)
        if running and not running.future.done():
            how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
            running.future.set_exception(
                WorkerDied(f"a worker process ended {how} during {running.job.table}", hint=_MEMORY_HINT)
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
        worker.at_exit.cancel()
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
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GRACE_SECONDS
        while worker.running is not None and worker.running.future is future:
            if loop.time() > deadline:
                worker.process.kill()
                return
            await asyncio.sleep(0.02)


def _not_started(job: Job[Any], error: Exception) -> StatekeeperError:
    if isinstance(error, StatekeeperError):
        return error
    if isinstance(error, OSError | EOFError):
        return WorkerDied(
            f"no worker process could be started for {job.table}: {error!r}",
            hint="look at the limits of processes and open files (ulimit -u, ulimit -n), or lower execution.workers",
        )
    return InternalError(f"the work for {job.table} cannot be sent to a worker: {error!r}")
