"""How a run reports its progress: the interface of reporters, and those that need no terminal.

Decides which events there are. `statekeeper.cli.progress` has the live display, `statekeeper.logs` the format of lines.
A reporter is called in the parent process only.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from statekeeper.text.amounts import duration, plural, size

_LOG = logging.getLogger("statekeeper.run")
_ROWS_LOGGED_EVERY_SECONDS = 30.0
_WAIT_LOGGED_AFTER_SECONDS = 30.0


ENDS = frozenset({"complete", "failed", "skipped", "held", "interrupted"})
"""The states that `table_ended` reports; `table_state` may have reported them before, without the facts."""


@dataclass(frozen=True, kw_only=True)
class TableEnd:
    """How a table ended in a run: `state` is one of `ENDS`; `rows` and `bytes` describe what is published."""

    state: str
    reason: str | None = None
    rows: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    error_kind: str | None = None
    error_code: str | None = None

    def sentence(self, key: str) -> str:
        """How the table `key` ended, for a person who sees its name beside this text."""
        if self.reason:
            return without_name(key, self.reason)
        rows = "" if self.rows is None else plural(self.rows, "row")
        amounts = [text for text in (rows, size(self.bytes)) if text]
        took = f" in {duration(self.seconds)}" if self.seconds else ""
        return ", ".join(amounts) + took

    @property
    def facts(self) -> dict[str, object]:
        """All fields but `reason`, for machines."""
        amounts = {"rows": self.rows, "bytes": self.bytes, "seconds": self.seconds}
        return {"state": self.state, **amounts, "error_kind": self.error_kind, "error_code": self.error_code}


class Reporter(Protocol):
    """Is called with everything that happens to the tables of a run; `key` is `TableRef.key`."""

    def run_began(self, tables: int) -> None:
        """The run has started, and will process `tables` tables."""

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        """The table entered a state, or is `skipped` or `held`; `reason` says why."""

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        """The table's plan is ready. `rows` is the source's count or estimate, None if there is neither."""

    def rows_read(self, key: str, rows: int) -> None:
        """`rows` further rows were read."""

    def chunk_done(self, key: str, done: int, total: int, rows: int, size: int) -> None:
        """A chunk is complete: `done` of `total` chunks are. Its part file has `rows` rows in `size` bytes."""

    def table_ended(self, key: str, end: TableEnd) -> None:
        """The run has finished with the table."""

    def waiting(self, key: str, what: str | None, seconds: float) -> None:
        """The table has waited `seconds` for `what`, such as "a login to hr".

        Called every second, and a last time with `what` as None.
        """

    def warning(self, key: str, message: str) -> None:
        """Something that a person should know; the table goes on."""


class NullReporter:
    """Reports nothing."""

    def run_began(self, tables: int) -> None: ...

    def table_state(self, key: str, state: str, reason: str | None) -> None: ...

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None: ...

    def rows_read(self, key: str, rows: int) -> None: ...

    def chunk_done(self, key: str, done: int, total: int, rows: int, size: int) -> None: ...

    def table_ended(self, key: str, end: TableEnd) -> None: ...

    def waiting(self, key: str, what: str | None, seconds: float) -> None: ...

    def warning(self, key: str, message: str) -> None: ...


class GuardedReporter:
    """Another reporter, whose errors are logged: a fault in a reporter must not affect a table."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._has_failed = False

    def run_began(self, tables: int) -> None:
        self._tell(lambda: self._reporter.run_began(tables))

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        self._tell(lambda: self._reporter.table_state(key, state, reason))

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        self._tell(lambda: self._reporter.plan_ready(key, chunks, rows))

    def rows_read(self, key: str, rows: int) -> None:
        self._tell(lambda: self._reporter.rows_read(key, rows))

    def chunk_done(self, key: str, done: int, total: int, rows: int, size: int) -> None:
        self._tell(lambda: self._reporter.chunk_done(key, done, total, rows, size))

    def table_ended(self, key: str, end: TableEnd) -> None:
        self._tell(lambda: self._reporter.table_ended(key, end))

    def waiting(self, key: str, what: str | None, seconds: float) -> None:
        self._tell(lambda: self._reporter.waiting(key, what, seconds))

    def warning(self, key: str, message: str) -> None:
        self._tell(lambda: self._reporter.warning(key, message))

    def _tell(self, event: Callable[[], None]) -> None:
        try:
            event()
        except Exception as error:  # noqa: BLE001 - a reporter is anybody's code
            if not self._has_failed:
                _LOG.warning("the reporter failed, and may say too little from now on: %r", error)
            self._has_failed = True


