"""A model's fields as values: the Python type that each takes, its constraints, and the column that it goes with.

What they are is read from the model in `schemas.model.core_schema`. Decides which column of a table is which field: a
field goes by its alias, else by its name; a column of exactly that spelling is the field's, else the only column that
differs from it by case alone.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

Node = Mapping[str, Any]
"""A node of pydantic's core schema: a dict with a `type`."""


_LONGEST_LABEL = 80


class Kind(StrEnum):
    """The Python type that a field takes; ANY takes what the column delivers by itself."""

    INT = "int"
    DECIMAL = "Decimal"
    FLOAT = "float"
    STR = "str"
    BYTES = "bytes"
    BOOL = "bool"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    UUID = "UUID"
    ANY = "any"


@dataclass(frozen=True)
class ModelField:
    """One field. `keys` are the names its value may go by in a row, the first that a column has counts.

    `members` are the only values allowed (Literal or Enum), `enum` the class they come as. `choices` are the members of
    a union. `steps` are the validators around the type, outermost first, None where NULL passes by those that follow.
    `reason` says why the field is validated row by row, `opaque` is what of its core schema is not understood;
    `reads_others` says that a validator is handed the fields before this one. `takes_raw` says that a validator stands
    before the type, so that the column's own value will do where the type does not fit.
    """

    name: str
    keys: tuple[str, ...]
    kind: Kind = Kind.ANY
    is_nullable: bool = False
    constraints: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[Any, ...] | None = None
    enum: type[enum.Enum] | None = None
    choices: tuple[ModelField, ...] = ()
    steps: tuple[Node | None, ...] = ()
    opaque: Node | None = None
    reason: str | None = None
    reads_others: bool = False
    takes_raw: bool = False
    unsupported: str | None = None
    node: Node = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name its value goes by in a row: of several, the one that a column has (`pair_fields`)."""
        return self.keys[0]

    @property
    def label(self) -> str:
        """How messages name its type."""
        if self.choices:
            return " | ".join(dict.fromkeys(choice.label for choice in self.choices))
        if self.enum is not None:
            return self.enum.__name__
        if self.members is None:
            return str(self.kind)
        listed = f"Literal[{', '.join(map(repr, self.members))}]"
        return listed if len(listed) <= _LONGEST_LABEL else f"Literal of {len(self.members)} {self.kind} values"

    @property
    def annotation(self) -> str:
        """How a person reads it in a model: the type, and whether None is one of its values."""
        return (
            f"{self.label} | None" if self.is_nullable and (self.kind is not Kind.ANY or self.choices) else self.label
        )

    def because(self, reason: str) -> ModelField:
        """The same field, validated row by row for `reason` (the first reason stays)."""
        return replace(self, reason=self.reason or reason)

    def not_understood(self, node: Node, reason: str) -> ModelField:
        """The same field, of which `node` is left to pydantic."""
        return replace(self.because(reason), opaque=self.opaque or node)


@dataclass(frozen=True)
class ModelShape:
    """A model's fields in its own order; `whole_row_reason` says why rows must go through the model as a whole.

    `validators` are those of the model, outermost first, `hooks` names of its own methods that run for each row.
    """

    fields: tuple[ModelField, ...]
    whole_row_reason: str | None = None
    unsupported: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    definitions: Mapping[str, Node] = field(default_factory=dict)
    validators: tuple[Node, ...] = ()
    hooks: tuple[str, ...] = ()


def pair_fields(names: tuple[str, ...], fields: tuple[ModelField, ...]) -> dict[str, ModelField]:
    """The field of each column name: by the same spelling, else without regard to case where that is unambiguous.

    A field of several keys goes by the first that a column has; the field that is returned has that key alone.
    """
    pairs: dict[str, ModelField] = {}
    loose: list[ModelField] = []
    for part in fields:
        key = next((key for key in part.keys if key in names and key not in pairs), None)
        if key is None:
            loose.append(part)
        else:
            pairs[key] = replace(part, keys=(key,))
    folded: dict[str, list[str]] = {}
    for name in names:
        if name not in pairs:
            folded.setdefault(name.casefold(), []).append(name)
    rivals: dict[str, int] = {}
    for part in loose:
        for key in {key.casefold() for key in part.keys}:
            rivals[key] = rivals.get(key, 0) + 1
    for part in loose:
        for key in part.keys:
            found = folded.get(key.casefold(), [])
            if len(found) == 1 and found[0] not in pairs and rivals[key.casefold()] == 1:
                pairs[found[0]] = replace(part, keys=(key,))
                break
    return pairs
