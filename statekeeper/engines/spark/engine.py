"""The Spark engine: work on chunks and whole parts on executors, everything else in worker processes of the driver.

Decides where a job is done, and opens and ends what that takes: the exchange, the session, the slots (`dispatch`). A
job's future is settled as soon as its outcome lies in the exchange.

It never retries: work whose worker, executor or Spark job was lost ends with WorkerDied.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

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
from statekeeper.engines.spark.session import HeldSession, heir_of_this_thread
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
"""How long work that was told to stop may take before Spark is told to end it."""
_LEAST_IN_FLIGHT = 1000
"""So many of a table's jobs wait, if there are as many: before Spark has said how many slots there are, and so that a
slot can be given many small ones at once.
"""
_STOP_SECONDS = 0.2
"""How long it may take to tell executors that everything ends at once."""
_LAST_SECONDS = 2.0
"""How long jobs that Spark was told to end are waited for."""


@dataclass(frozen=True)
class SparkSettings:
    """What a Spark engine is made with.

    `exchange` is an absolute folder that driver and executors see under one name; the engine makes and removes it, and
    asks of its file system only whole files: no rename, no link, no append. `sources`, by name, are those that
    executors read, their paths absolute, and `budgets` the largest number of sessions with each over executors (None:
    no bound but `parallelism`); a source that is missing is only read on the driver. `heartbeat_timeout` is how long
    workers go on without a sign of life of the driver. `secrets` are removed from whatever a worker says, and values of
    rows from what is said of `private` tables. `modules` are those that work needs, by name: executors must have them.
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


