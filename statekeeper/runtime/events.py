"""The progress events of a run, as values: everything that a reporter is told, for programs that loop over events.

`table` is the key of a table: `source.schema.table`, or `source.table` without a schema.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from statekeeper.runtime.progress import Reporter, TableEnd

_ROWS_REPORTED_EVERY_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """The run has started; `tables` is the number of tables that it will process."""

    tables: int


@dataclass(frozen=True, kw_only=True)
class TableStateChanged:
    """A table entered a state; `reason` says why, unless the state says it already."""

    table: str
    state: str
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class TablePlanned:
    """A table's plan is ready. `rows` is the source's count or estimate, None if there is neither."""

    table: str
    chunks: int
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class RowsRead:
    """`rows` is the number of rows read since the table's extraction began; sent at most twice a second."""

    table: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class ChunkDone:
    """A chunk is complete: `done` of `total` chunks are. `rows` and `bytes` describe the chunk's part file."""

    table: str
    done: int
    total: int
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class TableWaiting:
    """A table has waited `seconds` for `what`, for example "a login to hr"; `what` is None once it goes on."""

    table: str
    what: str | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TableWarning:
    """Something that a person should know; the table goes on."""

    table: str
    message: str


@dataclass(frozen=True, kw_only=True)
class TableEnded:
    """The run has finished with a table; `end` says how."""

    table: str
    end: TableEnd


ProgressEvent: TypeAlias = (
    RunStarted | TableStateChanged | TablePlanned | RowsRead | ChunkDone | TableWaiting | TableWarning | TableEnded
)


class EventReporter:
    """A reporter that passes each call on twice: to `tell` as an event, and to the reporter `also`."""

    def __init__(
        self, tell: Callable[[ProgressEvent], None], *, also: Reporter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._also = also
        self._clock = clock
        self._rows: dict[str, int] = {}
        self._reported_at: dict[str, float] = {}

    def run_began(self, tables: int) -> None:
        self._tell(RunStarted(tables=tables))
        self._also.run_began(tables)

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        if state == "extracting":
            self._rows[key] = 0
        self._tell(TableStateChanged(table=key, state=str(state), reason=reason))
        self._also.table_state(key, state, reason)

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        self._tell(TablePlanned(table=key, chunks=chunks, rows=rows))
        self._also.plan_ready(key, chunks, rows)

    def rows_read(self, key: str, rows: int) -> None:
        self._rows[key] = self._rows.get(key, 0) + rows
        now = self._clock()
        if now - self._reported_at.get(key, float("-inf")) >= _ROWS_REPORTED_EVERY_SECONDS:
            self._reported_at[key] = now
            self._tell(RowsRead(table=key, rows=self._rows[key]))
        self._also.rows_read(key, rows)

    def chunk_done(self, key: str, done: int, total: int, rows: int, size: int) -> None:
        self._tell(ChunkDone(table=key, done=done, total=total, rows=rows, bytes=size))
        self._also.chunk_done(key, done, total, rows, size)

    def table_ended(self, key: str, end: TableEnd) -> None:
        self._tell(TableEnded(table=key, end=end))
        self._also.table_ended(key, end)

    def waiting(self, key: str, what: str | None, seconds: float) -> None:
        self._tell(TableWaiting(table=key, what=what, seconds=seconds))
        self._also.waiting(key, what, seconds)

    def warning(self, key: str, message: str) -> None:
        self._tell(TableWarning(table=key, message=message))
        self._also.warning(key, message)
