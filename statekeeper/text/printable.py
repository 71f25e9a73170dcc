"""Text on its way to a terminal or a log line: what would act there instead of being read is escaped.

Names of tables, messages of drivers and arguments of a command line may have any character: an escape sequence that
paints over the screen, or a newline that makes a log line of its own. They are kept as they are everywhere but here.
The escapes are JSON's, so that JSON stays JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol

_ACTING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ACTING_IN_LINES = re.compile(_ACTING.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))


def one_line(text: str) -> str:
    """Text as one line: line ends are escaped, too."""
    return _ACTING.sub(_escaped, text)


def in_lines(text: str) -> str:
    """Text of several lines, whose line ends and tabs stay."""
    return _ACTING_IN_LINES.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


class Stream(Protocol):
    """What text is written to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


@dataclass(frozen=True)
class PrintableStream:
    """A stream on which nothing acts that is written to it."""

    stream: Stream

    def write(self, text: str, /) -> int:
        self.stream.write(in_lines(text))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()
