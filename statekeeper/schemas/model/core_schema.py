"""Reads what a pydantic model requires of each column from its core schema, by which pydantic validates.

Decides a field's Python type, its constraints, and whether all of its meaning is understood. A field that is not fully
understood gets a `reason` and is validated by pydantic row by row; one that no column can satisfy is `unsupported`.
Does not decide Arrow types (`schemas.columns.reconcile`) or SQL (`schemas.rules.checks`).

The core schema is private to pydantic. No other module reads it, and only that of the versions in `TESTED` is read.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pydantic
from pydantic import BaseModel

from statekeeper.errors import ConfigError
from statekeeper.schemas.model.fields import Kind, ModelField, ModelShape, Node

TESTED = ((2, 10), (2, 14))
"""The first and the last version of pydantic that the tests run on; pyproject.toml asks for no other."""
INSTALLED = tuple(int(number) for number in pydantic.VERSION.split(".")[:2])
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
_KIND_OF_CLASS: dict[type, Kind] = {
    bool: Kind.BOOL,
    int: Kind.INT,
    Decimal: Kind.DECIMAL,
    float: Kind.FLOAT,
    str: Kind.STR,
    bytes: Kind.BYTES,
    datetime: Kind.DATETIME,
    date: Kind.DATE,
    time: Kind.TIME,
    uuid.UUID: Kind.UUID,
    object: Kind.ANY,
}
_READ_AS_TEXT = frozenset({"url", "multi-host-url", "json"})
"""Types that pydantic builds from a str, even in strict mode."""
_ORDER = frozenset({"ge", "gt", "le", "lt"})
_UNDERSTOOD: dict[Kind, frozenset[str]] = {
    Kind.INT: _ORDER | {"multiple_of"},
    Kind.DECIMAL: _ORDER | {"multiple_of", "max_digits", "decimal_places", "allow_inf_nan"},
    Kind.FLOAT: _ORDER | {"multiple_of", "allow_inf_nan"},
    Kind.STR: frozenset(
        {"min_length", "max_length", "pattern", "ascii_only", "strip_whitespace", "to_lower", "to_upper"}
    ),
    Kind.BYTES: frozenset({"min_length", "max_length"}),
    Kind.DATE: _ORDER,
    Kind.DATETIME: _ORDER | {"tz_constraint"},
    Kind.TIME: _ORDER,
}
_WITHOUT_MEANING = frozenset(
    {"type", "strict", "ref", "metadata", "serialization", "microseconds_precision", "coerce_numbers_to_str"}
)
"""Keys of a leaf that do not change what a strict validation of a Python value accepts."""
_CONFIG_OF_STR = {
    "str_min_length": "min_length",
    "str_max_length": "max_length",
    "str_strip_whitespace": "strip_whitespace",
    "str_to_lower": "to_lower",
    "str_to_upper": "to_upper",
}
_CONFIG_ROW_BY_ROW = ("regex_engine", "ascii_only")
"""Config keys for strings that are left to pydantic."""
_BY_NAME = ("validate_by_name", "populate_by_name")
"""The config keys that allow a field's name instead of its alias: from pydantic 2.11 on, and before."""
_CONFIG_UNDERSTOOD = frozenset(
    {
        *("title", "strict", "extra_fields_behavior", "extra_behavior", "validate_by_alias", *_BY_NAME),
        *("frozen", "loc_by_alias", "use_enum_values", "from_attributes", "typed_dict_total", "coerce_numbers_to_str"),
        *("validate_default", "revalidate_instances", "val_json_bytes", "val_temporal_unit", "ser_json_bytes"),
        *("ser_json_timedelta", "ser_json_temporal", "ser_json_inf_nan", "serialize_by_alias", "hide_input_in_errors"),
        *("validation_error_cause", "cache_strings", "url_preserve_empty_path", "polymorphic_serialization"),
        *_CONFIG_OF_STR,
        *_CONFIG_ROW_BY_ROW,
        "allow_inf_nan",
    }
)
"""Keys that do not affect strict validation of Python values, and those that `_with_config` handles."""
_FUNCTIONS = frozenset({"function-before", "function-after", "function-wrap"})
_OPAQUE = frozenset({"callable", "is-subclass", "call"})
_CHOICES = {"lax-or-strict": "strict_schema", "json-or-python": "python_schema"}


