# ruff: noqa: DTZ001, DTZ901 - columns without a time zone hold naive moments
"""Random columns: every kind of field with every kind of constraint, and values at and around each limit.

A column has its values as the file holds them (`stored`) and as the row of pydantic has them (`values`), made here and
not by the code under test. All choices are of one `random.Random`, so that a seed, or Hypothesis, replays them.
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from random import Random
from typing import Annotated, Any, Literal
from uuid import UUID

import annotated_types
import pyarrow as pa
from pydantic import (
    UUID4,
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    Field,
    FiniteFloat,
    FutureDate,
    Json,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    PositiveInt,
    SecretStr,
    StrictInt,
    StrictStr,
    StringConstraints,
    condecimal,
    conint,
    constr,
    create_model,
)
from pydantic_core import SchemaError

from statekeeper.parquet.types import parse_type
from statekeeper.schemas.model.inline import KNOWS_ASCII_ONLY
from tests.unit.schemas.staged_columns import PYDANTIC

ROWS = 12


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Shade(enum.StrEnum):
    DARK = "dark"
    PALE = "o'pale"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 300


class Ratio(enum.Enum):
    HALF = 0.5
    TWICE = 2.0


@dataclass(frozen=True)
class Column:
    """A field's type, what the source delivers for it, and its values as the row and as the file have them.

    `constraints` are what the annotation says besides its type, under the names that inline rules have for them.
    """

    annotation: Any
    read_type: str
    values: tuple[Any, ...]
    stored: tuple[Any, ...]
    constraints: dict[str, Any] = field(default_factory=dict)


def same(annotation: Any, read_type: str, values: list[Any], constraints: dict[str, Any] | None = None) -> Column:
    return Column(annotation, read_type, tuple(values), tuple(values), constraints or {})


def some(random: Random, names: tuple[str, ...], value: Callable[[], Any]) -> dict[str, Any]:
    """None, one or two of these constraints."""
    chosen = random.sample(names, random.choice((0, 1, 1, 1, 2)))
    return {name: value() for name in chosen}


def one_in(many: int, random: Random) -> bool:
    """True once in so many times; not by drawing 0, which Hypothesis tries more often than other numbers."""
    return random.randrange(many) == many * 2 // 3


def with_constraints(annotation: Any, constraints: dict[str, Any]) -> Any:
    return Annotated[annotation, Field(**constraints)] if constraints else annotation


def near(constraints: dict[str, Any], step: Any) -> list[Any]:
    bounds = [value for name, value in constraints.items() if name in {"ge", "gt", "le", "lt", "multiple_of"}]
    return [bound + shift for bound in bounds for shift in (step - step, -step, step)]


def clip(values: list[Any], low: Any, high: Any) -> list[Any]:
    return [value for value in values if low <= value <= high]


def drawn(random: Random, pool: list[Any], other: Callable[[], Any]) -> list[Any]:
    """Values for all rows: two of three from the pool."""
    return [random.choice(pool) if random.randrange(3) else other() for _ in range(ROWS)]


INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint64", "decimal128(9, 0)", "decimal128(38, 0)")


def ints(random: Random) -> Column:
    read = random.choice(INTEGERS)
    kind = parse_type(read)
    if pa.types.is_decimal(kind):
        low, high = -(10**kind.precision) + 1, 10**kind.precision - 1
    elif pa.types.is_unsigned_integer(kind):
        low, high = 0, 2**kind.bit_width - 1
    else:
        low, high = -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
    limits = (low, high, low - 1, high + 1, 2**63, -(2**63) - 1, 10**25)
    constraints = some(
        random, ("ge", "gt", "le", "lt"), lambda: random.choice((random.randint(-9, 9), random.choice(limits)))
    )
    if random.randrange(2):
        constraints["multiple_of"] = random.choice((1, 2, 3, 7, 250, 10**6, 2**63, 10**30))
    bounds = [constraints.get(name, 0) for name in ("ge", "gt", "le", "lt")]
    if pa.types.is_decimal(kind) and all(-(2**63) <= bound < 2**63 for bound in bounds):
        low, high = max(low, -(2**63)), min(high, 2**63 - 1)
    pool = clip([*near(constraints, 1), low, high, 0, 1, -1, 6, -7, 21], low, high)
    values = drawn(random, pool, lambda: random.randint(low, high))
    return same(with_constraints(int, constraints), read, values, constraints)


def decimals(random: Random) -> Column:
    precision = random.choice((1, 3, 9, 18, 27, 28, 38))
    scale = random.randint(0, min(precision, 12))
    steps = ("0.01", "0.25", "3", "0.3", "1000", "1")

    def bound() -> Any:
        special = (Decimal(10) ** 27, -(Decimal(10) ** 40), Decimal("0.0000001"), 1, 0.1, 2.5)
        small = Decimal(random.randint(-20, 20))
        finer = Decimal(random.randint(-9999, 9999)).scaleb(-random.randint(0, 6))
        return random.choice((small, finer, random.choice(special)))

    constraints = some(random, ("ge", "gt", "le", "lt"), bound)
    extra = random.randrange(4)
    # Before 2.14, pydantic itself fails on a quotient of more than 28 digits.
    if extra == 0 and (PYDANTIC >= (2, 14) or precision <= 18):
        constraints["multiple_of"] = Decimal(random.choice(steps))
    elif extra == 1:
        constraints[random.choice(("max_digits", "decimal_places"))] = random.randint(1, 12)
    elif extra == 2:
        constraints |= {"max_digits": precision, "decimal_places": scale}
    most = 10**precision - 1
    with localcontext(prec=80):
        exact = {name: Decimal(str(value)) for name, value in constraints.items()}
        close = [int(value.scaleb(scale)) for value in near(exact, Decimal(1).scaleb(-scale)) if abs(value) < 10**28]
    places = [10**power * digit for power in range(precision) for digit in (1, 5)]
    pool = clip([*close, *places, most, -most, 0], -most, most)
    unscaled = drawn(random, pool, lambda: random.randint(-most, most))
    values = [Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale)) for n in unscaled]
    return same(with_constraints(Decimal, constraints), f"decimal128({precision}, {scale})", values, constraints)


def floats(random: Random) -> Column:
    width = random.choice((32, 64))
    bounds = (0.1, -0.5, 1e9, math.inf, -math.inf, 1e300, -3.0, 0.0, 2.0)
    constraints = some(random, ("ge", "gt", "le", "lt"), lambda: random.choice(bounds))
    if random.randrange(2):
        constraints["multiple_of"] = random.choice((0.1, 0.5, 1.0, 3.0, 0.01, 1e-12, 1e-300, 1e200))
    if random.randrange(2):
        constraints["allow_inf_nan"] = random.choice((True, False))
    steps = [constraints.get("multiple_of", 0.1) * n for n in (-3, 1, 2, 7, 1000)]
    special = [math.nan, math.inf, -math.inf, 0.0, -0.0, 2.5, -2.5, 1e308, 5e-324, 0.3]
    pool = [*near(constraints, 0.1), *steps, *special]
    values = drawn(random, pool, lambda: random.uniform(-10, 10) * 10.0 ** random.randint(-20, 20))
    is_finite = one_in(8, random) and "allow_inf_nan" not in constraints
    kind: Any = with_constraints(FiniteFloat if is_finite else float, constraints)
    if is_finite:
        constraints = {**constraints, "allow_inf_nan": False}
    if width == 32:
        values = [as_float32(value) for value in values]
    return same(kind, "float" if width == 32 else "double", values, constraints)


def as_float32(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


ALPHABET = (
    "aAbBkKzZ09 _-.\n\t\x0b\r\x00\x1c\u00e9\u00df\u0663\u212a\u017f\u2028\u0085\u00a0\u3000\u200b\u0301\U0001f468"
    "\U0001d7d9\u200d\u0130\u0131"
)
PIECES = (
    *("a", "B", "k", "9", r"\.", "-", ".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", "[a-z]", "[^a]", r"[\w-]"),
    *(r"[^\d]", r"[A-Z0-9_]", r"\x41", r"\n", r"[\s.]", "\u00e9", "[\u00e0-\u00ff]", "(?:a|B9)", "(ab|)", r"\b"),
    *(r"\B", "_", " ", "[-a]", r"\p{L}", "(?P<x>a)", "[[:alpha:]]", "[a&&b]", r"\A", r"\z", "(?s:.)", "[a-c[x]]"),
    *(r"\-", r"\t", r"\p{Lu}", r"[^\p{L}]", r"[\p{Nd}_]", r"[[:digit:]a]", r"[^[:lower:]]", "(?<y>k|9)", r"\p{M}"),
)  # fmt: skip
REPEATS = ("", "", "", "*", "+", "?", "{2}", "{1,}", "{0,3}", "*?", "+?")
ANCHORS = frozenset({r"\b", r"\B", r"\A", r"\z"})


def pattern(random: Random) -> str:
    if one_in(8, random):
        return random.choice(("^(a|B9|)$", "^[aB][k9]$", "^(?:Z0| )$", "^a[9_]$"))
    parts = [random.choice(PIECES) for _ in range(random.randint(1, 4))]
    body = "".join(part if part in ANCHORS else part + random.choice(REPEATS) for part in parts)
    return random.choice(("", "", "^", "(?i)", "(?i)^", "(?m)^")) + body + random.choice(("", "$"))


def text(random: Random) -> str:
    return "".join(random.choice(ALPHABET) for _ in range(random.randint(0, 5)))


def usable(annotation: Any) -> Any:
    """The annotation, None if pydantic refuses it: a pattern that is none."""
    try:
        create_model("Try", field=(annotation, ...))
    except SchemaError:
        return None
    return annotation


def texts(random: Random) -> Column:
    lengths = some(random, ("min_length", "max_length"), lambda: random.randint(0, 4))
    names = ("strip_whitespace", "to_lower", "to_upper", *(("ascii_only",) if KNOWS_ASCII_ONLY else ()))
    strings = some(random, names, lambda: random.choice((True, True, False)))
    if random.randrange(2):
        strings = {}
    given = {**lengths, **strings}
    words = [text(random) for _ in range(ROWS)]
    if random.randrange(2):
        matched = {**given, "pattern": pattern(random)}
        if (kind := usable(Annotated[str, StringConstraints(**matched)])) is not None:
            return same(kind, "string", words, matched)
    return same(Annotated[str, StringConstraints(**given)], "string", words, given)


def blobs(random: Random) -> Column:
    constraints = some(random, ("min_length", "max_length"), lambda: random.randint(0, 4))
    values = [random.randbytes(random.randint(0, 5)) for _ in range(ROWS)]
    return same(with_constraints(bytes, constraints), "binary", values, constraints)


def moment(random: Random, low: datetime, high: datetime) -> datetime:
    span = (high - low) // timedelta(microseconds=1)
    return low + timedelta(microseconds=random.randint(0, span))


UNITS = {"timestamp[us]": 1, "timestamp[ms]": 1000, "timestamp[s]": 10**6, "timestamp[ns]": 1}


def moments(random: Random) -> Column:
    zone = random.choice((None, UTC))
    read = "timestamp[us, tz=UTC]" if zone else random.choice(tuple(UNITS))
    low, high = datetime.min, datetime.max
    if read == "timestamp[ns]":
        low, high = datetime(1700, 1, 1), datetime(2200, 1, 1)
    offset = timezone(timedelta(hours=5, minutes=30)) if zone and random.randrange(2) else zone

    def bound() -> datetime:
        found = random.choice((moment(random, low, high), datetime(2020, 2, 29, 12, 0, 0, 5)))
        return found.replace(tzinfo=offset)

    constraints = some(random, ("ge", "gt", "le", "lt"), bound)
    close = [
        (one.astimezone(UTC).replace(tzinfo=None) if zone else one) + shift
        for one in constraints.values()
        if 2 < one.year < 9998
        for shift in (timedelta(), timedelta(microseconds=1), timedelta(microseconds=-1))
    ]
    unit = UNITS.get(read, 1)
    values = [
        one.replace(microsecond=one.microsecond // unit * unit if unit < 10**6 else 0, tzinfo=zone)
        for one in drawn(random, [*clip(close, low, high), low, high], lambda: moment(random, low, high))
    ]
    if random.randrange(2):
        kind = with_constraints(AwareDatetime if zone else NaiveDatetime, constraints)
        return same(kind, read, values, {**constraints, "timezone": "aware" if zone else "naive"})
    return same(with_constraints(datetime, constraints), read, values, constraints)


def day(random: Random) -> date:
    return date.fromordinal(random.randint(1, date.max.toordinal()))


def dates(random: Random) -> Column:
    constraints = some(
        random, ("ge", "gt", "le", "lt"), lambda: random.choice((day(random), date(2020, 2, 29), date.max))
    )
    close = [
        date.fromordinal(number)
        for one in constraints.values()
        for number in (one.toordinal() - 1, one.toordinal(), one.toordinal() + 1)
        if 1 <= number <= date.max.toordinal()
    ]
    values = drawn(random, [*close, date.min, date.max, date(1970, 1, 1)], lambda: day(random))
    return same(with_constraints(date, constraints), "date32[day]", values, constraints)


def times(random: Random) -> Column:
    def any_time() -> time:
        return (datetime.min + timedelta(microseconds=random.randrange(86_400_000_000))).time()

    constraints = some(random, ("ge", "gt", "le", "lt"), any_time)
    values = drawn(random, [*constraints.values(), time.min, time.max], any_time)
    return same(with_constraints(time, constraints), "time64[us]", values, constraints)


MEMBERS: tuple[tuple[Any, str, tuple[Any, ...]], ...] = (
    (Colour, "string", ("red", "blue", "RED", "", "o'clock")),
    (Shade, "string", ("dark", "o'pale", "red", "")),
    (Level, "int16", (1, 300, 2, -1)),
    (Level, "decimal128(9, 0)", (1, 300, 2)),
    (Ratio, "double", (0.5, 2.0, 1.0, math.nan)),
    (Literal["red", "o'clock", "\U0001f468"], "string", ("red", "o'clock", "\U0001f468", "o", "")),
    (Literal[1, 300, 10**20], "int16", (1, 300, 2, -1)),
    (Literal[1, 2], "decimal128(9, 0)", (1, 2, 3)),
    (Literal["a", 1], "string", ("a", "1", "b")),
    (Literal["a", 1, b"x"], "binary", (b"a", b"x", b"")),
    (Literal[True], "bool", (True, False)),
    (Literal[Colour.RED], "string", ("red", "blue", "green")),
    (Literal[Shade.DARK, Shade.PALE], "string", ("dark", "o'pale", "x")),
    (bool, "bool", (True, False)),
    (Any, "string", ("a", "b")),
    (object, "double", (1.5, math.nan)),
)


def members(random: Random) -> Column:
    kind, read, pool = random.choice(MEMBERS)
    stored = tuple(random.choice(pool) for _ in range(ROWS))
    values = stored
    of = kind if isinstance(kind, type) and issubclass(kind, enum.Enum) else None
    if kind in {Literal[Colour.RED], Literal[Shade.DARK, Shade.PALE]}:
        of = Colour if kind == Literal[Colour.RED] else Shade
    if of is not None:
        by_value = {member.value: member for member in of}
        values = tuple(by_value.get(value, value) for value in stored)
    return Column(kind, read, values, stored)


def uuids(random: Random) -> Column:
    def one() -> str:
        good = str(UUID(int=random.getrandbits(128), version=random.choice((1, 4))))
        return random.choice((good, good, good.upper(), "", "x" * 36, good.replace("-", "")))

    stored = tuple(one() for _ in range(ROWS))
    values = tuple(UUID(word) if len(word) == 36 and "x" not in word else word for word in stored)
    return Column(random.choice((UUID, UUID, UUID4)), "string", values, stored)


def not_short(value: str) -> str:
    assert len(value) > 2, "short"
    return value


def unions(random: Random) -> Column:
    """A column, and a union of its field's type with others."""
    column = random.choice((ints, decimals, floats, texts, blobs, dates, times, booleans))(random)
    if column.read_type.startswith("decimal") and pa.types.is_decimal(parse_type(column.read_type)):
        column = texts(random)  # a union takes what the column delivers, which a decimal column does in two ways
    others: tuple[Any, ...] = (
        *(int, str, bytes, float, bool, None, date, Colour, UUID, list[int]),
        *(Annotated[int, Field(ge=0, le=9)], Annotated[int, Field(lt=-3)], Annotated[str, Field(max_length=1)]),
        *(Literal["a", "b"], Literal[1, 21], Annotated[float, Field(gt=0)], Annotated[bytes, Field(max_length=2)]),
        Annotated[str, AfterValidator(not_short)],
    )
    kind = column.annotation
    for other in random.sample(others, random.randint(1, 3)):
        kind = kind | other if random.randrange(2) else other | kind
    return replace(column, annotation=kind)


