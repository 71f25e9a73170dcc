"""The Spark engine: work on chunks and whole parts on executors, everything else in worker processes of the driver.

Decides when work is submitted and what becomes of it. A partition of a Spark job is a seat that stays: when it has done
what it was given, it is given more, so that a hundred small tables, their chunks and their checks, are one Spark job.
New seats are opened when there is work for each that may be, or the driver has no control work left, or after
`PATIENCE_SECONDS`. A job's future is settled as soon as its outcome lies in the mailbox.

It never retries: work whose worker, executor or Spark job was lost ends with WorkerDied.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.queue import JobQueue
from statekeeper.engines.spark.heartbeat import Heartbeat
from statekeeper.engines.spark.jobs import cancel, submit
from statekeeper.engines.spark.ledger import Ledger, Posted, Seat
from statekeeper.engines.spark.loads import Item, Load, seal
from statekeeper.engines.spark.mailbox import Mailbox
from statekeeper.engines.spark.network_check import NO_ROUTE_HINT
from statekeeper.engines.spark.packing import PackedSeat, Packing, share
from statekeeper.engines.spark.partition import Cargo
from statekeeper.engines.spark.preflight import Cluster, inspect, preflight_tag
from statekeeper.engines.spark.session import HeldSession, first_line, is_session_lost
from statekeeper.engines.spark.sweeping import sweep_silent_mailboxes
from statekeeper.errors import ConfigError, InternalError, Interrupted, StatekeeperError, StorageError, WorkerDied
from statekeeper.logs import Redactor
from statekeeper.store.owner import this_process
from statekeeper.waiting import WaitKind
from statekeeper.work import JobSource

_LOG = logging.getLogger("statekeeper.spark")
P = ParamSpec("P")
Value = TypeVar("Value")

PATIENCE_SECONDS = 3.0
"""How long chunks wait for others that the driver is still planning, if there is not one for each free seat already."""
IDLE_SECONDS = 5.0
"""How long a seat without work is kept for what may come; its executor's core waits with it."""
_SLOT_SECONDS = 2.0
"""After so long, a seat that has not begun waits for a core that another seat has: those that are idle go at once."""
LOOK_EVERY_SECONDS = 0.05
GRACE_SECONDS = 4.0
"""How long work that was told to stop may take before Spark is told to end it."""
_LEAST_IN_FLIGHT = 1000
"""So many of a table's jobs wait, if there are as many: before Spark has said how many seats there are, and so that a
seat can be given many small ones at once.
"""
_STOP_SECONDS = 0.2
"""How long it may take to tell executors that everything ends at once."""
_FILE_THREADS = 8
_LAST_SECONDS = 2.0
"""How long jobs that Spark was told to end are waited for."""


@dataclass(frozen=True)
class SparkSettings:
    """What a Spark engine is made with.

    `mailbox` is an absolute folder that driver and executors see under one name; the engine makes and removes it, and
    asks of its file system only whole files: no rename, no link, no append. `sources`, by name, are those that
    executors read, their paths absolute, and `budgets` the largest number of sessions with each over executors (None:
    no bound but `parallelism`); a source that is missing is only read on the driver. `silence` is how long workers go
    on without a sign of life of the driver. `secrets` are removed from whatever a worker says, and values of rows
    from what is said of `private` tables.
    """

    mailbox: Path
    sources: Mapping[str, JobSource]
    budgets: Mapping[str, int | None]
    memory_limit: str
    silence: timedelta
    parallelism: int | None = None
    secrets: tuple[str, ...] = ()
    private: frozenset[str] = frozenset()


