"""What is wrong with a configuration, for a person: where it stands, what was expected, what was found, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from statekeeper.config.reading.document import ConfigDocument, KeyPath, path_text
from statekeeper.errors import ConfigError

_LONGEST_SHOWN = 60
_MOST_EQUAL = 3


class Spot(Enum):
    """What of a key path a problem points at."""

    KEY = auto()
    VALUE = auto()


@dataclass(frozen=True)
class Finding:
    """One mistake as it is told: the place in the file, what is wrong, and what to do."""

    place: str
    text: str
    hint: str = ""
    table: str = ""

    def __str__(self) -> str:
        return self.told()

    def told(self, others: str = "") -> str:
        """The line that says it, of several equal ones with a word on the `others`."""
        where = f"{self.place}: " if self.place else ""
        table = f" (for {self.table})" if self.table and not others else ""
        hint = f". hint: {self.hint}" if self.hint else ""
        return f"{where}{self.text}{table}{others}{hint}"


@dataclass(frozen=True)
class Problem:
    """One mistake. `text` says what was expected and what was found; it never holds a value that may be secret."""

    document: ConfigDocument = field(repr=False)
    path: KeyPath
    text: str
    hint: str = ""
    spot: Spot = Spot.VALUE
    table: KeyPath = ()
    """The entry that a problem of the defaults was found in."""

    def __str__(self) -> str:
        return str(self.finding)

    @property
    def finding(self) -> Finding:
        """What of it a message shows."""
        where = location(self.document, self.path, spot=self.spot)
        return Finding(where, self.text, self.hint, table=path_text(self.table))

    @property
    def order(self) -> tuple[int, int]:
        """Its place in the file."""
        place = self.document.position(self.path, of_key=self.spot is Spot.KEY)
        return (place.line, place.column) if place else (0, 0)


def location(document: ConfigDocument, path: KeyPath, *, spot: Spot = Spot.VALUE) -> str:
    """`configs/prod.yml:12:5: tables[1].path_name`, as far as the parts are known."""
    place = document.position(path, of_key=spot is Spot.KEY)
    file = f"{document.name}:{place}" if place else document.name
    return ": ".join(part for part in (file, path_text(path)) if part)


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """The error that lists every problem: those of one file together, in the order of their places."""
    problems = list(problems)
    names = list(dict.fromkeys(problem.document.name for problem in problems))
    problems.sort(key=lambda problem: (names.index(problem.document.name), problem.order))
    return error_of(problem.finding for problem in problems)


def error_of(findings: Iterable[Finding]) -> ConfigError:
    """The error that lists findings in their order; what is wrong in many places in the same way is told once."""
    equal: dict[tuple[str, str], list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        equal.setdefault((finding.text, finding.hint), []).append(finding)
    return ConfigError("\n".join(line for group in equal.values() for line in _lines(group)))


def _lines(group: list[Finding]) -> list[str]:
    if len(group) <= _MOST_EQUAL:
        return [str(finding) for finding in group]
    last = group[-1].table or group[-1].place
    return [group[0].told(f" (and the same {len(group) - 1:,} times more, at last for {last})")]


def found(document: ConfigDocument, path: KeyPath) -> str:
    """The value at `path` as a message may show it."""
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
    """Text as a message quotes it: what no terminal can show is escaped, and what is long is cut off."""
    return repr(text) if len(text) <= _LONGEST_SHOWN else repr(text[:_LONGEST_SHOWN]) + "..."


def clipped(text: str) -> str:
    """Text of no more than a line."""
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."
