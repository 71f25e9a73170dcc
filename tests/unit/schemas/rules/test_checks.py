"""Each constraint at its edge, and what is left to pydantic."""

from __future__ import annotations

import enum
import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
from pydantic import (
    UUID4,
    AfterValidator,
    BaseModel,
    Field,
    HttpUrl,
    Json,
    PastDate,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    create_model,
    field_validator,
    model_validator,
)

from statekeeper.schemas.rules.checks import CompiledSchema, compile_checks
from tests.messages import message, says, text_of
from tests.unit.schemas.staged_columns import PYDANTIC, Staged, plan_columns, source


def model_of(kind: Any, config: Any = None) -> type[BaseModel]:
    return create_model("Row", __config__=config, c=(kind, ...))


def compiled(model: type[BaseModel] | None, planned_for: type[BaseModel] | None, **columns: str) -> CompiledSchema:
    """The checks of a model for a table of these columns, by name and type, that was planned for a model."""
    described = tuple(source(name, read) for name, read in columns.items())
    return compile_checks(model, plan_columns(described, planned_for))


def found(tmp_path, kind: Any, read: str, values: Any) -> dict[str, int]:
    """Constraint to count, over one column, compiled to SQL alone."""
    staged = Staged(tmp_path, model_of(kind), {"c": (read, values)})
    assert staged.compiled.row_by_row == ()
    return {name.removeprefix("c."): count for name, count in staged.broken().items()}


class Upper(enum.Enum):
    A = "a"


