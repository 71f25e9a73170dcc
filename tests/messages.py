"""The product's messages as tests expect them: each text stands once, in tests/messages.toml, under a name.

A test says which message it expects, and what of the filled-in text matters to it:

    with raises_message(ConfigError, "config.unknown_key", key="compresion"):
        ...
    assert says(failed.stderr, "config.unknown_key", key="compresion")
    assert found == [text_of("config.unknown_key", place="c.yml:4:10: output", key="compresion")]

The name is the table of the file (a package of the product) and the key in it. A field that is given must be filled in
with exactly that, where `...` stands for anything in one line; a field that is left out may be anything in one line.
`text_of` needs all fields.

To reword a message, change the product, run `pytest tests/test_messages.py`, and change the templates that it names.

What belongs here: every text of an error, a warning or a hint that the product words. What stays in its test: codes and
texts of drivers, of the system and of pydantic; commands, statements and other things to type; the rendering of
screens, tables, generated files, pages and lines of the log, where the form is what the test is about; single names and
numbers that a text must hold.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

FILE = Path(__file__).with_suffix(".toml")
_WORD_ENDS = r"(?:(?<!\w)|(?!\w))"
_ANYTHING = ".*?"


@cache
def templates() -> dict[str, str]:
    """The templates by their full names, `config.unknown_key`."""
    packages = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {f"{package}.{name}": text for package, texts in packages.items() for name, text in texts.items()}


def parts_of(template: str) -> Iterator[tuple[str, str | None]]:
    """A template's literal texts, each with the name of the field that follows it, or None."""
    for literal, name, _, _ in string.Formatter().parse(template):
        yield literal, name


def line_of(name: str) -> int:
    """The line in `FILE` that holds a template."""
    package, _, key = name.partition(".")
    lines = FILE.read_text(encoding="utf-8").splitlines()
    first = lines.index(f"[{package}]")
    return next(number for number, line in enumerate(lines[first:], first + 1) if line.startswith(f"{key} = "))


@dataclass(frozen=True)
class Message:
    """A message by its name, with the fields that a test knows."""

    name: str
    fields: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {name for _, name in parts_of(self.template) if name is not None}
        if unknown := self.fields.keys() - known:
            raise TypeError(f"the template {self.name} has no field {sorted(unknown)}, only {sorted(known)}")

    def __str__(self) -> str:
        """The whole text; every field must be given."""
        return self.template.format(**self.fields)

    @property
    def template(self) -> str:
        if self.name not in templates():
            raise TypeError(f"{FILE.name} has no template {self.name}")
        return templates()[self.name]

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the message in a text; it neither begins nor ends within a word."""
        found = ""
        for literal, name in parts_of(self.template):
            found += re.escape(literal)
            if name is not None:
                known = str(self.fields.get(name, "..."))
                found += _ANYTHING.join(re.escape(text) for text in known.split("..."))
        return re.compile(f"{_WORD_ENDS}{found}{_WORD_ENDS}")

    def missing_from(self, said: str) -> str:
        """What a failing test says: what was expected, what was said, and where to change the template."""
        known = "".join(f"\n  with {name} = {value}" for name, value in self.fields.items())
        return (
            f"the message {self.name} was not said\n  expected: {self.template}{known}\n  said: {said}\n"
            f"If it was reworded on purpose, change tests/{FILE.name}:{line_of(self.name)}"
        )


def message(name: str, /, **fields: object) -> Message:
    """A message to be expected later, such as a parameter of a test."""
    return Message(name, fields)


def text_of(name: str, /, **fields: object) -> str:
    """A message's whole text; every field must be given."""
    return str(Message(name, fields))


def says(said: str | BaseException | None, expected: str | Message, /, **fields: object) -> bool:
    """Whether a text or an error holds a message; it never returns False, but fails with what to do about it."""
    __tracebackhide__ = True
    told = message(expected, **fields) if isinstance(expected, str) else expected
    text = "" if said is None else str(said)
    if told.pattern.search(text) is None:
        pytest.fail(told.missing_from(text))
    return True


def is_silent(said: str, expected: str, /, **fields: object) -> bool:
    """Whether a text does not hold a message."""
    return message(expected, **fields).pattern.search(said) is None


@contextmanager
def raises_message(
    kind: type[BaseException], expected: str | Message, /, **fields: object
) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """As `pytest.raises`: an error of this kind, whose text holds the message."""
    __tracebackhide__ = True
    with pytest.raises(kind) as caught:
        yield caught
    assert says(caught.value, expected, **fields)
