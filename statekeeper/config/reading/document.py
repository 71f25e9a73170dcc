"""A configuration as plain data, with where each of its keys and values stands and which values may not be shown.

A document is made from YAML or JSON text (`statekeeper.config.reading.yaml_text`) or from a mapping made in Python
(`statekeeper.config.reading.mapping`); nothing here knows what the keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""What JSON can say. A decimal number is a float where a float is exactly it, and text otherwise."""

_LONGEST_KEY = 130
_BARE_KEY = re.compile(r"[A-Za-z0-9_$-]+")


@dataclass(frozen=True)
class Position:
    """A place in a text, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True)
class ConfigDocument:
    """A configuration as plain data. `name` is that of its file, None without one."""

    name: str | None
    data: Plain
    keys: Mapping[KeyPath, Position] = field(default_factory=dict)
    values: Mapping[KeyPath, Position] = field(default_factory=dict)
    written: Mapping[KeyPath, str] = field(default_factory=dict)
    """Bare words and numbers that are not text to YAML, as they are written."""
    hidden: Mapping[KeyPath, str] = field(default_factory=dict)
    """Values that may be secret, and how to speak of them: `the value of ${NAME}`."""
    filled: Mapping[KeyPath, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """What came from the environment into each of them."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What came from secret scopes."""

    def at(self, path: KeyPath) -> Plain:
        """The value at `path`. Raises KeyError, IndexError or TypeError where there is none."""
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
        """The document with another value at `path`; what holds it exists."""
        return replace(self, data=_with_value(self.data, path, value))

    def without(self, path: KeyPath) -> ConfigDocument:
        """The document without the key at `path`, which a mapping of it has."""
        around = self.at(path[:-1])
        assert isinstance(around, dict)
        return self.with_value(path[:-1], {key: value for key, value in around.items() if key != path[-1]})

    def below(self, key: str) -> ConfigDocument:
        """The document as the value of `key` in a mapping that has nothing else."""

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
        """Where the value at `path` stands (or its key), or the nearest thing around it that stands anywhere."""
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
    """A path as messages show it: `tables[1].chunking.strategy`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _BARE_KEY.fullmatch(step) and len(step) <= _LONGEST_KEY:
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]" if len(step) <= _LONGEST_KEY else f"[{step[:_LONGEST_KEY]!r}...]"
    return text
