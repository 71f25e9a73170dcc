"""What a pydantic model asks of each column, read from its core schema: the description that pydantic validates by.

Decides the Python type that a field takes, its constraints, and whether all of its meaning is understood; whatever is
not is given a `reason` and left to pydantic, row by row. It does not decide Arrow types (`schemas.meet`) or SQL
(`schemas.checks`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

Node = Mapping[str, Any]
"""A node of pydantic's core schema: a dict with a `type`."""


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
    """One field. `key` is the name its value goes by in a row: the alias, else the name.

    `members` are the only values allowed (Literal or Enum), `enum` the class they come as. `union` holds the types of a
    union's members. `reason` says why the field is validated row by row; `needs_row` that its validator looks at other
    fields. `takes_raw` says that a validator stands before the type, so that the column's own value will do where the
    type does not fit.
    """

    name: str
    key: str
    kind: Kind = Kind.ANY
    is_nullable: bool = False
    constraints: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[str | int, ...] | None = None
    enum: type[enum.Enum] | None = None
    union: frozenset[Kind] = frozenset()
    reason: str | None = None
    needs_row: bool = False
    takes_raw: bool = False
    unsupported: str | None = None
    node: Node = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How messages name its type."""
        if self.union:
            return " | ".join(sorted(self.union))
        if self.enum is not None:
            return self.enum.__name__
        return f"Literal of {self.kind}" if self.members is not None else str(self.kind)

    @property
    def annotation(self) -> str:
        """How a person reads it in a model: the type, and whether None is one of its values."""
        return f"{self.label} | None" if self.is_nullable and self.kind is not Kind.ANY else self.label

    def because(self, reason: str) -> ModelField:
        """The same field, validated row by row for `reason` (the first reason stays)."""
        return replace(self, reason=self.reason or reason)


@dataclass(frozen=True)
class ModelShape:
    """A model's fields; `whole_row_reason` says why rows must go through the model as a whole."""

    fields: tuple[ModelField, ...]
    whole_row_reason: str | None
    unsupported: str | None
    config: Mapping[str, Any]
    definitions: Mapping[str, Node]


_KINDS = {
    "int": Kind.INT,
    "decimal": Kind.DECIMAL,
    "float": Kind.FLOAT,
    "str": Kind.STR,
    "bytes": Kind.BYTES,
    "bool": Kind.BOOL,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "time": Kind.TIME,
    "uuid": Kind.UUID,
    "any": Kind.ANY,
}
_ORDER = frozenset({"ge", "gt", "le", "lt"})
_UNDERSTOOD: dict[Kind, frozenset[str]] = {
    Kind.INT: _ORDER | {"multiple_of"},
    Kind.DECIMAL: _ORDER | {"multiple_of", "max_digits", "decimal_places", "allow_inf_nan"},
    Kind.FLOAT: _ORDER | {"multiple_of", "allow_inf_nan"},
    Kind.STR: frozenset({"min_length", "max_length", "pattern", "ascii_only", "coerce_numbers_to_str"}),
    Kind.BYTES: frozenset({"min_length", "max_length"}),
    Kind.DATE: _ORDER,
    Kind.DATETIME: _ORDER | {"tz_constraint"},
    Kind.TIME: _ORDER,
}
_WITHOUT_MEANING = frozenset({"type", "strict", "ref", "metadata", "serialization", "microseconds_precision"})
"""Keys of a leaf that do not change what a strict validation of a Python value accepts."""
_CONFIG_WITHOUT_MEANING = frozenset(
    {
        *(
            "title",
            "strict",
            "extra_fields_behavior",
            "extra_behavior",
            "validate_by_alias",
            "validate_by_name",
            "frozen",
        ),
        *("loc_by_alias", "use_enum_values", "from_attributes", "typed_dict_total", "coerce_numbers_to_str"),
        *("validate_default", "revalidate_instances", "val_json_bytes", "val_temporal_unit", "ser_json_bytes"),
        *("ser_json_timedelta", "ser_json_temporal", "ser_json_inf_nan", "serialize_by_alias", "hide_input_in_errors"),
        *("validation_error_cause", "cache_strings", "url_preserve_empty_path", "polymorphic_serialization"),
    }
)
_CONFIG_OF_STR = {"str_min_length": "min_length", "str_max_length": "max_length"}
_CONFIG_ROW_BY_ROW = {
    "str_strip_whitespace": Kind.STR,
    "str_to_lower": Kind.STR,
    "str_to_upper": Kind.STR,
    "regex_engine": Kind.STR,
    "ascii_only": Kind.STR,
}
_FUNCTIONS = frozenset({"function-before", "function-after", "function-wrap"})
_OPAQUE = frozenset({"function-plain", "is-instance", "is-subclass", "callable", "custom-error", "call"})
_CHOICES = {"lax-or-strict": "strict_schema", "json-or-python": "python_schema"}


