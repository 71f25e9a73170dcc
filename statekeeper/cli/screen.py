"""Where and how output appears: a grid becomes a rich table on a terminal and aligned text elsewhere.

Decides nothing about content. rich is imported only to draw on a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST_RICH_TABLE = 200
"""Rows; drawing more takes rich longer than reading them all took us."""
_WIDEST = 10_000

_STYLES = {
    "complete": "green",
    "completed": "green",
    "verified": "green",
    "skip": "dim",
    "skipped": "dim",
    "pending": "dim",
    "extracting": "cyan",
    "validating": "cyan",
    "running": "cyan",
    "failed": "bold red",
    "damaged": "bold red",
    "refuse": "bold red",
    "held": "yellow",
    "interrupted": "yellow",
    "incomplete": "yellow",
    "restart": "yellow",
}


@dataclass(frozen=True)
class Column:
    """A column of a grid."""

    name: str
    align: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Grid:
    """Rows of text under columns; the words of states are coloured on a terminal."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    indent: int = field(default=0)


class Screen:
    """A text stream that knows whether a person looks at it."""

    def __init__(self, stream: TextIO, *, is_terminal: bool | None = None) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty() if is_terminal is None else is_terminal

    def line(self, text: str = "") -> None:
        """One line as it is."""
        self._stream.write(text + "\n")

    def grid(self, grid: Grid) -> None:
        """A grid; nothing where it has no rows."""
        if not grid.rows:
            return
        if self.is_terminal and len(grid.rows) <= _LONGEST_RICH_TABLE:
            self._draw(grid)
        else:
            for text in _aligned(grid):
                self.line(text)

    def clear(self) -> None:
        """An empty screen, on a terminal."""
        if self.is_terminal:
            self._stream.write("\x1b[H\x1b[2J")

    def flush(self) -> None:
        self._stream.flush()

    def _draw(self, grid: Grid) -> None:
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for column in grid.columns:
            table.add_column(column.name, justify=column.align, no_wrap=True)
        for row in grid.rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        self._console().print(Padding(table, (0, 0, 0, grid.indent), expand=False))

    def _console(self) -> Console:
        from rich.console import Console

        # Wider than any terminal: a path that the terminal itself wraps can still be copied whole.
        return Console(file=self._stream, width=_WIDEST, highlight=False, force_terminal=True)


def _aligned(grid: Grid) -> list[str]:
    cells = [tuple(column.name for column in grid.columns), *grid.rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(grid.columns))]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(width) if column.align == "right" else cell.ljust(width)
            for cell, width, column in zip(row, widths, grid.columns, strict=True)
        ]
        lines.append((" " * grid.indent + "  ".join(parts)).rstrip())
    return lines
