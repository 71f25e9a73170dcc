"""What a Python worker of an executor does: batch after batch of one partition, until it is told to end.

It runs at least once: Spark repeats a task whose executor was lost, and may run a second one beside the first. So an
item that has an outcome is not done again, a chunk that has a receipt is not read again (`extract_chunk` sees to that),
and the item that an earlier attempt died over is not tried a second time here: whether it is, the driver decides.

A slot does not live for ever. Spark gives a whole job up, with all its partitions, when one task has failed a few times
(spark.task.maxFailures). So a slot whose worker died ends when that is told, and so does one that is old: what it has
not begun goes to others, in a job of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from statekeeper.engines.context import JobSource, ProcessContext, Sessions
from statekeeper.engines.spark.batches import Batch, Item, unseal
from statekeeper.engines.spark.exchange import ErrorRecord, Exchange, Outcome, SlotReport
from statekeeper.engines.spark.pace import Backoff, Pace
from statekeeper.engines.spark.watch import Watch, WatchResult
from statekeeper.engines.worker import Done, WireError, WorkRequest, execute
from statekeeper.errors import NO_SOURCE, FailureKind
from statekeeper.text.privacy import RowValues

MOST_ITEMS = 2000
"""So many items a slot does, and is closed then: what a worker holds on to does not grow for ever."""
MOST_SECONDS = 3600.0
_TICK_SECONDS = 0.02


@dataclass(frozen=True)
class TaskContext:
    """What travels to executors with the function: the number of the slot that each partition is, and what they share.

    `heartbeat_timeout` (seconds) is how long work goes on without a sign of life of the driver. Where `may_be_doubled`,
    Spark may run two attempts of a partition at once. `key` opens the batches. `sources`, by name, hold credentials,
    and `secrets` are removed from whatever is said; so are values of rows where it is about one of the `private`
    tables. `pace` is that of the exchange's file system.
    """

    exchange: Path
    slots: tuple[int, ...]
    key: bytes
    sources: Mapping[str, JobSource]
    secrets: tuple[str, ...]
    heartbeat_timeout: float
    memory_limit: str
    may_be_doubled: bool
    pace: Pace
    private: frozenset[str] = frozenset()


def work_through(context: TaskContext, index: int) -> None:
    """Do what the slot of the partition `index` is given, until it is told to end or nobody is there any more.

    Raises:
        OSError: what came of an item cannot be left in the exchange; another attempt may be luckier.
    """
    _Slot(context, context.slots[index], Exchange(context.exchange)).work()


@dataclass
class _Slot:
    context: TaskContext
    number: int
    exchange: Exchange
    attempt: str = field(default_factory=lambda: uuid4().hex[:12])
    report: SlotReport = field(init=False)
    reported_at: float = float("-inf")
    serial: int = 0
    items_done: int = 0
    closed: dict[str, ErrorRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began_at = time.monotonic()
        self.report = SlotReport(slot=self.number)
        self.sessions = Sessions(self.context.memory_limit)
        heartbeat_timeout, every = self.context.heartbeat_timeout, self.context.pace.watch
        self.watch = Watch(self.exchange, slot=self.number, heartbeat_timeout=heartbeat_timeout, every=every)

    def work(self) -> None:
        try:
            while not self._is_old and (batch := self._next()) is not None:
                if not self._work_off(batch):
                    break
        finally:
            self.sessions.close_all()
        self._say(item=None, is_over=True)

    @property
    def _is_old(self) -> bool:
        return self.items_done >= MOST_ITEMS or time.monotonic() - self.began_at >= MOST_SECONDS

    def _next(self) -> Batch | None:
        """The next batch, waited for; None when it is time to end."""
        looks = Backoff(self.context.pace)
        while not self.watch.is_over:
            if not looks.is_due():
                time.sleep(_TICK_SECONDS)
                continue
            # A moment's weakness of the file system; if it lasts, so does the driver's silence.
            with suppress(OSError):
                sealed = self.exchange.handed(self.number)
                batch = unseal(sealed, self.context.key) if sealed else None
                if batch is not None and batch.slot == self.number and batch.serial > self.serial:
                    self.serial = batch.serial
                    return batch if batch.items else None
        return None

    def _work_off(self, batch: Batch) -> bool:
        """Do a batch; whether there may be another."""
        done, died_over = self._earlier(batch)
        self.report = SlotReport(slot=self.number)
        if died_over is not None:
            self._leave(_death(died_over))
        may_go_on = died_over is None
        for item in batch.items if may_go_on else ():
            if item.number in done:
                continue
            if self.watch.is_over:
                return False
            outcome = self._outcome(item)
            self._leave(outcome)
            self.items_done += 1
        self._say_outcomes()
        return may_go_on

    def _earlier(self, batch: Batch) -> tuple[frozenset[int], Item | None]:
        """The items with an outcome of earlier attempts, and the one that one of them did not survive."""
        names = [name for name in self.exchange.reports_of([self.number]) if self.attempt not in name]
        reports = [report for name in names if (report := self.exchange.reported(name)) is not None]
        found = {outcome.item for report in reports for outcome in report.outcomes}
        dead = [report for report in reports if not report.is_over]
        left = [item for item in batch.items if item.number not in found]
        if self.context.may_be_doubled or not dead or not left:
            return frozenset(found), None
        # Where what is begun is told late, it may have been an item after the last that was told.
        died_over = {report.item for report in dead}
        return frozenset(found), next((item for item in left if item.number in died_over), left[0])

    def _leave(self, outcome: Outcome) -> None:
        """Note what came of an item, and leave word of it: at once, or with what is said next.

        That work has stopped is said at once: the driver waits for it only so long.
        """
        was_begun = self.report.item == outcome.item
        has_stopped = was_begun and outcome.failure is not None and outcome.failure.kind is FailureKind.INTERRUPTED
        outcomes = (*self.report.outcomes, outcome)
        self.report = self.report.model_copy(update={"outcomes": outcomes, "item": None, "rows": 0})
        if self.context.pace.is_quick or has_stopped:
            self._say_outcomes()

    def _say_outcomes(self) -> None:
        """Raises OSError where that cannot be done, and somebody still waits for it."""
        try:
            self._report()
        except OSError:
            if self.exchange.pulse() is not None:
                raise

    def _outcome(self, item: Item) -> Outcome:
        reason = self._reason_not_to_begin(item)
        if reason is not None:
            return Outcome(item=item.number, failure=reason)
        self._begin(item)
        source = None if item.source is None else self.context.sources[item.source]
        context = ProcessContext(
            self.sessions,
            memory_limit=self.context.memory_limit,
            is_stopping=lambda: self.watch.verdict() is not WatchResult.GO_ON,
            report=self._add_rows,
            source=source,
        )
        values = RowValues.of(item.table, private=self.context.private)
        order = WorkRequest(item.work, item.spec, source, self.context.secrets, values)
        return self._told(item, execute(order, context, self.sessions))

    def _reason_not_to_begin(self, item: Item) -> ErrorRecord | None:
        if self.watch.begin(item.number) is not WatchResult.GO_ON:
            return self._interruption(item)
        if item.source is None:
            return None
        if item.source in self.sessions.names:  # no login is needed
            return self.closed.get(item.source)
        with suppress(OSError):
            refused = self.exchange.refused(item.source)
            if refused is not None:
                self.closed[item.source] = refused
        return self.closed.get(item.source)

    def _told(self, item: Item, done: Done) -> Outcome:
        if done.raised is None:
            return self._answered(item, done)
        if done.raised.kind is FailureKind.INTERRUPTED:
            return Outcome(item=item.number, failure=self._interruption(item))
        reason = _reason(done.raised)
        if item.source is not None and reason.kind in NO_SOURCE:
            self.closed[item.source] = reason
            if reason.kind is FailureKind.LOGIN_REFUSED:  # another login might lock the account
                with suppress(OSError):
                    self.exchange.refuse(item.source, reason)
        return Outcome(item=item.number, failure=reason)

    def _answered(self, item: Item, done: Done) -> Outcome:
        try:
            answer = TypeAdapter(item.remote_result_type).dump_json(done.result).decode()
        except Exception as error:  # noqa: BLE001 - the worker boundary: an answer of another type than was said
            message = f"{item.table}: a result cannot be sent from an executor: {error!r}"
            return Outcome(item=item.number, failure=ErrorRecord(kind=FailureKind.INTERNAL, message=message))
        return Outcome(item=item.number, answer=answer)

    def _interruption(self, item: Item) -> ErrorRecord:
        if self.watch.verdict() is WatchResult.DRIVER_LOST:
            # If the driver lives after all, it has somebody else do it.
            message = f"{item.table}: the driver gave no sign of life for {self.context.heartbeat_timeout:.0f} s"
            return ErrorRecord(kind=FailureKind.WORKER_DIED, message=message)
        return ErrorRecord(kind=FailureKind.INTERRUPTED, message=f"{item.table}: stopped between two batches")

    def _begin(self, item: Item) -> None:
        """Say what is begun, so that the driver knows over what a worker dies; where saying is dear and something was
        said a moment ago, a little later.
        """
        self.report = self.report.model_copy(update={"item": item.number, "rows": 0})
        if self.context.pace.is_quick or time.monotonic() - self.reported_at >= self.context.pace.look_most:
            self._say(item=item.number)

    def _add_rows(self, rows: int) -> None:
        self.report = self.report.model_copy(update={"rows": self.report.rows + rows})
        if time.monotonic() - self.reported_at >= self.context.pace.report:
            self._say(item=self.report.item)

    def _say(self, *, item: int | None, is_over: bool = False) -> None:
        self.report = self.report.model_copy(update={"item": item, "is_over": is_over})
        with suppress(OSError):
            self._report()

    def _report(self) -> None:
        self.reported_at = time.monotonic()
        self.exchange.report(self.report, attempt=self.attempt)


def _death(item: Item) -> Outcome:
    message = f"a Python worker of Spark ended during {item.table}"
    hint = "if it ran out of memory: raise spark.executor.memoryOverhead, or lower execution.memory_limit"
    return Outcome(item=item.number, failure=ErrorRecord(kind=FailureKind.WORKER_DIED, message=message, hint=hint))


def _reason(raised: WireError) -> ErrorRecord:
    return ErrorRecord(kind=raised.kind, message=raised.message, hint=raised.hint, code=raised.code)


def decode(answer_type: Any, answer: str) -> Any:
    """A result from its JSON text. Raises pydantic's ValidationError if it is none."""
    return TypeAdapter(answer_type).validate_json(answer)
