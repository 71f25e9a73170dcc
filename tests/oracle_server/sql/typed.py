"""Typed: a DuckDB expression with its Oracle type, constants among them, and the scope in which columns are found."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.oracle_server.database import types, values
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.wire.scalars import encode_number


@dataclass(frozen=True)
class Typed:
    """A DuckDB expression; `literal` is its value where it is a constant.

    `declared` says that a column or a CAST gave it its precision: Oracle describes every other number as NUMBER.
    """

    sql: str
    type: OracleType
    literal: Any = None
    nullable: bool = True
    is_null: bool = False
    declared: bool = False
    is_aggregate: bool = False

    @property
    def is_big(self) -> bool:
        """Whether it is Oracle's bytes of a number."""
        return self.type.is_number and not self.type.fits_decimal


@dataclass
class Source:
    """What a FROM clause offers under one alias."""

    alias: str
    name: str
    columns: list[tuple[str, Typed]]
    rowid: Typed | None = None
    hidden: frozenset[str] = frozenset()


@dataclass
class Scope:
    """The sources of one query, and those of the queries around it."""

    sources: list[Source] = field(default_factory=list)
    parent: Scope | None = None
    outputs: dict[str, Typed] = field(default_factory=dict)
    level: str | None = None

    def column(self, name: str, qualifier: str | None, schema: str | None = None) -> Typed:
        found = [
            typed
            for source in self.sources
            if qualifier is None or source.name in (qualifier, f"{schema}.{qualifier}")
            for column, typed in source.columns
            if column == name
        ]
        if not found and name == "ROWID":
            found = [source.rowid for source in self.sources if source.rowid and qualifier in (None, source.name)]
        if found:
            if len(found) > 1 and qualifier is None:
                raise OracleError(918, f'"{name}"')
            return found[0]
        if self.parent:
            return self.parent.column(name, qualifier, schema)
        if name == "ROWID" and any(qualifier in (None, source.name) for source in self.sources):
            raise OracleError(1445)
        raise OracleError(904, f'"{qualifier}"."{name}"' if qualifier else f'"{name}"')


def text(value: str) -> str:
    """A DuckDB string literal."""
    quoted = value.replace("'", "''")
    return f"'{quoted}'"


def blob(value: bytes) -> str:
    """A DuckDB literal of bytes."""
    escaped = "".join(f"\\x{byte:02X}" for byte in value)
    return f"'{escaped}'::BLOB"


def null(kind: OracleType = types.varchar(1)) -> Typed:  # noqa: B008  (a frozen value)
    return Typed(f"NULL::{kind.storage}", kind, is_null=True)


def big_literal(value: Decimal) -> Typed:
    return Typed(blob(encode_number(value)), types.NUMBER, value)


def number_literal(value: Decimal) -> Typed:
    """A constant number: DECIMAL where it fits, else bytes."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale, 1)
    if precision <= 38:
        shown = format(value, "f")
        return Typed(f"{shown}::DECIMAL({precision},{scale})", types.number(precision, scale), value)
    return big_literal(value)


def text_literal(value: str) -> Typed:
    if value == "":
        return null()
    return Typed(text(value), types.OracleType("CHAR", length=max(1, len(value.encode()))), value, nullable=False)


def moment_literal(nanos: int, minutes: int | None, kind: OracleType) -> Typed:
    stored = f"make_timestamp_ns({nanos})" if (kind.scale or 0) > 6 else f"make_timestamp({nanos // 1000})"
    if kind.name == "TIMESTAMP WITH TIME ZONE":
        stored = f"{{'utc': {stored}, 'minutes': {minutes or 0}::SMALLINT}}"
    return Typed(stored, kind, (nanos, minutes or 0), nullable=False)


def bind(value: Any, declared_size: int = 0) -> Typed:
    """A bind variable's value as a constant."""
    match value:
        case None:
            return null()
        case bool():
            return Typed("TRUE" if value else "FALSE", types.BOOLEAN, value)
        case Decimal() | int():
            return number_literal(Decimal(value))
        case float():
            return Typed(f"{text(repr(value))}::DOUBLE", types.BINARY_DOUBLE, value)
        case str():
            if value == "":
                return null()
            return Typed(text(value), types.varchar(max(len(value.encode()), declared_size, 1)), value)
        case bytes():
            return Typed(blob(value), types.OracleType("RAW", length=max(1, len(value))), value) if value else null()
        case dt.datetime():
            kind = types.TIMESTAMP_TZ if value.tzinfo else types.TIMESTAMP if value.microsecond else types.DATE
            return moment_literal(*values.moment(value), kind)
        case dt.timedelta():
            micros = value // dt.timedelta(microseconds=1)
            return Typed(f"{micros}::BIGINT", types.OracleType("INTERVAL DAY TO SECOND", 2, 6), micros)
        case _:
            raise unsupported(f"a bind of {type(value).__name__}")
