"""The Spark engine: chunks and checks of parts on executors, everything else in worker processes of the driver.

Decides when work is submitted and what becomes of it. Work is gathered until it fills the free seats, or the driver has
no control work left, or for `PATIENCE_SECONDS`, so that a hundred small tables are one Spark job; each seat that ends
is filled again, without waiting for the others of its job. A job's future is settled as soon as its outcome lies in the
mailbox; what comes back through Spark itself is only looked at for what the mailbox did not tell.

It never retries: work whose worker, executor or Spark job was lost ends with WorkerDied.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.queue import JobQueue
from statekeeper.engines.spark.jobs import JobEnd, cancel, submit
from statekeeper.engines.spark.ledger import Ledger, Posted, Seat
from statekeeper.engines.spark.mailbox import Mailbox
from statekeeper.engines.spark.packing import Packing, fills, share
from statekeeper.engines.spark.partition import Cargo, Item, Load, parse_outcome
from statekeeper.engines.spark.preflight import Cluster, inspect, preflight_tag
from statekeeper.engines.spark.session import HeldSession, first_line, is_session_lost
from statekeeper.engines.spark.sweeping import sweep_silent_mailboxes
from statekeeper.engines.worker import Order
from statekeeper.errors import InternalError, Interrupted, StateDamaged, StatekeeperError, StorageError, WorkerDied
from statekeeper.logs import Redactor
from statekeeper.store.owner import this_process

_LOG = logging.getLogger("statekeeper.spark")

PATIENCE_SECONDS = 3.0
"""How long chunks wait for others that the driver is still planning, if they do not fill the free seats already."""
LOOK_EVERY_SECONDS = 0.05
BEAT_EVERY_SECONDS = 1.0
GRACE_SECONDS = 4.0
"""How long work that was told to stop may take before Spark is told to end it."""
_LAST_SECONDS = 2.0
"""How long jobs that Spark was told to end are waited for."""


@dataclass(frozen=True)
class SparkSettings:
    """What a Spark engine is made with.

    `mailbox` is an absolute folder that driver and executors see under one name; the engine makes and removes it, and
    asks of its file system only whole files: no rename, no link, no append. `budgets` is the largest number of sessions
    per source over executors (None: no bound but `parallelism`); a source that is missing is only read on the driver.
    `silence` is how long workers go on without a sign of life of the driver. `secrets` are removed from whatever a
    worker says.
    """

    mailbox: Path
    budgets: Mapping[str, int | None]
    memory_limit: str
    silence: timedelta
    parallelism: int | None = None
    secrets: tuple[str, ...] = ()


class SparkEngine:
    """Chunks and checks of parts on executors; everything else in `control`, worker processes of the driver's machine.

    `open_session` is called once, in a thread, when the first work for executors arrives: a run in which everything is
    complete starts no Spark.
    """

    def __init__(
        self, settings: SparkSettings, *, control: LocalEngine, open_session: Callable[[], HeldSession]
    ) -> None:
        self._settings = settings
        self._control = control
        self._open_session = open_session
        self._mailbox = Mailbox(settings.mailbox)
        self._without_secrets = Redactor(settings.secrets)
        self._ledger = Ledger(JobQueue(settings.parallelism or 1))
        self._ends: dict[str, asyncio.Future[None]] = {}
        self._controlling = 0
        self._held: HeldSession | None = None
        self._opening: asyncio.Task[Cluster] | None = None
        self._tending: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._lost: StatekeeperError | None = None
        self._is_closed = False

    async def run(self, job: Job[Result]) -> Result:
        if self._is_closed:
            raise Interrupted("the engine is closed")
        if job.answer is None or (job.source is not None and job.source.name not in self._settings.budgets):
            self._controlling += 1
            try:
                return await self._control.run(job)
            finally:
                self._controlling -= 1
        self._start_spark()
        posted = self._ledger.post(job)
        try:
            return cast("Result", await posted.future)
        except asyncio.CancelledError:
            await self._give_up(posted)
            raise

    async def close(self) -> None:
        self._is_closed = True
        self._ledger.settle_all(self._ledger.waiting, Interrupted("the engine was closed before the work was begun"))
        try:
            await self._end_spark()
        finally:
            await self._control.close()

    def kill(self) -> None:
        """End the driver's processes at once; executors end as soon as they look."""
        self._control.kill()
        with suppress(OSError):
            self._mailbox.stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """The driver's worker processes."""
        return self._control.pids

    def _start_spark(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._tending = asyncio.create_task(self._tend(self._opening))

    async def _open(self) -> Cluster:
        """Make the mailbox and the session, and look whether executors can do the work."""
        folder = self._settings.mailbox
        try:
            await asyncio.to_thread(self._mailbox.make, this_process())
        except OSError as error:
            hint = f"let this user write to {folder.parent}"
            raise StorageError(f"cannot make {folder}: {error}", hint=hint) from error
        self._sweeping = asyncio.create_task(asyncio.to_thread(sweep_silent_mailboxes, folder, self._settings.silence))
        self._held = await asyncio.to_thread(self._open_session)
        cluster = await asyncio.to_thread(inspect, self._held, folder, parallelism=self._settings.parallelism)
        self._held.limit_patience(self._settings.silence.total_seconds())
        self._ledger.queue.workers = cluster.parallelism
        _LOG.info("Spark (%s): %d seats", cluster.held.flavour, cluster.parallelism)
        return cluster

    async def _end_spark(self) -> None:
        """Executors first, then the mailbox that they look into, then the session."""
        if self._opening is None or self._tending is None:
            return
        while not self._opening.done():  # a session cannot be left half made; a job that asks for executors can
            if self._held is not None:
                await asyncio.to_thread(cancel, self._held, preflight_tag(self._settings.mailbox))
            await asyncio.wait([self._opening], timeout=0.5)
        await self._end_jobs()
        self._tending.cancel()
        await asyncio.wait([self._tending])
        self._ledger.settle_all(self._ledger.posted.values(), Interrupted("the engine was closed"))
        await asyncio.to_thread(self._mailbox.remove)
        if self._sweeping is not None:
            await asyncio.wait([self._sweeping])
        if self._held is not None:
            await asyncio.to_thread(self._held.stop)

    async def _end_jobs(self) -> None:
        """Let the Spark jobs that are under way end by themselves for a while, then by force."""
        ends = list(self._ends.values())
        if not ends:
            return
        with suppress(OSError):
            await asyncio.to_thread(self._mailbox.stop)
        await asyncio.wait(ends, timeout=GRACE_SECONDS)
        for tag in list(self._ends):
            await self._cancel(tag)
        if self._ends:
            await asyncio.wait(ends, timeout=_LAST_SECONDS)

    async def _give_up(self, posted: Posted) -> None:
        """Drop a waiting job; have one that runs stop, and be ended with its Spark job if nobody waits for the rest."""
        ledger = self._ledger
        if posted.seat is None or posted.number not in ledger.posted:
            ledger.settle(posted, Interrupted("given up"))
            return
        with suppress(OSError):
            await asyncio.to_thread(self._mailbox.drop, posted.number)
        if not posted.has_begun:  # the worker sees that before it begins with it, or soon after
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(posted.settled.wait(), GRACE_SECONDS)
        seat = ledger.seats.get(posted.seat)
        if posted.number in ledger.posted and seat is not None and ledger.is_given_up(seat.tag):
            await self._cancel(seat.tag)

    async def _cancel(self, tag: str) -> None:
        if self._held is not None and tag in self._ends:
            await asyncio.to_thread(cancel, self._held, tag)

    async def _tend(self, opening: asyncio.Task[Cluster]) -> None:
        """The driver's round, until it is cancelled. If it fails, no job that ever comes is left to wait."""
        try:
            await asyncio.wait([opening])
            await self._rounds(opening.result())
        except StatekeeperError as reason:
            error = reason
        except Exception as unforeseen:  # noqa: BLE001 - whoever waits for a job must hear of it
            _LOG.exception("the Spark engine failed")
            error = InternalError(self._without_secrets(f"the Spark engine failed: {unforeseen!r}"))
        while True:
            self._ledger.settle_all(self._ledger.posted.values(), error)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _rounds(self, cluster: Cluster) -> None:
        """Give signs of life, look what has come of work, and submit what waits."""
        loop = asyncio.get_running_loop()
        beats, beat_at = 0, float("-inf")
        while True:
            if loop.time() - beat_at >= BEAT_EVERY_SECONDS:
                beats, beat_at = beats + 1, loop.time()
                with suppress(OSError):  # if it lasts, workers end, and say so
                    await asyncio.to_thread(self._mailbox.beat, beats)
            if self._ends:
                await self._look()
            if self._lost is not None:
                self._ledger.settle_all(self._ledger.waiting, self._lost)
            elif self._is_time(cluster):
                self._submit(cluster)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _look(self) -> None:
        seats = [seat.number for seat in self._ledger.live_seats]
        news = await asyncio.to_thread(self._mailbox.news, seats=seats, items=self._ledger.seated)
        for report in news.seats:
            self._ledger.hear(report)
        for outcome in news.outcomes:
            self._ledger.take(outcome)

    def _is_time(self, cluster: Cluster) -> bool:
        waiting = self._ledger.waiting
        if self._is_closed or not waiting:
            return False
        oldest = min(posted.at for posted in waiting)
        if not self._controlling or asyncio.get_running_loop().time() - oldest >= PATIENCE_SECONDS:
            return True
        free = cluster.parallelism - len(self._ledger.live_seats)
        return fills(sum(posted.job.size for posted in waiting), len(waiting), seats=free)

    def _submit(self, cluster: Cluster) -> None:
        seats = self._filled(cluster)
        if not seats:
            return
        tag = f"statekeeper-{self._settings.mailbox.name.rpartition('-')[2]}-{seats[0].seat}"
        loads = [pickled for load in seats if (pickled := self._pickled(load, tag)) is not None]
        if not loads:
            return
        cargo = Cargo(
            mailbox=self._settings.mailbox,
            silence=self._settings.silence.total_seconds(),
            memory_limit=self._settings.memory_limit,
            may_be_doubled=cluster.is_speculating,
            loads=tuple(loads),
        )
        loop = asyncio.get_running_loop()
        self._ends[tag] = loop.create_future()

        def on_end(end: JobEnd) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._ended, tag, end)

        submit(cluster.held, cargo, tag=tag, on_end=on_end)

    def _pickled(self, load: Load, tag: str) -> bytes | None:
        """A seat's load as it travels, the seat noted; None where it cannot travel, and its jobs have failed."""
        items = frozenset(item.number for item in load.items)
        try:
            pickled = pickle.dumps(load)
        except Exception as error:  # noqa: BLE001 - pickling runs code of every class in a spec
            reason = InternalError(self._without_secrets(f"work cannot be sent to executors: {error!r}"))
            self._ledger.settle_all([self._ledger.posted[item] for item in items], reason)
            return None
        sources = frozenset(item.order.source_name for item in load.items if item.order.source_name)
        self._ledger.seats[load.seat] = Seat(load.seat, tag, items, sources)
        return pickled

    def _filled(self, cluster: Cluster) -> list[Load]:
        """Seats filled with what waits, as far as there are free ones and sessions to be had."""
        ledger = self._ledger
        waiting = {posted.waiting: posted for posted in ledger.waiting}
        used = ledger.sessions()
        packing = Packing(
            seats=cluster.parallelism - len(ledger.live_seats),
            room={name: most - used[name] for name, most in self._settings.budgets.items() if most is not None},
            share_rows=share(sum(posted.job.size for posted in waiting.values()), cluster.parallelism),
        )
        sources = {posted.source for posted in waiting.values() if posted.source}
        while packing.has_space:
            taken = ledger.queue.take({name: packing.takes(name) for name in sources})
            if taken is None:
                break
            packing.put(waiting[taken].number, source=waiting[taken].source, rows=taken.job.size)
        return [self._load([ledger.posted[number] for number in packed.items]) for packed in packing.packed]

    def _load(self, jobs: list[Posted]) -> Load:
        seat = self._ledger.new_seat()
        items = []
        for posted in jobs:
            posted.seat = seat
            job = posted.job
            order = Order(job.work, job.spec, posted.source, self._settings.secrets)
            items.append(Item(posted.number, job.table, order, job.answer))
        return Load(seat, tuple(items))

    def _ended(self, tag: str, end: JobEnd) -> None:
        """A Spark job has ended: first what it left, then what it said; what is missing then was lost."""
        items = self._ledger.items_of(tag)
        with suppress(OSError):
            for outcome in self._mailbox.news(seats=[], items=items & self._ledger.posted.keys()).outcomes:
                self._ledger.take(outcome)
        for text in end.outcomes:
            with suppress(StateDamaged):
                self._ledger.take(parse_outcome(text))
        self._ledger.close(tag, why=self._without_secrets(first_line(end.error)) if end.error else "without an answer")
        with suppress(OSError):
            self._mailbox.forget(items)
        self._ends.pop(tag).set_result(None)
        if end.error is not None and is_session_lost(end.error):
            self._lost = WorkerDied(
                self._without_secrets(f"the Spark session is lost: {first_line(end.error)}"),
                hint="see that Spark runs, then `statekeeper resume`",
            )
