"""Inline `columns:` rules as a pydantic model, strict and without further columns.

Decides which keys go with which type, and reports every contradiction at once. The keys' meaning is pydantic's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic_core import SchemaError

from statekeeper.errors import ConfigError

if TYPE_CHECKING:
    from statekeeper.model.schema import ColumnRule

_PYTHON: dict[str, type] = {
    "int": int,
    "decimal": Decimal,
    "float": float,
    "str": str,
    "bytes": bytes,
    "bool": bool,
    "date": date,
    "datetime": datetime,
    "time": time,
    "uuid": UUID,
}
_BOUNDS = ("ge", "gt", "le", "lt")
_LENGTHS = ("min_length", "max_length")
_KEYS_OF: dict[str, tuple[str, ...]] = {
    "int": (*_BOUNDS, "multiple_of", "enum"),
    "decimal": (*_BOUNDS, "multiple_of", "max_digits", "decimal_places"),
    "float": (*_BOUNDS, "multiple_of"),
    "str": (*_LENGTHS, "pattern", "enum"),
    "bytes": _LENGTHS,
    "bool": (),
    "date": _BOUNDS,
    "datetime": _BOUNDS,
    "time": _BOUNDS,
    "uuid": (),
}
_ALL_KEYS = (*_BOUNDS, "multiple_of", "max_digits", "decimal_places", *_LENGTHS, "pattern", "enum")


def inline_model(columns: Mapping[str, ColumnRule]) -> type[BaseModel]:
    """The model of inline rules, named `Columns`; a field goes by its column's name.

    Raises:
        ConfigError: lists every key that does not go with its type, and every value that pydantic refuses.
    """
    problems: list[str] = []
    fields: dict[str, Any] = {}
    for index, (name, rule) in enumerate(columns.items()):
        try:
            # The alias carries the column's name, which need not be an identifier.
            fields[f"column_{index}"] = (_annotation(rule), Field(alias=name, **_constraints(rule)))
            create_model("Columns", **{f"column_{index}": fields[f"column_{index}"]})
        except (ValueError, TypeError, SchemaError) as error:
            problems.append(f"  {name}: {str(error).splitlines()[-1].strip()}")
    if not columns:
        problems.append("  no columns are declared")
    if problems:
        raise ConfigError("columns cannot be made into a schema:\n" + "\n".join(problems))
    return create_model("Columns", __config__=ConfigDict(strict=True, extra="forbid"), **fields)


def _annotation(rule: ColumnRule) -> Any:
    kind: Any = _PYTHON[rule.type]
    if rule.enum is not None:
        stray = [value for value in rule.enum if type(value) is not kind]
        if stray or not rule.enum:
            raise ValueError(f"enum of a {rule.type} needs values of that type, found {list(rule.enum)!r}")
        kind = Literal[rule.enum]
    return kind | None if rule.nullable else kind


def _constraints(rule: ColumnRule) -> dict[str, Any]:
    given = {key: getattr(rule, key) for key in _ALL_KEYS if getattr(rule, key) is not None}
    for key in given:
        if key not in _KEYS_OF[rule.type]:
            raise ValueError(f"{key} does not go with type {rule.type}, which takes {', '.join(_KEYS_OF[rule.type])}")
    if "enum" in given and len(given) > 1:
        raise ValueError(
            f"enum already lists every value; leave out {', '.join(key for key in given if key != 'enum')}"
        )
    given.pop("enum", None)
    return {key: _value(rule, key, value) for key, value in given.items()}


def _value(rule: ColumnRule, key: str, value: Any) -> Any:
    """A bound as a value of the column's own type."""
    if key not in (*_BOUNDS, "multiple_of"):
        return value
    if rule.type in {"date", "datetime", "time"}:
        try:
            return _PYTHON[rule.type].fromisoformat(str(value))  # type: ignore[attr-defined]  # the three have it
        except ValueError as error:
            raise ValueError(f"{key} must be an ISO {rule.type}, found {str(value)!r}") from error
    number = Decimal(value) if isinstance(value, Decimal) else None
    if number is None:
        raise ValueError(f"{key} must be a number, found {value!r}")
    if rule.type == "int":
        if value != value.to_integral_value():
            raise ValueError(f"{key} of an int must be whole, found {value}")
        return int(value)
    return float(value) if rule.type == "float" else value
