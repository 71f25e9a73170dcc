"""A sequence of many values in one document, stored as JSON text to spare the garbage collector.

A pydantic value is several objects to Python's garbage collector, which stops every thread, the event loop's too, while
it scans them. A plan of 16,000 chunks had 100,000 such objects; as texts it has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, get_args, overload

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

Value = TypeVar("Value", bound=BaseModel)


class Packed(Sequence[Value], Generic[Value]):
    """An immutable sequence of values stored as JSON; each access parses one.

    In a document it is an ordinary list. Each value is validated strictly before it is packed; unknown keys are kept.
    """

    __slots__ = ("_kind", "_texts")

    def __init__(self, kind: type[Value], values: Iterable[Value] = ()) -> None:
        self._kind = kind
        self._texts = tuple(value.model_dump_json() for value in values)

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[Value]:
        return map(self._kind.model_validate_json, self._texts)

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Value, ...]: ...
    def __getitem__(self, index: int | slice) -> Value | tuple[Value, ...]:
        if isinstance(index, slice):
            return tuple(map(self._kind.model_validate_json, self._texts[index]))
        return self._kind.model_validate_json(self._texts[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packed) or len(self) != len(other):
            return False
        return self._texts == other._texts or all(one == its for one, its in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash((self._kind, len(self)))  # equal values may have different texts: unknown keys make no difference

    def __repr__(self) -> str:
        return f"Packed({self._kind.__name__}, {len(self):,} values)"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (kind,) = get_args(source)
        value = handler.generate_schema(kind)
        text = core_schema.no_info_after_validator_function(BaseModel.model_dump_json, value)
        texts = core_schema.tuple_variable_schema(text)
        packed = core_schema.no_info_after_validator_function(lambda texts: cls._of_texts(kind, texts), texts)
        return core_schema.json_or_python_schema(
            json_schema=packed,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), packed]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                iter, return_schema=core_schema.generator_schema(value)
            ),
        )

    @classmethod
    def _of_texts(cls, kind: type[Value], texts: tuple[str, ...]) -> Packed[Value]:
        packed = cls(kind)
        packed._texts = texts
        return packed
