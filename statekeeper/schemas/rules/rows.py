"""Rows for pydantic: converts Arrow values to a field's Python values, and builds the validators.

| field                | value in the row                                                                     |
|----------------------|--------------------------------------------------------------------------------------|
| int                  | int, from any integer column, and from a decimal column of whole numbers             |
| Decimal              | Decimal with the column's scale, trailing zeros kept                                  |
| float                | float; a 32-bit float is widened                                                      |
| str, bytes, bool     | str, bytes, bool                                                                      |
| date                 | date                                                                                  |
| datetime             | datetime, naive from a column without a zone, else aware in UTC                       |
| time                 | naive time                                                                            |
| UUID                 | UUID, from canonical text in the file; other text stays str (and is refused)          |
| Literal of str, int  | str, int                                                                              |
| Enum                 | the member of that value; a value without a member is unchanged (and refused)         |
| union, Any           | the column's natural type: one of the above                                           |
| NULL                 | None                                                                                  |

Timestamps that Python cannot hold never reach this: the scan reports them as `representable` and skips them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
from pydantic import ValidationError
from pydantic_core import SchemaValidator

from statekeeper.errors import DataError
from statekeeper.schemas.model.fields import Kind, ModelField, ModelShape

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

Validate = Callable[[dict[str, Any]], tuple["RowError", ...]]
_CANONICAL_UUID = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_CONSTRAINT_OF = {
    "greater_than_equal": "ge",
    "greater_than": "gt",
    "less_than_equal": "le",
    "less_than": "lt",
    "string_too_short": "min_length",
    "string_too_long": "max_length",
    "bytes_too_short": "min_length",
    "bytes_too_long": "max_length",
    "string_pattern_mismatch": "pattern",
    "string_not_ascii": "ascii_only",
    "literal_error": "enum",
    "finite_number": "finite",
    "decimal_max_digits": "max_digits",
    "decimal_max_places": "decimal_places",
    "decimal_whole_digits": "max_digits",
}
"""The constraint for each of pydantic's error types; others keep pydantic's name."""


@dataclass(frozen=True)
class RowError:
    """One of pydantic's errors for a row; `key` is the field's, None for the whole row."""

    key: str | None
    constraint: str
    message: str


def python_values(array: pa.Array, part: ModelField) -> list[Any]:
    """The column's values, converted to what the field accepts."""
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        # Arrow would use a zone object of its own, by the session's name for UTC.
        moments = array.cast(pa.timestamp(array.type.unit)).to_pylist()
        return [None if value is None else value.replace(tzinfo=UTC) for value in moments]
    values: list[Any] = array.to_pylist()
    if part.kind is Kind.INT and pa.types.is_decimal(array.type):
        values = [None if value is None else int(value) for value in values]
    if part.kind is Kind.UUID:
        return [UUID(value) if value is not None and _CANONICAL_UUID.fullmatch(value) else value for value in values]
    if part.enum is not None:
        members = members_of(part.enum)
        return [members.get((type(value), value), value) for value in values]
    return values


_SCALARS = frozenset({str, int, Decimal, float, bytes, bool, date, datetime, time})


@lru_cache(maxsize=256)
def members_of(kind: type[enum.Enum]) -> Mapping[tuple[type, Any], Any]:
    """An Enum's members by type and value, since 1, True and 1.0 are equal but different members."""
    return {(type(member.value), member.value): member for member in kind if type(member.value) in _SCALARS}


def rows_of(columns: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Rows by field key, from columns by field key."""
    keys = tuple(columns)
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(keys, values, strict=True))


def whole_row_validator(model: type[BaseModel], shape: ModelShape, parts: tuple[ModelField, ...]) -> Validate:
    """Validates rows with the model itself, strictly; `parts` are its fields, paired with columns."""
    keys = _keys_of_errors(shape, parts)
    absent = _absent_values(unmatched_fields(shape, parts))

    def validate(row: dict[str, Any]) -> tuple[RowError, ...]:
        return _errors(lambda: model.model_validate(row | absent, strict=True), row, keys)

    return validate


def unmatched_fields(shape: ModelShape, paired: Iterable[ModelField]) -> tuple[ModelField, ...]:
    """The fields without a column. `schemas.columns.drift` refuses those that the model needs."""
    names = {part.name for part in paired}
    return tuple(part for part in shape.fields if part.name not in names)


def _absent_values(unmatched: tuple[ModelField, ...]) -> dict[str, Any]:
    """The values of unmatched fields in a row: None, or no value if the field has a default."""
    return {part.key: None for part in unmatched if part.node["schema"]["type"] != "default"}


def fields_validator(
    shape: ModelShape, parts: tuple[ModelField, ...], *, absent: tuple[ModelField, ...] = ()
) -> Validate:
    """Validates rows of only these fields, each exactly as the model would.

    If a validator gets the fields before its own, they are in `parts`, in the model's order, or in `absent`, which has
    fields without a column.
    """
    names = {part.name for part in (*parts, *absent)}
    values = _absent_values(absent)
    schema: Any = {
        "type": "model-fields",
        "fields": {part.name: part.node for part in shape.fields if part.name in names},
        "extra_behavior": "forbid",
    }
    if shape.definitions:
        schema = {"type": "definitions", "schema": schema, "definitions": list(shape.definitions.values())}
    config: Any = dict(shape.config)
    validator = SchemaValidator(schema, config)
    keys = _keys_of_errors(shape, parts)

    def validate(row: dict[str, Any]) -> tuple[RowError, ...]:
        return _errors(lambda: validator.validate_python(row | values, strict=True), row, keys)

    return validate


def _keys_of_errors(shape: ModelShape, parts: tuple[ModelField, ...]) -> Mapping[str, str]:
    """The field's key by its name in pydantic's errors."""
    if shape.config.get("loc_by_alias") is False:
        return {part.name: part.key for part in parts}
    return {part.key: part.key for part in parts}


def _errors(attempt: Callable[[], object], row: dict[str, Any], keys: Mapping[str, str]) -> tuple[RowError, ...]:
    try:
        attempt()
    except ValidationError as error:
        return tuple(_error(part, keys) for part in error.errors(include_url=False, include_context=False))
    except Exception as error:
        what, where = f"the schema's own code raised {type(error).__name__}", f"(validating {', '.join(row)})"
        raise DataError(
            f"{what}: {error} {where}",
            hint="a validator refuses a value by raising ValueError or AssertionError",
            discreet=f"{what} {where}",
        ) from error
    return ()


def _error(part: ErrorDetails, keys: Mapping[str, str]) -> RowError:
    key = keys.get(str(part["loc"][0])) if part["loc"] else None
    constraint = _CONSTRAINT_OF.get(part["type"], part["type"])
    if part["input"] is None and part["type"].endswith("_type"):
        constraint = "not_null"
    return RowError(key, constraint, part["msg"])
