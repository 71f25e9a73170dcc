"""Builds a pydantic model from inline `columns:` rules; it is strict and allows no further columns.

Decides which keys each type allows, and reports all contradictions at once. The keys' meaning is pydantic's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NaiveDatetime,
    StringConstraints,
    create_model,
)
from pydantic_core import PydanticCustomError, SchemaError

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
    "float": (*_BOUNDS, "multiple_of", "allow_inf_nan"),
    "str": (*_LENGTHS, "pattern", "strip_whitespace", "ascii_only", "enum"),
    "bytes": _LENGTHS,
    "bool": (),
    "date": _BOUNDS,
    "datetime": (*_BOUNDS, "timezone"),
    "time": _BOUNDS,
    "uuid": (),
}
_ALL_KEYS = tuple(dict.fromkeys(key for keys in _KEYS_OF.values() for key in keys))
_OF_STRINGS = ("strip_whitespace", "ascii_only")
KNOWS_ASCII_ONLY = "ascii_only" in signature(StringConstraints).parameters
"""Whether this pydantic has the constraint; if not, a validator replaces it, row by row."""
_ZONED: dict[str, Any] = {"aware": AwareDatetime, "naive": NaiveDatetime}


def inline_model(columns: Mapping[str, ColumnRule]) -> type[BaseModel]:
    """The model of inline rules, named `Columns`; a field's alias is its column's name.

    Raises:
        ConfigError: lists every key that its type does not allow, and every value that pydantic refuses.
    """
    problems = [f"  {name}: {text}" for name, text in rule_problems(columns).items()]
    if not columns:
        problems.append("  no columns are declared")
    if problems:
        raise ConfigError("columns cannot be made into a schema:\n" + "\n".join(problems))
    # The alias has the column's name, which may not be an identifier.
    fields: dict[str, Any] = {
        f"column_{index}": (_annotation(rule), Field(alias=name)) for index, (name, rule) in enumerate(columns.items())
    }
    return create_model("Columns", __config__=ConfigDict(strict=True, extra="forbid"), **fields)


def rule_problems(columns: Mapping[str, ColumnRule]) -> dict[str, str]:
    """The problems of inline rules, by column: keys that a type does not allow, values that pydantic refuses."""
    problems: dict[str, str] = {}
    for name, rule in columns.items():
        try:
            create_model("Columns", column=(_annotation(rule), ...))
        except (ValueError, TypeError, SchemaError) as error:
            text = str(error).splitlines()[-1].strip()
            is_pattern = isinstance(error, SchemaError) and rule.pattern is not None
            problems[name] = f"pattern is not a regular expression: {text}" if is_pattern else text
    return problems


def _annotation(rule: ColumnRule) -> Any:
    given = {key: getattr(rule, key) for key in _ALL_KEYS if getattr(rule, key) is not None}
    for key in given:
        if key not in _KEYS_OF[rule.type]:
            takes = ", ".join(_KEYS_OF[rule.type]) or "none"
            raise ValueError(f"{key} does not go with type {rule.type}, which takes {takes}")
    if rule.enum is not None:
        kind = _literal(rule, [key for key in given if key != "enum"])
    else:
        kind = _constrained(rule, given)
    return kind | None if rule.nullable else kind


def _literal(rule: ColumnRule, others: list[str]) -> Any:
    values = rule.enum or ()
    if not values or any(type(value) is not _PYTHON[rule.type] for value in values):
        raise ValueError(f"enum of a {rule.type} needs values of that type, found {list(values)!r}")
    if others:
        raise ValueError(f"enum already lists every value; leave out {', '.join(others)}")
    return Literal[values]


def _constrained(rule: ColumnRule, given: dict[str, Any]) -> Any:
    kind: Any = _ZONED[rule.timezone] if rule.timezone is not None else _PYTHON[rule.type]
    strings = {key: value for key, value in given.items() if key in _OF_STRINGS}
    others = {key: _value(rule, key, value) for key, value in given.items() if key not in {*_OF_STRINGS, "timezone"}}
    if not KNOWS_ASCII_ONLY and strings.pop("ascii_only", False):
        kind = Annotated[kind, AfterValidator(_ascii_only)]
    if strings:
        kind = Annotated[kind, StringConstraints(**strings)]
    return Annotated[kind, Field(**others)] if others else kind


def _ascii_only(value: str) -> str:
    if not value.isascii():
        raise PydanticCustomError("string_not_ascii", "String should contain only ASCII characters")
    return value


def _value(rule: ColumnRule, key: str, value: Any) -> Any:
    """A bound as a value of the column's type."""
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
