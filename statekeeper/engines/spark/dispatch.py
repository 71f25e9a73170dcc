"""The driver's side of the seats: what waits is shared out over them, and what came of it is looked for.

A partition of a Spark job is a seat that stays: when it has done what it was given, it is given more, so that a hundred
small tables, their chunks and their checks, are one Spark job. New seats are opened when there is work for each that
may be, or the driver has no control work left, or after `PATIENCE_SECONDS`. How often the mailbox is looked at follows
from what a look costs there (`pace`); files are read and written side by side.

What a seat had begun when it ended is lost; what it had not begun is given to another.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from statekeeper.engines.spark.jobs import submit
from statekeeper.engines.spark.ledger import Ledger, Posted, Seat
from statekeeper.engines.spark.loads import Item, Load, seal
from statekeeper.engines.spark.mailbox import Mailbox
from statekeeper.engines.spark.network_check import NO_ROUTE_HINT
from statekeeper.engines.spark.pace import Backoff, Pace
from statekeeper.engines.spark.packing import PackedSeat, Packing, share
from statekeeper.engines.spark.partition import Cargo
from statekeeper.engines.spark.preflight import Cluster
from statekeeper.engines.spark.session import first_line, is_session_lost
from statekeeper.engines.threads import BlockingPool
from statekeeper.errors import ConfigError, InternalError, StatekeeperError, WorkerDied
from statekeeper.logs import Redactor

if TYPE_CHECKING:
    from statekeeper.engines.spark.engine import SparkSettings

_LOG = logging.getLogger("statekeeper.spark")
P = ParamSpec("P")
Value = TypeVar("Value")

PATIENCE_SECONDS = 3.0
"""How long chunks wait for others that the driver is still planning, if there is not one for each free seat already."""
IDLE_SECONDS = 5.0
"""How long a seat without work is kept for what may come; its executor's core waits with it."""
_SLOT_SECONDS = 2.0
"""After so long, a seat that has not begun waits for a core that another seat has: those that are idle go at once."""
TICK_SECONDS = 0.05
"""How often what waits is looked at, which costs nothing but a look into memory."""
_FILE_THREADS = 16


