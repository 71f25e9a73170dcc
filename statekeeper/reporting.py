"""What a run tells about itself while it works: the interface, and two reporters that need no terminal.

Decides which events there are. The live display is `statekeeper.cli.progress`; how lines look is `statekeeper.logs`.
A reporter is called in the parent process only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

_LOG = logging.getLogger("statekeeper.run")
_ROWS_LOGGED_EVERY_SECONDS = 30.0


class Reporter(Protocol):
    """Hears what happens to the tables of a run; `key` is `TableRef.key`."""

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        """The table entered a state, or was given a verdict (`skipped`, `held`); `reason` says why."""

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        """The plan has so many chunks, and so many rows where the source's count or estimate is known."""

    def rows_read(self, key: str, rows: int) -> None:
        """`rows` further rows were read."""

    def chunk_done(self, key: str, done: int, total: int, rows: int) -> None:
        """`done` of `total` chunks have receipts; the last of them has `rows` rows."""

    def warning(self, key: str, message: str) -> None:
        """Something a person should know, that does not stop the table."""


class NullReporter:
    """Says nothing."""

    def table_state(self, key: str, state: str, reason: str | None) -> None: ...

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None: ...

    def rows_read(self, key: str, rows: int) -> None: ...

    def chunk_done(self, key: str, done: int, total: int, rows: int) -> None: ...

    def warning(self, key: str, message: str) -> None: ...


class GuardedReporter:
    """Another reporter, whose errors stop nothing: what is said about a table must not decide what becomes of it."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._has_failed = False

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        self._tell(lambda: self._reporter.table_state(key, state, reason))

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        self._tell(lambda: self._reporter.plan_ready(key, chunks, rows))

    def rows_read(self, key: str, rows: int) -> None:
        self._tell(lambda: self._reporter.rows_read(key, rows))

    def chunk_done(self, key: str, done: int, total: int, rows: int) -> None:
        self._tell(lambda: self._reporter.chunk_done(key, done, total, rows))

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
    """A log line for every event; rows that were read, at most every half minute per table."""

    def __init__(self, logger: logging.Logger | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger or logging.getLogger("statekeeper.run")
        self._clock = clock
        self._planned: dict[str, tuple[int, int | None]] = {}
        self._rows: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        level = logging.ERROR if state == "failed" else logging.INFO
        self._log(key, f"{state}: {reason}" if reason else state, level=level)

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        self._rows[key] = 0
        self._logged_at[key] = self._clock()
        if self._planned.get(key) == (chunks, rows):
            return  # the source's count has confirmed what was expected
        self._planned[key] = (chunks, rows)
        about = "" if rows is None else f", {rows:,} rows"
        self._log(key, f"planned {chunks:,} {'chunk' if chunks == 1 else 'chunks'}{about}")

    def rows_read(self, key: str, rows: int) -> None:
        self._rows[key] = self._rows.get(key, 0) + rows
        now = self._clock()
        if now - self._logged_at.setdefault(key, now) >= _ROWS_LOGGED_EVERY_SECONDS:
            self._logged_at[key] = now
            self._log(key, f"{self._rows[key]:,} rows read")

    def chunk_done(self, key: str, done: int, total: int, rows: int) -> None:
        self._log(key, f"chunk {done}/{total} done, {rows:,} rows")

    def warning(self, key: str, message: str) -> None:
        self._log(key, message, level=logging.WARNING)

    def _log(self, key: str, message: str, *, level: int = logging.INFO) -> None:
        self._logger.log(level, "%s", message, extra={"table": key})
