"""What the tables of a run wait for, and since when.

Pure bookkeeping: who waits says so here, for as long as it lasts; who tells people about it looks here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class WaitKind(StrEnum):
    """What a table waits for."""

    LOCK = "lock"
    LOGIN = "login"
    SNAPSHOT = "snapshot"
    TABLE = "table"
    """Another table, whose rows it refers to."""
    WORKER = "worker"
    SESSION = "session"
    ANSWER = "answer"
    """Work is under way, and the source has said nothing since."""


@dataclass(eq=False)
class Wait:
    """A wait under way. `what` is the rest of a sentence that begins "waits for"."""

    kind: WaitKind
    what: str
    since: datetime


@dataclass
class Waits:
    """The waits of a run's tables, by `TableRef.key`."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _tables: defaultdict[str, dict[Wait, None]] = field(default_factory=lambda: defaultdict(dict))

    @contextmanager
    def on(self, key: str, kind: WaitKind, what: str) -> Iterator[Wait]:
        """The table waits for as long as the block runs; what it waits for may be changed meanwhile."""
        wait = Wait(kind, what, self.clock())
        self._tables[key][wait] = None
        try:
            yield wait
        finally:
            self.end(key, wait)

    def change(self, wait: Wait, kind: WaitKind, what: str) -> None:
        """A wait goes on with something else, from now on."""
        wait.kind, wait.what, wait.since = kind, what, self.clock()

    def end(self, key: str, wait: Wait) -> None:
        """A wait is over; a second time, nothing happens."""
        waits = self._tables.get(key, {})
        waits.pop(wait, None)
        if not waits:
            self._tables.pop(key, None)

    def now(self) -> dict[str, Wait]:
        """By table, the wait that says why it gets no further.

        Where the source is at work for a table it is the answer that was last heard of, else the oldest wait.
        """
        return {key: _telling(waits) for key, waits in self._tables.items()}


def _telling(waits: dict[Wait, None]) -> Wait:
    answers = [wait for wait in waits if wait.kind is WaitKind.ANSWER]
    return max(answers, key=lambda wait: wait.since) if answers else min(waits, key=lambda wait: wait.since)