class LogReporter:
    """Writes a log line for every event.

    Rows read are logged at most every half minute per table; a wait after half a minute, then each time that it has
    doubled. Each line also has its facts as fields for machines: `state`, `chunk` of `chunks`, `rows`, `bytes`,
    `seconds`, `error_kind`, `error_code`.
    """

    def __init__(self, logger: logging.Logger | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger or logging.getLogger("statekeeper.run")
        self._clock = clock
        self._planned: dict[str, tuple[int, int | None]] = {}
        self._rows: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}
        self._next_wait: dict[str, float] = {}

    def run_began(self, tables: int) -> None: ...

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        if state not in ENDS:
            self._log(key, f"{state}: {without_name(key, reason)}" if reason else state, {"state": state})

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        self._rows[key] = 0
        self._logged_at[key] = self._clock()
        if self._planned.get(key) == (chunks, rows):
            return  # the source's count has confirmed the estimate
        self._planned[key] = (chunks, rows)
        about = "" if rows is None else f", {rows:,} rows"
        facts = {"chunks": chunks, "planned_rows": rows}
        self._log(key, f"planned {plural(chunks, 'chunk')}{about}", facts)

    def rows_read(self, key: str, rows: int) -> None:
        self._rows[key] = self._rows.get(key, 0) + rows
        now = self._clock()
        if now - self._logged_at.setdefault(key, now) >= _ROWS_LOGGED_EVERY_SECONDS:
            self._logged_at[key] = now
            self._log(key, f"{self._rows[key]:,} rows read", {"rows": self._rows[key]})

    def chunk_done(self, key: str, done: int, total: int, rows: int, size: int) -> None:
        facts = {"chunk": done, "chunks": total, "rows": rows, "bytes": size}
        self._log(key, f"chunk {done}/{total} done, {rows:,} rows", facts)

    def table_ended(self, key: str, end: TableEnd) -> None:
        sentence = end.sentence(key)
        level = logging.ERROR if end.state == "failed" else logging.INFO
        self._log(key, f"{end.state}: {sentence}" if sentence else end.state, end.facts, level=level)

    def waiting(self, key: str, what: str | None, seconds: float) -> None:
        if what is None or seconds < _WAIT_LOGGED_AFTER_SECONDS:
            self._next_wait.pop(key, None)
        elif seconds >= self._next_wait.get(key, 0.0):
            self._next_wait[key] = 2 * seconds
            self._log(key, f"has waited {duration(seconds)} for {what}", {"seconds": seconds})

    def warning(self, key: str, message: str) -> None:
        self._log(key, without_name(key, message), level=logging.WARNING)

    def _log(
        self, key: str, message: str, facts: Mapping[str, object] | None = None, *, level: int = logging.INFO
    ) -> None:
        known = {name: value for name, value in (facts or {}).items() if value is not None}
        self._logger.log(level, "%s", message, extra={"table": key, "facts": known})


def without_name(key: str, text: str) -> str:
    """A text about the table `key` without that name, for output that shows the name beside it.

    The text may begin with the key, or with the database's name for the table (`schema.table` or `table`); so may an
    error message that it quotes.
    """
    schema_and_table, table = key.partition(".")[2], key.rpartition(".")[2]
    text = re.sub(rf"(^|\(|: ){re.escape(key)}(: |, | )", r"\1", text)
    for name in filter(None, (schema_and_table, table)):
        text = re.sub(rf"(^|\(){re.escape(name)}(: |, | (?=cannot ))", r"\1", text)
    return text