class Dispatcher:
    """Seats of one mailbox. `session` is the thread in which Spark jobs are submitted."""

    def __init__(self, settings: SparkSettings, ledger: Ledger, mailbox: Mailbox, session: BlockingPool) -> None:
        self._settings = settings
        self._ledger = ledger
        self._mailbox = mailbox
        self._session = session
        self._key = secrets.token_bytes(32)
        self._without_secrets = Redactor(settings.secrets)
        self._files = ThreadPoolExecutor(_FILE_THREADS, "statekeeper-mailbox")
        self._endings: set[asyncio.Task[None]] = set()
        self._lost: StatekeeperError | None = None
        self.ends: dict[str, asyncio.Future[None]] = {}
        """The Spark jobs under way, by their tags."""
        self.controlling = 0
        """How many jobs the driver does itself, from which others may follow."""
        self.is_closed = False

    async def rounds(self, cluster: Cluster, pace: Pace) -> None:
        """Look what has come of work, and share out what waits, until it is cancelled."""
        looks = Backoff(pace)
        while True:
            if self.ends and looks.is_due():
                await self._look()
            if self._lost is not None:
                self._ledger.settle_all(self._ledger.waiting.values(), self._lost)
            elif not self.is_closed:
                self._refuse_unreachable(cluster)
                idle = self._ledger.idle_seats
                given = await self._share_out(cluster, pace, idle)
                if given:
                    looks.restart()
                await self._dismiss([seat for seat in idle if seat.number not in given])
            await asyncio.sleep(TICK_SECONDS)

    def _refuse_unreachable(self, cluster: Cluster) -> None:
        """Settle what waits to read a source that executors cannot connect to."""
        for name, why in cluster.unreachable.items():
            of_source = [posted for posted in self._ledger.waiting.values() if posted.source == name]
            self._ledger.settle_all(of_source, ConfigError(self._without_secrets(why), hint=NO_ROUTE_HINT))

    async def on_files(self, step: Callable[P, Value], *arguments: P.args, **options: P.kwargs) -> Value:
        """A step that reads or writes the mailbox, in one of the threads that do nothing else."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._files, partial(step, *arguments, **options))

    def close(self) -> None:
        """End the threads, without waiting for a file system that hangs."""
        self._files.shutdown(wait=False)

    async def _look(self) -> None:
        over = [seat for seat in self._ledger.seats.values() if seat.is_over]  # all they did was left before this look
        await self._hear([seat.number for seat in self._ledger.live_seats])
        for seat in over:
            self._ledger.release(seat, why="its worker found no sign of life of the driver")

    async def _hear(self, seats: list[int]) -> None:
        """Hear what seats say, read side by side."""
        names = await self.on_files(self._mailbox.reports_of, seats)
        for report in await asyncio.gather(*(self.on_files(self._mailbox.reported, name) for name in names)):
            if report is not None:
                self._ledger.hear(report)

    async def _share_out(self, cluster: Cluster, pace: Pace, idle: list[Seat]) -> set[int]:
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
            jobs = [ledger.posted[number] for number in each.items]
            ledger.seat_work(seat, jobs)
            given.append((seat, jobs))
        are_handed = await asyncio.gather(*(self._hand(seat, jobs) for seat, jobs in given))
        handed = [seat for (seat, _), is_handed in zip(given, are_handed, strict=True) if is_handed]
        opened = tuple(seat.number for seat in handed if seat.tag == tag)
        if opened and not self.is_closed:
            await self._submit(cluster, pace, opened, tag)
        return {seat.number for seat, _ in given}

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
            not self.controlling
            or len(ledger.waiting) >= free + len(idle)
            or asyncio.get_running_loop().time() - oldest >= PATIENCE_SECONDS
        )
        return free if is_time else 0

    async def _hand(self, seat: Seat, jobs: list[Posted]) -> bool:
        """Hand a seat its jobs; False where the jobs have failed of it."""
        items = tuple(
            Item(one.number, one.job.table, one.job.work, one.job.spec, one.source, one.job.answer) for one in jobs
        )
        try:
            await self._write_load(Load(seat.number, seat.serial, items))
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

    async def _write_load(self, load: Load) -> None:
        await self.on_files(self._mailbox.hand, load.seat, seal(load, self._key))

    async def _dismiss(self, idle: list[Seat]) -> None:
        """Let seats go for which there has been nothing for a while, or whose cores others wait for."""
        now = asyncio.get_running_loop().time()
        live = self._ledger.live_seats
        is_core_wanted = any(not seat.has_begun and now - seat.opened_at > _SLOT_SECONDS for seat in live)

        async def let_go(seat: Seat) -> None:
            with suppress(OSError):  # the next round tries again
                await self._write_load(Load(seat.number, seat.serial + 1, ()))
                seat.is_dismissed = True

        for seat in idle:
            seat.idle_since = seat.idle_since or now
        gone = [seat for seat in idle if is_core_wanted or now - (seat.idle_since or now) > IDLE_SECONDS]
        await asyncio.gather(*(let_go(seat) for seat in gone))

    async def _submit(self, cluster: Cluster, pace: Pace, seats: tuple[int, ...], tag: str) -> None:
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
            pace=pace,
        )
        loop = asyncio.get_running_loop()
        self.ends[tag] = loop.create_future()

        def ended(error: Exception | None) -> None:
            self._endings.add(ending := loop.create_task(self._ended(tag, error)))
            ending.add_done_callback(self._endings.discard)

        def on_end(error: Exception | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended, error)

        await self._session.do(submit, cluster.held, cargo, tag=tag, on_end=on_end)

    async def _ended(self, tag: str, error: Exception | None) -> None:
        """A Spark job has ended: first what it left; what is missing then was lost."""
        if error is not None and is_session_lost(error):
            self._lost = WorkerDied(
                self._without_secrets(f"the Spark session is lost: {first_line(error)}"),
                hint="see that Spark runs; the next run goes on from what is done",
            )
        with suppress(OSError):
            await self._hear([seat.number for seat in self._ledger.seats.values() if seat.tag == tag])
        why = self._without_secrets(first_line(error)) if error else "without an answer"
        self._ledger.close(tag, why=why)
        self.ends.pop(tag).set_result(None)
