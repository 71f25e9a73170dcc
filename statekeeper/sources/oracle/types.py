"""Oracle's types, and how each is delivered exactly. Pure.

Decides, from a column's declared type, which Arrow types the source can deliver, by which SQL expression, and which
Arrow type is requested from the driver. The driver's conversions can change values: it wraps decimals, truncates
fractions and times, and rounds. So only a type that holds every value of the declared type is requested, or a text that
`sources.oracle.batches` converts. If there is no such type (a NUMBER without precision), a guard in the same statement
finds each value that does not fit.

`statekeeper.schemas.columns.reconcile` decides which type the file has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Literal

from statekeeper.config.sections.oracle import FractionUnit, OracleSource
from statekeeper.model.table import Position, Window
from statekeeper.sources.columns import TypeRule
from statekeeper.sources.scope import no_points_in_time, no_whole_numbers, wall_time
from statekeeper.sources.sql import Bind, Sql, quoted

OFFSET_OF = "OFFSET OF "
"""The prefix of the database type of an offset column; the type of the column with the time zone follows."""
OFFSET_SUFFIX = "_OFFSET"

_MAX_DIGITS = 38
_INT64_DIGITS = 18


@dataclass(frozen=True)
class Delivery:
    """A way to deliver a column. In all SQL `{0}` stands for the column.

    Attributes:
        arrow: the resulting Arrow type, in the text form of `parquet.types`.
        wire: the type that is requested from the driver; `sources.oracle.batches` converts it to `arrow`.
        sql: the expression that is selected.
        guard: an expression with the text of a value that `sql` cannot deliver (and makes NULL), otherwise NULL.
        is_trimmed: whether padding is removed after the read; RTRIM in SQL would make NULL of a text of blanks.
    """

    arrow: str
    wire: str
    sql: str = "{0}"
    guard: str | None = None
    is_trimmed: bool = False


@dataclass(frozen=True)
class TypeChoices:
    """The settings of the source about types."""

    fractional_seconds: FractionUnit | None = None
    zone_offsets: bool = False
    trim_char: bool = False

    @classmethod
    def of(cls, config: OracleSource) -> TypeChoices:
        return cls(config.fractional_seconds, config.zone_offsets, config.trim_char)


KeyType = Literal["Decimal", "datetime", "str"]

_TEXT = Delivery("string", "string")
_TRIMMED_TEXT = Delivery("string", "string", is_trimmed=True)
_NUMBER_TEXT = Delivery("string", "string", "TO_CHAR({0}, 'TM9')")
_CLOB_TEXT = Delivery("string", "large_string")
_BINARY = Delivery("binary", "large_binary")
_TIMESTAMP = Delivery("timestamp[us]", "timestamp[us]")
_DATE = Delivery("date32[day]", "timestamp[us]")
_UTC = Delivery("timestamp[us, tz=UTC]", "timestamp[us]", "SYS_EXTRACT_UTC({0})")
_FRACTION_TEXT = "TO_CHAR({0}, 'SYYYY-MM-DD HH24:MI:SS.FF9')"
_UTC_FRACTION_TEXT = _FRACTION_TEXT.replace("{0}", "SYS_EXTRACT_UTC({0})")

_FITS_NOT = "ABS({0}) >= 1E38 OR {0} <> TRUNC({0}, 38)"
_NUMBER = TypeRule(
    Delivery(
        "decimal256(76, 38)",
        "decimal256(76, 38)",
        f"CASE WHEN {_FITS_NOT} THEN NULL ELSE {{0}} END",
        f"CASE WHEN {_FITS_NOT} THEN TO_CHAR({{0}}, 'TM9') END",
    ),
    (_NUMBER_TEXT,),
)
"""At most 38 digits on either side of the decimal point, which is exactly what decimal256(76, 38) holds."""

_AS_TEXT = "has no exact Arrow type that Parquet readers share: declare a str, which makes it {0}"
_BY_QUERY = "has no exact Arrow type that Parquet readers share: {0}"

_FIXED: dict[str, TypeRule[Delivery]] = {
    "NUMBER": _NUMBER,
    "BINARY_DOUBLE": TypeRule(Delivery("double", "double")),
    "BINARY_FLOAT": TypeRule(Delivery("float", "float")),
    "BOOLEAN": TypeRule(Delivery("bool", "bool")),
    "CLOB": TypeRule(_CLOB_TEXT),
    "NCLOB": TypeRule(_CLOB_TEXT),
    "LONG": TypeRule(_CLOB_TEXT),
    "BLOB": TypeRule(_BINARY),
    "LONG RAW": TypeRule(_BINARY),
    "ROWID": TypeRule(Delivery("string", "string", "ROWIDTOCHAR({0})")),
    "UROWID": TypeRule(Delivery("string", "string", "CAST({0} AS VARCHAR2(4000))")),
    "DATE": TypeRule(_TIMESTAMP, (_DATE,)),
    "BFILE": TypeRule(
        None,
        (),
        _BY_QUERY.format(
            "a file outside the database; read it in a function that returns a BLOB, or leave it out of a custom_query"
        ),
    ),
    "JSON": TypeRule(
        None,
        (Delivery("string", "large_string", "JSON_SERIALIZE({0} RETURNING CLOB ERROR ON ERROR)"),),
        _AS_TEXT.format("JSON_SERIALIZE({0} RETURNING CLOB ERROR ON ERROR)"),
    ),
    "XMLTYPE": TypeRule(
        None,
        (Delivery("string", "large_string", "XMLSERIALIZE(CONTENT {0} AS CLOB)"),),
        _AS_TEXT.format("XMLSERIALIZE(CONTENT {0} AS CLOB)"),
    ),
    "VECTOR": TypeRule(
        None,
        (Delivery("string", "large_string", "VECTOR_SERIALIZE({0} RETURNING CLOB)"),),
        _AS_TEXT.format("VECTOR_SERIALIZE({0} RETURNING CLOB)"),
    ),
}

_DIGITS = re.compile(r"NUMBER\((\d+)(?:,(-?\d+))?\)")
_CHARACTERS = re.compile(r"N?(?:VARCHAR2|CHAR)\(\d+\)")
_POINT_IN_TIME = re.compile(r"TIMESTAMP\((\d)\)( WITH (?:LOCAL )?TIME ZONE)?")


def type_rule(database_type: str, choices: TypeChoices) -> TypeRule[Delivery]:
    """The rule for a type, as `database_type_of` spells the type. In a refusal, `{0}` stands for the column."""
    if database_type.startswith(OFFSET_OF):
        return TypeRule(Delivery("string", "string", "TO_CHAR({0}, 'TZH:TZM')"))
    if (rule := _FIXED.get(database_type)) is not None:
        return rule
    if database_type.startswith("FLOAT("):
        return _NUMBER  # a FLOAT's precision is binary, its exponent decimal: it can hold any NUMBER
    if (digits := _DIGITS.fullmatch(database_type)) is not None:
        return _decimal(int(digits.group(1)), int(digits.group(2) or 0))
    if _CHARACTERS.fullmatch(database_type):
        is_padded = "VARCHAR" not in database_type
        return TypeRule(_TRIMMED_TEXT if is_padded and choices.trim_char else _TEXT)
    if database_type.startswith("RAW("):
        return TypeRule(Delivery("binary", "binary"))
    if (moment := _POINT_IN_TIME.fullmatch(database_type)) is not None:
        return _timestamp(int(moment.group(1)), choices, has_zone=moment.group(2) is not None)
    if database_type.startswith("INTERVAL "):
        return TypeRule(None, (Delivery("string", "string", "TO_CHAR({0})"),), _AS_TEXT.format("TO_CHAR({0})"))
    what = "is an object or collection: select its attributes one by one in a custom_query, such as t.{0}.NAME"
    return TypeRule(None, (), what)


def _decimal(precision: int, scale: int) -> TypeRule[Delivery]:
    if scale == 0 and precision <= _INT64_DIGITS:
        return TypeRule(Delivery("int64", "int64"), (_NUMBER_TEXT,))
    digits = max(precision, scale) if scale >= 0 else precision - scale
    if digits > _MAX_DIGITS:
        why = f"needs {digits} digits, and decimals hold {_MAX_DIGITS}: declare a str, or cast it in a custom_query"
        return TypeRule(None, (_NUMBER_TEXT,), why)
    arrow = f"decimal128({digits}, {max(scale, 0)})"
    return TypeRule(Delivery(arrow, arrow), (_NUMBER_TEXT,))


def _timestamp(digits: int, choices: TypeChoices, *, has_zone: bool) -> TypeRule[Delivery]:
    if digits <= 6:
        return TypeRule(_UTC) if has_zone else TypeRule(_TIMESTAMP, (_DATE,))
    zone = ", tz=UTC" if has_zone else ""
    text = _UTC_FRACTION_TEXT if has_zone else _FRACTION_TEXT
    microseconds = Delivery(f"timestamp[us{zone}]", "string", text)
    # The types of our files have no nanoseconds with a zone; the values are instants in UTC nevertheless.
    nanoseconds = Delivery("timestamp[ns]", "string", text)
    match choices.fractional_seconds:
        case FractionUnit.MICROSECONDS:
            return TypeRule(microseconds)
        case FractionUnit.NANOSECONDS:
            return TypeRule(nanoseconds)
        case None:
            why = (
                "may hold nanoseconds, which Spark and Python cannot read: declare a datetime, and a value that needs "
                "them then fails loudly; or set fractional_seconds: us or ns for the source; "
                "or select CAST({0} AS TIMESTAMP(6)) in a custom_query, which rounds"
            )
            # For a type with a zone, nanoseconds would match a naive datetime, and the zone would be lost silently.
            return TypeRule(None, (microseconds,) if has_zone else (microseconds, nanoseconds), why)


def expression(sql: str, column: str, database_type: str) -> str:
    """`sql` with the quoted column filled in; for an offset column it is the column with the time zone."""
    base = column.removesuffix(OFFSET_SUFFIX) if database_type.startswith(OFFSET_OF) else column
    return sql.replace("{0}", f"q.{quoted(base)}")


def key_type(database_type: str) -> KeyType | None:
    """The Python type of bounds on a column; None for a type that cannot be a chunking key."""
    if database_type == "NUMBER" or database_type.startswith(("NUMBER(", "FLOAT(")):
        return "Decimal"
    if _CHARACTERS.fullmatch(database_type):
        return "str"
    moment = _POINT_IN_TIME.fullmatch(database_type)
    return "datetime" if database_type == "DATE" or (moment and moment.group(2) is None) else None


def window_bound(name: str, position: Position, window: Window, database_type: str) -> Sql:
    """A `WindowBound`, in the column's own type, so that an index on it can be used. A DATE has whole seconds."""
    if isinstance(position, int):
        if not database_type.startswith("NUMBER"):
            raise no_whole_numbers(window, database_type)
        return Sql(f":{name}", (Bind("NUMBER", str(position)),))
    moment = _POINT_IN_TIME.fullmatch(database_type)
    if moment is None and database_type != "DATE":
        raise no_points_in_time(window, database_type)
    zone = moment.group(2) if moment else None
    if zone is not None:
        text = position.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
        utc = Sql(f"FROM_TZ(:{name}, 'UTC')", (Bind("TIMESTAMP", text),))
        return utc if zone == " WITH TIME ZONE" else Sql(f"CAST({utc.text} AS {database_type})", utc.binds)
    kind, unit = ("TIMESTAMP", timedelta(microseconds=1)) if moment else ("DATE", timedelta(seconds=1))
    return Sql(f":{name}", (Bind(kind, wall_time(position, window, unit).isoformat(sep=" ")),))