NAN, INF = math.nan, math.inf
EDGES = [
    (int, "int64", [1, None, 0], {"not_null": 1}),
    (Annotated[int, Field(ge=2)], "int64", [1, 2, 3], {"ge": 1}),
    (Annotated[int, Field(gt=2)], "int64", [1, 2, 3], {"gt": 2}),
    (Annotated[int, Field(le=2)], "uint8", [1, 2, 3], {"le": 1}),
    (Annotated[int, Field(lt=2)], "uint64", [1, 2, 2**64 - 1], {"lt": 2}),
    (Annotated[int, Field(ge=300)], "uint8", [1, 255, None][:2], {"ge": 2}),
    (Annotated[int, Field(ge=-(10**30))], "int8", [-128], {}),
    (Annotated[int, Field(multiple_of=3)], "int64", [-3, -2, 0, 3, -(2**63)], {"multiple_of": 2}),
    (Annotated[int, Field(multiple_of=10**20)], "int64", [0, 7], {"multiple_of": 1}),
    (Annotated[int, Field(multiple_of=2**63)], "int64", [0, -(2**63), 2**62], {"multiple_of": 1}),
    (Annotated[int, Field(le=10**30)], "decimal128(38, 0)", [Decimal(10**30), Decimal(10**30 + 1)], {"le": 1}),
    (Annotated[Decimal, Field(ge=Decimal("1.005"))], "decimal128(9, 2)", [Decimal("1.00"), Decimal("1.01")], {"ge": 1}),
    (Annotated[Decimal, Field(lt=Decimal("1.005"))], "decimal128(9, 2)", [Decimal("1.00"), Decimal("1.01")], {"lt": 1}),
    (
        Annotated[Decimal, Field(decimal_places=1)],
        "decimal128(9, 2)",
        [Decimal("1.50"), Decimal("1.55")],
        {"decimal_places": 1},
    ),
    (
        Annotated[Decimal, Field(max_digits=2)],
        "decimal128(9, 2)",
        [Decimal("1.50"), Decimal("100.00"), Decimal("0.01")],
        {"max_digits": 1},
    ),
    (
        Annotated[Decimal, Field(multiple_of=Decimal("0.05"))],
        "decimal128(9, 3)",
        [Decimal("-0.150"), Decimal("0.101")],
        {"multiple_of": 1},
    ),
    (Annotated[float, Field(ge=1)], "double", [NAN, 0.5, 1.0, INF], {"ge": 2}),
    (Annotated[float, Field(le=1)], "double", [NAN, 0.5, 1.0, INF], {"le": 2}),
    (Annotated[float, Field(lt=INF)], "double", [NAN, 0.5, INF], {"lt": 2}),
    (Annotated[float, Field(allow_inf_nan=False)], "double", [NAN, INF, -INF, 0.0], {"finite": 3}),
    pytest.param(
        Annotated[float, Field(multiple_of=0.1)],
        "double",
        [0.3, 0.35, NAN, INF, -0.7],
        {"multiple_of": 1},
        marks=pytest.mark.skipif(PYDANTIC < (2, 13), reason="pydantic judges it by another formula before 2.13"),
    ),
    (Annotated[float, Field(ge=0.1)], "float", [0.1], {}),
    (Annotated[float, Field(le=0.1)], "float", [0.1], {"le": 1}),
    (Annotated[str, Field(max_length=1)], "string", ["\U0001f468", "e\u0301", "", "ab"], {"max_length": 2}),
    (Annotated[str, Field(min_length=2)], "string", ["\U0001f468", "e\u0301", "a\x00"], {"min_length": 1}),
    (Annotated[bytes, Field(max_length=1)], "binary", [b"\x00", b"\xc3\xa9"], {"max_length": 1}),
    (Annotated[str, Field(pattern="^a.$")], "string", ["ab", "a\n", "ab\n", "a\U0001f468"], {"pattern": 2}),
    (Annotated[str, Field(pattern=r"^\s$")], "string", ["\x0b", "\u2028", "\u0085", "a"], {"pattern": 1}),
    (Annotated[str, Field(pattern=r"^\d+$")], "string", ["1", "\u0663", "\u00e9", "x"], {"pattern": 2}),
    (Annotated[str, Field(pattern="(?i)^k$")], "string", ["K", "k", "\u212a", "x"], {"pattern": 1}),
    (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)],
        "string",
        [" a ", "\u3000\t", ""],
        {"min_length": 2},
    ),
    (
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=1)],
        "string",
        ["  a\u2028", "\x1ca"],
        {"max_length": 1},
    ),
    (
        Annotated[str, StringConstraints(strip_whitespace=True, pattern="^[a-z]+$")],
        "string",
        [" ab\n", " a b"],
        {"pattern": 1},
    ),
    (Annotated[str, StringConstraints(to_lower=True, pattern="^[a-z]$")], "string", ["A", "a"], {"pattern": 1}),
    (Annotated[str, StringConstraints(to_upper=True, max_length=1)], "string", ["\u00df"], {}),
    (int | str, "int64", [1, 2], {}),
    (Annotated[int, Field(ge=5)] | Annotated[int, Field(le=1)] | str, "int64", [0, 1, 2, 5], {"union": 1}),
    (
        Annotated[int, Field(ge=5)] | Annotated[str, Field(max_length=1)] | None,
        "string",
        ["", "ab", None],
        {"union": 1},
    ),
    (Literal["a", 1], "int64", [1, 2], {"union": 1}),
    (Literal["a", 1, None], "string", ["a", "1", None], {"union": 1}),  # noqa: PYI061 - the form that is tested
    (Literal[Upper.A], "string", ["a", "b", "A"], {"enum": 2}),
    (Literal["it's", "b"], "string", ["it's", "b", "B", "b "], {"enum": 2}),
    (Literal[1, 2**70], "int32", [1, 2], {"enum": 1}),
    (date, "date32[day]", pa.array([0, 2**31 - 1, -(2**31)], pa.int32()).cast(pa.date32()), {"representable": 2}),
    (datetime, "timestamp[us]", pa.array([0, 2**63 - 1, -(2**63) + 1], pa.timestamp("us")), {"representable": 2}),
    (time, "time64[us]", pa.array([0, 86_400_000_000 - 1, 86_400_000_000], pa.time64("us")), {"representable": 1}),
    (Annotated[date, Field(gt=date(2020, 2, 29))], "date32[day]", [date(2020, 2, 29), date(2020, 3, 1)], {"gt": 1}),
    (
        Annotated[datetime, Field(ge=datetime(2020, 1, 1, tzinfo=UTC))],
        "timestamp[us, tz=UTC]",
        [datetime(2019, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2020, 1, 1, tzinfo=UTC)],
        {"ge": 1},
    ),
]


@pytest.mark.parametrize(("kind", "read", "values", "expected"), EDGES)
def test_constraint_at_its_edge(tmp_path, kind, read, values, expected):
    assert found(tmp_path, kind, read, values) == expected


def test_nan_is_found_in_row_groups_whose_statistics_leave_it_out(tmp_path):
    values = [0.5] * 5000 + [NAN] + [0.5] * 4999
    staged = Staged(tmp_path, model_of(Annotated[float | None, Field(le=1)]), {"c": ("double", values)}, row_groups=10)
    assert staged.broken() == {"c.le": 1}


def test_null_breaks_no_constraint_but_not_null(tmp_path):
    kind = Annotated[str | None, Field(min_length=1, pattern="a")]
    assert found(tmp_path, kind, "string", [None, "a"]) == {}


