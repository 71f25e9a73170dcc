"""What a Python worker of an executor does: load after load of one partition, until it is told to end.

It runs at least once: Spark repeats a task whose executor was lost, and may run a second one beside the first. So an
item that has an outcome is not done again, a chunk that has a receipt is not read again (`extract_chunk` sees to that),
and the item that an earlier attempt died over is not tried a second time here: whether it is, the driver decides.
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

from statekeeper.engines.spark.loads import Item, Load, unseal
from statekeeper.engines.spark.mailbox import Mailbox, Outcome, Reason, SeatReport
from statekeeper.engines.spark.watch import Verdict, Watch
from statekeeper.engines.worker import Done, Order, Raised, carry_out
from statekeeper.errors import NO_SOURCE, FailureKind
from statekeeper.privacy import RowValues
from statekeeper.work import JobSource, ProcessContext, Sessions

REPORT_EVERY_SECONDS = 0.5
LOOK_EVERY_SECONDS = 0.05
"""How soon a seat without work sees what it is given."""


@dataclass(frozen=True)
class Cargo:
    """What travels to executors with the function: the number of the seat that each partition is, and what they share.

    `silence` (seconds) is how long work goes on without a sign of life of the driver. Where `may_be_doubled`, Spark may
    run two attempts of a partition at once. `key` opens the loads. `sources`, by name, hold credentials, and `secrets`
    are removed from whatever is said; so are values of rows where it is about one of the `private` tables.
    """

    mailbox: Path
    seats: tuple[int, ...]
    key: bytes
    sources: Mapping[str, JobSource]
    secrets: tuple[str, ...]
    silence: float
    memory_limit: str
    may_be_doubled: bool
    private: frozenset[str] = frozenset()


def work_through(cargo: Cargo, index: int) -> None:
    """Do what the seat of the partition `index` is given, until it is told to end or nobody is there any more.

    Raises:
        OSError: what came of an item cannot be left in the mailbox; another attempt may be luckier.
    """
    _Seat(cargo, cargo.seats[index], Mailbox(cargo.mailbox)).work()


@dataclass
class _Seat:
    cargo: Cargo
    number: int
    mailbox: Mailbox
    attempt: str = field(default_factory=lambda: uuid4().hex[:12])
    report: SeatReport = field(init=False)
    reported_at: float = float("-inf")
    serial: int = 0
    closed: dict[str, Reason] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.cargo.memory_limit)
        self.watch = Watch(self.mailbox, silence=self.cargo.silence)

    def work(self) -> None:
        try:
            while (load := self._next()) is not None:
                self._work_off(load)
        finally:
            self.sessions.close_all()
        self._say(item=None, rows=0, is_over=True)

    def _next(self) -> Load | None:
        """The next load, waited for; None when it is time to end."""
        self._say(item=None, rows=0)
        while not self.watch.is_over:
            with suppress(OSError):  # a moment's weakness of the file system; if it lasts, so does the silence
                if self.mailbox.is_stopped():
                    return None
                sealed = self.mailbox.handed(self.number)
                load = unseal(sealed, self.cargo.key) if sealed else None
                if load is not None and load.seat == self.number and load.serial > self.serial:
                    self.serial = load.serial
                    return load if load.items else None
            time.sleep(LOOK_EVERY_SECONDS)
        return None

    def _work_off(self, load: Load) -> None:
        done = self._earlier(load)
        for item in load.items:
            if item.number in done:
                continue
            if self.watch.is_over:
                return
            self._leave(self._outcome(item))

    def _earlier(self, load: Load) -> frozenset[int]:
        """The items with an outcome of earlier attempts, and the one that one of them did not survive: it failed."""
        numbers = {item.number: item for item in load.items}
        news = self.mailbox.news(seats=[self.number], items=numbers)
        found = {outcome.item for outcome in news.outcomes}
        died_over = {report.item for report in news.seats if report.item is not None}
        if self.cargo.may_be_doubled:
            return frozenset(found)
        for number in (died_over & numbers.keys()) - found:
            message = f"a Python worker of Spark ended during {numbers[number].table}"
            hint = "if it ran out of memory: raise spark.executor.memoryOverhead, or lower execution.memory_limit"
            self._leave(Outcome(item=number, failure=Reason(kind=FailureKind.WORKER_DIED, message=message, hint=hint)))
            found.add(number)
        return frozenset(found)

    def _leave(self, outcome: Outcome) -> None:
        """Leave word of an item. Raises OSError where that cannot be done, and somebody still waits for it."""
        try:
            self.mailbox.leave(outcome, attempt=self.attempt)
        except OSError:
            if self.mailbox.pulse() is not None:
                raise

    def _outcome(self, item: Item) -> Outcome:
        reason = self._reason_not_to_begin(item)
        if reason is not None:
            return Outcome(item=item.number, failure=reason)
        self._say(item=item.number, rows=0)
        source = None if item.source is None else self.cargo.sources[item.source]
        context = ProcessContext(
            self.sessions,
            memory_limit=self.cargo.memory_limit,
            is_stopping=lambda: self.watch.verdict() is not Verdict.GO_ON,
            report=self._add_rows,
            source=source,
        )
        values = RowValues.of(item.table, private=self.cargo.private)
        order = Order(item.work, item.spec, source, self.cargo.secrets, values)
        return self._told(item, carry_out(order, context, self.sessions))

    def _reason_not_to_begin(self, item: Item) -> Reason | None:
        if self.watch.begin(item.number) is not Verdict.GO_ON:
            return self._interruption(item)
        if item.source is None:
            return None
        with suppress(OSError):
            refused = self.mailbox.refused(item.source)
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
                    self.mailbox.refuse(item.source, reason)
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
        self.report = SeatReport(seat=self.number, item=item, rows=rows, is_over=is_over)
        self.reported_at = time.monotonic()
        with suppress(OSError):
            self.mailbox.report(self.report, attempt=self.attempt)


def _reason(raised: Raised) -> Reason:
    return Reason(kind=raised.kind, message=raised.message, hint=raised.hint, code=raised.code)


def decode(answer_type: Any, answer: str) -> Any:
    """A result from its JSON text. Raises pydantic's ValidationError if it is none."""
    return TypeAdapter(answer_type).validate_json(answer)
