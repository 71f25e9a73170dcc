"""Log: every statement that was served, and what went over the wire for it."""

import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Served:
    """One execution of one statement."""

    session: int
    user: str
    module: str | None
    action: str | None
    sql: str
    binds: list[Any]
    scn: int | None = None  # that its tables were read at, where it asked for one
    scns: list[int] = field(default_factory=list)
    access: str = ""  # how an optimizer would reach the rows of a table, as EXPLAIN PLAN calls it
    parallel: int = 0
    sorted_rows: int = 0
    rows: int = 0
    error: int = 0
    round_trips: int = 0  # requests that were answered for it: its execution, and each fetch
    started: float = field(default_factory=time.time)
    finished: bool = False  # the last row was sent


class Traffic:
    """What clients sent and got: packets of Oracle Net, and round trips, each of them a request with its answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {what: self._counts[what] for what in ("packets received", "packets sent", "round trips")}

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()


class Log:
    """What was served, in the order in which it began."""

    def __init__(self) -> None:
        self._served: list[Served] = []
        self._lock = threading.Lock()
        self.logons: list[dict[str, Any]] = []
        self.most_sessions = 0
        self.traffic = Traffic()

    def add(self, served: Served) -> Served:
        with self._lock:
            self._served.append(served)
        return served

    def entries(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(served) for served in self._served]

    def clear(self) -> None:
        with self._lock:
            self._served.clear()
            self.logons.clear()
            self.most_sessions = 0
            self.traffic.clear()
