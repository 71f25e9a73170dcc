"""Log: every statement that was served."""

import threading
import time
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
    started: float = field(default_factory=time.time)
    finished: bool = False  # the last row was sent


class Log:
    """What was served, in the order in which it began."""

    def __init__(self) -> None:
        self._served: list[Served] = []
        self._lock = threading.Lock()
        self.logons: list[dict[str, Any]] = []
        self.most_sessions = 0

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
