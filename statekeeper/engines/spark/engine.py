"""The Spark engine: jobs on chunks and whole parts run on executors, all others in worker processes on the driver.

Decides where a job runs, and opens and closes what that needs: the exchange, the session, the slots (`dispatch`). A
job's future is settled as soon as the driver reads its outcome in the exchange.

It never retries: a job whose worker, executor or Spark job was lost ends with WorkerDied.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from statekeeper.config.sections.storage import StorageConfig
from statekeeper.engines.context import JobSource
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.queue import JobQueue
from statekeeper.engines.spark.dispatch import TICK_SECONDS, Dispatcher
from statekeeper.engines.spark.exchange import Exchange
from statekeeper.engines.spark.heartbeat import Heartbeat
from statekeeper.engines.spark.jobs import cancel
from statekeeper.engines.spark.ledger import Ledger, PendingJob
from statekeeper.engines.spark.pace import Pace, round_trip
from statekeeper.engines.spark.preflight import Cluster, inspect, preflight_tag
from statekeeper.engines.spark.session import HeldSession, inheriting_thread
from statekeeper.engines.spark.sweeping import sweep_silent_exchanges
from statekeeper.engines.threads import BlockingPool
from statekeeper.engines.waiting import WaitKind
from statekeeper.errors import InternalError, Interrupted, StatekeeperError, StorageError
from statekeeper.logs import Redactor
from statekeeper.store.process import this_process

_LOG = logging.getLogger("statekeeper.spark")
P = ParamSpec("P")
Value = TypeVar("Value")

GRACE_SECONDS = 4.0
"""How long a job that was told to stop may take before the engine cancels its Spark job."""
_MIN_IN_FLIGHT = 1000
"""At least so many jobs of a table may be queued, so that a slot can be given many small ones at once.

