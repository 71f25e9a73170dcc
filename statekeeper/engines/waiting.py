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
    RESULT = "result"
    """Work is under way that needs no source. Nobody is told of it."""


_OWN_WORK = frozenset({WaitKind.ANSWER, WaitKind.RESULT})
"""What is not waiting for others."""


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
    _observers: dict[str, Callable[[], None]] = field(default_factory=dict)

    @contextmanager
    def on(self, key: str, kind: WaitKind, what: str) -> Iterator[Wait]:
        """The table waits for as long as the block runs; what it waits for may be changed meanwhile."""
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
        """A wait goes on with something else, from now on."""
        wait.kind, wait.what, wait.since = kind, what, self.clock()
        self._changed(key)

    def is_held_up(self, key: str) -> bool:
        """Whether nothing is done for a table but waiting for others."""
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
        """By table, the wait that says why it gets no further.

        Where the source is at work for a table it is the answer that was last heard of, else the oldest wait.
        """
        told = {
            key: [wait for wait in waits if wait.kind is not WaitKind.RESULT] for key, waits in self._tables.items()
        }
        return {key: _telling(waits) for key, waits in told.items() if waits}

    def _changed(self, key: str) -> None:
        if observer := self._observers.get(key):
            observer()


def _telling(waits: list[Wait]) -> Wait:
    answers = [wait for wait in waits if wait.kind is WaitKind.ANSWER]
    return max(answers, key=lambda wait: wait.since) if answers else min(waits, key=lambda wait: wait.since)