class SparkEngine:
    """Jobs with a `remote_result_type` on executors; everything else in `control`, worker processes of the driver's
    machine.

    `open_session` is called once, in a thread, when chunks are expected or the first work for executors arrives: a run
    in which everything is complete, and nothing large is verified, starts no Spark.
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
        self._session = BlockingPool(1, "spark", make_thread=heir_of_this_thread)
        self._dispatcher = Dispatcher(settings, self._ledger, self._exchange, self._session)
        self._heartbeat = Heartbeat(self._exchange)
        self._held: HeldSession | None = None
        self._opening: asyncio.Task[tuple[Cluster, Pace]] | None = None
        self._tending: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def run(self, job: Job[Result]) -> Result:
        if self._dispatcher.is_closed:
            raise Interrupted("the engine is closed")
        if self._is_control(job):
            self._dispatcher.controlling += 1
            try:
                return await self._control.run(job)
            finally:
                self._dispatcher.controlling -= 1
        self._start_spark()
        posted = self._ledger.post(job)
        try:
            return cast("Result", await posted.future)
        except asyncio.CancelledError:
            await self._give_up(posted)
            raise

    def expect_chunks(self) -> None:
        if not self._dispatcher.is_closed:
            self._start_spark()

    @property
    def in_flight(self) -> int:
        return max(_LEAST_IN_FLIGHT, 4 * self._ledger.queue.workers)

    def why_waiting(self, job: Job[Result]) -> tuple[WaitKind, str]:
        if self._is_control(job):
            return self._control.why_waiting(job)
        if self._held is None:
            return WaitKind.WORKER, "the Spark session"
        return WaitKind.WORKER, "a place on a Spark executor"

    async def close(self) -> None:
        self._dispatcher.is_closed = True
        self._ledger.settle_all(
            self._ledger.waiting.values(), Interrupted("the engine was closed before the work was begun")
        )
        try:
            await self._end_spark()
        finally:
            await self._control.close()

    def kill(self) -> None:
        """End the driver's processes at once; executors end as soon as they look."""
        self._control.kill()
        # The file system may be what hangs, and a kill does not wait for it.
        self._heartbeat.call_off_all()
        self._heartbeat.wait_for_word(_STOP_SECONDS)

    @property
    def pids(self) -> tuple[int, ...]:
        """The driver's worker processes."""
        return self._control.pids

    def _is_control(self, job: Job[Result]) -> bool:
        """Whether the job is done on the driver's machine."""
        return job.remote_result_type is None or (
            job.source is not None and job.source.name not in self._settings.sources
        )

    def _start_spark(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._tending = asyncio.create_task(self._tend(self._opening))

    async def _open(self) -> tuple[Cluster, Pace]:
        """Make the exchange and the session, and look whether executors can do the work."""
        folder, heartbeat_timeout, on_files = (
            self._settings.exchange,
            self._settings.heartbeat_timeout,
            self._dispatcher.on_files,
        )
        try:
            await on_files(self._exchange.make, this_process())
            pace = Pace.of(await on_files(round_trip, folder)).within(heartbeat_timeout.total_seconds())
        except OSError as error:
            hint = f"let this user write to {folder.parent}"
            raise StorageError(f"cannot make {folder}: {error}", hint=hint) from error
        self._heartbeat.start(pace.beat)
        self._sweeping = asyncio.create_task(asyncio.to_thread(sweep_silent_exchanges, folder, heartbeat_timeout))
        self._held = await self._session.do(self._open_session)
        cluster = await self._session.do(
            inspect,
            self._held,
            folder,
            parallelism=self._settings.parallelism,
            sources=self._settings.sources,
            modules=self._settings.modules,
        )
        self._held.set_retry_policy(heartbeat_timeout.total_seconds())
        self._ledger.queue.workers = cluster.parallelism
        _LOG.info("Spark (%s): %d slots", cluster.held.flavour, cluster.parallelism)
        return cluster, pace

    async def _end_spark(self) -> None:
        """Executors first, then the exchange that they look into, then the session."""
        if self._opening is None or self._tending is None:
            return
        while not self._opening.done():  # a session cannot be left half made; a job that asks for executors can
            if self._held is not None:
                await asyncio.to_thread(cancel, self._held, preflight_tag(self._settings.exchange))
            await asyncio.wait([self._opening], timeout=0.5)
        await self._end_jobs()
        self._tending.cancel()
        await asyncio.wait([self._tending])
        self._ledger.settle_all(self._ledger.posted.values(), Interrupted("the engine was closed"))
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
        """Let the Spark jobs that are under way end by themselves for a while, then by force."""
        ends = list(self._dispatcher.ends.values())
        if not ends:
            return
        self._heartbeat.call_off_all()
        await asyncio.wait(ends, timeout=GRACE_SECONDS)
        for tag in list(self._dispatcher.ends):
            await self._cancel(tag)
        if self._dispatcher.ends:
            await asyncio.wait(ends, timeout=_LAST_SECONDS)

    async def _give_up(self, posted: PendingJob) -> None:
        """Drop a waiting job and have one that runs stop. If it does not, its slot is abandoned: what waited behind it
        goes to others.
        """
        ledger = self._ledger
        if posted.slot is None or posted.number not in ledger.posted or self._opening is None:
            ledger.settle(posted, Interrupted("given up"))
            return
        self._heartbeat.call_off(posted.number)
        if not posted.has_begun:  # the worker sees that before it begins with it, or soon after
            return
        _, pace = self._opening.result()
        with suppress(TimeoutError):
            await asyncio.wait_for(posted.settled.wait(), GRACE_SECONDS + pace.answer)
            self._heartbeat.forget(posted.number)
        slot = ledger.slots.get(posted.slot)
        if posted.number in ledger.posted and slot is not None:
            ledger.abandon(slot)
            self._heartbeat.abandon(slot.number)

    async def _cancel(self, tag: str) -> None:
        if self._held is not None and tag in self._dispatcher.ends:
            await asyncio.to_thread(cancel, self._held, tag)

    async def _tend(self, opening: asyncio.Task[tuple[Cluster, Pace]]) -> None:
        """The driver's round, until it is cancelled. If it fails, no job that ever comes is left to wait."""
        try:
            await asyncio.wait([opening])
            await self._dispatcher.rounds(*opening.result())
        except StatekeeperError as reason:
            error = reason
        except Exception as unforeseen:  # noqa: BLE001 - whoever waits for a job must hear of it
            _LOG.exception("the Spark engine failed")
            error = InternalError(self._without_secrets(f"the Spark engine failed: {unforeseen!r}"))
        while True:
            self._ledger.settle_all(self._ledger.posted.values(), error)
            await asyncio.sleep(TICK_SECONDS)
