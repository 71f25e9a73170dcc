# ruff: noqa: DTZ001, DTZ901 - columns without a time zone hold naive moments
"""The promise of DESIGN section 8: a row is valid exactly when the model accepts it, however the scan gets there."""

from __future__ import annotations

import enum
import math
import struct
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import SchemaError

from statekeeper.model.schema import ColumnRule
from statekeeper.schemas.arrow import parse_type
from statekeeper.schemas.inline import inline_model
from tests.unit.schemas.columns import Staged

ROWS = 16
EXAMPLES = 50
STRICT = ConfigDict(strict=True, extra="forbid")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 300


@dataclass(frozen=True)
class Column:
    """A field, what the source delivers for it, and values as a row has them (`stored` as the file has them)."""

    annotation: Any
    read_type: str
    values: tuple[Any, ...]
    stored: tuple[Any, ...]
    constraints: dict[str, Any]


def _not_even(value: Any) -> Any:
    if value is not None and hash(value) % 2 == 0:
        raise ValueError("even")
    return value


def _some(draw: Any, names: tuple[str, ...], values: st.SearchStrategy[Any]) -> dict[str, Any]:
    chosen = draw(
        st.sampled_from([(), *((name,) for name in names), *((name,) for name in names), names[:2], names[1:3]])
    )
    return {name: draw(values) for name in chosen}


def _near(constraints: dict[str, Any], step: Any) -> list[Any]:
    bounds = [value for name, value in constraints.items() if name in {"ge", "gt", "le", "lt", "multiple_of"}]
    return [bound + shift for bound in bounds for shift in (step - step, -step, step)]


def _clip(values: list[Any], low: Any, high: Any) -> list[Any]:
    return [value for value in values if low <= value <= high]


@st.composite
def ints(draw: Any) -> Column:
    read = draw(
        st.sampled_from(["int8", "int16", "int32", "int64", "uint8", "uint64", "decimal128(9, 0)", "decimal128(38, 0)"])
    )
    kind = parse_type(read)
    if pa.types.is_decimal(kind):
        low, high = -(10**kind.precision) + 1, 10**kind.precision - 1
    elif pa.types.is_unsigned_integer(kind):
        low, high = 0, 2**kind.bit_width - 1
    else:
        low, high = -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
    bounds = st.one_of(st.integers(-9, 9), st.sampled_from([low, high, low - 1, high + 1, 2**63, -(2**63) - 1, 10**25]))
    constraints = _some(draw, ("ge", "gt", "le", "lt"), bounds)
    if draw(st.booleans()):
        constraints["multiple_of"] = draw(st.sampled_from([1, 2, 3, 7, 250, 10**6, 2**63, 10**30]))
    beyond = any(not -(2**63) <= constraints.get(name, 0) < 2**63 for name in ("ge", "gt", "le", "lt"))
    if pa.types.is_decimal(kind) and not beyond:
        low, high = max(low, -(2**63)), min(high, 2**63 - 1)
    pool = _clip([*_near(constraints, 1), low, high, 0, 1, -1, 6, -7, 21], low, high)
    value = st.one_of(st.sampled_from(pool), st.sampled_from(pool), st.integers(low, high))
    values = draw(st.lists(value, min_size=ROWS, max_size=ROWS))
    return Column(int, read, tuple(values), tuple(values), constraints)


