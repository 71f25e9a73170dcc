"""What a Python worker of an executor does: the items of one partition, one after the other.

It runs at least once: Spark repeats a task whose executor was lost, and may run a second one beside the first. So an
item that has an outcome is not done again, a chunk that has a receipt is not read again (`extract_chunk` sees to that),
and the item that an earlier attempt died over is not tried a second time here: whether it is, the driver decides.
"""

from __future__ import annotations

import pickle
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from statekeeper.engines.spark.mailbox import Mailbox, Outcome, Reason, SeatReport
from statekeeper.engines.spark.watch import Verdict, Watch
from statekeeper.engines.worker import Done, Order, Raised, carry_out
from statekeeper.errors import NO_SOURCE, FailureKind
from statekeeper.work import ProcessContext, Sessions

REPORT_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class Item:
    """A job on its way to an executor. `answer` is the type of its result, which travels back as JSON."""

    number: int
    table: str
    order: Order
    answer: Any


@dataclass(frozen=True)
class Load:
    """What one partition has to do."""

    seat: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Cargo:
    """What travels to executors with the function: the pickled `Load` of each partition, and what they share.

    `silence` (seconds) is how long work goes on without a sign of life of the driver. Where `may_be_doubled`, Spark may
    run two attempts of a partition at once.
    """

    mailbox: Path
    silence: float
    memory_limit: str
    may_be_doubled: bool
    loads: tuple[bytes, ...]


def work_through(cargo: Cargo, index: int) -> list[str]:
    """Do what the partition `index` has to do; the outcomes as JSON, those of earlier attempts included."""
    load: Load = pickle.loads(cargo.loads[index])  # noqa: S301 - it came with this very function
    return _Seat(cargo, load, Mailbox(cargo.mailbox)).work()


@dataclass
class _Seat:
    cargo: Cargo
    load: Load
    mailbox: Mailbox
    attempt: str = field(default_factory=lambda: uuid4().hex[:12])
    report: SeatReport = field(init=False)
    reported_at: float = float("-inf")
    closed: dict[str, Reason] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.report = SeatReport(seat=self.load.seat)
        self.sessions = Sessions(self.cargo.memory_limit)
        self.watch = Watch(self.mailbox, silence=self.cargo.silence)

    def work(self) -> list[str]:
        outcomes: list[Outcome] = []
        try:
            earlier = self._earlier()
            for item in self.load.items:
                outcome = earlier.get(item.number)
                if outcome is None:
                    if self.watch.is_over:
                        break
                    outcome = self._outcome(item)
                    with suppress(OSError):  # it also travels back in Spark's own way
                        self.mailbox.leave(outcome, attempt=self.attempt)
                outcomes.append(outcome)
        finally:
            self.sessions.close_all()
            self._say(item=None, rows=0, is_over=True)
        return [outcome.to_bytes().decode() for outcome in outcomes]

    def _earlier(self) -> dict[int, Outcome]:
        """The outcomes of earlier attempts, and the failure of the item that one of them did not survive."""
        numbers = {item.number: item for item in self.load.items}
        news = self.mailbox.news(seats=[self.load.seat], items=numbers)
        found = {outcome.item: outcome for outcome in news.outcomes}
        died_over = {report.item for report in news.seats if report.item is not None and not report.is_over}
        if self.cargo.may_be_doubled:
            return found
        for number in died_over - set(found):
            if number in numbers:
                message = f"a Python worker of Spark ended during {numbers[number].table}"
                hint = "if it ran out of memory: raise spark.executor.memoryOverhead, or lower execution.memory_limit"
                found[number] = Outcome(
                    item=number, failure=Reason(kind=FailureKind.WORKER_DIED, message=message, hint=hint)
                )
                with suppress(OSError):
                    self.mailbox.leave(found[number], attempt=self.attempt)
        return found

    def _outcome(self, item: Item) -> Outcome:
        reason = self._reason_not_to_begin(item)
        if reason is not None:
            return Outcome(item=item.number, failure=reason)
        self._say(item=item.number, rows=0)
        context = ProcessContext(
            self.sessions,
            memory_limit=self.cargo.memory_limit,
            is_stopping=lambda: self.watch.verdict() is not Verdict.GO_ON,
            report=self._add_rows,
        )
        return self._told(item, carry_out(item.order, context, self.sessions))

    def _reason_not_to_begin(self, item: Item) -> Reason | None:
        if self.watch.begin(item.number) is not Verdict.GO_ON:
            return self._interruption(item)
        source = item.order.source_name
        if source is None:
            return None
        with suppress(OSError):
            refused = self.mailbox.refused(source)
            if refused is not None:
                self.closed[source] = refused
        return self.closed.get(source)

    def _told(self, item: Item, done: Done) -> Outcome:
        if done.raised is None:
            return self._answered(item, done)
        if done.raised.kind is FailureKind.INTERRUPTED:
            return Outcome(item=item.number, failure=self._interruption(item))
        reason = _reason(done.raised)
        source = item.order.source_name
        if source is not None and reason.kind in NO_SOURCE:
            self.closed[source] = reason
            if reason.kind is FailureKind.LOGIN_REFUSED:  # another login might lock the account
                with suppress(OSError):
                    self.mailbox.refuse(source, reason)
        return Outcome(item=item.number, failure=reason)

    def _answered(self, item: Item, done: Done) -> Outcome:
        try:
            answer = TypeAdapter(item.answer).dump_json(done.result).decode()
        except Exception as error:  # noqa: BLE001 - the worker boundary: an answer of another type than was said
            message = f"{item.table}: a result cannot be sent from an executor: {error!r}"
            return Outcome(item=item.number, failure=Reason(kind=FailureKind.INTERNAL, message=message))
        return Outcome(item=item.number, answer=answer)

    def _interruption(self, item: Item) -> Reason:
        if self.watch.verdict() is Verdict.ALONE:
            # If the driver lives after all, it has somebody else do it.
            message = f"{item.table}: the driver gave no sign of life for {self.cargo.silence:.0f} s"
            return Reason(kind=FailureKind.WORKER_DIED, message=message)
        return Reason(kind=FailureKind.INTERRUPTED, message=f"{item.table}: stopped between two batches")

    def _add_rows(self, rows: int) -> None:
        self.report = self.report.model_copy(update={"rows": self.report.rows + rows})
        if time.monotonic() - self.reported_at >= REPORT_EVERY_SECONDS:
            self._say(item=self.report.item, rows=self.report.rows)

    def _say(self, *, item: int | None, rows: int, is_over: bool = False) -> None:
        self.report = SeatReport(seat=self.load.seat, item=item, rows=rows, is_over=is_over)
        self.reported_at = time.monotonic()
        with suppress(OSError):
            self.mailbox.report(self.report, attempt=self.attempt)


def _reason(raised: Raised) -> Reason:
    return Reason(kind=raised.kind, message=raised.message, hint=raised.hint, code=raised.code)


def parse_outcome(text: str) -> Outcome:
    """An outcome as `work_through` wrote it. Raises StateDamaged if it is none."""
    return Outcome.from_bytes(text.encode(), where="an outcome from Spark")


def decode(answer_type: Any, answer: str) -> Any:
    """A result from its JSON text. Raises pydantic's ValidationError if it is none."""
    return TypeAdapter(answer_type).validate_json(answer)