def read_model(model: type[BaseModel]) -> ModelShape:
    """What the model requires of a row, field by field in the model's order.

    Raises:
        ConfigError: the installed pydantic is none of those in `TESTED`; its core schema may mean something else.
    """
    _require_tested(INSTALLED)
    node: Node = model.__pydantic_core_schema__
    shape = ModelShape(())
    definitions: dict[str, Node] = {}
    while node["type"] != "model-fields":
        kind = node["type"]
        if kind == "definitions":
            definitions |= {part["ref"]: part for part in node["definitions"]}
        elif kind == "definition-ref":
            node = definitions[node["schema_ref"]]
            continue
        elif kind == "model":
            shape = replace(shape, config=node.get("config") or {}, hooks=_hooks(model, node))
            if node.get("root_model"):
                return replace(shape, unsupported="it is a RootModel: a row needs named fields")
        elif kind in _FUNCTIONS:
            shape = replace(shape, validators=(*shape.validators, node))
        else:
            return replace(shape, unsupported=f"its core schema is {kind}")
        node = node["schema"]
    fields = tuple(_read_field(name, part, shape.config, definitions) for name, part in node["fields"].items())
    return replace(shape, fields=fields, definitions=definitions, whole_row_reason=_whole_row_reason(shape))


def _require_tested(version: tuple[int, ...]) -> None:
    first, last = TESTED
    if not first <= version <= last:
        (major, oldest), (_, newest) = first, last
        raise ConfigError(
            f"pydantic {major}.{oldest} to {major}.{newest} can read models for statekeeper; "
            f"found {'.'.join(map(str, version))}",
            hint=f"pip install 'pydantic>={major}.{oldest},<{major}.{newest + 1}'",
        )


def function_name(node: Node) -> str:
    """The name of the function in a `function-*` node."""
    target = function_of(node)
    return str(getattr(target, "__name__", type(target).__name__))


def function_of(node: Node) -> Any:
    """The function in a `function-*` node."""
    function = node["function"]
    return function["function"] if isinstance(function, Mapping) else function


def _hooks(model: type[BaseModel], node: Node) -> tuple[str, ...]:
    """The model's own methods that run for each row."""
    # Private attributes also set post_init; that hook is pydantic's and refuses nothing.
    has_post_init = node.get("post_init") and not _is_of_pydantic(model.model_post_init)
    return (*(("__init__",) if node.get("custom_init") else ()), *(("model_post_init",) if has_post_init else ()))


def _whole_row_reason(shape: ModelShape) -> str | None:
    if shape.validators:
        return f"model validator {function_name(shape.validators[0])}"
    if shape.hooks:
        return f"the model's own {shape.hooks[0]}"
    unknown = sorted(key for key in shape.config if key not in _CONFIG_UNDERSTOOD)
    return f"model config {', '.join(unknown)}" if unknown else None


def _is_of_pydantic(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).split(".")[0] == "pydantic"


def _read_field(name: str, part: Node, config: Mapping[str, Any], definitions: Mapping[str, Node]) -> ModelField:
    keys = _keys(name, part.get("validation_alias"), config)
    found = _unwrap(ModelField(name=name, keys=keys or (name,), node=part), part["schema"], config, definitions)
    return found if keys else replace(found, unsupported="its alias is a path into a value; give it one plain name")


