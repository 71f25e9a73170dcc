"""How a table's schema is declared: by the path of a pydantic model, or inline as rules per column.

Worker processes receive these values; `statekeeper.schemas.model.load` turns them into a pydantic model.
"""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from statekeeper.model.base import Frozen

ScalarType = Literal["int", "decimal", "float", "str", "bytes", "bool", "date", "datetime", "time", "uuid"]


def _number(value: object) -> object:
    """A number from YAML: an int or a decimal text becomes the exact Decimal."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str | float):
        try:
            return Decimal(str(value))
        except InvalidOperation as error:
            raise ValueError("expected a number") from error
    return value


def _limit(value: object) -> object:
    """A number as for `_number`; a date or time as its ISO text."""
    if isinstance(value, date | time):
        return value.isoformat()
    try:
        number = _number(value)
    except ValueError:
        return value
    return number if not isinstance(number, Decimal) or number.is_finite() else value


Number = Annotated[Decimal, BeforeValidator(_number)]
Limit = Annotated[Decimal | str, BeforeValidator(_limit)]
"""A bound: a number, or ISO text for columns of dates and times."""


class ColumnRule(Frozen):
    """One column of an inline schema. The keys are pydantic's own names for the same constraints."""

    type: ScalarType
    nullable: bool = False
    ge: Limit | None = None
    gt: Limit | None = None
    le: Limit | None = None
    lt: Limit | None = None
    multiple_of: Number | None = None
    max_digits: int | None = Field(default=None, ge=1, le=38)
    decimal_places: int | None = Field(default=None, ge=0, le=38)
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=0)
    pattern: str | None = Field(default=None, description="pydantic's (Rust's) regular expression dialect")
    strip_whitespace: bool | None = Field(
        default=None, description="validate the text without white space at its ends; the file keeps it"
    )
    ascii_only: bool | None = Field(default=None, description="no character beyond ASCII")
    allow_inf_nan: bool | None = Field(default=None, description="false: infinities and NaN break the schema")
    timezone: Literal["aware", "naive"] | None = Field(
        default=None, description="what the column must be; without it, both are accepted"
    )
    enum: tuple[str | int, ...] | None = Field(default=None, description="the only values allowed")


class SchemaRef(Frozen):
    """Where a table's model comes from; with neither set, none is declared."""

    path: str | None = Field(default=None, description="`file.py:Class`")
    columns: dict[str, ColumnRule] | None = None

    @model_validator(mode="after")
    def _at_most_one(self) -> SchemaRef:
        if self.path is not None and self.columns is not None:
            raise ValueError("declare the schema by `schema:` or by `columns:`, not by both")
        return self

    @property
    def is_declared(self) -> bool:
        return self.path is not None or self.columns is not None

    @property
    def label(self) -> str | None:
        """Its name in metadata and messages."""
        return "columns" if self.columns is not None else self.path
