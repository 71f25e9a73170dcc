"""The driver's bookkeeping: which jobs wait or are assigned to a slot, and which slots and Spark jobs are running."""

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
"""How often a job that was not begun is given to another slot; after that it fails like one that was begun."""


@dataclass(eq=False)
class PendingJob:
    """A job that waits in the queue or is assigned to a slot.

    `at` is when it was added, by the loop's clock. `returns` counts the slots that ended before they began with it.
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
        """Note that a worker has begun with it; only the first call counts."""
        if not self.has_begun:
            self.has_begun = True
            if self.job.on_start:
                self.job.on_start()

    def has_read(self, rows: int) -> None:
        """Note how many rows it has read so far, in all."""
        if rows > self.rows:
            if self.job.on_rows:
                self.job.on_rows(rows - self.rows)
            self.rows = rows


@dataclass(eq=False)
class Slot:
    """A running partition of the Spark job `tag`, and its last batch.

    Attributes:
        items: the numbers of the jobs in its last batch.
        sources: the sources with which it may have a session.
        serial: the number of its last batch.
        opened_at, idle_since: times by the loop's clock.
        is_shut_down: it was told to end, and is given no more jobs.
        is_abandoned: it does not stop when told to, and is given no more jobs.
        is_over: it has ended and closed its sessions.
    """

    number: int
    tag: str
    opened_at: float
    items: frozenset[int] = frozenset()
    sources: frozenset[str] = frozenset()
    serial: int = 0
    idle_since: float | None = None
    has_begun: bool = False
    is_shut_down: bool = False
    is_abandoned: bool = False
    is_over: bool = False


@dataclass(eq=False)
class Ledger:
    """Holds every job until it is settled, and every slot until its Spark job has ended."""

    queue: JobQueue
    pending: dict[int, PendingJob] = field(default_factory=dict)
    waiting: dict[Waiting, PendingJob] = field(default_factory=dict)
    """The jobs of `pending` without a slot, oldest first, by their places in the queue."""
    assigned: dict[int, PendingJob] = field(default_factory=dict)
    """The jobs of `pending` that have a slot but no outcome yet."""
    slots: dict[int, Slot] = field(default_factory=dict)
    waiting_rows: int = 0
    _jobs: int = 0
    _slots_opened: int = 0

    def add(self, job: Job[Any]) -> PendingJob:
        """Put a job in the queue."""
        self._jobs += 1
        loop = asyncio.get_running_loop()
        pending = PendingJob(self._jobs, job, loop.create_future(), self.queue.add(job), loop.time())
        self.pending[pending.number] = self.waiting[pending.waiting] = pending
        self.waiting_rows += job.size
        return pending

    @property
    def live_slots(self) -> list[Slot]:
        return [slot for slot in self.slots.values() if not slot.is_over]

    @property
    def idle_slots(self) -> list[Slot]:
        """The slots that have finished their batch and can be given another."""
        able = (slot for slot in self.live_slots if not slot.is_shut_down and not slot.is_abandoned)
        return [slot for slot in able if not self._has_work(slot)]

    @property
    def hung_tags(self) -> set[str]:
        """The tags of Spark jobs whose remaining slots are all abandoned."""
        live = self.live_slots
        return {slot.tag for slot in live if slot.is_abandoned} - {slot.tag for slot in live if not slot.is_abandoned}

    def _has_work(self, slot: Slot) -> bool:
        return any(item in self.assigned for item in slot.items)

    def sessions(self, idle: Iterable[Slot]) -> Counter[str]:
        """How many sessions there may be with each source, without those of `idle` slots."""
        left_out = set(idle)
        return Counter(source for slot in self.live_slots if slot not in left_out for source in slot.sources)

    def open_slot(self, tag: str) -> Slot:
        """Add a slot of a Spark job that is about to be submitted."""
        self._slots_opened += 1
        slot = self.slots[self._slots_opened] = Slot(self._slots_opened, tag, asyncio.get_running_loop().time())
        return slot

    def assign(self, slot: Slot, jobs: list[PendingJob]) -> None:
        """Assign waiting jobs to a new or idle slot."""
        for pending in jobs:
            pending.slot = slot.number
            self.assigned[pending.number] = self.waiting.pop(pending.waiting)
            self.waiting_rows -= pending.job.size
        slot.serial += 1
        slot.idle_since = None
        slot.items = frozenset(pending.number for pending in jobs)
        slot.sources |= {pending.source for pending in jobs if pending.source}

    def settle(self, pending: PendingJob, result: object) -> None:
        """Complete a job with its result or its error."""
        self.pending.pop(pending.number, None)
        self.assigned.pop(pending.number, None)
        if self.waiting.pop(pending.waiting, None):
            self.waiting_rows -= pending.job.size
            self.queue.remove(pending.waiting)
        pending.settled.set()
        if pending.future.done():
            return
        if isinstance(result, StatekeeperError):
            pending.future.set_exception(result)
        else:
            pending.future.set_result(result)

    def settle_all(self, pending: Iterable[PendingJob], error: StatekeeperError) -> None:
        """Complete jobs with an error."""
        for each in list(pending):
            self.settle(each, error)

    def apply_report(self, report: SlotReport) -> None:
        """Note what a slot works on, and settle the jobs that it has finished."""
        slot = self.slots.get(report.slot)
        if slot is None:
            return
        slot.has_begun = True
        slot.is_over = slot.is_over or report.is_over
        for outcome in report.outcomes:
            self.apply_outcome(outcome, report.slot)
        pending = self.pending.get(report.item) if report.item is not None else None
        if pending is not None and pending.slot == report.slot:
            pending.begin()
            pending.has_read(report.rows)

    def apply_outcome(self, outcome: Outcome, slot: int) -> None:
        """Settle a job by its outcome on a slot. The first result counts; a failure only from the current slot."""
        pending = self.pending.get(outcome.item)
        if pending is None or pending.slot is None or (outcome.failure is not None and pending.slot != slot):
            return
        pending.begin()
        if outcome.failure is not None:
            self.settle(pending, outcome.failure.as_error())
            return
        try:
            self.settle(pending, decode(pending.job.remote_result_type, outcome.answer or ""))
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)[0]
            message = f"{pending.job.table}: the result from an executor is not valid: {found['loc']} {found['msg']}"
            self.settle(pending, InternalError(message))

    def close(self, tag: str, *, why: str) -> None:
        """Note that a Spark job has ended, and release its slots."""
        for slot in [slot for slot in self.slots.values() if slot.tag == tag]:
            del self.slots[slot.number]
            self.release(slot, why=why)

    def release(self, slot: Slot, *, why: str) -> None:
        """Note that a slot has ended: jobs that it had begun fail, the others go to another slot.

        If the slot never began, something is wrong with Spark, and all its jobs fail.
        """
        for item in slot.items & self.pending.keys():
            pending = self.pending[item]
            if pending.slot != slot.number:
                continue
            if slot.has_begun and not pending.has_begun and pending.returns < _MOST_RETURNS:
                pending.returns += 1
                self._put_back(pending)
                continue
            message = f"the Spark job was lost during {pending.job.table}: {why}"
            hint = "Spark's log says why executors were lost; if memory ran out, lower execution.spark.parallelism"
            self.settle(pending, WorkerDied(message, hint=hint))

    def abandon(self, slot: Slot) -> None:
        """Note that a slot does not stop when told to; jobs that it has not begun go to other slots."""
        slot.is_abandoned = True
        for item in slot.items & self.assigned.keys():
            pending = self.assigned[item]
            if pending.slot == slot.number and not pending.has_begun:
                self._put_back(pending)

    def _put_back(self, pending: PendingJob) -> None:
        if pending.future.done():  # cancelled meanwhile
            self.settle(pending, WorkerDied("cancelled"))
            return
        del self.assigned[pending.number]
        pending.slot = None
        self.queue.put_back(pending.waiting)
        self.waiting[pending.waiting] = pending
        self.waiting_rows += pending.job.size
