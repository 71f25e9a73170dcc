"""The code of a slot: a Python worker on an executor runs batch after batch for one partition, until told to end.

Spark runs a task at least once: it repeats one whose executor was lost, and may run a second attempt at the same time.
So an item with an outcome is not run again, a chunk with a receipt is not read again (`extract_chunk` sees to that),
and an item during which an earlier attempt died is not run again here: the driver decides about retries.

The life of a slot is limited. Spark gives up a whole job, with all its partitions, when one task has failed a few times
(spark.task.maxFailures). So a slot whose worker died ends after it has reported that, and so does an old one. Items
that it has not begun go to other slots, in another Spark job.
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

from statekeeper.config.sections.storage import StorageConfig, remember_storage
from statekeeper.engines.context import JobSource, ProcessContext, Sessions
from statekeeper.engines.spark.batches import Batch, Item, unseal
from statekeeper.engines.spark.exchange import ErrorRecord, Exchange, Outcome, SlotReport
from statekeeper.engines.spark.pace import Backoff, Pace
from statekeeper.engines.spark.watch import Watch, WatchResult
from statekeeper.engines.worker import Done, WireError, WorkRequest, execute
from statekeeper.errors import NO_SOURCE, FailureKind
from statekeeper.text.privacy import RowValues

MAX_ITEMS = 2000
"""A slot ends after so many items, so that a worker's memory does not grow without limit."""
MAX_SECONDS = 3600.0
_TICK_SECONDS = 0.02


@dataclass(frozen=True)
class TaskContext:
    """What is sent to executors with the function: the slot number of each partition, and what all slots share.

    Attributes:
        slots: the number of the slot, for each partition.
        key: the key with which batches are sealed.
        sources: the sources, by name, with their credentials.
        secrets: removed from everything that a slot reports.
        heartbeat_timeout: seconds for which a slot goes on without a heartbeat of the driver.
        may_run_twice: whether Spark may run two attempts of a partition at once.
        pace: the pace for the exchange's file system.
        private: tables whose rows' values are removed from errors.
        storage: how to reach the object store, with its keys. Without keys, executors use those of their own role.
    """

    exchange: Path
    slots: tuple[int, ...]
    key: bytes
    sources: Mapping[str, JobSource]
    secrets: tuple[str, ...]
    heartbeat_timeout: float
    memory_limit: str
    may_run_twice: bool
    pace: Pace
    private: frozenset[str] = frozenset()
    storage: StorageConfig = field(default_factory=StorageConfig)