class Strange(enum.Enum):
    A = 1.5


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("odd")
    return value


@pytest.mark.parametrize(
    ("kind", "read", "reason"),
    [
        (Annotated[int, AfterValidator(_even)], "int64", message("schemas.validator", name="_even")),
        (Annotated[str, Field(pattern=r"\p{Greek}")], "string", message("schemas.pattern_is_not_compiled")),
        (Annotated[str, Field(pattern=re.compile("a"))], "string", message("schemas.compiled_pattern")),
        (Annotated[int, AfterValidator(_even)] | str, "int64", message("schemas.union_with", why="validator _even")),
        (Literal["a", b"a"], "string", message("schemas.union_with", why=text_of("schemas.members_of_several_types"))),
        (float | str | int, "int64", message("schemas.float_in_a_union", type="int")),
        (Annotated[str, Field(pattern=r"\d")] | int, "string", message("schemas.pattern_in_a_union")),
        (PastDate, "date32[day]", message("schemas.time_of_validation", word="past")),
        (HttpUrl, "string", message("schemas.validator", name="wrap_val")),
        (Json, "string", message("schemas.text_that_is_read", kind="json")),
        (Annotated[Decimal, Field(multiple_of=3)], "decimal128(38, 0)", message("schemas.multiple_of_too_many_digits")),
        (Annotated[Decimal, Field(max_digits=20)], "decimal128(38, 0)", message("schemas.digits_that_are_rounded")),
        (Strange, "double", message("schemas.members_of_several_types")),
        (
            Annotated[datetime, Field(ge=datetime(2020, 1, 1, tzinfo=UTC))],
            "timestamp[us]",
            message("schemas.zone_of_a_bound"),
        ),
    ],
)
def test_what_is_not_certain_is_left_to_pydantic_and_said(tmp_path, kind, read, reason):
    left, note = _left_to_pydantic(tmp_path, kind, read)
    assert says(left, reason)
    assert says(note, reason)


def test_what_is_slow_is_noted_by_its_column_or_as_the_model_and_after_it_what_is_stored_as_it_was_read():
    changed = Annotated[str, StringConstraints(to_lower=True)]
    model = create_model("Row", n=(Annotated[int, AfterValidator(_even)], ...), t=(changed, ...))
    assert compiled(model, model, n="int64", t="string").notes == (
        text_of("schemas.row_by_row", what="column n", why=text_of("schemas.validator", name="_even")),
        text_of("schemas.stored_as_read", columns="t"),
    )
    (of_the_model,) = compiled(Ordered, Ordered, low="int64", high="int64").notes
    assert says(of_the_model, "schemas.row_by_row", what="the model")
    assert compiled(model_of(str), model_of(str), c="string").notes == ()


@pytest.mark.parametrize(
    ("kind", "read", "is_needed"),
    [
        (Annotated[str, Field(max_length=1)], "string", False),
        (Annotated[str | None, Field(pattern=r"\d")], "string", True),
        (Annotated[int | None, AfterValidator(_even)], "int64", True),
    ],
)
def test_pydantic_is_needed_where_the_scan_does_not_decide_all(kind, read, is_needed):
    assert compiled(model_of(kind), model_of(kind), c=read).needs_pydantic is is_needed


def test_a_column_of_another_type_than_its_field_is_left_to_pydantic():
    (left,) = compiled(model_of(int), None, c="string").row_by_row
    assert (left.column, left.reason) == ("c", text_of("schemas.column_for_a_field", type="string", kind="int"))


@pytest.mark.parametrize(("kind", "word"), [(SecretStr, "lax-or-strict"), (UUID4, "version")])
def test_what_pydantic_calls_by_its_own_name_is_left_to_it_under_that_name(tmp_path, kind, word):
    left, note = _left_to_pydantic(tmp_path, kind, "string")
    assert word in left
    assert word in note


def _left_to_pydantic(tmp_path, kind, read):
    """The reason why a field is left to pydantic, alone and in a note."""
    name = "uuid" if kind is UUID4 else "c"
    staged = Staged(tmp_path, create_model("Row", **{name: (kind, ...)}), {name: (read, [])})
    (left,) = staged.compiled.row_by_row
    assert left.column == name
    return left.reason, staged.compiled.notes[0]


def test_enum_and_uuid_are_compiled(tmp_path):
    staged = Staged(tmp_path, model_of(Upper), {"c": ("string", ["a", "A", "b"])})
    assert (staged.compiled.row_by_row, staged.broken()) == ((), {"c.enum": 2})


