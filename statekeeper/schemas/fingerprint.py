"""The fingerprint of a model: equal for equal meaning, in every process and run.

It is a SHA-256 over what decides whether a row is accepted: fields, aliases, types, constraints, config, and the source
of every validator. JSON Schema alone would not do: it leaves out the bounds of dates and the demand for a time zone,
among others. Names of modules, addresses, defaults and documentation do not count. A function that a validator merely
calls is not seen.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

_WITHOUT_MEANING = frozenset(
    {
        *("metadata", "serialization", "title", "model_name", "computed_fields", "default", "default_factory", "ref"),
        *("validate_default", "copy_default", "default_factory_takes_data", "microseconds_precision", "frozen"),
        *("serialization_alias", "serialization_exclude", "serialization_exclude_if", "root_model", "custom_init"),
        *("field_name", "generic_origin", "cls_repr"),
    }
)


def model_fingerprint(model: type[BaseModel]) -> str:
    """SHA-256 (hexadecimal) of what the model accepts; a change of a bound, a type or a validator changes it."""
    described = _Description().of(model.__pydantic_core_schema__)
    text = json.dumps(described, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class _Description:
    """Core schemas as JSON values; references, which hold addresses, become numbers in order of appearance."""

    def __init__(self) -> None:
        self._refs: dict[str, int] = {}

    def of(self, value: Any) -> Any:
        """A JSON value that is equal exactly when `value` means the same."""
        if value is None or type(value) in {bool, int, str}:
            return value
        if isinstance(value, Mapping):
            return {str(key): self._entry(str(key), part) for key, part in value.items() if key not in _WITHOUT_MEANING}
        if isinstance(value, list | tuple):
            return [self.of(part) for part in value]
        if isinstance(value, set | frozenset):
            return sorted((self.of(part) for part in value), key=repr)
        return self._of_object(value)

    def _entry(self, key: str, part: Any) -> Any:
        if key == "schema_ref":
            return self._refs.setdefault(part, len(self._refs))
        if key == "post_init" and part:
            return "post_init"
        return self.of(part)

    def _of_object(self, value: Any) -> Any:
        if isinstance(value, enum.Enum):
            return ["member", value.name, self.of(value.value)]
        if isinstance(value, re.Pattern):
            return ["pattern", value.pattern, value.flags]
        if isinstance(value, functools.partial):
            return ["partial", self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, type):
            return ["class", value.__qualname__, *self._own_hooks(value)]
        if callable(value):
            return ["function", _source(value)]
        return [type(value).__qualname__, repr(value)]

    def _own_hooks(self, value: type) -> list[str]:
        """What a class itself does while a row is made into it: its constructor and hooks, where they are its own."""
        names = ("__init__", "model_post_init", "_missing_")
        return [_source(vars(value)[name]) for name in names if inspect.isfunction(vars(value).get(name))]


def _source(function: Callable[..., Any]) -> str:
    """The source of a function, or of the class of a callable object; its bytecode where there is no source."""
    target = inspect.unwrap(getattr(function, "__func__", function))
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        return f"{_source(type(target))} {sorted(vars(target).items()) if hasattr(target, '__dict__') else ''}"
    name = getattr(target, "__qualname__", type(target).__qualname__)
    try:
        return f"{name}\n{inspect.getsource(target)}"
    except (OSError, TypeError):
        code = getattr(target, "__code__", None)
        return f"{name} {code.co_code.hex()} {code.co_consts!r}" if code is not None else str(name)