def has_zone_offset(database_type: str) -> bool:
    """Whether each value has its own offset, which is lost in UTC."""
    return database_type.endswith(" WITH TIME ZONE") and not database_type.startswith(OFFSET_OF)


_SPELLINGS = {
    "VARCHAR": "VARCHAR2({size})",
    "NVARCHAR": "NVARCHAR2({size})",
    "CHAR": "CHAR({size})",
    "NCHAR": "NCHAR({size})",
    "RAW": "RAW({size})",
    "TIMESTAMP": "TIMESTAMP({scale})",
    "TIMESTAMP_TZ": "TIMESTAMP({scale}) WITH TIME ZONE",
    "TIMESTAMP_LTZ": "TIMESTAMP({scale}) WITH LOCAL TIME ZONE",
    "INTERVAL_DS": "INTERVAL DAY({precision}) TO SECOND({scale})",
    "INTERVAL_YM": "INTERVAL YEAR({precision}) TO MONTH",
    "LONG_NVARCHAR": "LONG",
    "LONG_RAW": "LONG RAW",
    "OBJECT": "{object_type}",
}
"""Oracle's spelling by the driver's name of a type, without prefix; types that are not here have the same name."""


def database_type_of(name: str, *, size: int, precision: int, scale: int, object_type: str) -> str:
    """A type as Oracle spells it.

    Args:
        name: the driver's name of the type, such as `DB_TYPE_VARCHAR`.
        size: the declared length, if it has one.
        precision: the driver's precision of the column; 0 is none.
        scale: the driver's scale of the column; -127 is none.
        object_type: the name of an object type, otherwise empty.
    """
    kind = name.removeprefix("DB_TYPE_")
    if kind == "NUMBER":
        return _number_spelling(precision, scale)
    parts = {"size": size, "precision": precision, "scale": scale, "object_type": object_type or "OBJECT"}
    return _SPELLINGS.get(kind, kind).format_map(parts)


def _number_spelling(precision: int, scale: int) -> str:
    if scale == -127:
        return f"FLOAT({precision})" if precision else "NUMBER"
    if precision == 0:
        return "NUMBER"  # an expression: nothing is declared
    return f"NUMBER({precision},{scale})" if scale else f"NUMBER({precision})"