class SparkEngine:
    """Jobs with an `answer` on executors; everything else in `control`, worker processes of the driver's machine.

    `open_session` is called once, in a thread, when the first work for executors arrives: a run in which everything is
    complete, and nothing large is verified, starts no Spark.
    """

    def __init__(
        self, settings: SparkSettings, *, control: LocalEngine, open_session: Callable[[], HeldSession]
    ) -> None:
        self._settings = settings
        self._control = control
        self._open_session = open_session
        self._mailbox = Mailbox(settings.mailbox)
        self._key = secrets.token_bytes(32)
        self._without_secrets = Redactor(settings.secrets)
        self._ledger = Ledger(JobQueue(settings.parallelism or 1))
        self._ends: dict[str, asyncio.Future[None]] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._files = ThreadPoolExecutor(_FILE_THREADS, "statekeeper-mailbox")
        self._heartbeat = Heartbeat(self._mailbox)
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
        if self._is_control(job):
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
        self._is_closed = True
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
        stopping = threading.Thread(target=self._stop_mailbox, daemon=True)
        stopping.start()
        stopping.join(_STOP_SECONDS)

    def _stop_mailbox(self) -> None:
        with suppress(OSError):
            self._mailbox.stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """The driver's worker processes."""
        return self._control.pids

    def _is_control(self, job: Job[Result]) -> bool:
        """Whether the job is done on the driver's machine."""
        return job.answer is None or (job.source is not None and job.source.name not in self._settings.sources)

    def _start_spark(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._tending = asyncio.create_task(self._tend(self._opening))

    async def _open(self) -> Cluster:
        """Make the mailbox and the session, and look whether executors can do the work."""
        folder = self._settings.mailbox
        try:
            await self._on_files(self._mailbox.make, this_process())
        except OSError as error:
            hint = f"let this user write to {folder.parent}"
            raise StorageError(f"cannot make {folder}: {error}", hint=hint) from error
        self._heartbeat.start()
        self._sweeping = asyncio.create_task(asyncio.to_thread(sweep_silent_mailboxes, folder, self._settings.silence))
        self._held = await asyncio.to_thread(self._open_session)
        cluster = await asyncio.to_thread(
            inspect, self._held, folder, parallelism=self._settings.parallelism, sources=self._settings.sources
        )
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
        await asyncio.to_thread(self._heartbeat.stop)
        await self._on_files(self._mailbox.remove)
        self._files.shutdown(wait=False)
        if self._sweeping is not None:
            await asyncio.wait([self._sweeping])
        if self._held is not None:
            await asyncio.to_thread(self._held.stop)
        self._opening = None

    async def _end_jobs(self) -> None:
        """Let the Spark jobs that are under way end by themselves for a while, then by force."""
        ends = list(self._ends.values())
        if not ends:
            return
        with suppress(OSError):
            await self._on_files(self._mailbox.stop)
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
            await self._on_files(self._mailbox.drop, posted.number)
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
        """Look what has come of work, and share out what waits."""
        while True:
            if self._ends:
                await self._look()
            if self._lost is not None:
                self._ledger.settle_all(self._ledger.waiting.values(), self._lost)
            elif not self._is_closed:
                self._refuse_unreachable(cluster)
                idle = self._ledger.idle_seats
                given = await self._share_out(cluster, idle)
                await self._dismiss([seat for seat in idle if seat.number not in given])
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def _refuse_unreachable(self, cluster: Cluster) -> None:
        """Settle what waits to read a source that executors cannot connect to."""
        for name, why in cluster.unreachable.items():
            of_source = [posted for posted in self._ledger.waiting.values() if posted.source == name]
            self._ledger.settle_all(of_source, ConfigError(self._without_secrets(why), hint=NO_ROUTE_HINT))

    async def _look(self) -> None:
        ledger = self._ledger
        over = [seat for seat in ledger.seats.values() if seat.is_over]  # all that they did was left before this look
        seats = [seat.number for seat in ledger.live_seats]
        news = await self._on_files(self._mailbox.news, seats, set(ledger.seated))
        for report in news.seats:
            ledger.hear(report)
        for outcome in news.outcomes:
            ledger.take(outcome)
        for seat in over:
            ledger.lose(seat, why="its worker found no sign of life of the driver")

    async def _share_out(self, cluster: Cluster, idle: list[Seat]) -> set[int]:
        """Give what waits to idle seats, and to new ones if it is time, as far as sessions are to be had.

        Returns the numbers of the seats that were given something.
        """
        ledger = self._ledger
        packed = self._packed(cluster, idle)
        if not packed:
            return set()
        tag = f"statekeeper-{self._settings.mailbox.name.rpartition('-')[2]}-{secrets.token_hex(4)}"
        given = []
        for each in packed:
            seat = ledger.open_seat(tag) if each.number is None else ledger.seats[each.number]
            done, jobs = seat.items, [ledger.posted[number] for number in each.items]
            ledger.seat_work(seat, jobs)
            given.append((seat, jobs, done))
        are_handed = await asyncio.gather(*(self._hand(seat, jobs, done) for seat, jobs, done in given))
        handed = [seat for (seat, _, _), is_handed in zip(given, are_handed, strict=True) if is_handed]
        opened = tuple(seat.number for seat in handed if seat.tag == tag)
        if opened and not self._is_closed:
            self._submit(cluster, opened, tag)
        return {seat.number for seat, _, _ in given}

    def _packed(self, cluster: Cluster, idle: list[Seat]) -> list[PackedSeat]:
        """What waits, shared out over seats; no seat is there yet that is new."""
        ledger = self._ledger
        if not ledger.waiting:
            return []
        used = ledger.sessions(idle)
        packing = Packing(
            seats=len(idle) + self._seats_to_open(cluster, idle),
            room={name: most - used[name] for name, most in self._settings.budgets.items() if most is not None},
            share_rows=share(ledger.waiting_rows, cluster.parallelism),
            packed=[PackedSeat(seat.number, set(seat.sources)) for seat in idle],
        )
        sources = ledger.queue.sources
        while packing.has_space:
            taken = ledger.queue.take({name: packing.takes(name) for name in sources})
            if taken is None:
                break
            posted = ledger.waiting[taken]
            packing.put(posted.number, source=posted.source, rows=taken.job.size)
        return [seat for seat in packing.packed if seat.items]

    def _seats_to_open(self, cluster: Cluster, idle: list[Seat]) -> int:
        """How many seats more there may be, now; something waits."""
        ledger = self._ledger
        free = cluster.parallelism - len(ledger.live_seats)
        oldest = next(iter(ledger.waiting.values())).at
        is_time = (
            not self._controlling
            or len(ledger.waiting) >= free + len(idle)
            or asyncio.get_running_loop().time() - oldest >= PATIENCE_SECONDS
        )
        return free if is_time else 0

    async def _hand(self, seat: Seat, jobs: list[Posted], done: frozenset[int]) -> bool:
        """Hand a seat its jobs, in the place of the items that it has done; False where the jobs have failed of it."""
        items = tuple(
            Item(one.number, one.job.table, one.job.work, one.job.spec, one.source, one.job.answer) for one in jobs
        )
        try:
            await self._write_load(Load(seat.number, seat.serial, items), done)
        except OSError as error:
            reason: StatekeeperError = WorkerDied(f"cannot write to {self._settings.mailbox}: {error}")
        except Exception as error:  # noqa: BLE001 - pickling runs code of every class in a spec
            reason = InternalError(self._without_secrets(f"work cannot be sent to executors: {error!r}"))
        else:
            return True
        self._ledger.settle_all(jobs, reason)
        if seat.serial == 1:
            del self._ledger.seats[seat.number]
        return False

    async def _write_load(self, load: Load, done: frozenset[int]) -> None:
        """Put a load into the mailbox, then remove what came of the one before."""
        sealed = seal(load, self._key)

        def write() -> None:
            self._mailbox.hand(load.seat, sealed)
            with suppress(OSError):
                self._mailbox.forget(done)

        await self._on_files(write)

    async def _dismiss(self, idle: list[Seat]) -> None:
        """Let seats go for which there has been nothing for a while, or whose cores others wait for."""
        now = asyncio.get_running_loop().time()
        live = self._ledger.live_seats
        is_core_wanted = any(not seat.has_begun and now - seat.opened_at > _SLOT_SECONDS for seat in live)

        async def let_go(seat: Seat) -> None:
            with suppress(OSError):  # the next round tries again
                await self._write_load(Load(seat.number, seat.serial + 1, ()), seat.items)
                seat.is_dismissed = True

        for seat in idle:
            seat.idle_since = seat.idle_since or now
        gone = [seat for seat in idle if is_core_wanted or now - (seat.idle_since or now) > IDLE_SECONDS]
        await asyncio.gather(*(let_go(seat) for seat in gone))

    def _submit(self, cluster: Cluster, seats: tuple[int, ...], tag: str) -> None:
        cargo = Cargo(
            mailbox=self._settings.mailbox,
            seats=seats,
            key=self._key,
            sources=dict(self._settings.sources),
            secrets=self._settings.secrets,
            private=self._settings.private,
            silence=self._settings.silence.total_seconds(),
            memory_limit=self._settings.memory_limit,
            may_be_doubled=cluster.is_speculating,
        )
        loop = asyncio.get_running_loop()
        self._ends[tag] = loop.create_future()

        def ended(error: Exception | None) -> None:
            self._endings.add(ending := loop.create_task(self._ended(tag, error)))
            ending.add_done_callback(self._endings.discard)

        def on_end(error: Exception | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended, error)

        submit(cluster.held, cargo, tag=tag, on_end=on_end)

    async def _ended(self, tag: str, error: Exception | None) -> None:
        """A Spark job has ended: first what it left; what is missing then was lost."""
        items = self._ledger.items_of(tag)
        with suppress(OSError):
            left = await self._on_files(self._mailbox.news, (), items & self._ledger.posted.keys())
            for outcome in left.outcomes:
                self._ledger.take(outcome)
        why = self._without_secrets(first_line(error)) if error else "without an answer"
        self._ledger.close(tag, why=why)
        with suppress(OSError):
            await self._on_files(self._mailbox.forget, items)
        self._ends.pop(tag).set_result(None)
        if error is not None and is_session_lost(error):
            self._lost = WorkerDied(
                self._without_secrets(f"the Spark session is lost: {first_line(error)}"),
                hint="see that Spark runs; the next run goes on from what is done",
            )

    async def _on_files(self, step: Callable[P, Value], *arguments: P.args, **options: P.kwargs) -> Value:
        """A step that reads or writes the mailbox, in one of the threads that do nothing else."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._files, partial(step, *arguments, **options))
