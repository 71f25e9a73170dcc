"""Converts a Python mapping to the same plain data as YAML text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import PurePath

from pydantic import SecretStr

from statekeeper.config.reading.document import ConfigDocument, KeyPath, Plain
from statekeeper.config.reading.problems import Problem
from statekeeper.config.sections.quantities import format_duration

_DEEPEST = 50
_MAX_BITS = 3000


def read_mapping(mapping: Mapping[str, object]) -> tuple[ConfigDocument, list[Problem]]:
    """The document of a mapping, and its values that no configuration can hold; text is literal, `${` included.

    Besides JSON values it may contain dates, timedeltas, decimals, paths, tuples and secrets, which are never shown.
    """
    reading = _Reading()
    data = reading.value(mapping, ())
    document = ConfigDocument(name=None, data=data, hidden=reading.hidden)
    return document, [Problem(document, path, text) for path, text in reading.wrong]


@dataclass
class _Reading:
    hidden: dict[KeyPath, str] = field(default_factory=dict)
    wrong: list[tuple[KeyPath, str]] = field(default_factory=list)

    def value(self, value: object, path: KeyPath) -> Plain:
        if isinstance(value, SecretStr):
            self.hidden[path] = "a secret"
            value = value.get_secret_value()
        if len(path) > _DEEPEST:
            self.wrong.append((path[:1], f"this is nested deeper than {_DEEPEST} levels"))
            return None
        match value:
            case Mapping():
                return {self._key(key, path): self.value(inner, (*path, str(key))) for key, inner in value.items()}
            case list() | tuple():
                return [self.value(inner, (*path, index)) for index, inner in enumerate(value)]
            case _:
                return self._scalar(value, path)

    def _key(self, key: object, path: KeyPath) -> str:
        if not isinstance(key, str):
            self.wrong.append((path, f"expected keys that are text; found {key!r}"))
        return str(key)

    def _scalar(self, value: object, path: KeyPath) -> Plain:
        plain = _plain(value)
        if plain is None and value is not None:
            self.wrong.append((path, f"expected a value that a configuration can hold; found {_kind(value)}"))
        return plain


def _plain(value: object) -> Plain:
    """The plain value of a scalar; None if there is none."""
    plain: Plain = None
    match value:
        case bool():
            plain = value
        case str() if value.encode(errors="replace").decode() == value:
            plain = str(value)
        case int() if value.bit_length() <= _MAX_BITS:
            plain = int(value)
        case float() if math.isfinite(value):
            plain = value
        case Decimal() if value.is_finite():
            plain = str(value)
        case date():
            plain = value.isoformat()
        case timedelta() if value >= timedelta():
            plain = format_duration(value)
        case PurePath():
            plain = str(value)
        case _:
            pass
    return plain


def _kind(value: object) -> str:
    match value:
        case str():
            return "text that is not Unicode"
        case int() | float() | Decimal():
            return "a number that is too large, or not finite"
        case _:
            return f"a {type(value).__name__}"
