"""Escapes control characters in text for a terminal or a log line.

Table names, driver messages and command-line arguments may contain any character: an escape sequence that overwrites
the screen, or a newline that fakes a log line. Only here are they changed. The escapes are JSON's, so that JSON stays
JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol

_ACTING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ACTING_IN_LINES = re.compile(_ACTING.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))


def one_line(text: str) -> str:
    """Text as one line: line breaks are escaped, too."""
    return _ACTING.sub(_escaped, text)


def in_lines(text: str) -> str:
    """Text of several lines: line breaks and tabs stay."""
    return _ACTING_IN_LINES.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


class Stream(Protocol):
    """What text is written to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


@dataclass(frozen=True)
class PrintableStream:
    """A stream that escapes control characters in what is written to it."""

    stream: Stream

    def write(self, text: str, /) -> int:
        self.stream.write(in_lines(text))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()