class Ordered(BaseModel):
    low: int = Field(ge=0)
    high: int
    _seen: int = PrivateAttr(0)

    @model_validator(mode="after")
    def in_order(self) -> Ordered:
        if self.high < self.low:
            raise ValueError("high is below low")
        return self


def test_model_validator_takes_every_row_through_the_model(tmp_path):
    staged = Staged(tmp_path, Ordered, {"low": ("int64", [1, -1, 5]), "high": ("int64", [2, 2, 4])})
    assert [(part.column, part.reason) for part in staged.compiled.row_by_row] == [(None, "model validator in_order")]
    findings = staged.scan()
    assert findings.violating_rows == 2
    assert {(part.column, part.constraint): part.count for part in findings.violations} == {
        ("low", "ge"): 1,
        (None, "value_error"): 1,
    }


def test_a_model_that_takes_every_row_counts_the_constraints_of_every_column():
    left = compiled(Ordered, Ordered, low="int64", high="int64")
    assert (left.checks, left.constraints) == ((), 3)


class Related(BaseModel):
    a: int = Field(ge=0)
    b: int
    c: int

    @field_validator("b")
    @classmethod
    def above_a(cls, value: int, info: Any) -> int:
        if value <= info.data.get("a", 0):
            raise ValueError("not above a")
        return value


def test_validator_that_looks_at_other_fields_is_handed_those_before_it_and_no_more(tmp_path):
    columns = {"A": ("int64", [1, 1, -1]), "B": ("int64", [2, 1, 5]), "C": ("int64", [1, 1, 1])}
    staged = Staged(tmp_path, Related, columns)
    (left,) = staged.compiled.row_by_row
    assert (left.column, left.reason, left.reads) == ("B", "validator above_a", ("A",))
    assert says(staged.compiled.notes[0], "schemas.also_gets", columns="A")
    assert staged.broken() == {"A.ge": 1, "B.value_error": 1}
    assert staged.scan().violating_rows == 2


class Private(BaseModel):
    a: int
    _cache: dict = PrivateAttr(default_factory=dict)


class Hooked(BaseModel):
    a: int

    def model_post_init(self, context: Any) -> None:
        if self.a == 3:
            raise ValueError("three")


def test_own_post_init_counts_as_a_validator_and_private_attributes_do_not(tmp_path):
    assert not Staged(tmp_path, Private, {"a": ("int64", [1])}).compiled.is_whole_row
    staged = Staged(tmp_path, Hooked, {"a": ("int64", [1, 3])})
    assert staged.compiled.is_whole_row


def test_without_a_model_only_moments_beyond_the_calendar_are_checked(tmp_path):
    columns = {
        "t": ("timestamp[us]", pa.array([0, 2**63 - 1, None], pa.timestamp("us"))),
        "n": ("int64", [1, None, 3]),
    }
    staged = Staged(tmp_path, None, columns)
    assert [(check.column, check.constraint) for check in staged.compiled.checks] == [("t", "representable")]
    assert staged.broken() == {"t.representable": 1}


@pytest.mark.parametrize("model", [None, model_of(Annotated[float, Field(ge=1.5, allow_inf_nan=False)])])
def test_columns_without_a_field_are_passed_over_and_what_the_others_should_hold_is_said(model):
    of_all = compiled(model, None, more="string", t="timestamp[us]", c="double")
    expected = {(check.column, check.constraint): check.expected for check in of_all.checks}
    assert ("t", "representable") in expected
    assert of_all.constraints == len(expected)
    of_the_field = {key: value for key, value in expected.items() if key[0] != "t"}
    said = {("c", "not_null"): "a value", ("c", "ge"): ">= 1.5", ("c", "finite"): "a finite number"}
    assert of_the_field == (said if model else {})


def test_constraints_that_the_type_already_keeps_cost_no_scan(tmp_path):
    kind = Annotated[Decimal, Field(max_digits=12, decimal_places=2)]
    staged = Staged(tmp_path, model_of(kind), {"c": ("decimal128(12, 2)", [])})
    assert [check.constraint for check in staged.compiled.checks] == ["not_null"]
    assert staged.compiled.constraints == 3


def test_compilation_is_the_same_every_time(tmp_path):
    staged = Staged(tmp_path, model_of(Upper), {"c": ("string", [])})
    assert compile_checks(staged.model, staged.planned) == compile_checks(staged.model, staged.planned)
