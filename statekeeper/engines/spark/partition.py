"""What a Python worker of an executor does: load after load of one partition, until it is told to end.

It runs at least once: Spark repeats a task whose executor was lost, and may run a second one beside the first. So an
item that has an outcome is not done again, a chunk that has a receipt is not read again (`extract_chunk` sees to that),
and the item that an earlier attempt died over is not tried a second time here: whether it is, the driver decides.

A seat does not live for ever. Spark gives a whole job up, with all its partitions, when one task has failed a few times
(spark.task.maxFailures). So a seat whose worker died ends when that is told, and so does one that is old: what it has
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
from statekeeper.engines.spark.loads import Item, Load, unseal
from statekeeper.engines.spark.mailbox import Mailbox, Outcome, Reason, SeatReport
from statekeeper.engines.spark.pace import Backoff, Pace
from statekeeper.engines.spark.watch import Verdict, Watch
from statekeeper.engines.worker import Done, Order, Raised, carry_out
from statekeeper.errors import NO_SOURCE, FailureKind
from statekeeper.text.privacy import RowValues

MOST_ITEMS = 2000
"""So many items a seat does, and is closed then: what a worker holds on to does not grow for ever."""
MOST_SECONDS = 3600.0
_TICK_SECONDS = 0.02


@dataclass(frozen=True)
class Cargo:
    """What travels to executors with the function: the number of the seat that each partition is, and what they share.

    `silence` (seconds) is how long work goes on without a sign of life of the driver. Where `may_be_doubled`, Spark may
    run two attempts of a partition at once. `key` opens the loads. `sources`, by name, hold credentials, and `secrets`
    are removed from whatever is said; so are values of rows where it is about one of the `private` tables. `pace` is
    that of the mailbox's file system.
    """

    mailbox: Path
    seats: tuple[int, ...]
    key: bytes
    sources: Mapping[str, JobSource]
    secrets: tuple[str, ...]
    silence: float
    memory_limit: str
    may_be_doubled: bool
    pace: Pace
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
    items_done: int = 0
    closed: dict[str, Reason] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began_at = time.monotonic()
        self.report = SeatReport(seat=self.number)
        self.sessions = Sessions(self.cargo.memory_limit)
        silence, every = self.cargo.silence, self.cargo.pace.watch
        self.watch = Watch(self.mailbox, seat=self.number, silence=silence, every=every)

    def work(self) -> None:
        try:
            while not self._is_old and (load := self._next()) is not None:
                if not self._work_off(load):
                    break
        finally:
            self.sessions.close_all()
        self._say(item=None, is_over=True)

    @property
    def _is_old(self) -> bool:
        return self.items_done >= MOST_ITEMS or time.monotonic() - self.began_at >= MOST_SECONDS

    def _next(self) -> Load | None:
        """The next load, waited for; None when it is time to end."""
        looks = Backoff(self.cargo.pace)
        while not self.watch.is_over:
            if not looks.is_due():
                time.sleep(_TICK_SECONDS)
                continue
            with suppress(OSError):  # a moment's weakness of the file system; if it lasts, so does the silence
                sealed = self.mailbox.handed(self.number)
                load = unseal(sealed, self.cargo.key) if sealed else None
                if load is not None and load.seat == self.number and load.serial > self.serial:
                    self.serial = load.serial
                    return load if load.items else None
        return None

    def _work_off(self, load: Load) -> bool:
        """Do a load; whether there may be another."""
        done, died_over = self._earlier(load)
        self.report = SeatReport(seat=self.number)
        if died_over is not None:
            self._leave(_death(died_over))
        may_go_on = died_over is None
        for item in load.items if may_go_on else ():
            if item.number in done:
                continue
            if self.watch.is_over:
                return False
            outcome = self._outcome(item)
            self._leave(outcome)
            self.items_done += 1
        self._say_outcomes()
        return may_go_on

    def _earlier(self, load: Load) -> tuple[frozenset[int], Item | None]:
        """The items with an outcome of earlier attempts, and the one that one of them did not survive."""
        names = [name for name in self.mailbox.reports_of([self.number]) if self.attempt not in name]
        reports = [report for name in names if (report := self.mailbox.reported(name)) is not None]
        found = {outcome.item for report in reports for outcome in report.outcomes}
        dead = [report for report in reports if not report.is_over]
        left = [item for item in load.items if item.number not in found]
        if self.cargo.may_be_doubled or not dead or not left:
            return frozenset(found), None
        # Where what is begun is told late, it may have been an item after the last that was told.
        died_over = {report.item for report in dead}
        return frozenset(found), next((item for item in left if item.number in died_over), left[0])

    def _leave(self, outcome: Outcome) -> None:
        """Note what came of an item, and leave word of it: at once, or with what is said next."""
        outcomes = (*self.report.outcomes, outcome)
        self.report = self.report.model_copy(update={"outcomes": outcomes, "item": None, "rows": 0})
        if self.cargo.pace.is_quick:
            self._say_outcomes()

    def _say_outcomes(self) -> None:
        """Raises OSError where that cannot be done, and somebody still waits for it."""
        try:
            self._report()
        except OSError:
            if self.mailbox.pulse() is not None:
                raise

    def _outcome(self, item: Item) -> Outcome:
        reason = self._reason_not_to_begin(item)
        if reason is not None:
            return Outcome(item=item.number, failure=reason)
        self._begin(item)
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
        if item.source in self.sessions.names:  # no login is needed
            return self.closed.get(item.source)
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

    def _begin(self, item: Item) -> None:
        """Say what is begun, so that the driver knows over what a worker dies; where saying is dear and something was
        said a moment ago, a little later.
        """
        self.report = self.report.model_copy(update={"item": item.number, "rows": 0})
        if self.cargo.pace.is_quick or time.monotonic() - self.reported_at >= self.cargo.pace.look_most:
            self._say(item=item.number)

    def _add_rows(self, rows: int) -> None:
        self.report = self.report.model_copy(update={"rows": self.report.rows + rows})
        if time.monotonic() - self.reported_at >= self.cargo.pace.report:
            self._say(item=self.report.item)

    def _say(self, *, item: int | None, is_over: bool = False) -> None:
        self.report = self.report.model_copy(update={"item": item, "is_over": is_over})
        with suppress(OSError):
            self._report()

    def _report(self) -> None:
        self.reported_at = time.monotonic()
        self.mailbox.report(self.report, attempt=self.attempt)


def _death(item: Item) -> Outcome:
    message = f"a Python worker of Spark ended during {item.table}"
    hint = "if it ran out of memory: raise spark.executor.memoryOverhead, or lower execution.memory_limit"
    return Outcome(item=item.number, failure=Reason(kind=FailureKind.WORKER_DIED, message=message, hint=hint))


def _reason(raised: Raised) -> Reason:
    return Reason(kind=raised.kind, message=raised.message, hint=raised.hint, code=raised.code)


def decode(answer_type: Any, answer: str) -> Any:
    """A result from its JSON text. Raises pydantic's ValidationError if it is none."""
    return TypeAdapter(answer_type).validate_json(answer)
