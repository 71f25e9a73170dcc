"""Constraints as DuckDB SQL over one column of a Parquet file, true if a value violates them.

For each constraint it returns an expression that equals pydantic's decision for every value of the column's type, or
raises `NotCompiled` with the reason. For NULL every expression is false or NULL, never true. Sources: pydantic-core's
validators of `int`, `float`, `decimal`, `string`, `date`, `datetime` and `time`; a property test compares both.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa

from statekeeper.schemas.model.core_schema import INSTALLED
from statekeeper.schemas.model.fields import Kind
from statekeeper.schemas.rules.expressions import NEVER, Among, Bounds, Column, Expression, NotCompiled, text_literal
from statekeeper.schemas.rules.patterns import Untranslatable, finite_members, translate

_CONTEXT_DIGITS = 28
"""The precision of Python's default decimal context, to which pydantic's digit and multiple checks round."""
_MAX_BYTES = 4
"""The most bytes of a character in UTF-8."""
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_CANONICAL_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


def compile_constraint(column: Column, name: str, value: Any) -> Expression:
    """The expression of one constraint. Raises NotCompiled."""
    match name:
        case "ge" | "gt" | "le" | "lt":
            return _bound(column, name, value)
        case "multiple_of":
            return _multiple_of(column, value)
        case "allow_inf_nan":
            is_refused = column.kind is Kind.FLOAT and not value
            return Expression(f"NOT isfinite({column.sql})") if is_refused else NEVER
        case "min_length" | "max_length":
            return _length(column, name, int(value))
        case "ascii_only":
            return Expression(f"strlen({column.sql}) <> length({column.sql})") if value else NEVER
        case "pattern":
            return _pattern(column, value)
        case "tz_constraint" if value in {"aware", "naive"}:
            return NEVER  # the plan guarantees it: see schemas.columns.reconcile
        case "strip_whitespace" | "to_lower" | "to_upper":
            return (
                NEVER  # they refuse nothing: `column.stripped` has the first, pydantic runs the others after all checks
            )
        case _:
            raise NotCompiled(f"constraint {name}")


def _length(column: Column, name: str, limit: int) -> Expression:
    """Counting bytes is fast, counting characters is slow: it is done only if the bytes do not decide."""
    if column.kind is Kind.BYTES:
        size = f"octet_length({column.sql})"
        if name == "min_length":
            return Expression(f"{size} < {limit}", within=Bounds(size, low=str(limit)))
        return Expression(f"{size} > {limit}", within=Bounds(size, high=str(limit)))
    size, characters = f"strlen({column.sql})", f"length({column.sql})"
    if name == "max_length":
        violated = f"({size} > {limit} AND {characters} > {limit})"
        return Expression(violated, within=Bounds(size, high=str(limit)))
    if limit <= 1:  # a text with a byte has a character
        return Expression(f"{size} < {limit}", within=Bounds(size, low=str(limit)))
    return Expression(f"({size} < {_MAX_BYTES * (limit - 1) + 1} AND {characters} < {limit})")


def compile_digits(column: Column, max_digits: int | None, decimal_places: int | None) -> dict[str, Expression]:
    """`max_digits` and `decimal_places`, which pydantic checks together, with or without trailing zeros.

    A value passes if either form passes: 1.50 has two decimal places or one.
    """
    precision, scale = column.unscaled_limits[1], column.scale
    digits = len(str(precision))
    if max_digits is not None and decimal_places is not None:
        fits = digits <= max_digits and scale <= decimal_places and digits - scale <= max_digits - decimal_places
        if fits:
            return {}
        raise NotCompiled("max_digits with decimal_places beyond the column's type")
    found: dict[str, Expression] = {}
    is_tight = (max_digits is not None and digits > max_digits) or (
        decimal_places is not None and scale > decimal_places
    )
    if is_tight and digits >= _CONTEXT_DIGITS:
        raise NotCompiled(f"digits of a decimal of {digits} digits, which pydantic rounds to {_CONTEXT_DIGITS}")
    if decimal_places is not None and scale > decimal_places:
        found["decimal_places"] = Expression(f"NOT {_has_places(column, decimal_places)}")
    if max_digits is not None and digits > max_digits:
        ways = [
            f"({_has_places(column, places)} AND {_is_below(column, max_digits - places)})"
            for places in range(min(scale, max_digits) + 1)
        ]
        found["max_digits"] = Expression(f"NOT ({' OR '.join(ways)})")
    return found


def _has_places(column: Column, places: int) -> str:
    """SQL that is true if the value has at most `places` decimal places without trailing zeros."""
    if places >= column.scale:
        return "TRUE"
    kind = f"DECIMAL({column.arrow.precision + 1},{column.scale})"  # one digit more, so that 1 fits DECIMAL(p, p)
    return f"CAST({column.sql} AS {kind}) % CAST('{plain_decimal(1, places)}' AS {kind}) = 0"


def _is_below(column: Column, whole_digits: int) -> str:
    if whole_digits >= column.arrow.precision - column.scale:
        return "TRUE"
    kind = f"DECIMAL({column.arrow.precision + 1},{column.scale})"
    return f"abs(CAST({column.sql} AS {kind})) < CAST('{10**whole_digits}' AS {kind})"


def compile_members(column: Column, members: tuple[str | int, ...]) -> Expression:
    """The values of a Literal or an Enum."""
    if column.kind is Kind.STR:
        texts = [text for text in members if isinstance(text, str) and "\x00" not in text]
        if len(texts) != len(members):
            raise NotCompiled("a NUL character among the values")
        literals = [text_literal(text) for text in texts if _is_encodable(text)]
    else:
        low, high = column.unscaled_limits
        literals = [_number(column, value) for value in members if isinstance(value, int) and low <= value <= high]
    if not literals:
        return column.always
    listed = ", ".join(dict.fromkeys(literals))
    within = None
    if column.kind is Kind.STR:  # DuckDB casts each dictionary entry once, but compares every row
        within = Among(f"TRY_CAST({column.sql} AS ENUM ({listed})) IS NOT NULL")
    return Expression(f"{column.sql} NOT IN ({listed})", within=within)


def compile_uuid(column: Column) -> Expression:
    """Text that is not a UUID in canonical form."""
    return Expression(f"NOT regexp_full_match({column.sql}, '{_CANONICAL_UUID}')")


def compile_representable(column: Column) -> Expression:
    """Timestamps and dates outside Python's range (infinity, years below 1 or above 9999), and the time 24:00:00."""
    if pa.types.is_timestamp(column.arrow):
        if column.arrow.unit == "ns":
            return NEVER  # 64 bits of nanoseconds end in 2262, and DuckDB cannot compare them with later timestamps
        first, last = _moment(column, datetime(1, 1, 1, tzinfo=UTC)), _moment(column, _LAST_MOMENT)
        return _outside(column, first, last)
    if pa.types.is_date(column.arrow):
        return _outside(column, "DATE '0001-01-01'", "DATE '9999-12-31'")
    if pa.types.is_time(column.arrow):
        last = "TIME '23:59:59.999999'"
        return Expression(f"{column.sql} > {last}", within=Bounds(column.sql, outer_high=last))
    return NEVER


