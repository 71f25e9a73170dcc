"""Problems of a configuration for a person: the place, what was expected, what was found, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from statekeeper.config.reading.document import ConfigDocument, KeyPath, path_text
from statekeeper.errors import ConfigError

_LONGEST_SHOWN = 60
_MAX_EQUAL = 3


class Spot(Enum):
    """Whether a problem points at a key or at its value."""

    KEY = auto()
    VALUE = auto()


@dataclass(frozen=True)
class Finding:
    """One problem as text: the place in the file, what is wrong, and what to do."""

    place: str
    text: str
    hint: str = ""
    table: str = ""

    def __str__(self) -> str:
        return self.line()

    def line(self, others: str = "") -> str:
        """The problem in one line; `others` mentions equal problems elsewhere."""
        where = f"{self.place}: " if self.place else ""
        table = f" (for {self.table})" if self.table and not others else ""
        hint = f". hint: {self.hint}" if self.hint else ""
        return f"{where}{self.text}{table}{others}{hint}"


@dataclass(frozen=True)
class Problem:
    """One problem. `text` says what was expected and found; it never contains a value that may be secret."""

    document: ConfigDocument = field(repr=False)
    path: KeyPath
    text: str
    hint: str = ""
    spot: Spot = Spot.VALUE
    table: KeyPath = ()
    """For a problem of the defaults: the entry in which it was found."""

    def __str__(self) -> str:
        return str(self.finding)

    @property
    def finding(self) -> Finding:
        """The problem as text."""
        where = location(self.document, self.path, spot=self.spot)
        return Finding(where, self.text, self.hint, table=path_text(self.table))

    @property
    def order(self) -> tuple[int, int]:
        """Its position in the file."""
        place = self.document.position(self.path, of_key=self.spot is Spot.KEY)
        return (place.line, place.column) if place else (0, 0)


def location(document: ConfigDocument, path: KeyPath, *, spot: Spot = Spot.VALUE) -> str:
    """`configs/prod.yml:12:5: tables[1].path_name`; unknown parts are left out."""
    place = document.position(path, of_key=spot is Spot.KEY)
    file = f"{document.name}:{place}" if place else document.name
    return ": ".join(part for part in (file, path_text(path)) if part)


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """The error that lists every problem, by file and position."""
    problems = list(problems)
    names = list(dict.fromkeys(problem.document.name for problem in problems))
    problems.sort(key=lambda problem: (names.index(problem.document.name), problem.order))
    return error_of(problem.finding for problem in problems)


def error_of(findings: Iterable[Finding]) -> ConfigError:
    """The error that lists findings in their order; a problem that many places share is listed once."""
    equal: dict[tuple[str, str], list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        equal.setdefault((finding.text, finding.hint), []).append(finding)
    return ConfigError("\n".join(line for group in equal.values() for line in _lines(group)))


def _lines(group: list[Finding]) -> list[str]:
    if len(group) <= _MAX_EQUAL:
        return [str(finding) for finding in group]
    last = group[-1].table or group[-1].place
    return [group[0].line(f" (and {len(group) - 1:,} more of the same, the last for {last})")]


def found(document: ConfigDocument, path: KeyPath) -> str:
    """The value at `path` for a message."""
    if path in document.hidden:
        return document.hidden[path]
    value = document.at(path)
    written = document.written.get(path)
    match value:
        case None:
            shown = f"{written}, which YAML reads as nothing" if written else "nothing"
        case bool():
            word = str(value).lower()
            shown = word if written in {None, word} else f"{written}, which YAML reads as {word}"
        case dict():
            shown = "a mapping" if value else "an empty mapping"
        case list():
            shown = "a list" if value else "an empty list"
        case str() if written is None:
            shown = quoted(value)
        case _:
            shown = f"the number {clipped(str(written or value))}"
    return shown


def quoted(text: str) -> str:
    """Text in quotes for a message: unprintable characters are escaped, and long text is cut off."""
    return repr(text) if len(text) <= _LONGEST_SHOWN else repr(text[:_LONGEST_SHOWN]) + "..."


def clipped(text: str) -> str:
    """Text, cut off if it is too long for a line."""
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."