def _keys(name: str, alias: Any, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of a field's value in a row, in pydantic's order; only plain names, as columns have."""
    if alias is None or config.get("validate_by_alias") is False:
        return (name,)
    paths = [[alias]] if isinstance(alias, str) else alias if isinstance(alias[0], list) else [alias]
    plain = tuple(path[0] for path in paths if len(path) == 1 and isinstance(path[0], str))
    return tuple(dict.fromkeys((*plain, name))) if any(config.get(key) for key in _BY_NAME) else plain


def _unwrap(found: ModelField, node: Node, config: Mapping[str, Any], definitions: Mapping[str, Node]) -> ModelField:
    """Walk from the field's outermost schema inward to its type."""
    while (inner := _layer(found, node, definitions)) is not None:
        found, node = inner
    if node["type"] == "function-plain":
        return _with_function(found, node)
    return _with_config(_read_type(found, node, config, definitions), config)


def _layer(found: ModelField, node: Node, definitions: Mapping[str, Node]) -> tuple[ModelField, Node] | None:
    """The field with what a wrapping node adds to it, and the wrapped node; None if the node is a type."""
    kind = node["type"]
    if kind == "nullable":
        return replace(found, is_nullable=True, steps=(*found.steps, None)), node["schema"]
    if kind == "default":
        if node.get("on_error", "raise") != "raise":
            found = found.not_understood(node, "a default that replaces an error")
        return found, node["schema"]
    if kind == "definition-ref":
        return found, definitions[node["schema_ref"]]
    if kind in _FUNCTIONS:
        return _with_function(found, node), node["schema"]
    if kind in _CHOICES:
        return found.not_understood(node, kind), node[_CHOICES[kind]]
    if kind == "custom-error":
        return found, node["schema"]  # another message, the same result
    if kind == "chain":
        return found.not_understood(node, "a chain of validators"), node["steps"][0]
    return None


def _with_function(found: ModelField, node: Node) -> ModelField:
    has_info = node["function"].get("type") == "with-info" and not _is_of_pydantic(function_of(node))
    return replace(
        found.with_reason(f"validator {function_name(node)}"),
        takes_raw=found.takes_raw or node["type"] != "function-after",
        reads_others=found.reads_others or has_info,
        steps=(*found.steps, node),
    )


def _read_type(found: ModelField, node: Node, config: Mapping[str, Any], definitions: Mapping[str, Node]) -> ModelField:
    kind = node["type"]
    if kind in {"union", "tagged-union"}:
        return _read_union(found, node, config, definitions)
    if kind == "literal":
        return _with_literal(found, node["expected"])
    if kind == "enum":
        return _with_members(replace(found, enum=node["cls"]), [member.value for member in node["members"]], node)
    if kind in _READ_AS_TEXT:
        return replace(found.not_understood(node, f"text that is read as {kind}"), kind=Kind.STR)
    if kind == "is-instance" and node["cls"] in _KIND_OF_CLASS:
        return replace(found.not_understood(node, "a demand for instances"), kind=_KIND_OF_CLASS[node["cls"]])
    if kind == "is-instance":
        name = getattr(node["cls"], "__name__", node["cls"])
        return replace(found, unsupported=f"strict mode takes only instances of {name}, and no column holds those")
    if kind in _OPAQUE:
        return found.not_understood(node, f"a type of its own ({kind})")
    if kind not in _KINDS:
        return replace(found, unsupported=f"no column holds a {kind}; {_INSTEAD.get(kind, 'select it as text')}")
    constraints = {key: value for key, value in node.items() if key not in _WITHOUT_MEANING}
    accepts_none = found.is_nullable or kind == "any"
    found = replace(found, kind=_KINDS[kind], constraints=constraints, is_nullable=accepts_none)
    unknown = sorted(set(constraints) - _UNDERSTOOD.get(found.kind, frozenset()))
    if "now_op" in unknown:
        return found.not_understood(node, f"{constraints['now_op']} at the time of validation")
    return found.not_understood(node, f"constraint {', '.join(unknown)}") if unknown else found


_INSTEAD = {
    "timedelta": "select it as a number of seconds, or as text",
    "complex": "select its two parts",
    "none": "declare the column's type, or select without it",
    "model": "select its attributes one by one",
    "typed-dict": "select its attributes one by one",
    "dataclass": "select its attributes one by one",
}


def _read_union(
    found: ModelField, node: Node, config: Mapping[str, Any], definitions: Mapping[str, Node]
) -> ModelField:
    """A union, read member by member. It accepts NULL if any member does."""
    choices = node["choices"].values() if isinstance(node["choices"], Mapping) else node["choices"]
    bare = ModelField(found.name, found.keys)
    members = tuple(
        _unwrap(bare, choice[0] if isinstance(choice, tuple) else choice, config, definitions) for choice in choices
    )
    found = replace(
        found,
        is_nullable=found.is_nullable or any(member.is_nullable for member in members),
        choices=tuple(member for member in members if member.unsupported is None),
        reads_others=found.reads_others or any(member.reads_others for member in members),
        takes_raw=found.takes_raw or any(member.takes_raw for member in members),
    )
    if not found.choices:
        return replace(found, unsupported=" and ".join(str(member.unsupported) for member in members))
    if node["type"] == "tagged-union":
        return found.not_understood(node, "a tagged union")
    reason = next((member.reason for member in members if member.reason is not None), None)
    return found.not_understood(node, f"a union with {reason}") if reason else found


def _with_literal(found: ModelField, values: list[Any]) -> ModelField:
    """A Literal. None makes it nullable; members of one Enum become that Enum, values of several types a union."""
    if None in values:
        found, values = replace(found, is_nullable=True), [value for value in values if value is not None]
    classes = {type(value) for value in values}
    (only,) = classes if len(classes) == 1 else (None,)
    if only is not None and issubclass(only, enum.Enum):
        return _with_members(replace(found, enum=only), [value.value for value in values], {"expected": values})
    if only is not None:
        return _with_members(found, values, {"expected": values})
    node = {"expected": values}
    if any(issubclass(one, enum.Enum | bool) for one in classes):
        return found.not_understood(node, "a Literal of members of an Enum, or of bool, beside others")
    bare = ModelField(found.name, found.keys)
    parts = (_with_members(bare, [value for value in values if type(value) is one], node) for one in _by_name(classes))
    return replace(found, choices=tuple(parts))


def _by_name(classes: set[type]) -> list[type]:
    """Classes in an order that is stable across processes."""
    return sorted(classes, key=lambda one: one.__name__)


def _with_members(found: ModelField, values: Sequence[Any], node: Node) -> ModelField:
    """The values of a Literal or Enum: all str or all int are understood; others are left to pydantic."""
    classes = {type(value) for value in values}
    kind = _KIND_OF_CLASS.get(next(iter(classes))) if len(classes) == 1 else None
    found = replace(found, kind=kind or Kind.ANY, members=tuple(values))
    return (
        found if kind in {Kind.STR, Kind.INT} else found.not_understood(node, "members that are not all str or all int")
    )


def _with_config(found: ModelField, config: Mapping[str, Any]) -> ModelField:
    """The field with the model's config, which applies unless the field overrides it."""
    if found.members is not None or found.choices:
        return found
    constraints = dict(found.constraints)
    if found.kind is Kind.STR and (found.opaque or {}).get("type") not in _READ_AS_TEXT:
        for key, name in _CONFIG_OF_STR.items():
            if key in config:
                constraints.setdefault(name, config[key])
    if found.kind in {Kind.FLOAT, Kind.DECIMAL} and "allow_inf_nan" in config:
        constraints.setdefault("allow_inf_nan", config["allow_inf_nan"])
    found = replace(found, constraints=constraints)
    for key in _CONFIG_ROW_BY_ROW:
        is_default = key == "regex_engine" and (config.get(key) == "rust-regex" or "pattern" not in constraints)
        if found.kind is Kind.STR and config.get(key) and not is_default:
            found = found.not_understood({"type": "str", **constraints, key: config[key]}, f"model config {key}")
    return found
