"""The DuckDB SQL to which constraints are compiled: a column, and conditions on its values. Plain values.

`schemas.rules.constraints` decides the condition of each constraint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa

from statekeeper.schemas.model.fields import Kind
from statekeeper.text.sql_text import literal, quoted

_WHITE_SPACE = "".join(
    map(
        chr,
        (*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000),
    )
)
"""What Rust's `str::trim` removes: Unicode's White_Space."""


class NotCompiled(Exception):
    """The constraint has no SQL that certainly means the same; the message is the reason."""


NOT_NULL = "not_null"


@dataclass(frozen=True)
class Bounds:
    """If `subject` (SQL, NULL for NULL values) is within these limits, inclusive, the value violates nothing.

    The outer limits apply only where other checks of the same subject set none; those are always within them.
    """

    subject: str
    low: str | None = None
    high: str | None = None
    outer_low: str | None = None
    outer_high: str | None = None


@dataclass(frozen=True)
class Among:
    """If `condition` (SQL, never true for NULL) is true, the value violates nothing."""

    condition: str


@dataclass(frozen=True)
class Expression:
    """`violated` is true if a value certainly violates, None if none can; `undecided` if pydantic must decide.

    Values `within` certainly violate nothing; there may be other valid values.
    """

    violated: str | None
    undecided: str | None = None
    within: Bounds | Among | None = None


NEVER = Expression(None)


@dataclass(frozen=True)
class Column:
    """A column in SQL: its quoted name, and the type of its values in the file."""

    sql: str
    arrow: pa.DataType
    kind: Kind

    @classmethod
    def of(cls, name: str, arrow: pa.DataType, kind: Kind) -> Column:
        return cls(quoted(name), arrow, kind)

    @property
    def stripped(self) -> Column:
        """The same without white space at both ends, as with pydantic's `strip_whitespace`."""
        return replace(self, sql=f"trim({self.sql}, '{_WHITE_SPACE}')")

    @property
    def is_exact_number(self) -> bool:
        return bool(pa.types.is_integer(self.arrow) or pa.types.is_decimal(self.arrow))

    @property
    def scale(self) -> int:
        return self.arrow.scale if pa.types.is_decimal(self.arrow) else 0

    @property
    def unscaled_limits(self) -> tuple[int, int]:
        """The least and the greatest value, in units of the last decimal place."""
        if pa.types.is_decimal(self.arrow):
            most = 10**self.arrow.precision - 1
            return -most, most
        bits = self.arrow.bit_width
        if pa.types.is_unsigned_integer(self.arrow):
            return 0, 2**bits - 1
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    @property
    def sql_type(self) -> str:
        if pa.types.is_decimal(self.arrow):
            return f"DECIMAL({self.arrow.precision},{self.arrow.scale})"
        sign = "U" if pa.types.is_unsigned_integer(self.arrow) else ""
        return sign + {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}[self.arrow.bit_width]

    @property
    def always(self) -> Expression:
        """Every value violates."""
        return Expression(f"{self.sql} IS NOT NULL")


def text_literal(text: str) -> str:
    """A string in SQL. Raises NotCompiled for a NUL character, which a statement cannot contain."""
    if "\x00" in text:
        raise NotCompiled("a NUL character")
    return literal(text)
