"""A live display of a run on a terminal: a line per table at work, with rows, rows/s, chunks and time left.

Decides the look only. Tables that end are told in one line above the display. Elsewhere than on a terminal, and where
log lines are asked for, `statekeeper.reporting.LogReporter` is used instead.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from statekeeper.reporting import LogReporter, Reporter

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_ENDS = frozenset({"complete", "failed", "skipped", "held", "interrupted"})
_STYLES = {"complete": "green", "skipped": "dim", "failed": "bold red", "held": "yellow", "interrupted": "yellow"}


@dataclass
class _Line:
    """One table in the display. `counts_rows`: the bar moves by rows, since their number is known; else by chunks."""

    task: TaskID
    counts_rows: bool = False
    rows: int = 0
    rows_in_chunks: int = 0
    began: float = 0.0


class LiveReporter:
    """Draws events into a rich progress display."""

    def __init__(self, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        if state in _ENDS:
            self._end(key, state, reason)
        else:
            self._progress.update(self._line(key).task, state=state)

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        line = self._line(key)
        line.counts_rows = rows is not None
        line.rows = line.rows_in_chunks = 0
        line.began = self._clock()
        # An empty table has nothing to be counted down, and a bar of total 0 never fills.
        total = max(1, chunks if rows is None else rows)
        self._progress.reset(line.task, total=total)
        self._progress.update(line.task, chunks=f"0/{chunks}", rows="", speed="")

    def rows_read(self, key: str, rows: int) -> None:
        line = self._line(key)
        self._show_rows(line, line.rows + rows)

    def chunk_done(self, key: str, done: int, total: int, rows: int) -> None:
        line = self._line(key)
        line.rows_in_chunks += rows
        self._progress.update(line.task, chunks=f"{done}/{total}")
        if not line.counts_rows:
            self._progress.update(line.task, completed=done)
        # Rows are told as they are read only every now and then: a short chunk may be done before any were.
        self._show_rows(line, max(line.rows, line.rows_in_chunks))

    def warning(self, key: str, message: str) -> None:
        self._say(key, "warning", message, style="yellow")

    def _show_rows(self, line: _Line, rows: int) -> None:
        line.rows = rows
        seconds = self._clock() - line.began
        speed = f"{rows / seconds:,.0f} rows/s" if seconds > 0 else ""
        self._progress.update(line.task, rows=f"{rows:,}", speed=speed)
        if line.counts_rows:
            self._progress.update(line.task, completed=rows)

    def _line(self, key: str) -> _Line:
        if key not in self._lines:
            task = self._progress.add_task(key, total=None, state="", chunks="", rows="", speed="")
            self._lines[key] = _Line(task, began=self._clock())
        return self._lines[key]

    def _end(self, key: str, state: str, reason: str | None) -> None:
        line = self._lines.pop(key, None)
        if line is not None:
            self._progress.remove_task(line.task)
        rows = f"{line.rows:,} rows" if line is not None and line.rows else None
        self._say(key, state, reason or rows, style=_STYLES[state])

    def _say(self, key: str, what: str, more: str | None, *, style: str) -> None:
        from rich.text import Text

        text = Text.assemble((what, style), f" {key}", f": {more}" if more else "")
        self._progress.console.print(text)


class StandardError:
    """The stream that `sys.stderr` is at the time of writing, so that log lines appear above a live display."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@contextmanager
def live_or_log(stream: TextIO, *, is_live: bool) -> Iterator[Reporter]:
    """The reporter of a run: live on a terminal, else log lines."""
    if not is_live:
        yield LogReporter()
        return
    from rich.console import Console

    with display(Console(file=stream)) as progress:
        yield LiveReporter(progress)


def display(console: Console) -> Progress:
    """The display that a `LiveReporter` draws into; it vanishes when it is stopped."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.fields[state]}", style="cyan"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[rows]}", justify="right"),
        TextColumn("{task.fields[speed]}", justify="right"),
        TextColumn("{task.fields[chunks]}", justify="right"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, expand=True, transient=True)
