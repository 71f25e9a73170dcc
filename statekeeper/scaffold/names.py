"""Readable Python names from database names. Pure."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Callable, Iterable

from pydantic import BaseModel

_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PYDANTICS = ("model_validate", "model_dump")
"""Prefixes that pydantic reserves."""
_CLASS_NAMES_TAKEN = frozenset(
    {
        *("Row", "Annotated", "Literal", "Decimal", "UUID", "BaseModel", "ConfigDict", "Field", "AwareDatetime"),
        *("NaiveDatetime", "None", "True", "False"),
        *dir(builtins),
    }
)
"""Names that a file of models already imports or defines."""


def field_names(columns: Iterable[str]) -> dict[str, str]:
    """A field name for each column: lower case, words joined by `_`, unique."""
    return _all_different(columns, _field_name, separator="_")


def class_names(tables: Iterable[str]) -> dict[str, str]:
    """A class name for each table: CamelCase, unique."""
    return _all_different(tables, _class_name, separator="")


def module_name(stem: str) -> str:
    """A name for a file or a source: lower case, words joined by `_`."""
    return "_".join(word.lower() for word in _words(stem)) or "database"


def _all_different(names: Iterable[str], rule: Callable[[str], str], *, separator: str) -> dict[str, str]:
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        wanted = rule(name)
        chosen, number = wanted, 2
        while chosen in taken:
            chosen, number = f"{wanted}{separator}{number}", number + 1
        taken.add(chosen)
        found[name] = chosen
    return found


def _field_name(column: str) -> str:
    name = _normal("_".join(word.lower() for word in _words(column))) or "column"
    if not name.isidentifier() or name.startswith(_PYDANTICS):
        name = _normal(f"column_{name}")
    return f"{name}_" if keyword.iskeyword(name) or hasattr(BaseModel, name) else name


def _class_name(table: str) -> str:
    name = _normal("".join(word[:1].upper() + word[1:].lower() for word in _words(table))) or "Table"
    if not name.isidentifier():
        name = _normal(f"Table{name}")
    return f"{name}Table" if name in _CLASS_NAMES_TAKEN else name


def _words(name: str) -> list[str]:
    plain = "".join(character if f"a{character}".isidentifier() else "_" for character in _normal(name))
    return [word for part in plain.split("_") for word in _HUMPS.split(part) if word]


def _normal(text: str) -> str:
    """Text as Python normalises identifiers."""
    return unicodedata.normalize("NFKC", text)