def read_model(model: type[BaseModel]) -> ModelShape:
    """What the model asks of a row, field by field in the model's order."""
    node: Node = model.__pydantic_core_schema__
    definitions: dict[str, Node] = {}
    config: Mapping[str, Any] = {}
    reason: str | None = None
    unsupported: str | None = None
    while node["type"] != "model-fields":
        kind = node["type"]
        if kind == "definitions":
            definitions |= {part["ref"]: part for part in node["definitions"]}
        elif kind == "definition-ref":
            node = definitions[node["schema_ref"]]
            continue
        elif kind == "model":
            config = node.get("config") or {}
            unsupported = "it is a RootModel: a row needs named fields" if node.get("root_model") else None
            reason = reason or _constructor_reason(model, node)
            if unsupported:
                return ModelShape((), reason, unsupported, config, definitions)
        elif kind in _FUNCTIONS:
            reason = reason or f"model validator {function_name(node)}"
        else:
            return ModelShape((), reason, f"its core schema is {kind}", config, definitions)
        node = node["schema"]
    unknown = sorted(key for key in config if not _is_understood_config(key))
    if unknown:
        reason = reason or f"model config {', '.join(unknown)}"
    fields = tuple(_read_field(name, part, config, definitions) for name, part in node["fields"].items())
    for part in fields:
        if part.needs_row:
            reason = reason or f"{part.reason} of {part.key} looks at other fields"
    return ModelShape(fields, reason, unsupported, config, definitions)


def function_name(node: Node) -> str:
    """The name of the function in a `function-*` node."""
    function = node["function"]
    target = function["function"] if isinstance(function, Mapping) else function
    return str(getattr(target, "__name__", type(target).__name__))


def _is_understood_config(key: str) -> bool:
    return (
        key in _CONFIG_WITHOUT_MEANING or key in _CONFIG_OF_STR or key in _CONFIG_ROW_BY_ROW or key == "allow_inf_nan"
    )


def _constructor_reason(model: type[BaseModel], node: Node) -> str | None:
    if node.get("custom_init"):
        return "the model's own __init__"
    # Private attributes alone also set post_init; that hook is pydantic's and refuses nothing.
    if node.get("post_init") and not getattr(model.model_post_init, "__module__", "").startswith("pydantic."):
        return "model_post_init"
    return None


def _read_field(name: str, part: Node, config: Mapping[str, Any], definitions: Mapping[str, Node]) -> ModelField:
    alias = part.get("validation_alias", name)
    by_name = config.get("validate_by_alias") is False
    key = name if by_name or not isinstance(alias, str) else alias
    found = _unwrap(ModelField(name=name, key=key, node=part), part["schema"], definitions)
    if not isinstance(alias, str) and not by_name:
        return replace(found, unsupported="an alias that is a path or a choice; give it one plain name")
    return _with_config(found, config)


def _unwrap(found: ModelField, node: Node, definitions: Mapping[str, Node]) -> ModelField:
    """Walk from the field's outermost schema inwards to its type."""
    while True:
        kind = node["type"]
        if kind == "nullable":
            found, node = replace(found, is_nullable=True), node["schema"]
        elif kind == "default":
            if node.get("on_error", "raise") != "raise":
                found = found.because("a default that stands in for an error")
            node = node["schema"]
        elif kind == "definition-ref":
            node = definitions[node["schema_ref"]]
        elif kind in _FUNCTIONS or kind == "function-plain":
            takes_raw = found.takes_raw or kind != "function-after"
            needs_row = found.needs_row or node["function"].get("type") == "with-info"
            found = replace(found.because(f"validator {function_name(node)}"), takes_raw=takes_raw, needs_row=needs_row)
            if kind == "function-plain":
                return found
            node = node["schema"]
        elif kind in _CHOICES:
            found, node = found.because(kind), node[_CHOICES[kind]]
        elif kind == "chain":
            found, node = found.because("a chain of validators"), node["steps"][0]
        else:
            return _read_type(found, node, definitions)


