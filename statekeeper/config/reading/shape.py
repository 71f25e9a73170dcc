"""What the models define at a place in a configuration: known keys, their purpose, what may be a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from statekeeper.config.reading.document import KeyPath, Plain


def known_keys(model: type[BaseModel], path: KeyPath, data: Plain) -> list[str]:
    """The keys that the mapping `data` at `path` may have, in every spelling."""
    shapes = _models_at(model, path)
    own = [shape for shape in shapes if _type_of(shape) in {None, _written_type(data)}]
    return [key for shape in own or shapes for key in _keys_of(shape)]


def types_with_key(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The values of `type` for which a mapping may have the key at `path`."""
    return [kind for shape in _models_at(model, path[:-1]) if path[-1] in _keys_of(shape) and (kind := _type_of(shape))]


def purpose(model: type[BaseModel], path: KeyPath) -> str:
    """The description of the key at `path`; empty if it has none."""
    fields = (_field(shape, path[-1]) for shape in _shapes_at(model, path[:-1]))
    return next((field.description for field in fields if field is not None and field.description), "")


def is_secret(model: type[BaseModel], path: KeyPath) -> bool:
    """Whether the value at `path` is a secret by its type."""
    return SecretStr in _shapes_at(model, path)


def is_free_text(model: type[BaseModel], path: KeyPath) -> bool:
    """Whether `path` accepts any text, not only numbers or fixed words."""
    shapes = _shapes_at(model, path)
    return not shapes or not all(_is_closed(shape) for shape in shapes)


def _is_closed(shape: Any) -> bool:
    closed = (int, float, timedelta, Enum, NoneType)
    return get_origin(shape) is Literal or (isinstance(shape, type) and issubclass(shape, closed))


def _models_at(model: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    return [shape for shape in _shapes_at(model, path) if _is_model(shape)]


def _keys_of(shape: type[BaseModel]) -> list[str]:
    return [key for name, field in shape.model_fields.items() for key in _spellings(name, field)]


def _type_of(shape: type[BaseModel]) -> str | None:
    """The value of `type` in a mapping of this shape."""
    kind = shape.model_fields.get("type")
    return str(get_args(kind.annotation)[0]) if kind is not None and get_origin(kind.annotation) is Literal else None


def _written_type(data: Plain) -> str:
    return str(data.get("type")) if isinstance(data, dict) else ""


def _shapes_at(model: type[BaseModel], path: KeyPath) -> list[Any]:
    shapes: list[Any] = [model]
    for step in path:
        shapes = [inner for shape in shapes for inner in _below(shape, step)]
    return shapes


def _below(shape: Any, step: str | int) -> Iterator[Any]:
    field = _field(shape, step)
    arguments = get_args(shape)
    if field is not None:
        yield from _alternatives(field.annotation)
    elif isinstance(step, str) and get_origin(shape) in {dict, Mapping}:
        yield from _alternatives(arguments[1])
    elif isinstance(step, int) and get_origin(shape) in {tuple, list}:
        yield from _alternatives(arguments[0])


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, without unions and metadata."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _field(shape: Any, step: str | int) -> FieldInfo | None:
    if not _is_model(shape):
        return None
    return next((field for name, field in shape.model_fields.items() if step in _spellings(name, field)), None)


def _spellings(name: str, field: FieldInfo) -> list[str]:
    if isinstance(field.validation_alias, AliasChoices):
        return [choice for choice in field.validation_alias.choices if isinstance(choice, str)]
    return [field.alias or name]


def _is_model(shape: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(shape, type) and issubclass(shape, BaseModel)