It also holds before the number of slots is known.
"""
_STOP_SECONDS = 0.2
"""How long `kill` waits until the file system has the word for executors to stop."""
_CANCELLED_SECONDS = 2.0
"""How long the engine waits for cancelled Spark jobs to end."""


@dataclass(frozen=True)
class SparkSettings:
    """The settings of a Spark engine.

    Attributes:
        exchange: an absolute folder with the same path on driver and executors, or a place in an object store. The
            engine makes and removes it. Its file system only needs to write whole files: no rename, no link, no append.
        sources: the sources that executors read, by name, with absolute paths. All others are read on the driver.
        budgets: for each of these sources the maximum number of sessions over all executors; None is no limit but
            `parallelism`.
        memory_limit: how much memory DuckDB may use in a worker.
        heartbeat_timeout: how long workers go on without a heartbeat of the driver.
        parallelism: the maximum number of slots; None is as many tasks as Spark runs at once.
        secrets: removed from everything that a worker reports.
        private: tables whose rows' values are removed from errors.
        modules: the names of modules that jobs need, and that executors must have.
        storage: how the object store of the exchange is reached.
    """

    exchange: Path
    sources: Mapping[str, JobSource]
    budgets: Mapping[str, int | None]
    memory_limit: str
    heartbeat_timeout: timedelta
    parallelism: int | None = None
    secrets: tuple[str, ...] = ()
    private: frozenset[str] = frozenset()
    modules: tuple[str, ...] = ()
    storage: StorageConfig = field(default_factory=StorageConfig)


class SparkEngine:
    """Runs jobs with a `remote_result_type` on executors, all others in `control`, worker processes on the driver.

    `open_session` is called once, in a thread, when chunks are expected or the first job for executors arrives. So a
    run in which everything is complete, and nothing large is verified, does not start Spark.
    """

    def __init__(
        self, settings: SparkSettings, *, control: LocalEngine, open_session: Callable[[], HeldSession]
    ) -> None:
        self._settings = settings
        self._control = control
        self._open_session = open_session
        self._exchange = Exchange(settings.exchange)
        self._without_secrets = Redactor(settings.secrets)
        self._ledger = Ledger(JobQueue(settings.parallelism or 1))
        self._session = BlockingPool(1, "spark", make_thread=inheriting_thread)
        self._dispatcher = Dispatcher(settings, self._ledger, self._exchange, self._session)
        self._heartbeat = Heartbeat(self._exchange)
        self._held: HeldSession | None = None
        self._opening: asyncio.Task[tuple[Cluster, Pace]] | None = None
        self._dispatching: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def run(self, job: Job[Result]) -> Result:
        if self._dispatcher.is_closed:
            raise Interrupted("the engine is closed")
        if self._is_control(job):
            self._dispatcher.control_jobs += 1
            try:
                return await self._control.run(job)
            finally:
                self._dispatcher.control_jobs -= 1
        self._start_spark()
        pending = self._ledger.add(job)
        try:
            return cast("Result", await pending.future)
        except asyncio.CancelledError:
            await self._drop(pending)
            raise

    def expect_chunks(self) -> None:
        if not self._dispatcher.is_closed:
            self._start_spark()

    @property
    def in_flight(self) -> int:
        return max(_MIN_IN_FLIGHT, 4 * self._ledger.queue.workers)

    def why_waiting(self, job: Job[Result]) -> tuple[WaitKind, str]:
        if self._is_control(job):
            return self._control.why_waiting(job)
        if self._held is None:
            return WaitKind.WORKER, "the Spark session"
        return WaitKind.WORKER, "a place on a Spark executor"

    async def close(self) -> None:
        self._dispatcher.is_closed = True
        self._ledger.settle_all(
            self._ledger.waiting.values(), Interrupted("the engine was closed before the job was started")
        )
        try:
            await self._end_spark()
        finally:
            await self._control.close()

    def kill(self) -> None:
        """Kill the driver's workers at once; executors stop when they next read the exchange."""
        self._control.kill()
        # The file system may be what hangs; a kill must not wait for it.
        self._heartbeat.stop_all()
        self._heartbeat.wait_until_stop_is_written(_STOP_SECONDS)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers on the driver."""
        return self._control.pids

    def _is_control(self, job: Job[Result]) -> bool:
        """Whether the job runs on the driver's machine."""
        return job.remote_result_type is None or (
            job.source is not None and job.source.name not in self._settings.sources
        )

    def _start_spark(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._dispatching = asyncio.create_task(self._dispatch(self._opening))

    async def _open(self) -> tuple[Cluster, Pace]:
        """Make the exchange and the session, and check that executors can run jobs."""
        folder, heartbeat_timeout, on_files = (
            self._settings.exchange,
            self._settings.heartbeat_timeout,
            self._dispatcher.on_files,
        )
        try:
            await on_files(self._exchange.make, this_process())
            trip = await on_files(round_trip, folder)
            pace = Pace.of(trip).within(heartbeat_timeout.total_seconds())
        except OSError as error:
            hint = f"let this user write to {folder.parent}"
            raise StorageError(f"cannot make {folder}: {error}", hint=hint) from error
        self._heartbeat.start(pace.heartbeat)
        self._sweeping = asyncio.create_task(asyncio.to_thread(sweep_silent_exchanges, folder, heartbeat_timeout))
        self._held = await self._session.do(self._open_session)
        cluster = await self._session.do(
            inspect,
            self._held,
            folder,
            parallelism=self._settings.parallelism,
            sources=self._settings.sources,
            modules=self._settings.modules,
            storage=self._settings.storage,
        )
        self._held.set_retry_policy(heartbeat_timeout.total_seconds())
        self._ledger.queue.workers = cluster.parallelism
        _LOG.info("Spark (%s): %d slots", cluster.held.flavour, cluster.parallelism)
        return cluster, pace

    async def _end_spark(self) -> None:
        """End the work on executors first, then the exchange that they read, then the session."""
        if self._opening is None or self._dispatching is None:
            return
        while not self._opening.done():  # making a session cannot be interrupted; the preflight job can
            if self._held is not None:
                await asyncio.to_thread(cancel, self._held, preflight_tag(self._settings.exchange))
            await asyncio.wait([self._opening], timeout=0.5)
        await self._end_jobs()
        self._dispatching.cancel()
        await asyncio.wait([self._dispatching])
        self._ledger.settle_all(self._ledger.pending.values(), Interrupted("the engine was closed"))
        await asyncio.to_thread(self._heartbeat.stop)
        await self._dispatcher.on_files(self._exchange.remove)
        self._dispatcher.close()
        if self._sweeping is not None:
            await asyncio.wait([self._sweeping])
        if self._held is not None:
            await asyncio.to_thread(self._held.stop)
        await asyncio.to_thread(self._session.close)
        self._opening = None

    async def _end_jobs(self) -> None:
        """Tell the running Spark jobs to end, and cancel those that have not ended after `GRACE_SECONDS`."""
        ends = list(self._dispatcher.job_ends.values())
        if not ends:
            return
        self._heartbeat.stop_all()
        await asyncio.wait(ends, timeout=GRACE_SECONDS)
        for tag in list(self._dispatcher.job_ends):
            await self._cancel(tag)
        if self._dispatcher.job_ends:
            await asyncio.wait(ends, timeout=_CANCELLED_SECONDS)

    async def _drop(self, pending: PendingJob) -> None:
        """Drop a job that nobody waits for: remove a waiting one, stop a running one.

        If a running job does not stop, its slot is abandoned, and the jobs behind it go to other slots.
        """
        ledger = self._ledger
        if pending.slot is None or pending.number not in ledger.pending or self._opening is None:
            ledger.settle(pending, Interrupted("cancelled"))
            return
        self._heartbeat.cancel_item(pending.number)
        if not pending.has_begun:  # the worker sees the cancellation before it begins, or soon after
            return
        _, pace = self._opening.result()
        with suppress(TimeoutError):
            await asyncio.wait_for(pending.settled.wait(), GRACE_SECONDS + pace.answer)
            self._heartbeat.forget(pending.number)
        slot = ledger.slots.get(pending.slot)
        if pending.number in ledger.pending and slot is not None:
            ledger.abandon(slot)
            self._heartbeat.abandon(slot.number)

    async def _cancel(self, tag: str) -> None:
        if self._held is not None and tag in self._dispatcher.job_ends:
            await asyncio.to_thread(cancel, self._held, tag)

    async def _dispatch(self, opening: asyncio.Task[tuple[Cluster, Pace]]) -> None:
        """Run the dispatcher until it is cancelled. If it fails, every job ends with its error, also later ones."""
        try:
            await asyncio.wait([opening])
            await self._dispatcher.run(*opening.result())
        except StatekeeperError as reason:
            error = reason
        except Exception as unexpected:  # noqa: BLE001 - the callers that wait for a job must get an error
            _LOG.exception("the Spark engine failed")
            error = InternalError(self._without_secrets(f"the Spark engine failed: {unexpected!r}"))
        while True:
            self._ledger.settle_all(self._ledger.pending.values(), error)
            await asyncio.sleep(TICK_SECONDS)
