"""What the tables of a run wait for, and since when.

Pure bookkeeping: code that waits registers its wait here while it lasts; reporters read it. `WatchedEngine` does
so for the jobs of tables: they wait to start, then for the source's answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from statekeeper.engines.protocol import Engine, Job, Result


class WaitKind(StrEnum):
    """What a table waits for."""

    LOCK = "lock"
    LOGIN = "login"
    SNAPSHOT = "snapshot"
    TABLE = "table"
    """Another table, to whose rows it refers."""
    WORKER = "worker"
    SESSION = "session"
    ANSWER = "answer"
    """A job is running, and the source has not answered since `since`."""
    RESULT = "result"
    """A job is running that needs no source. It is not reported."""


_OWN_WORK = frozenset({WaitKind.ANSWER, WaitKind.RESULT})
"""Kinds of wait in which the table's own job is running."""


@dataclass(eq=False)
class Wait:
    """A current wait. `what` completes a sentence that begins with "waits for"."""

    kind: WaitKind
    what: str
    since: datetime


@dataclass
class Waits:
    """The waits of a run's tables, by `TableRef.key`."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _tables: defaultdict[str, dict[Wait, None]] = field(default_factory=lambda: defaultdict(dict))
    _observers: dict[str, Callable[[], None]] = field(default_factory=dict)

    @contextmanager
    def on(self, key: str, kind: WaitKind, what: str) -> Iterator[Wait]:
        """Register a wait of the table while the block runs; `change` may replace what it waits for."""
        wait = Wait(kind, what, self.clock())
        self._tables[key][wait] = None
        self._changed(key)
        try:
            yield wait
        finally:
            del self._tables[key][wait]
            if not self._tables[key]:
                del self._tables[key]
            self._changed(key)

    def change(self, key: str, wait: Wait, kind: WaitKind, what: str) -> None:
        """From now on the wait is for something else."""
        wait.kind, wait.what, wait.since = kind, what, self.clock()
        self._changed(key)

    def is_held_up(self, key: str) -> bool:
        """Whether a table only waits for others, and no job of its own is running."""
        waits = self._tables.get(key, {})
        return bool(waits) and not any(wait.kind in _OWN_WORK for wait in waits)

    @contextmanager
    def observed(self, key: str, observer: Callable[[], None]) -> Iterator[None]:
        """Call `observer` whenever a wait of a table begins, changes or ends while the block runs."""
        self._observers[key] = observer
        try:
            yield
        finally:
            del self._observers[key]

    def now(self) -> dict[str, Wait]:
        """By table, the wait that best explains why it makes no progress.

        If jobs wait for answers of the source, it is the one that had an answer last; otherwise the oldest wait.
        """
        reported = {
            key: [wait for wait in waits if wait.kind is not WaitKind.RESULT] for key, waits in self._tables.items()
        }
        return {key: _main_wait(waits) for key, waits in reported.items() if waits}

    def _changed(self, key: str) -> None:
        if observer := self._observers.get(key):
            observer()


def _main_wait(waits: list[Wait]) -> Wait:
    answers = [wait for wait in waits if wait.kind is WaitKind.ANSWER]
    return max(answers, key=lambda wait: wait.since) if answers else min(waits, key=lambda wait: wait.since)


class WatchedEngine:
    """Runs jobs on `engine`, and keeps `waits` up to date for their tables."""

    def __init__(self, engine: Engine, waits: Waits) -> None:
        self._engine = engine
        self._waits = waits

    async def run(self, job: Job[Result]) -> Result:
        with self._waits.on(job.table, *self._engine.why_waiting(job)) as wait:

            def note_work() -> None:
                if job.source:
                    self._waits.change(job.table, wait, WaitKind.ANSWER, f"an answer of {job.source.name}")
                else:
                    self._waits.change(job.table, wait, WaitKind.RESULT, "the result of its work")

            def on_start() -> None:
                note_work()
                if job.on_start:
                    job.on_start()

            def on_rows(rows: int) -> None:
                note_work()
                if job.on_rows:
                    job.on_rows(rows)

            return await self._engine.run(replace(job, on_start=on_start, on_rows=on_rows))

    def expect_chunks(self) -> None:
        self._engine.expect_chunks()

    @property
    def in_flight(self) -> int:
        return self._engine.in_flight

    def why_waiting(self, job: Job[Result]) -> tuple[WaitKind, str]:
        return self._engine.why_waiting(job)

    async def close(self) -> None:
        await self._engine.close()

    def kill(self) -> None:
        self._engine.kill()