def booleans(random: Random) -> Column:
    return same(bool, "bool", [random.choice((True, False)) for _ in range(ROWS)])


NAMED: tuple[tuple[Any, str, tuple[Any, ...]], ...] = (
    (PositiveInt, "int64", (0, 1, -1, 5)),
    (conint(ge=2, multiple_of=2), "int32", (0, 1, 2, 3, 4)),
    (StrictInt, "int8", (0, 1)),
    (Annotated[int, annotated_types.Interval(gt=1, le=4)], "int64", (1, 2, 4, 5)),
    (Annotated[int, annotated_types.Predicate(lambda value: value % 3 == 0)], "int64", (1, 2, 3, 4, 6)),
    (constr(min_length=1, max_length=2, strip_whitespace=True), "string", ("", " ", " a", "abc", "ab ")),
    (StrictStr, "string", ("", "a")),
    (Annotated[str, annotated_types.Len(1, 2)], "string", ("", "a", "abc", "\U0001f468e")),
    (Annotated[str, annotated_types.LowerCase], "string", ("a", "A", "")),
    (condecimal(max_digits=3, decimal_places=1), "decimal128(9, 1)", tuple(map(Decimal, ("1.1", "99.9", "0.0")))),
    (Annotated[Annotated[int, Field(ge=1)], Field(le=3), annotated_types.Ge(2)], "int64", (0, 1, 2, 3, 4)),
    (PastDate, "date32[day]", (date(1999, 1, 1), date(9000, 1, 1))),
    (FutureDate, "date32[day]", (date(1999, 1, 1), date(9000, 1, 1))),
    (PastDatetime, "timestamp[us]", (datetime(1999, 1, 1), datetime(9000, 1, 1))),
    (AnyUrl, "string", ("http://a.example/", "http://", "a", "")),
    (SecretStr, "string", ("", "a")),
    (Annotated[SecretStr, Field(min_length=1)], "string", ("", "a")),
    (Json, "string", ("{}", "[1]", "{", "")),
    (Json[list[int]], "string", ("{}", "[1]", '["a"]')),
    (Annotated[int | None, Field(ge=1)], "int64", (0, 1)),
    (Annotated[Annotated[str, Field(max_length=2)] | None, Field(min_length=1)], "string", ("", "a", "abc")),
    (Annotated[int | str, Field(ge=1)], "int64", (0, 1, 2)),
)


def named(random: Random) -> Column:
    kind, read, pool = random.choice(NAMED)
    return same(kind, read, [random.choice(pool) for _ in range(ROWS)])


KINDS: dict[str, Callable[[Random], Column]] = {
    "int": ints,
    "decimal": decimals,
    "float": floats,
    "str": texts,
    "bytes": blobs,
    "datetime": moments,
    "date": dates,
    "time": times,
    "member": members,
    "uuid": uuids,
    "union": unions,
    "named": named,
}
