"""The most rows that may be quarantined: `1000`, or a share of the extracted rows such as `0.5%`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from statekeeper.config.sections.section import refusal

_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?%")
_ALL = 100


@dataclass(frozen=True)
class RowBound:
    """A number of rows, or a share of all rows in percent; exactly one of the two is set."""

    rows: int | None = None
    percent: Decimal | None = None

    def allows(self, rows: int, *, of: int) -> bool:
        """Whether `rows` of `of` rows in total are within the bound."""
        if self.percent is not None:
            return rows * _ALL <= self.percent * of
        return self.rows is None or rows <= self.rows

    def __str__(self) -> str:
        return f"{self.percent}%" if self.percent is not None else str(self.rows)


def _bound(value: object) -> RowBound:
    if isinstance(value, RowBound):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return RowBound(rows=value)
    if isinstance(value, str) and (found := _SHARE.fullmatch(value)) and Decimal(found[1]) <= _ALL:
        return RowBound(percent=Decimal(found[1]))
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return RowBound(rows=int(value))
    raise refusal("a number of rows such as 1000, or a share of them such as 0.5%")


MaxRows = Annotated[
    RowBound,
    PlainValidator(_bound),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%?$|\$\{"},
            ],
            "examples": [1000, "0.5%"],
        }
    ),
]
