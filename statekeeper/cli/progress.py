"""A live display of a run on a terminal: a line per active table, with rows, rows/s, chunks and time left.

Decides the look only. A finished table is printed in one line above the display. The display never has more lines than
the terminal; its last line counts the tables that do not fit. Without a terminal, or if log lines are requested,
`statekeeper.runtime.progress.LogReporter` is used instead.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from statekeeper.cli.screen import cut_off, padded, shortened
from statekeeper.runtime.progress import ENDS, LogReporter, Reporter, TableEnd, without_name
from statekeeper.text.amounts import count, duration, plural
from statekeeper.text.printable import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

_STYLES = {"complete": "green", "skipped": "dim", "failed": "bold red", "held": "yellow", "interrupted": "yellow"}
_WIDTHS = {"state": 10, "rows": 13, "rate": 11, "chunks": 11, "left": 7}
"""Of the columns after the name, which gets the rest; two blanks separate columns."""
_NARROW = ("state", "rows", "rate", "left")
"""The columns on a narrow terminal, where names would be cut too short."""
_SHORTEST_NAME = 24
_AT_WORK = frozenset({"extracting", "validating"})


@dataclass
class _Line:
    """One table in the display. `total` is its number of rows, if known."""

    key: str
    began: float
    state: str = ""
    done: int = 0
    chunks: int = 0
    total: int | None = None
    rows: int = 0
    rows_in_chunks: int = 0
    waiting: str = ""

    def is_idle(self) -> bool:
        """Whether it is neither being read nor checked."""
        return bool(self.waiting) or self.state not in _AT_WORK

    def cells(self, now: float) -> dict[str, str]:
        seconds = now - self.began
        rate = self.rows / seconds if seconds > 0 else 0.0
        return {
            "state": self.state,
            "rows": count(self.rows or None),
            "rate": f"{rate:,.0f}/s" if rate else "",
            "chunks": f"{self.done}/{self.chunks}" if self.chunks else "",
            "left": self._left(seconds),
        }

    def _left(self, seconds: float) -> str:
        """The estimated time left; the elapsed time if there is no estimate."""
        share = self.rows / self.total if self.total else self.done / self.chunks if self.chunks else 0.0
        if not 0 < share < 1:
            return duration(seconds)
        return f"-{duration(seconds / share - seconds)}"


@dataclass
class LiveReporter:
    """Collects what the display shows: `lines` is the current display, `say` prints a line above it."""

    say: Callable[[Text], object]
    clock: Callable[[], float] = time.monotonic
    _lines: dict[str, _Line] = field(default_factory=dict)
    _tables: int = 0
    _ended: int = 0
    _failed: int = 0
    _rows: int = 0
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def run_began(self, tables: int) -> None:
        self._tables = tables

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        if state in ENDS:
            return
        self._line(key).state = state
        if reason:
            self._say(key, state, without_name(key, reason), style="yellow")

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        line = self._line(key)
        line.began = self.clock()
        line.done, line.chunks, line.total = 0, chunks, rows
        line.rows = line.rows_in_chunks = 0

    def rows_read(self, key: str, rows: int) -> None:
        line = self._line(key)
        self._rows += rows
        line.rows += rows

    def chunk_done(self, key: str, done: int, total: int, rows: int, size: int) -> None:  # noqa: ARG002 - a line has no room for it
        line = self._line(key)
        line.done, line.chunks = done, total
        line.rows_in_chunks += rows
        # `rows_read` is reported only now and then: a short chunk may end before its first report.
        unreported = max(0, line.rows_in_chunks - line.rows)
        line.rows += unreported
        self._rows += unreported

    def table_ended(self, key: str, end: TableEnd) -> None:
        self._lines.pop(key, None)
        self._ended += 1
        self._failed += end.state == "failed"
        self._say(key, end.state, end.sentence(key), style=_STYLES[end.state])

    def waiting(self, key: str, what: str | None, seconds: float) -> None:
        if what is not None:
            self._line(key).waiting = f"waits {duration(seconds)} for {what}"
        elif key in self._lines:
            self._lines[key].waiting = ""

    def warning(self, key: str, message: str) -> None:
        self._say(key, "warning", without_name(key, message), style="yellow")

    def lines(self, *, width: int, height: int) -> list[str]:
        """The display for a terminal of this size: active tables, oldest first, then waiting ones, then a summary."""
        now, lines = self.clock(), sorted(self._lines.values(), key=_Line.is_idle)
        if not (self._tables or lines):
            return []  # a verification reports a table only when it ends
        shown = lines[: max(1, height - 2)]
        columns = tuple(_WIDTHS) if _name_width(width, tuple(_WIDTHS)) >= _SHORTEST_NAME else _NARROW
        drawn = [_drawn(line, now, columns, width) for line in shown]
        return [*drawn, self._summary(now, hidden=len(lines) - len(shown))[:width]]

    def _summary(self, now: float, *, hidden: int) -> str:
        seconds = now - self._began
        parts = [f"{self._ended}/{plural(max(self._tables, self._ended), 'table')} done"]
        parts += [f"{self._failed} failed"] if self._failed else []
        parts += [f"{len(self._lines)} at work" + (f" ({hidden} not shown)" if hidden else "")]
        parts += [f"{count(self._rows)} rows", f"{self._rows / seconds:,.0f}/s"] if self._rows and seconds else []
        return ", ".join([*parts, duration(seconds)])

    def _line(self, key: str) -> _Line:
        return self._lines.setdefault(key, _Line(key, began=self.clock()))

    def _say(self, key: str, what: str, more: str, *, style: str) -> None:
        from rich.text import Text

        self.say(Text.assemble((what, style), f" {key}", f": {more}" if more else ""))


def _name_width(width: int, columns: tuple[str, ...]) -> int:
    return width - sum(2 + _WIDTHS[column] for column in columns)


def _drawn(line: _Line, now: float, columns: tuple[str, ...], width: int) -> str:
    name, cells = line.key, line.cells(now)
    most = max(1, _name_width(width, columns))
    named = padded(shortened(name, most), most)
    if line.waiting:  # instead of numbers that do not change
        state = (line.state or "pending").ljust(_WIDTHS["state"])
        return cut_off(f"{named}  {state}  {line.waiting}", width).rstrip()
    texts = [
        cells[column].ljust(_WIDTHS[column]) if column == "state" else cells[column].rjust(_WIDTHS[column])
        for column in columns
    ]
    return cut_off("  ".join([named, *texts]), width).rstrip()


class StandardError:
    """Writes to the current `sys.stderr`, so that log lines appear above a live display."""

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

    console = Console(file=stream)
    reporter = LiveReporter(console.print)
    with display(console, reporter):
        yield reporter


def display(console: Console, reporter: LiveReporter) -> Live:
    """The live display of a reporter; it disappears when it is stopped."""
    from rich.live import Live
    from rich.text import Text

    def drawn() -> Text:
        size = console.size
        return Text("\n".join(map(one_line, reporter.lines(width=size.width, height=size.height))), no_wrap=True)

    return Live(console=console, get_renderable=drawn, refresh_per_second=8, transient=True)
