"""What the driver knows of its work: which jobs wait or are on a slot, which slots and Spark jobs are under way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from statekeeper.engines.protocol import Job
from statekeeper.engines.queue import JobQueue, Waiting
from statekeeper.engines.spark.exchange import Outcome, SlotReport
from statekeeper.engines.spark.partition import decode
from statekeeper.errors import InternalError, StatekeeperError, WorkerDied

_MOST_RETURNS = 3
"""So often a job that was not begun is given to another slot; then it fails as one that was."""


@dataclass(eq=False)
class PendingJob:
    """A job: waiting in the queue, or on a slot. `at` is when it came, by the loop's clock; `returns` is how often a
    slot ended before it had begun with it.
    """

    number: int
    job: Job[Any]
    future: asyncio.Future[Any]
    waiting: Waiting
    at: float
    slot: int | None = None
    rows: int = 0
    has_begun: bool = False
    returns: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def source(self) -> str | None:
        return self.job.source.name if self.job.source else None

    def begin(self) -> None:
        """Note, once, that a worker has begun with it."""
        if not self.has_begun:
            self.has_begun = True
            if self.job.on_start:
                self.job.on_start()

    def has_read(self, rows: int) -> None:
        """Note how many rows were read of it so far."""
        if rows > self.rows:
            if self.job.on_rows:
                self.job.on_rows(rows - self.rows)
            self.rows = rows


@dataclass(eq=False)
class Slot:
    """A partition under way, of the Spark job `tag`, and what it was given last.

    `sources` are those that it may have a session with; times are the loop's. One that `is_dismissed` is given nothing
    more; one that `is_abandoned` neither, since its work does not stop when told to; one that `is_over` has closed its
    sessions.
    """

    number: int
    tag: str
    opened_at: float
    items: frozenset[int] = frozenset()
    sources: frozenset[str] = frozenset()
    serial: int = 0
    idle_since: float | None = None
    has_begun: bool = False
    is_dismissed: bool = False
    is_abandoned: bool = False
    is_over: bool = False


@dataclass(eq=False)
class Ledger:
    """Every job until it is settled, and every slot until its Spark job has ended."""

    queue: JobQueue
    posted: dict[int, PendingJob] = field(default_factory=dict)
    waiting: dict[Waiting, PendingJob] = field(default_factory=dict)
    """Of `posted`, the jobs that have no slot yet, the oldest first, by their places in the queue."""
    seated: dict[int, PendingJob] = field(default_factory=dict)
    """Of `posted`, the jobs that have a slot and no outcome yet."""
    slots: dict[int, Slot] = field(default_factory=dict)
    waiting_rows: int = 0
    _jobs: int = 0
    _seats: int = 0

    def post(self, job: Job[Any]) -> PendingJob:
        """Put a job in the queue."""
        self._jobs += 1
        loop = asyncio.get_running_loop()
        posted = PendingJob(self._jobs, job, loop.create_future(), self.queue.add(job), loop.time())
        self.posted[posted.number] = self.waiting[posted.waiting] = posted
        self.waiting_rows += job.size
        return posted

    @property
    def live_slots(self) -> list[Slot]:
        return [slot for slot in self.slots.values() if not slot.is_over]

    @property
    def idle_slots(self) -> list[Slot]:
        """The slots that have done all they were given, and can be given more."""
        able = (slot for slot in self.live_slots if not slot.is_dismissed and not slot.is_abandoned)
        return [slot for slot in able if not self._has_work(slot)]

    @property
    def hung_tags(self) -> set[str]:
        """The Spark jobs of which no slot is left but abandoned ones."""
        live = self.live_slots
        return {slot.tag for slot in live if slot.is_abandoned} - {slot.tag for slot in live if not slot.is_abandoned}

    def _has_work(self, slot: Slot) -> bool:
        return any(item in self.seated for item in slot.items)

    def sessions(self, idle: Iterable[Slot]) -> Counter[str]:
        """How many sessions there may be with each source, those of idle slots left out."""
        left_out = set(idle)
        return Counter(source for slot in self.live_slots if slot not in left_out for source in slot.sources)

    def open_slot(self, tag: str) -> Slot:
        """A new slot of a Spark job that is about to be submitted."""
        self._seats += 1
        slot = self.slots[self._seats] = Slot(self._seats, tag, asyncio.get_running_loop().time())
        return slot

    def assign(self, slot: Slot, jobs: list[PendingJob]) -> None:
        """Give jobs that wait to a slot that is new or idle."""
        for posted in jobs:
            posted.slot = slot.number
            self.seated[posted.number] = self.waiting.pop(posted.waiting)
            self.waiting_rows -= posted.job.size
        slot.serial += 1
        slot.idle_since = None
        slot.items = frozenset(posted.number for posted in jobs)
        slot.sources |= {posted.source for posted in jobs if posted.source}

    def settle(self, posted: PendingJob, result: object) -> None:
        """End a job with its result, or with its error."""
        self.posted.pop(posted.number, None)
        self.seated.pop(posted.number, None)
        if self.waiting.pop(posted.waiting, None):
            self.waiting_rows -= posted.job.size
            self.queue.remove(posted.waiting)
        posted.settled.set()
        if posted.future.done():
            return
        if isinstance(result, StatekeeperError):
            posted.future.set_exception(result)
        else:
            posted.future.set_result(result)

    def settle_all(self, posted: Iterable[PendingJob], error: StatekeeperError) -> None:
        """End jobs with an error."""
        for each in list(posted):
            self.settle(each, error)

    def hear(self, report: SlotReport) -> None:
        """Note what a slot is at, and settle the jobs that it has done."""
        slot = self.slots.get(report.slot)
        if slot is None:
            return
        slot.has_begun = True
        slot.is_over = slot.is_over or report.is_over
        for outcome in report.outcomes:
            self.take(outcome, report.slot)
        posted = self.posted.get(report.item) if report.item is not None else None
        if posted is not None and posted.slot == report.slot:
            posted.begin()
            posted.has_read(report.rows)

    def take(self, outcome: Outcome, slot: int) -> None:
        """Settle a job by what came of it on a slot: the first result counts, and a failure where it is seated now."""
        posted = self.posted.get(outcome.item)
        if posted is None or posted.slot is None or (outcome.failure is not None and posted.slot != slot):
            return
        posted.begin()
        if outcome.failure is not None:
            self.settle(posted, outcome.failure.as_error())
            return
        try:
            self.settle(posted, decode(posted.job.remote_result_type, outcome.answer or ""))
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)[0]
            message = f"{posted.job.table}: an executor's answer is none: {found['loc']} {found['msg']}"
            self.settle(posted, InternalError(message))

    def close(self, tag: str, *, why: str) -> None:
        """A Spark job has ended: what of it was begun and has no outcome by now was lost with it."""
        for slot in [slot for slot in self.slots.values() if slot.tag == tag]:
            del self.slots[slot.number]
            self.release(slot, why=why)

    def release(self, slot: Slot, *, why: str) -> None:
        """A slot has ended: what was begun there is lost, and what was not is for another slot.

        Where a slot never began, something is wrong with Spark: what it was given is lost, and whoever waits decides.
        """
        for item in slot.items & self.posted.keys():
            posted = self.posted[item]
            if posted.slot != slot.number:
                continue
            if slot.has_begun and not posted.has_begun and posted.returns < _MOST_RETURNS:
                posted.returns += 1
                self._put_back(posted)
                continue
            message = f"the Spark job was lost during {posted.job.table}: {why}"
            hint = "Spark's log says why executors were lost; if memory ran out, lower execution.spark.parallelism"
            self.settle(posted, WorkerDied(message, hint=hint))

    def abandon(self, slot: Slot) -> None:
        """A slot's work does not stop: what it has not begun is for other slots."""
        slot.is_abandoned = True
        for item in slot.items & self.seated.keys():
            posted = self.seated[item]
            if posted.slot == slot.number and not posted.has_begun:
                self._put_back(posted)

    def _put_back(self, posted: PendingJob) -> None:
        if posted.future.done():  # given up meanwhile
            self.settle(posted, WorkerDied("given up"))
            return
        del self.seated[posted.number]
        posted.slot = None
        self.queue.put_back(posted.waiting)
        self.waiting[posted.waiting] = posted
        self.waiting_rows += posted.job.size