def _outside(column: Column, first: str, last: str) -> Expression:
    within = Bounds(column.sql, outer_low=first, outer_high=last)
    return Expression(f"NOT {column.sql} BETWEEN {first} AND {last}", within=within)


def _is_encodable(text: str) -> bool:
    """False for lone surrogates, which no column can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bound(column: Column, name: str, value: Any) -> Expression:
    if column.is_exact_number:
        return _exact_bound(column, name, value)
    operator = {"ge": "<", "gt": "<=", "le": ">", "lt": ">="}[name]
    if column.kind is Kind.FLOAT:
        bound = float(value)
        if math.isnan(bound):
            raise NotCompiled("a bound that is not a number")
        number, limit = _double(column), f"CAST('{bound!r}' AS DOUBLE)"
        # NaN satisfies no bound, and for DuckDB it is greater than every number.
        within = Bounds(number, high=limit) if name == "le" else None
        if name == "ge":
            within = Bounds(number, low=limit, outer_high="CAST('inf' AS DOUBLE)")
        return Expression(f"(isnan({column.sql}) OR {number} {operator} {limit})", within=within)
    return _closed(operator, name, column, _temporal(column, value))


def _closed(violates: str, name: str, column: Column, limit: str) -> Expression:
    """A comparison with a limit; `within` is set if the limit itself is valid."""
    within = {"ge": Bounds(column.sql, low=limit), "le": Bounds(column.sql, high=limit)}.get(name)
    return Expression(f"{column.sql} {violates} {limit}", within=within)


def _exact_bound(column: Column, name: str, value: Any) -> Expression:
    """A bound on integers and decimals, rounded to the column's scale so that both sides have one type."""
    exact = exact_number(value) * 10**column.scale
    low, high = column.unscaled_limits
    limit = math.ceil(exact) if name in {"ge", "lt"} else math.floor(exact)
    # Violating values are, for ge: n < limit; gt: n <= limit; le: n > limit; lt: n >= limit.
    if name in {"ge", "gt"}:
        first_good = limit if name == "ge" else limit + 1
        if first_good <= low:
            return NEVER
        return column.always if first_good > high else _closed("<", "ge", column, _number(column, first_good))
    last_good = limit if name == "le" else limit - 1
    if last_good >= high:
        return NEVER
    return column.always if last_good < low else _closed(">", "le", column, _number(column, last_good))


def exact_number(value: Any) -> Fraction:
    """The number that pydantic uses for a bound on int or Decimal. Raises NotCompiled."""
    number = Decimal(str(value)) if isinstance(value, float) else value
    if isinstance(number, str):
        number = Decimal(number)
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise NotCompiled(f"a bound of type {type(value).__name__}")
    if isinstance(number, Decimal) and not number.is_finite():
        raise NotCompiled("a bound that is not finite")
    return Fraction(number)