def run_slot(context: TaskContext, index: int) -> None:
    """Run the batches of the slot for the partition `index`, until it is told to end or the driver is lost.

    Raises:
        OSError: an outcome cannot be written to the exchange; another attempt of the task may succeed.
    """
    remember_storage(context.exchange, context.storage)
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
    refused_sources: dict[str, ErrorRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began_at = time.monotonic()
        self.report = SlotReport(slot=self.number)
        self.sessions = Sessions(self.context.memory_limit)
        heartbeat_timeout, every = self.context.heartbeat_timeout, self.context.pace.watch
        self.watch = Watch(self.exchange, slot=self.number, heartbeat_timeout=heartbeat_timeout, every=every)

    def work(self) -> None:
        try:
            while not self._is_old and (batch := self._next()) is not None:
                if not self._run_batch(batch):
                    break
        finally:
            self.sessions.close_all()
        self._try_report(item=None, is_over=True)

    @property
    def _is_old(self) -> bool:
        return self.items_done >= MAX_ITEMS or time.monotonic() - self.began_at >= MAX_SECONDS

    def _next(self) -> Batch | None:
        """Wait for the next batch; None when the slot should end."""
        looks = Backoff(self.context.pace)
        while not self.watch.is_over:
            if not looks.is_due():
                time.sleep(_TICK_SECONDS)
                continue
            # The file system may fail for a moment. If it keeps failing, the driver's heartbeat is missed too.
            with suppress(OSError):
                sealed = self.exchange.read_batch(self.number)
                batch = unseal(sealed, self.context.key, self.context.storage) if sealed else None
                if batch is not None and batch.slot == self.number and batch.serial > self.serial:
                    self.serial = batch.serial
                    return batch if batch.items else None
        return None

    def _run_batch(self, batch: Batch) -> bool:
        """Run a batch; returns whether the slot may take another."""
        done, died_over = self._earlier_attempts(batch)
        self.report = SlotReport(slot=self.number)
        if died_over is not None:
            self._record_outcome(_death(died_over))
        may_go_on = died_over is None
        for item in batch.items if may_go_on else ():
            if item.number in done:
                continue
            if self.watch.is_over:
                return False
            outcome = self._run_item(item)
            self._record_outcome(outcome)
            self.items_done += 1
        self._report_outcomes()
        return may_go_on

    def _earlier_attempts(self, batch: Batch) -> tuple[frozenset[int], Item | None]:
        """The items with outcomes from earlier attempts of the task, and the item during which an attempt died."""
        names = [name for name in self.exchange.report_names([self.number]) if self.attempt not in name]
        reports = [report for name in names if (report := self.exchange.read_report(name)) is not None]
        found = {outcome.item for report in reports for outcome in report.outcomes}
        dead = [report for report in reports if not report.is_over]
        left = [item for item in batch.items if item.number not in found]
        if self.context.may_run_twice or not dead or not left:
            return frozenset(found), None
        # Starts are not always reported at once, so it may have been an item after the last reported one.
        died_over = {report.item for report in dead}
        return frozenset(found), next((item for item in left if item.number in died_over), left[0])

    def _record_outcome(self, outcome: Outcome) -> None:
        """Add an outcome to the report, which is written now or with the next outcome.

        The outcome of a stopped item is written at once, since the driver waits for it only for a limited time.
        """
        was_begun = self.report.item == outcome.item
        has_stopped = was_begun and outcome.failure is not None and outcome.failure.kind is FailureKind.INTERRUPTED
        outcomes = (*self.report.outcomes, outcome)
        self.report = self.report.model_copy(update={"outcomes": outcomes, "item": None, "rows": 0})
        if self.context.pace.is_quick or has_stopped:
            self._report_outcomes()

    def _report_outcomes(self) -> None:
        """Write the report. Raises OSError if that fails while the exchange still exists."""
        try:
            self._report()
        except OSError:
            if self.exchange.read_pulse() is not None:
                raise

    def _run_item(self, item: Item) -> Outcome:
        reason = self._reason_not_to_begin(item)
        if reason is not None:
            return Outcome(item=item.number, failure=reason)
        self._begin(item)
        source = None if item.source is None else self.context.sources[item.source]
        context = ProcessContext(
            self.sessions,
            memory_limit=self.context.memory_limit,
            is_stopping=lambda: self.watch.check() is not WatchResult.GO_ON,
            report=self._add_rows,
            source=source,
        )
        values = RowValues.of(item.table, private=self.context.private)
        request = WorkRequest(item.work, item.spec, source, self.context.secrets, values)
        return self._outcome_of(item, execute(request, context, self.sessions))

    def _reason_not_to_begin(self, item: Item) -> ErrorRecord | None:
        if self.watch.begin(item.number) is not WatchResult.GO_ON:
            return self._interruption(item)
        if item.source is None:
            return None
        if item.source in self.sessions.names:  # no login is needed
            return self.refused_sources.get(item.source)
        with suppress(OSError):
            refused = self.exchange.read_refusal(item.source)
            if refused is not None:
                self.refused_sources[item.source] = refused
        return self.refused_sources.get(item.source)

    def _outcome_of(self, item: Item, done: Done) -> Outcome:
        if done.raised is None:
            return self._result_outcome(item, done)
        if done.raised.kind is FailureKind.INTERRUPTED:
            return Outcome(item=item.number, failure=self._interruption(item))
        reason = _reason(done.raised)
        if item.source is not None and reason.kind in NO_SOURCE:
            self.refused_sources[item.source] = reason
            if reason.kind is FailureKind.LOGIN_REFUSED:  # another login might lock the account
                with suppress(OSError):
                    self.exchange.write_refusal(item.source, reason)
        return Outcome(item=item.number, failure=reason)

    def _result_outcome(self, item: Item, done: Done) -> Outcome:
        try:
            answer = TypeAdapter(item.remote_result_type).dump_json(done.result).decode()
        except Exception as error:  # noqa: BLE001 - the worker boundary: the result has another type than declared
            message = f"{item.table}: a result cannot be sent from an executor: {error!r}"
            return Outcome(item=item.number, failure=ErrorRecord(kind=FailureKind.INTERNAL, message=message))
        return Outcome(item=item.number, answer=answer)

    def _interruption(self, item: Item) -> ErrorRecord:
        if self.watch.check() is WatchResult.DRIVER_LOST:
            # If the driver lives after all, it gives the item to another slot.
            message = f"{item.table}: the driver sent no heartbeat for {self.context.heartbeat_timeout:.0f} s"
            return ErrorRecord(kind=FailureKind.WORKER_DIED, message=message)
        return ErrorRecord(kind=FailureKind.INTERRUPTED, message=f"{item.table}: stopped between two batches")

    def _begin(self, item: Item) -> None:
        """Report which item begins, so that the driver knows during which one a worker died.

        If reports are slow and one was written a moment ago, the next report has it.
        """
        self.report = self.report.model_copy(update={"item": item.number, "rows": 0})
        if self.context.pace.is_quick or time.monotonic() - self.reported_at >= self.context.pace.max_poll:
            self._try_report(item=item.number)

    def _add_rows(self, rows: int) -> None:
        self.report = self.report.model_copy(update={"rows": self.report.rows + rows})
        if time.monotonic() - self.reported_at >= self.context.pace.report:
            self._try_report(item=self.report.item)

    def _try_report(self, *, item: int | None, is_over: bool = False) -> None:
        self.report = self.report.model_copy(update={"item": item, "is_over": is_over})
        with suppress(OSError):
            self._report()

    def _report(self) -> None:
        self.reported_at = time.monotonic()
        self.exchange.write_report(self.report, attempt=self.attempt)


def _death(item: Item) -> Outcome:
    message = f"a Python worker of Spark ended during {item.table}"
    hint = "if it ran out of memory: raise spark.executor.memoryOverhead, or lower execution.memory_limit"
    return Outcome(item=item.number, failure=ErrorRecord(kind=FailureKind.WORKER_DIED, message=message, hint=hint))


def _reason(raised: WireError) -> ErrorRecord:
    return ErrorRecord(kind=raised.kind, message=raised.message, hint=raised.hint, code=raised.code)


def decode(answer_type: Any, answer: str) -> Any:
    """A result from its JSON text. Raises pydantic's ValidationError if the text does not match the type."""
    return TypeAdapter(answer_type).validate_json(answer)
