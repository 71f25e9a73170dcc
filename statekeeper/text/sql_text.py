"""Names and strings as SQL writes them."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name as a quoted identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string, whatever characters it has."""
    return "'" + text.replace("'", "''") + "'"