def _number(column: Column, unscaled: int) -> str:
    """A number of the column's type, given in units of its last decimal place."""
    return f"CAST('{plain_decimal(unscaled, column.scale)}' AS {column.sql_type})"


def plain_decimal(unscaled: int, scale: int) -> str:
    """`unscaled / 10**scale` without an exponent; Python's Decimal would round it to its context."""
    if scale == 0:
        return str(unscaled)
    digits = str(abs(unscaled)).rjust(scale + 1, "0")
    return f"{'-' if unscaled < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def _double(column: Column) -> str:
    return f"CAST({column.sql} AS DOUBLE)" if pa.types.is_float32(column.arrow) else column.sql


def _multiple_of(column: Column, value: Any) -> Expression:
    if column.kind is Kind.FLOAT:
        step = float(value)
        if not (math.isfinite(step) and step > 0):
            raise NotCompiled("multiple_of that is not a positive number")
        if INSTALLED < (2, 13):
            raise NotCompiled("multiple_of a float, which pydantic before 2.13 checks by another formula")
        x, m = _double(column), f"CAST('{step!r}' AS DOUBLE)"
        # pydantic-core's algorithm; infinities and NaN give NaN there, which violates nothing.
        return Expression(f"(isfinite({column.sql}) AND abs({x} - round({x} / {m}) * {m}) > CAST('1e-9' AS DOUBLE))")
    exact = exact_number(value)
    if exact <= 0:
        raise NotCompiled("multiple_of that is not positive")
    if column.kind is not Kind.INT:
        return _decimal_multiple_of(column, exact)
    if exact == 1:
        return NEVER
    step, (low, high) = exact.numerator, column.unscaled_limits
    if step > high:  # outside the column's type: its only multiples there are 0 and perhaps -step
        multiples = [_number(column, value) for value in (0, -step) if value >= low]
        return Expression(f"{column.sql} NOT IN ({', '.join(multiples)})")
    return Expression(f"{column.sql} % {_number(column, step)} <> {_number(column, 0)}")


def _decimal_multiple_of(column: Column, step: Fraction) -> Expression:
    """Pydantic's `(value / step) % 1` at 28 digits, if that is exact: no quotient may round to a whole number."""
    places = _decimal_places(step)
    scale = max(places, column.scale)
    whole_digits = max(column.arrow.precision - column.scale, len(str(math.floor(step))))
    quotient_digits = len(str(math.ceil(column.unscaled_limits[1] / (step * 10**column.scale))))
    finest = len(str(step * 10**places)) + max(column.scale - places, 0)
    if quotient_digits + finest >= _CONTEXT_DIGITS or whole_digits + scale > _CONTEXT_DIGITS:
        raise NotCompiled("multiple_of whose quotient may exceed 28 digits, which pydantic rounds to")
    kind = f"DECIMAL({whole_digits + scale},{scale})"
    step_text = plain_decimal((step * 10**scale).numerator, scale)
    return Expression(f"CAST({column.sql} AS {kind}) % CAST('{step_text}' AS {kind}) <> 0")


def _decimal_places(step: Fraction) -> int:
    places = 0
    while (step * 10**places).denominator != 1:
        places += 1
    return places


def _pattern(column: Column, value: Any) -> Expression:
    if not isinstance(value, str):
        raise NotCompiled("a compiled Python pattern")
    members = finite_members(value)
    if members is not None:
        return compile_members(column, members)
    try:
        found = translate(value)
    except Untranslatable as error:
        raise NotCompiled(f"pattern with {error}") from error
    mismatch = f"NOT regexp_matches({column.sql}, {text_literal(found.pattern)})"
    if not found.is_ascii_only:
        return Expression(mismatch)
    is_ascii = f"strlen({column.sql}) = length({column.sql})"
    return Expression(f"({is_ascii} AND {mismatch})", undecided=f"strlen({column.sql}) <> length({column.sql})")


def _temporal(column: Column, value: Any) -> str:
    if column.kind is Kind.DATE and type(value) is date:
        return f"DATE '{value.isoformat()}'"
    if column.kind is Kind.TIME and type(value) is time and value.tzinfo is None:
        return f"TIME '{value.isoformat()}'"
    if column.kind is Kind.DATETIME and type(value) is datetime:
        if (value.tzinfo is None) != (column.arrow.tz is None):
            raise NotCompiled("a bound with a time zone on a column without, or the reverse")
        return _moment(column, value)
    raise NotCompiled(f"a bound of type {type(value).__name__}")


def _moment(column: Column, value: datetime) -> str:
    """A timestamp in SQL, in UTC; for a column without a zone, its wall-clock time."""
    try:
        wall = (value if value.tzinfo is None else value.astimezone(UTC)).replace(tzinfo=None).isoformat(sep=" ")
    except OverflowError:
        raise NotCompiled("a bound that is beyond the years 1 to 9999 in UTC") from None
    return f"TIMESTAMP '{wall}'" if column.arrow.tz is None else f"CAST('{wall}+00' AS TIMESTAMPTZ)"
