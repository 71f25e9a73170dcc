"""An HTML table for notebooks: what `display()` shows for a report. All text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from statekeeper.text.printable import one_line


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The table, with its caption above it."""
    head = "".join(f"<th>{_escaped(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{_escaped(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _escaped(text: str) -> str:
    return html.escape(one_line(text))
