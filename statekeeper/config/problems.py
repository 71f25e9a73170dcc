"""What is wrong with a configuration, for a person: where it stands, what was expected, what was found, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum, auto

from statekeeper.config.document import Document, KeyPath, path_text
from statekeeper.errors import ConfigError

_LONGEST_SHOWN = 60


class Spot(Enum):
    """What of a key path a problem points at."""

    KEY = auto()
    VALUE = auto()


@dataclass(frozen=True)
class Problem:
    """One mistake. `text` says what was expected and what was found; it never holds a value that may be secret."""

    document: Document = field(repr=False)
    path: KeyPath
    text: str
    hint: str = ""
    spot: Spot = Spot.VALUE

    def __str__(self) -> str:
        where = location(self.document, self.path, spot=self.spot)
        hint = f". hint: {self.hint}" if self.hint else ""
        return f"{where}: {self.text}{hint}" if where else f"{self.text}{hint}"

    @property
    def order(self) -> tuple[int, int]:
        """Its place in the file."""
        place = self.document.position(self.path, of_key=self.spot is Spot.KEY)
        return (place.line, place.column) if place else (0, 0)


def location(document: Document, path: KeyPath, *, spot: Spot = Spot.VALUE) -> str:
    """`configs/prod.yml:12:5: tables[1].path_name`, as far as the parts are known."""
    place = document.position(path, of_key=spot is Spot.KEY)
    file = f"{document.name}:{place}" if place else document.name
    return ": ".join(part for part in (file, path_text(path)) if part)


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """The error that lists every problem: those of one file together, in the order of their places."""
    problems = list(problems)
    names = list(dict.fromkeys(problem.document.name for problem in problems))
    problems.sort(key=lambda problem: (names.index(problem.document.name), problem.order))
    return ConfigError("\n".join(dict.fromkeys(str(problem) for problem in problems)))


def found(document: Document, path: KeyPath) -> str:
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
            shown = repr(value) if len(value) <= _LONGEST_SHOWN else repr(value[:_LONGEST_SHOWN]) + "..."
        case _:
            shown = f"the number {written or value}"
    return shown


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint for a word that is not among `known`: the nearest of them, else none."""
    by_folded = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), list(by_folded), n=1, cutoff=0.55)
    return f"did you mean '{by_folded[close[0]]}'?" if close else ""