def _read_type(found: ModelField, node: Node, definitions: Mapping[str, Node]) -> ModelField:
    kind = node["type"]
    if kind in {"union", "tagged-union"}:
        return _read_union(found, node, definitions)
    if kind == "literal":
        return _with_members(found, node["expected"])
    if kind == "enum":
        found = replace(found, enum=node["cls"])
        return _with_members(found, [member.value for member in node["members"]])
    if kind in _OPAQUE:
        return found.because(f"a type of its own ({kind})")
    if kind not in _KINDS:
        return replace(found, unsupported=f"no column holds a {kind}")
    constraints = {key: value for key, value in node.items() if key not in _WITHOUT_MEANING}
    accepts_none = found.is_nullable or kind == "any"
    found = replace(found, kind=_KINDS[kind], constraints=constraints, is_nullable=accepts_none)
    unknown = sorted(set(constraints) - _UNDERSTOOD.get(found.kind, frozenset()))
    return found.because(f"constraint {', '.join(unknown)}") if unknown else found


def _read_union(found: ModelField, node: Node, definitions: Mapping[str, Node]) -> ModelField:
    choices = node["choices"].values() if isinstance(node["choices"], Mapping) else node["choices"]
    members = [_unwrap(found, choice[0] if isinstance(choice, tuple) else choice, definitions) for choice in choices]
    return replace(
        found.because("a union of types"),
        is_nullable=found.is_nullable or any(member.is_nullable for member in members),
        union=frozenset(member.kind for member in members if member.unsupported is None),
        needs_row=any(member.needs_row for member in members),
    )


def _with_members(found: ModelField, values: list[Any]) -> ModelField:
    """Literal and Enum: members that are all str or all int are understood; None among a Literal's means nullable."""
    is_plain_enum = found.enum is not None
    if not is_plain_enum and None in values:
        found = replace(found, is_nullable=True)
        values = [value for value in values if value is not None]
    for plain, kind in ((str, Kind.STR), (int, Kind.INT)):
        if values and all(type(value) is plain for value in values):
            return replace(found, kind=kind, members=tuple(values))
    return found.because("members that are not all str or all int")


def _with_config(found: ModelField, config: Mapping[str, Any]) -> ModelField:
    """The model's config acts on each field that does not say otherwise."""
    if found.members is not None:
        return found
    constraints = dict(found.constraints)
    if found.kind is Kind.STR:
        for key, name in _CONFIG_OF_STR.items():
            if key in config:
                constraints.setdefault(name, config[key])
    if found.kind in {Kind.FLOAT, Kind.DECIMAL} and "allow_inf_nan" in config:
        constraints.setdefault("allow_inf_nan", config["allow_inf_nan"])
    found = replace(found, constraints=constraints)
    for key, kind in _CONFIG_ROW_BY_ROW.items():
        is_default = key == "regex_engine" and (config.get(key) == "rust-regex" or "pattern" not in constraints)
        if found.kind is kind and config.get(key) and not is_default:
            found = found.because(f"model config {key}")
    return found


def pair_fields(names: tuple[str, ...], fields: tuple[ModelField, ...]) -> dict[str, ModelField]:
    """The field of each column name: by the same spelling, else without regard to case where that is unambiguous."""
    by_key = {part.key: part for part in fields}
    pairs = {name: by_key[name] for name in names if name in by_key}
    taken = {part.key for part in pairs.values()}
    loose_fields = [part for part in fields if part.key not in taken]
    loose_names = [name for name in names if name not in pairs]
    for name in loose_names:
        same = [part for part in loose_fields if part.key.casefold() == name.casefold()]
        rivals = [other for other in loose_names if other.casefold() == name.casefold()]
        if len(same) == 1 and len(rivals) == 1:
            pairs[name] = same[0]
    return pairs
