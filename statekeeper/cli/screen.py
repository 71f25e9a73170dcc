"""How output appears: a grid is aligned text, on a terminal coloured and no wider than the screen.

Decides nothing about content. In pipes and files, a grid is complete, however wide. Text is measured in terminal cells:
East Asian wide characters take two, combining ones none.
"""

from __future__ import annotations

import shutil
import unicodedata
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Literal, TextIO

from statekeeper.text.printable import in_lines, one_line

_NARROWEST = 10
"""The least width to which a column is shortened."""
_CODES = {"bold": "1", "bold red": "1;31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2"}
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
_WIDE = frozenset("WF")
Align = Literal["left", "right"]


class Fit(Enum):
    """How a column reacts to a grid wider than the terminal."""

    KEEP = auto()
    SHORTEN = auto()
    """Its longest texts lose their beginning, which tables of one source and schema share."""
    DROP = auto()
    """It is left out, before any column is shortened."""


@dataclass(frozen=True)
class Column:
    """A column of a grid."""

    name: str
    align: Align = "left"
    fit: Fit = Fit.KEEP


@dataclass(frozen=True)
class Grid:
    """Rows of text under columns; names of states are coloured on a terminal."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    indent: int = field(default=0)

    def without(self, index: int) -> Grid:
        """The grid without the column at `index`."""
        columns = (*self.columns[:index], *self.columns[index + 1 :])
        return replace(self, columns=columns, rows=tuple((*row[:index], *row[index + 1 :]) for row in self.rows))

    def with_texts(self, index: int, texts: list[str]) -> Grid:
        """The grid with new texts in the column at `index`."""
        rows = zip(self.rows, texts, strict=True)
        return replace(self, rows=tuple((*row[:index], text, *row[index + 1 :]) for row, text in rows))


class Screen:
    """A text stream that knows whether it is a terminal, and its size."""

    def __init__(self, stream: TextIO, *, is_terminal: bool | None = None, width: int | None = None) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty() if is_terminal is None else is_terminal
        self._width = width

    @property
    def width(self) -> int:
        """The number of columns of the terminal."""
        return self._width or shutil.get_terminal_size().columns

    def line(self, text: str = "") -> None:
        """Write one or more lines of text."""
        self._write(in_lines(text))

    def grid(self, grid: Grid) -> None:
        """Write a grid, if it has rows."""
        if not grid.rows:
            return
        grid = replace(grid, rows=tuple(tuple(map(one_line, row)) for row in grid.rows))
        if not self.is_terminal:
            for row in _aligned(grid):
                self._write("  ".join(row).rstrip())
            return
        header, *rows = _aligned(_fitted(grid, self.width))
        self._write(_styled("  ".join(header).rstrip(), "bold"))
        for row in rows:
            *before, last = [_styled(cell, _STYLES.get(cell.strip(), "")) for cell in row]
            self._write("  ".join([*before, last.rstrip()]).rstrip())

    @property
    def height(self) -> int:
        """The number of lines of the terminal."""
        return shutil.get_terminal_size().lines

    def clear(self) -> None:
        """Clear the screen, on a terminal."""
        if self.is_terminal:
            self._stream.write("\x1b[H\x1b[2J")

    def flush(self) -> None:
        self._stream.flush()

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")


def _styled(text: str, style: str) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style else text


def _fitted(grid: Grid, width: int) -> Grid:
    """The grid, with columns dropped and shortened until it fits the terminal."""
    for index in reversed(range(len(grid.columns))):
        if _width(grid) > width and grid.columns[index].fit is Fit.DROP:
            grid = grid.without(index)
    too_much = _width(grid) - width
    for index, column in enumerate(grid.columns):
        if too_much <= 0 or column.fit is not Fit.SHORTEN:
            continue
        longest = max(width_of(row[index]) for row in grid.rows)
        most = max(_NARROWEST, longest - too_much)
        too_much -= max(0, longest - most)
        grid = grid.with_texts(index, [shortened(row[index], most) for row in grid.rows])
    return grid


def _width(grid: Grid) -> int:
    cells = _aligned(grid)[0]
    return sum(map(width_of, cells)) + 2 * (len(cells) - 1)


def _aligned(grid: Grid) -> list[list[str]]:
    """The column names, then every row; the texts of a column have the same width."""
    cells = [tuple(column.name for column in grid.columns), *grid.rows]
    widths = [max(width_of(row[index]) for row in cells) for index in range(len(grid.columns))]
    lines = []
    for row in cells:
        parts = [
            padded(cell, width, column.align) for cell, width, column in zip(row, widths, grid.columns, strict=True)
        ]
        parts[0] = " " * grid.indent + parts[0]
        lines.append(parts)
    return lines


def width_of(text: str) -> int:
    """The number of cells that a text takes."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def padded(text: str, width: int, align: Align = "left") -> str:
    """The text, filled with blanks up to `width` cells."""
    blanks = " " * (width - width_of(text))
    return text + blanks if align == "left" else blanks + text


def shortened(text: str, most: int) -> str:
    """The end of a text that is too long: tables of one source and schema share the beginning."""
    if width_of(text) <= most:
        return text
    kept = text[-most:]
    while kept and width_of(kept) > most - 1:
        kept = kept[1:]
    return f"…{kept}"


def cut_off(text: str, most: int) -> str:
    """The beginning of a text that is too long."""
    kept = text[:most]
    while width_of(kept) > most:
        kept = kept[:-1]
    return kept


def _cells_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1
