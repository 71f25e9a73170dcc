"""The driver's side of the slots: assigns waiting jobs to slots, and reads their outcomes.

A slot is one partition of a Spark job. A slot that has finished its batch of jobs is given another, so that a hundred
small tables, with their chunks and checks, need one Spark job. New slots are opened when there is work for every free
one, when the driver has no control jobs left, or after `GATHER_SECONDS`. How often the exchange is polled depends on
what a poll costs there (`pace`); files are read and written concurrently.

A job that a slot had begun when it ended is lost; one that it had not begun is given to another slot.
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

from statekeeper.engines.spark.batches import Batch, Item, seal
from statekeeper.engines.spark.exchange import Exchange
from statekeeper.engines.spark.jobs import cancel, submit
from statekeeper.engines.spark.ledger import Ledger, PendingJob, Slot
from statekeeper.engines.spark.network_check import NO_ROUTE_HINT
from statekeeper.engines.spark.pace import Backoff, Pace
from statekeeper.engines.spark.packing import PackedSlot, Packing, share
from statekeeper.engines.spark.partition import TaskContext
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

GATHER_SECONDS = 3.0
"""How long chunks wait for others that the driver is still planning, unless there is one for each free slot."""
IDLE_SECONDS = 5.0
"""How long a slot without work is kept for later jobs; meanwhile it occupies a core of its executor."""
_SLOT_START_SECONDS = 2.0
"""After so long, a slot that has not begun must be waiting for a core: then idle slots are closed at once."""
TICK_SECONDS = 0.05
"""How often waiting jobs are considered; that reads memory only."""
_FILE_THREADS = 16


class Dispatcher:
    """Runs the slots of one exchange. `session` is the thread in which Spark jobs are submitted."""

    def __init__(self, settings: SparkSettings, ledger: Ledger, exchange: Exchange, session: BlockingPool) -> None:
        self._settings = settings
        self._ledger = ledger
        self._exchange = exchange
        self._session = session
        self._key = secrets.token_bytes(32)
        self._without_secrets = Redactor(settings.secrets)
        self._files = ThreadPoolExecutor(_FILE_THREADS, "statekeeper-exchange")
        self._endings: set[asyncio.Task[None]] = set()
        self._ended_by_force: set[str] = set()
        self._session_error: StatekeeperError | None = None
        self.job_ends: dict[str, asyncio.Future[None]] = {}
        """The ends of the running Spark jobs, by their tags."""
        self.control_jobs = 0
        """How many jobs the driver runs itself; others may follow from them."""
        self.is_closed = False

    async def run(self, cluster: Cluster, pace: Pace) -> None:
        """Read outcomes and assign waiting jobs, until the caller cancels it."""
        backoff = Backoff(pace)
        while True:
            if self.job_ends and backoff.is_due():
                await self._poll()
            await self._end_hung(cluster)
            if self._session_error is not None:
                self._ledger.settle_all(self._ledger.waiting.values(), self._session_error)
            elif not self.is_closed:
                self._refuse_unreachable(cluster)
                idle = self._ledger.idle_slots
                given = await self._assign_waiting(cluster, pace, idle)
                if given:
                    backoff.restart()
                await self._shut_down([slot for slot in idle if slot.number not in given])
            await asyncio.sleep(TICK_SECONDS)

    async def _end_hung(self, cluster: Cluster) -> None:
        """Cancel the Spark jobs of which only abandoned slots are left."""
        for tag in self._ledger.hung_tags & self.job_ends.keys() - self._ended_by_force:
            self._ended_by_force.add(tag)
            await asyncio.to_thread(cancel, cluster.held, tag)

    def _refuse_unreachable(self, cluster: Cluster) -> None:
        """Fail the waiting jobs that read a source to which executors cannot connect."""
        for name, why in cluster.unreachable.items():
            of_source = [pending for pending in self._ledger.waiting.values() if pending.source == name]
            self._ledger.settle_all(of_source, ConfigError(self._without_secrets(why), hint=NO_ROUTE_HINT))

    async def on_files(self, step: Callable[P, Value], *arguments: P.args, **options: P.kwargs) -> Value:
        """Call a step that reads or writes the exchange, in one of the threads for that."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._files, partial(step, *arguments, **options))

    def close(self) -> None:
        """End the threads; this does not wait for a file system that hangs."""
        self._files.shutdown(wait=False)

    async def _poll(self) -> None:
        over = [slot for slot in self._ledger.slots.values() if slot.is_over]  # so their last reports are written
        await self._on_message([slot.number for slot in self._ledger.live_slots])
        for slot in over:
            self._ledger.release(slot, why="its worker found no heartbeat of the driver")

    async def _on_message(self, slots: list[int]) -> None:
        """Read the reports of slots concurrently, and apply them."""
        names = await self.on_files(self._exchange.report_names, slots)
        for report in await asyncio.gather(*(self.on_files(self._exchange.read_report, name) for name in names)):
            if report is not None:
                self._ledger.apply_report(report)

    async def _assign_waiting(self, cluster: Cluster, pace: Pace, idle: list[Slot]) -> set[int]:
        """Assign waiting jobs to idle slots, and to new ones if it is time, as far as session budgets allow.

        Returns the numbers of the slots that were given jobs.
        """
        ledger = self._ledger
        packed = self._pack_waiting(cluster, idle)
        if not packed:
            return set()
        tag = f"statekeeper-{self._settings.exchange.name.rpartition('-')[2]}-{secrets.token_hex(4)}"
        given = []
        for each in packed:
            slot = ledger.open_slot(tag) if each.number is None else ledger.slots[each.number]
            jobs = [ledger.pending[number] for number in each.items]
            ledger.assign(slot, jobs)
            given.append((slot, jobs))
        are_sent = await asyncio.gather(*(self._send_batch(slot, jobs) for slot, jobs in given))
        sent = [slot for (slot, _), is_sent in zip(given, are_sent, strict=True) if is_sent]
        opened = tuple(slot.number for slot in sent if slot.tag == tag)
        if opened and not self.is_closed:
            await self._submit(cluster, pace, opened, tag)
        return {slot.number for slot, _ in given}

    def _pack_waiting(self, cluster: Cluster, idle: list[Slot]) -> list[PackedSlot]:
        """Divide waiting jobs among slots; this does not open the new ones yet."""
        ledger = self._ledger
        if not ledger.waiting:
            return []
        used = ledger.sessions(idle)
        packing = Packing(
            slots=len(idle) + self._slots_to_open(cluster, idle),
            room={name: most - used[name] for name, most in self._settings.budgets.items() if most is not None},
            share_rows=share(ledger.waiting_rows, cluster.parallelism),
            packed=[PackedSlot(slot.number, set(slot.sources)) for slot in idle],
        )
        sources = ledger.queue.sources
        while packing.has_space:
            taken = ledger.queue.take({name: packing.can_take(name) for name in sources})
            if taken is None:
                break
            pending = ledger.waiting[taken]
            packing.put(pending.number, source=pending.source, rows=taken.job.size)
        return [slot for slot in packing.packed if slot.items]

    def _slots_to_open(self, cluster: Cluster, idle: list[Slot]) -> int:
        """How many slots may be opened now; at least one job waits."""
        ledger = self._ledger
        free = cluster.parallelism - len(ledger.live_slots)
        oldest = next(iter(ledger.waiting.values())).at
        is_time = (
            not self.control_jobs
            or len(ledger.waiting) >= free + len(idle)
            or asyncio.get_running_loop().time() - oldest >= GATHER_SECONDS
        )
        return free if is_time else 0

    async def _send_batch(self, slot: Slot, jobs: list[PendingJob]) -> bool:
        """Send a slot its jobs; False if they could not be sent and have failed."""
        items = tuple(
            Item(one.number, one.job.table, one.job.work, one.job.spec, one.source, one.job.remote_result_type)
            for one in jobs
        )
        try:
            await self._write_batch(Batch(slot.number, slot.serial, items))
        except OSError as error:
            reason: StatekeeperError = WorkerDied(f"cannot write to {self._settings.exchange}: {error}")
        except Exception as error:  # noqa: BLE001 - pickling runs code of every class in a spec
            reason = InternalError(self._without_secrets(f"a job cannot be sent to executors: {error!r}"))
        else:
            return True
        self._ledger.settle_all(jobs, reason)
        if slot.serial == 1:
            del self._ledger.slots[slot.number]
        return False

    async def _write_batch(self, batch: Batch) -> None:
        await self.on_files(self._exchange.write_batch, batch.slot, seal(batch, self._key))

    async def _shut_down(self, idle: list[Slot]) -> None:
        """Close slots that have been idle for a while, or whose cores other slots wait for."""
        now = asyncio.get_running_loop().time()
        live = self._ledger.live_slots
        is_core_wanted = any(not slot.has_begun and now - slot.opened_at > _SLOT_START_SECONDS for slot in live)

        async def close_slot(slot: Slot) -> None:
            with suppress(OSError):  # the next call tries again
                await self._write_batch(Batch(slot.number, slot.serial + 1, ()))
                slot.is_shut_down = True

        for slot in idle:
            slot.idle_since = slot.idle_since or now
        gone = [slot for slot in idle if is_core_wanted or now - (slot.idle_since or now) > IDLE_SECONDS]
        await asyncio.gather(*(close_slot(slot) for slot in gone))

    async def _submit(self, cluster: Cluster, pace: Pace, slots: tuple[int, ...], tag: str) -> None:
        context = TaskContext(
            exchange=self._settings.exchange,
            slots=slots,
            key=self._key,
            sources=dict(self._settings.sources),
            secrets=self._settings.secrets,
            private=self._settings.private,
            storage=self._settings.storage,
            heartbeat_timeout=self._settings.heartbeat_timeout.total_seconds(),
            memory_limit=self._settings.memory_limit,
            may_run_twice=cluster.is_speculating,
            pace=pace,
        )
        loop = asyncio.get_running_loop()
        self.job_ends[tag] = loop.create_future()

        def ended(error: Exception | None) -> None:
            self._endings.add(ending := loop.create_task(self._ended(tag, error)))
            ending.add_done_callback(self._endings.discard)

        def on_end(error: Exception | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended, error)

        await self._session.do(submit, cluster.held, context, tag=tag, on_end=on_end)

    async def _ended(self, tag: str, error: Exception | None) -> None:
        """Handle the end of a Spark job: read its last reports; jobs without an outcome are lost."""
        if error is not None and is_session_lost(error):
            self._session_error = WorkerDied(
                self._without_secrets(f"the Spark session is lost: {first_line(error)}"),
                hint="check that Spark runs; the next run continues from what is done",
            )
        with suppress(OSError):
            await self._on_message([slot.number for slot in self._ledger.slots.values() if slot.tag == tag])
        why = self._without_secrets(first_line(error)) if error else "without an answer"
        self._ledger.close(tag, why=why)
        self.job_ends.pop(tag).set_result(None)
