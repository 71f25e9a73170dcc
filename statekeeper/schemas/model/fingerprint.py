"""The fingerprint of a model: equal for equal meaning, in every process and run, and under every version of pydantic.

It is a SHA-256 over what `schemas.model.core_schema` reads from the model: each field's names, type and constraints,
and the syntax tree of every validator, with what it uses from its own folder (`schemas.model.source_text`). The parts
that are left to pydantic row by row count as described in pydantic's core schema. Spelling, defaults, documentation,
addresses and keys of the core schema without effect do not count. JSON Schema is not enough: it lacks the bounds of
dates and the requirement of a time zone, among others.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from statekeeper.schemas.model.core_schema import function_of, read_model
from statekeeper.schemas.model.fields import Kind, ModelField, ModelShape, Node
from statekeeper.schemas.model.source_text import Describe, by_text, by_tree, class_text, source_text

if TYPE_CHECKING:
    from pydantic import BaseModel

_WITHOUT_MEANING = frozenset(
    {
        *("metadata", "serialization", "title", "model_name", "computed_fields", "default", "default_factory", "ref"),
        *("validate_default", "copy_default", "default_factory_takes_data", "microseconds_precision", "frozen"),
        *("serialization_alias", "serialization_exclude", "serialization_exclude_if", "root_model", "custom_init"),
        *("field_name", "generic_origin", "cls_repr", "strict"),
    }
)
"""Keys of a core schema that do not affect strict validation."""
_NUMBERS = frozenset({Kind.INT, Kind.DECIMAL, Kind.FLOAT})


def model_fingerprint(model: type[BaseModel]) -> str:
    """SHA-256 (hexadecimal) of what the model accepts; changing a bound, a type or a validator changes it."""
    return _fingerprint(model, by_tree)


def text_fingerprint(model: type[BaseModel]) -> str | None:
    """The fingerprint of version 0.1 for a model with code of its own; None for others, whose fingerprint is equal."""
    shape = read_model(model)
    return _fingerprint(model, by_text) if _has_any_code(shape) else None


def _fingerprint(model: type[BaseModel], describe: Describe) -> str:
    described = _Description(read_model(model), describe).of_model(model)
    text = json.dumps(described, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class _Description:
    """A model as a JSON value; `describe` turns its functions into text."""

    def __init__(self, shape: ModelShape, describe: Describe) -> None:
        self._shape = shape
        self._describe = describe
        self._core = _CoreSchema(shape.definitions, describe)

    def of_model(self, model: type[BaseModel]) -> Any:
        shape = self._shape
        parts = sorted((self._field(part) for part in shape.fields), key=repr)
        if not _has_any_code(shape):
            return {"fields": parts}
        return {
            "fields": parts,
            # A validator's arguments depend on the order of the fields and on the config.
            "order": [part.keys for part in shape.fields],
            "config": self._core.of(shape.config),
            "validators": [self._function(node) for node in shape.validators],
            "hooks": shape.hooks,
            "methods": class_text(model, self._describe) if shape.whole_row_reason else None,
        }

    def _field(self, part: ModelField) -> dict[str, Any]:
        """A field, or a member of a union."""
        described: dict[str, Any] = {
            "keys": part.keys,
            "kind": part.kind.value,
            "nullable": part.is_nullable,
            "constraints": {
                name: self._limit(part.kind, value)
                for name, value in part.constraints.items()
                if _decides(part.kind, name, value)
            },
        }
        if part.members is not None:
            described["members"] = sorted(repr(value) for value in part.members)
        if part.choices:
            described["choices"] = sorted((self._field(choice) for choice in part.choices), key=repr)
        if part.unsupported is not None:
            described["unsupported"] = part.unsupported
        if _has_code(part):
            described["enum"] = part.enum.__name__ if part.enum is not None else None
            described["steps"] = [None if step is None else self._function(step) for step in part.steps]
            described["opaque"] = self._core.of(part.opaque)
        return described

    def _limit(self, kind: Kind, value: Any) -> Any:
        """A constraint's value; numbers are equal whether written 1, 1.0 or Decimal("1.00")."""
        if kind in _NUMBERS and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            # pydantic reads a float bound of an int or Decimal from its shortest text; a float field uses it as it is.
            number = Decimal(repr(value)) if isinstance(value, float) and kind is not Kind.FLOAT else value
            number = float(number) if kind is Kind.FLOAT else number
            return str(Fraction(number)) if Decimal(number).is_finite() else str(number)
        return self._core.of(value)

    def _function(self, node: Node) -> list[Any]:
        return [node["type"], node["function"].get("type"), source_text(function_of(node), self._describe)]


def _has_any_code(shape: ModelShape) -> bool:
    return bool(shape.whole_row_reason) or any(_has_code(part) for part in shape.fields)


def _has_code(part: ModelField) -> bool:
    return part.opaque is not None or any(step is not None for step in part.steps) or any(map(_has_code, part.choices))


def _decides(kind: Kind, name: str, value: Any) -> bool:
    """Whether a constraint can refuse anything, or is only the default."""
    if name == "allow_inf_nan":
        return kind is Kind.FLOAT and not value  # no column holds a Decimal that is not finite
    return value is not None and value is not False


class _CoreSchema:
    """A core schema as a JSON value; references, which contain addresses, are replaced by their targets."""

    def __init__(self, definitions: Mapping[str, Node], describe: Describe) -> None:
        self._definitions = definitions
        self._describe = describe
        self._open: list[str] = []

    def of(self, value: Any) -> Any:
        """A JSON value that is equal exactly when the meaning of `value` is."""
        if value is None or type(value) in {bool, int, str}:
            return value
        if isinstance(value, Mapping):
            return self._node(value)
        if isinstance(value, list | tuple):
            return [self.of(part) for part in value]
        if isinstance(value, set | frozenset):
            return sorted((self.of(part) for part in value), key=repr)
        return self._of_object(value)

    def _node(self, node: Node) -> Any:
        ref = str(node.get("schema_ref"))
        if node.get("type") == "definition-ref" and ref in self._definitions:
            if ref in self._open:
                return ["again", len(self._open) - self._open.index(ref)]
            self._open.append(ref)
            found = self.of(self._definitions[ref])
            self._open.pop()
            return found
        return {str(key): self.of(part) for key, part in node.items() if key not in _WITHOUT_MEANING}

    def _of_object(self, value: Any) -> Any:
        if isinstance(value, enum.Enum):
            return ["member", value.name, self.of(value.value)]
        if isinstance(value, re.Pattern):
            return ["pattern", value.pattern, value.flags]
        if isinstance(value, type):
            return ["class", value.__qualname__, class_text(value, self._describe)]
        if callable(value):
            return ["code", source_text(value, self._describe)]
        return [type(value).__qualname__, repr(value)]