@st.composite
def decimals(draw: Any) -> Column:
    precision = draw(st.sampled_from([1, 3, 9, 18, 27, 28, 38]))
    scale = draw(st.integers(0, min(precision, 12)))
    number = st.one_of(
        st.integers(-20, 20).map(Decimal),
        st.builds(lambda n, s: Decimal(n).scaleb(-s), st.integers(-9999, 9999), st.integers(0, 6)),
        st.sampled_from([Decimal(10) ** 27, -(Decimal(10) ** 40), Decimal("0.0000001")]),
    )
    constraints = _some(draw, ("ge", "gt", "le", "lt"), number)
    if draw(st.booleans()):
        constraints["multiple_of"] = draw(
            st.sampled_from([Decimal(text) for text in ("0.01", "0.25", "3", "0.3", "1000", "1")])
        )
    elif draw(st.booleans()):
        names = draw(st.sampled_from([("max_digits",), ("decimal_places",)]))
        constraints |= {name: draw(st.integers(1 if name == "max_digits" else 0, 12)) for name in names}
    most = 10**precision - 1
    near = [int(value * 10**scale) for value in _near(constraints, Decimal(1).scaleb(-scale)) if abs(value) < 10**28]
    places = [10**power * digit for power in range(precision) for digit in (1, 5)]
    pool = st.sampled_from(_clip([*near, *places, most, -most, 0], -most, most))
    unscaled = draw(st.lists(st.one_of(pool, pool, st.integers(-most, most)), min_size=ROWS, max_size=ROWS))
    values = tuple(Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale)) for n in unscaled)
    return Column(Decimal, f"decimal128({precision}, {scale})", values, values, constraints)


@st.composite
def floats(draw: Any) -> Column:
    width = draw(st.sampled_from([32, 64]))
    bounds = st.one_of(st.integers(-5, 5).map(float), st.sampled_from([0.1, -0.5, 1e9, math.inf, -math.inf, 1e300]))
    constraints = _some(draw, ("ge", "gt", "le", "lt"), bounds)
    if draw(st.booleans()):
        constraints["multiple_of"] = draw(st.sampled_from([0.1, 0.5, 1.0, 3.0, 0.01, 1e-12, 1e-300, 1e200]))
    if draw(st.booleans()):
        constraints["allow_inf_nan"] = draw(st.booleans())
    steps = [constraints.get("multiple_of", 0.1) * n for n in (-3, 1, 2, 7, 1000)]
    pool = [*_near(constraints, 0.1), *steps, math.nan, math.inf, -math.inf, 0.0, -0.0, 2.5, -2.5, 1e308, 5e-324, 0.3]
    values = draw(
        st.lists(st.one_of(st.sampled_from(pool), st.sampled_from(pool), st.floats()), min_size=ROWS, max_size=ROWS)
    )
    if width == 32:
        values = [_as_float32(value) for value in values]
    return Column(float, "float" if width == 32 else "double", tuple(values), tuple(values), constraints)


def _as_float32(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


ALPHABET = "aAbBkKzZ09 _-.\n\t\x0b\r\u00e9\u0663\u212a\u017f\u2028\u0085\u0301\U0001f468\U0001d7d9\u200d\u0130\u0131"
PIECES = (
    *(
        "a",
        "B",
        "k",
        "9",
        r"\.",
        "-",
        ".",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\s",
        r"\S",
        "[a-z]",
        "[^a]",
        r"[\w-]",
        r"[^\d]",
    ),
    *(
        r"[A-Z0-9_]",
        r"\x41",
        r"\n",
        r"[\s.]",
        "\u00e9",
        "[\u00e0-\u00ff]",
        "(?:a|B9)",
        "(ab|)",
        r"\b",
        r"\B",
        "_",
        " ",
        "[-a]",
    ),
    *(r"\p{L}", "(?P<x>a)", "[[:alpha:]]", "[a&&b]", r"\A", r"\z", "(?s:.)", "[a-c[x]]", r"\-", r"\t"),
)
REPEATS = ("", "", "", "*", "+", "?", "{2}", "{1,}", "{0,3}", "*?", "+?")


@st.composite
def patterns(draw: Any) -> str:
    parts = draw(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(REPEATS)), min_size=1, max_size=4))
    anchored = {r"\b", r"\B", r"\A", r"\z"}
    body = "".join(piece if piece in anchored else piece + repeat for piece, repeat in parts)
    before = draw(st.sampled_from(["", "", "^", "(?i)", "(?i)^", "(?m)^"]))
    return before + body + draw(st.sampled_from(["", "$"]))


@st.composite
def texts(draw: Any) -> Column:
    constraints: dict[str, Any] = _some(draw, ("min_length", "max_length"), st.integers(0, 4))
    if draw(st.booleans()):
        constraints["pattern"] = draw(patterns())
    values = tuple(draw(st.lists(st.text(ALPHABET, max_size=5), min_size=ROWS, max_size=ROWS)))
    return Column(str, "string", values, values, constraints)


