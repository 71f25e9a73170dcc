"""The width of text in terminal cells: East Asian wide characters take two cells, combining ones none."""

from __future__ import annotations

import unicodedata
from typing import Literal

_WIDE = frozenset("WF")
Align = Literal["left", "right"]


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
