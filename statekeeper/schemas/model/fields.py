"""A model's fields as values: Python type, constraints, and matching column.

`schemas.model.core_schema` reads them from the model. This module decides which column belongs to which field: the one
with exactly the field's alias (or name, without an alias), else the only one that differs from it just by case.
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
    """The Python type that a field accepts; ANY accepts the column's natural type."""

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
    """One field. `keys` are the possible names of its value in a row; the first that is a column counts.

    `members` are the only values allowed (Literal or Enum), `enum` is their class. `choices` are the members of a
    union. `steps` are the validators around the type, outermost first; a None marks where NULL skips the rest.
    `reason` says why the field is validated row by row, `opaque` is the part of its core schema that is not understood.
    `reads_others`: a validator gets the fields before this one. `takes_raw`: a validator runs before the type, so the
    column's own value is enough if the type does not fit.
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
        """The name of its value in a row; after `pair_fields`, the one that is a column."""
        return self.keys[0]

    @property
    def label(self) -> str:
        """Its type in messages."""
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
        """Its annotation in a model: the type, and `| None` if it accepts None."""
        return (
            f"{self.label} | None" if self.is_nullable and (self.kind is not Kind.ANY or self.choices) else self.label
        )

    def with_reason(self, reason: str) -> ModelField:
        """The same field, validated row by row for `reason` (the first reason is kept)."""
        return replace(self, reason=self.reason or reason)

    def not_understood(self, node: Node, reason: str) -> ModelField:
        """The same field, with `node` left to pydantic."""
        return replace(self.with_reason(reason), opaque=self.opaque or node)


@dataclass(frozen=True)
class ModelShape:
    """A model's fields in its order; `whole_row_reason` says why the model must validate whole rows.

    `validators` are the model's, outermost first; `hooks` are names of its own methods that run for each row.
    """

    fields: tuple[ModelField, ...]
    whole_row_reason: str | None = None
    unsupported: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    definitions: Mapping[str, Node] = field(default_factory=dict)
    validators: tuple[Node, ...] = ()
    hooks: tuple[str, ...] = ()


def pair_fields(names: tuple[str, ...], fields: tuple[ModelField, ...]) -> dict[str, ModelField]:
    """The field of each column name: by exact name, else case-insensitively if that is unambiguous.

    If a field has several keys, the first that is a column counts; the returned field has only that key.
    """
    pairs: dict[str, ModelField] = {}
    unmatched: list[ModelField] = []
    for part in fields:
        key = next((key for key in part.keys if key in names and key not in pairs), None)
        if key is None:
            unmatched.append(part)
        else:
            pairs[key] = replace(part, keys=(key,))
    folded: dict[str, list[str]] = {}
    for name in names:
        if name not in pairs:
            folded.setdefault(name.casefold(), []).append(name)
    candidates: dict[str, int] = {}
    for part in unmatched:
        for key in {key.casefold() for key in part.keys}:
            candidates[key] = candidates.get(key, 0) + 1
    for part in unmatched:
        for key in part.keys:
            found = folded.get(key.casefold(), [])
            if len(found) == 1 and found[0] not in pairs and candidates[key.casefold()] == 1:
                pairs[found[0]] = replace(part, keys=(key,))
                break
    return pairs