@st.composite
def blobs(draw: Any) -> Column:
    constraints = _some(draw, ("min_length", "max_length"), st.integers(0, 4))
    values = tuple(draw(st.lists(st.binary(max_size=5), min_size=ROWS, max_size=ROWS)))
    return Column(bytes, "binary", values, values, constraints)


@st.composite
def moments(draw: Any) -> Column:
    zone = draw(st.sampled_from([None, UTC]))
    units = {"timestamp[us]": 1, "timestamp[ms]": 1000, "timestamp[s]": 10**6, "timestamp[ns]": 1}
    read = "timestamp[us, tz=UTC]" if zone else draw(st.sampled_from(list(units)))
    low, high = (
        (datetime(1700, 1, 1), datetime(2200, 1, 1)) if read == "timestamp[ns]" else (datetime.min, datetime.max)
    )
    offset = timezone(timedelta(hours=5, minutes=30)) if zone and draw(st.booleans()) else zone
    any_moment = st.datetimes(low, high)
    bounds = st.one_of(any_moment, st.just(datetime(2020, 2, 29, 12, 0, 0, 5))).map(
        lambda value: value.replace(tzinfo=offset)
    )
    constraints = _some(draw, ("ge", "gt", "le", "lt"), bounds)
    pool = [
        bound.astimezone(UTC).replace(tzinfo=None) if zone else bound
        for bound in constraints.values()
        if 2 < bound.year < 9998
    ]
    value = st.one_of(any_moment, st.sampled_from([*pool, low, high]))
    unit = units.get(read, 1)
    values = tuple(
        one.replace(microsecond=one.microsecond // unit * unit if unit < 10**6 else 0, tzinfo=zone)
        for one in draw(st.lists(value, min_size=ROWS, max_size=ROWS))
    )
    return Column(datetime, read, values, values, constraints)


@st.composite
def dates(draw: Any) -> Column:
    constraints = _some(draw, ("ge", "gt", "le", "lt"), st.dates())
    value = st.one_of(st.dates(), st.sampled_from([*constraints.values(), date.min, date.max]))
    values = tuple(draw(st.lists(value, min_size=ROWS, max_size=ROWS)))
    return Column(date, "date32[day]", values, values, constraints)


@st.composite
def times(draw: Any) -> Column:
    constraints = _some(draw, ("ge", "gt", "le", "lt"), st.times())
    value = st.one_of(st.times(), st.sampled_from([*constraints.values(), time.min, time.max]))
    values = tuple(draw(st.lists(value, min_size=ROWS, max_size=ROWS)))
    return Column(time, "time64[us]", values, values, constraints)


@st.composite
def members(draw: Any) -> Column:
    kind, read, pool = draw(
        st.sampled_from(
            [
                (Colour, "string", ("red", "blue", "RED", "", "o'clock")),
                (Level, "int16", (1, 300, 2, -1)),
                (Literal["red", "o'clock", "\U0001f468"], "string", ("red", "o'clock", "\U0001f468", "o", "")),
                (Literal[1, 300, 10**20], "int16", (1, 300, 2, -1)),
                (Literal[1, 2], "decimal128(9, 0)", (1, 2, 3)),
                (bool, "bool", (True, False)),
                (int | str, "int64", (1, 2)),
                (Any, "string", ("a", "b")),
            ]
        )
    )
    stored = tuple(draw(st.lists(st.sampled_from(pool), min_size=ROWS, max_size=ROWS)))
    values = stored
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        by_value = {member.value: member for member in kind}
        values = tuple(by_value.get(value, value) for value in stored)
    return Column(kind, read, values, stored, {})


@st.composite
def uuids(draw: Any) -> Column:
    good = st.uuids().map(str)
    stored = tuple(draw(st.lists(st.one_of(good, good, st.sampled_from(["", "x" * 36])), min_size=ROWS, max_size=ROWS)))
    values = tuple(UUID(text) if len(text) == 36 and "x" not in text else text for text in stored)
    return Column(UUID, "string", values, stored, {})


KINDS = {
    "int": ints(),
    "decimal": decimals(),
    "float": floats(),
    "str": texts(),
    "bytes": blobs(),
    "datetime": moments(),
    "date": dates(),
    "time": times(),
    "member": members(),
    "uuid": uuids(),
}


def _verdicts(model: type[BaseModel], rows: list[dict[str, Any]]) -> list[bool]:
    accepted = []
    for row in rows:
        try:
            model.model_validate(row, strict=True)
        except ValidationError:
            accepted.append(False)
        else:
            accepted.append(True)
    return accepted


def _assert_same(model: type[BaseModel], columns: dict[str, Column], nulls: dict[str, set[int]]) -> None:
    def with_nulls(name: str, values: tuple[Any, ...]) -> list[Any]:
        return [None if index in nulls[name] else value for index, value in enumerate(values)]

    rows = [
        dict(zip(columns, values, strict=True))
        for values in zip(*(with_nulls(name, column.values) for name, column in columns.items()), strict=True)
    ]
    accepted = _verdicts(model, rows)
    stored = {name: (column.read_type, with_nulls(name, column.stored)) for name, column in columns.items()}
    # Accepted and refused rows apart, so that the counts of each part are the verdict on each row.
    for verdict in (True, False):
        chosen = [index for index, is_accepted in enumerate(accepted) if is_accepted is verdict]
        part = {name: (read, [values[index] for index in chosen]) for name, (read, values) in stored.items()}
        with tempfile.TemporaryDirectory() as folder:
            staged = Staged(Path(folder), model, part)
            findings = staged.scan()
        checks = [(check.column, check.violated, check.undecided) for check in staged.compiled.checks]
        context = (verdict, [rows[index] for index in chosen], checks, findings.violations)
        assert findings.rows == len(chosen)
        assert findings.violating_rows == (0 if verdict else len(chosen)), context
        assert [part for part in findings.violations if part.constraint == "scan_disagrees"] == [], context


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_scan_accepts_exactly_the_rows_that_the_model_accepts(kind, data):
    kinds = data.draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=2).map(lambda more: [kind, *more]))
    columns: dict[str, Column] = {}
    fields: dict[str, Any] = {}
    nulls: dict[str, set[int]] = {}
    for index, each in enumerate(kinds):
        name = f"{each}_{index}"
        column = data.draw(KINDS[each])
        annotation: Any = (
            Annotated[column.annotation, Field(**column.constraints)] if column.constraints else column.annotation
        )
        try:
            create_model("Try", field=(annotation, ...))
        except SchemaError:
            annotation = column.annotation  # a pattern that Rust refuses
        if data.draw(st.booleans()):
            annotation = annotation | None
        if data.draw(st.integers(0, 9)) == 0:
            annotation = Annotated[annotation, AfterValidator(_not_even)]
        columns[name], fields[name] = column, (annotation, ...)
        nulls[name] = set(data.draw(st.lists(st.integers(0, ROWS - 1), max_size=1)))
    config = data.draw(
        st.sampled_from(
            [STRICT, STRICT, STRICT, ConfigDict(), ConfigDict(str_max_length=3), ConfigDict(str_strip_whitespace=True)]
        )
    )
    _assert_same(create_model("Random", __config__=config, **fields), columns, nulls)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_inline_rules_mean_what_the_same_constraints_mean(data):
    kind = data.draw(st.sampled_from(["int", "decimal", "float", "str", "bytes", "datetime", "date", "time", "uuid"]))
    column = data.draw(KINDS[kind])
    given_keys = {key: value for key, value in column.constraints.items() if key != "allow_inf_nan"}
    if kind == "float":
        given_keys = {key: value for key, value in given_keys.items() if math.isfinite(value)}
    nullable = data.draw(st.booleans())
    try:
        rule = ColumnRule(type=kind, nullable=nullable, **given_keys)
        model = inline_model({f"my {kind} column": rule})
    except Exception:  # noqa: BLE001 - a pattern that Rust refuses; the rules have their own tests
        assert "pattern" in given_keys or kind == "datetime"
        return
    nulls = set(data.draw(st.lists(st.integers(0, ROWS - 1), max_size=2)))
    name = f"my {kind} column"
    _assert_same(model, {name: column}, {name: nulls})
