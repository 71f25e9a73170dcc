"""Faults: what a test can make the server do wrong, and when.

A fault waits for a statement whose text (and, where asked, user, module or action) matches, fires, and is gone after
`times` firings. Nothing here happens by chance: a test that wants chance draws it itself.
"""

import re
import threading
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

KINDS = {
    "drop",  # close the socket after `after_rows` rows of a matching query; None: before it answers at all
    "delay",  # wait `seconds` before answering a matching statement, and again before every fetch if `each_fetch`
    "error",  # answer a matching statement with ORA-`code`, after `after_rows` rows where given
    "omit_row",  # leave row number `row` (from 0) out of a matching query
    "repeat_row",  # send it twice
    "garble",  # send bytes that are no text in each value of `column`
    "refuse_login",  # answer a logon of `user` with ORA-`code`: 12516 and other 125xx by the listener
}


@dataclass
class Fault:
    """One fault that waits."""

    kind: str
    match: str = ""
    user: str | None = None
    module: str | None = None
    action: str | None = None
    times: int | None = 1
    code: int = 0
    after_rows: int | None = None
    row: int = 0
    column: str = ""
    seconds: float = 0.0
    each_fetch: bool = False
    skip: int = 0  # matching statements that pass before it fires

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(sorted(KINDS))}")

    def fits(self, sql: str, said: dict[str, str | None]) -> bool:
        wanted = {"user": self.user, "module": self.module, "action": self.action}
        if any(value is not None and said.get(name) != value for name, value in wanted.items()):
            return False
        return re.search(self.match, sql, re.IGNORECASE | re.DOTALL) is not None


class Faults:
    """All faults of a server."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()
        self.fired: list[str] = []

    def add(self, kind: str, **options: Any) -> None:
        with self._lock:
            self._waiting.append(Fault(kind, **options))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(
        self, kinds: set[str], sql: str, said: dict[str, str | None], *, codes: Container[int] | None = None
    ) -> list[Fault]:
        """The faults that this statement triggers, optionally of certain codes; each counts as triggered."""
        with self._lock:
            found = []
            for fault in list(self._waiting):
                if fault.kind not in kinds or not fault.fits(sql, said):
                    continue
                if codes is not None and fault.code not in codes:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                found.append(fault)
                self.fired.append(fault.kind)
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._waiting.remove(fault)
            return found
