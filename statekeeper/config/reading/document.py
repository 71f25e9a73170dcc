"""A configuration as plain data, with the position of each key and value, and the values that may not be shown.

It is read from YAML or JSON text (`statekeeper.config.reading.yaml_text`) or from a Python mapping
(`statekeeper.config.reading.mapping`); nothing here knows what the keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""JSON data. A decimal number is a float if a float represents it exactly, else text."""

_LONGEST_KEY = 130
_BARE_KEY = re.compile(r"[A-Za-z0-9_$-]+")


@dataclass(frozen=True)
class Position:
    """A position in a text, counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True)
class ConfigDocument:
    """A configuration as plain data. `name` is its file's, None without a file."""

    name: str | None
    data: Plain
    keys: Mapping[KeyPath, Position] = field(default_factory=dict)
    values: Mapping[KeyPath, Position] = field(default_factory=dict)
    written: Mapping[KeyPath, str] = field(default_factory=dict)
    """The text of unquoted words and numbers that YAML does not read as text."""
    hidden: Mapping[KeyPath, str] = field(default_factory=dict)
    """Values that may be secret, with a description: `the value of ${NAME}`."""
    filled: Mapping[KeyPath, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """The values from the environment in each of them."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """The values from secret scopes."""

    def at(self, path: KeyPath) -> Plain:
        """The value at `path`. Raises KeyError, IndexError or TypeError if there is none."""
        value = self.data
        for step in path:
            value = value[step]  # type: ignore[index]
        return value

    def has(self, path: KeyPath) -> bool:
        """Whether there is a value at `path`."""
        try:
            self.at(path)
        except (KeyError, IndexError, TypeError):
            return False
        return True

    def with_value(self, path: KeyPath, value: Plain) -> ConfigDocument:
        """The document with another value at `path`, whose parent must exist."""
        return replace(self, data=_with_value(self.data, path, value))

    def without(self, path: KeyPath) -> ConfigDocument:
        """The document without the key at `path`, which must exist."""
        around = self.at(path[:-1])
        assert isinstance(around, dict)
        return self.with_value(path[:-1], {key: value for key, value in around.items() if key != path[-1]})

    def below(self, key: str) -> ConfigDocument:
        """A document whose only key is `key`, with this document as the value."""

        def moved(places: Mapping[KeyPath, Position]) -> dict[KeyPath, Position]:
            return {(key, *path): place for path, place in places.items()}

        return ConfigDocument(
            name=self.name,
            data={key: self.data},
            keys=moved(self.keys),
            values=moved(self.values),
            written={(key, *path): text for path, text in self.written.items()},
            hidden={(key, *path): text for path, text in self.hidden.items()},
            filled={(key, *path): texts for path, texts in self.filled.items()},
            secrets=self.secrets,
        )

    def position(self, path: KeyPath, *, of_key: bool = False) -> Position | None:
        """The position of the value at `path` (or of its key), or of the nearest parent with a position."""
        if of_key and path in self.keys:
            return self.keys[path]
        if path in self.values:
            return self.values[path]
        return self.position(path[:-1], of_key=True) if path else None


def _with_value(data: Plain, path: KeyPath, value: Plain) -> Plain:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(data, dict) and isinstance(step, str):
        return {**data, step: _with_value(data.get(step), rest, value)}
    assert isinstance(data, list)
    assert isinstance(step, int)
    return [*data[:step], _with_value(data[step], rest, value), *data[step + 1 :]]


def path_text(path: KeyPath) -> str:
    """A path for messages: `tables[1].chunking.strategy`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _BARE_KEY.fullmatch(step) and len(step) <= _LONGEST_KEY:
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]" if len(step) <= _LONGEST_KEY else f"[{step[:_LONGEST_KEY]!r}...]"
    return text
