# ruff: noqa: DTZ001, DTZ901 - columns without a time zone hold naive moments
from __future__ import annotations

import enum
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, NaiveDatetime, RootModel, create_model

from statekeeper.errors import PlanError
from statekeeper.parquet.types import parse_type
from statekeeper.schemas.columns.reconcile import TYPE_RULES, compare
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import Kind, pair_fields
from statekeeper.schemas.model.kinds import natural_kind
from statekeeper.schemas.rules.rows import python_values
from tests.messages import raises_message, says
from tests.unit.schemas.staged_columns import Staged, plan_columns, source


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


def model_of(**fields: Any) -> type[BaseModel]:
    return create_model("Row", **{name: (kind, ...) for name, kind in fields.items()})


def arrow_type(read: str, kind: Any, database_type: str | None = None, **more: Any) -> str:
    (planned,) = plan_columns((source("c", read, database_type, **more),), model_of(c=kind))
    return planned.arrow_type


D = Annotated[Decimal, Field(max_digits=14, decimal_places=2)]


@pytest.mark.parametrize(
    ("read", "kind", "expected"),
    [
        ("int32", int, "int32"),
        ("uint64", int, "uint64"),
        ("decimal128(9, 0)", int, "int64"),
        ("decimal128(38, 0)", int, "int64"),
        ("decimal128(38, 0)", Annotated[int, Field(le=10**30)], "decimal128(38, 0)"),
        ("decimal256(76, 38)", int, "int64"),
        ("decimal128(9, 2)", Decimal, "decimal128(9, 2)"),
        ("decimal128(9, 2)", D, "decimal128(14, 2)"),
        ("decimal128(18, 4)", D, "decimal128(14, 2)"),
        ("decimal256(76, 38)", D, "decimal128(14, 2)"),
        ("decimal256(76, 38)", Decimal, "decimal128(38, 10)"),
        ("decimal256(76, 38)", Annotated[Decimal, Field(decimal_places=4)], "decimal128(38, 4)"),
        ("decimal128(9, 2)", Annotated[Decimal, Field(max_digits=3)], "decimal128(9, 2)"),
        ("int64", Decimal, "decimal128(19, 0)"),
        ("uint64", Decimal, "decimal128(20, 0)"),
        ("int8", D, "decimal128(14, 2)"),
        ("double", float, "double"),
        ("float", float, "float"),
        ("int32", float, "double"),
        ("string", str, "string"),
        ("string", str | None, "string"),
        ("binary", bytes, "binary"),
        ("bool", bool, "bool"),
        ("date32[day]", date, "date32[day]"),
        ("timestamp[us]", datetime, "timestamp[us]"),
        ("timestamp[us]", NaiveDatetime, "timestamp[us]"),
        ("timestamp[s]", datetime, "timestamp[ms]"),
        ("timestamp[ns]", datetime, "timestamp[us]"),
        ("timestamp[us, tz=UTC]", datetime, "timestamp[us, tz=UTC]"),
        ("timestamp[us, tz=UTC]", AwareDatetime, "timestamp[us, tz=UTC]"),
        ("time64[us]", time, "time64[us]"),
        ("string", Colour, "string"),
        ("int16", Level, "int16"),
        ("decimal128(4, 0)", Literal[1, 2], "int64"),
        ("string", Literal["a"] | None, "string"),
        ("string", int | str, "string"),
        ("double", Any, "double"),
        ("string", Annotated[int, BeforeValidator(int)], "string"),
    ],
)
def test_field_decides_the_type_of_the_file(read, kind, expected):
    assert arrow_type(read, kind) == expected


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        ("decimal128(9, 2)", int),
        ("double", Decimal),
        ("double", int),
        ("decimal128(9, 2)", float),
        ("int64", float),
        ("int64", bool),
        ("bool", int),
        ("int64", str),
        ("string", int),
        ("string", bytes),
        ("timestamp[us]", date),
        ("date32[day]", datetime),
        ("timestamp[us]", AwareDatetime),
        ("timestamp[us, tz=UTC]", NaiveDatetime),
        ("string", UUID),
        ("string", Level),
        ("int64", Literal["a"]),
        ("double", int | str),
    ],
)
def test_types_that_do_not_meet_exactly_are_both_named(read, kind):
    with raises_message(PlanError, "schemas.not_exactly_the_type", type="DBTYPE") as caught:
        arrow_type(read, kind, "DBTYPE")
    assert says(caught.value, "schemas.column_does_not_fit", column="c")


def test_uuid_meets_a_column_of_that_database_type():
    assert arrow_type("string", UUID, "UUID") == "string"


def test_alternative_of_the_source_is_taken_where_its_own_type_does_not_meet():
    column = source("c", "timestamp[us]", "DATE", alternatives=("date32[day]",))
    (planned,) = plan_columns((column,), model_of(c=date))
    assert (planned.read_type, planned.arrow_type) == ("date32[day]", "date32[day]")


def test_column_without_exact_type_is_taken_as_the_alternative_that_the_model_declares():
    column = source("c", None, "NUMBER(50)", alternatives=("string",), refusal="more than 38 digits: declare str")
    (planned,) = plan_columns((column,), model_of(c=str))
    assert planned.read_type == "string"
    with raises_message(PlanError, "schemas.column_does_not_fit", column="c", why="more than 38 digits: declare str"):
        plan_columns((column,), model_of(c=Decimal))
    with raises_message(PlanError, "schemas.column_does_not_fit", column="c", why="more than 38 digits: declare str"):
        plan_columns((column,), None)


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        ("int32", "int32"),
        ("timestamp[ns]", "timestamp[ns]"),
        ("timestamp[s]", "timestamp[ms]"),
        ("decimal256(76, 38)", "decimal128(38, 10)"),
        ("decimal128(38, 3)", "decimal128(38, 3)"),
    ],
)
def test_without_a_model_the_column_keeps_its_own_type(read, expected):
    (planned,) = plan_columns((source("c", read),), None)
    assert (planned.read_type, planned.arrow_type) == (read, expected)


def test_file_keeps_the_names_and_the_order_of_the_database():
    columns = (source("NAME", "string"), source("id", "int64"), source("Order Date", "date32[day]"))
    model = create_model("Row", id=(int, ...), name=(str, ...), ordered=(date, Field(alias="order date")))
    assert [column.name for column in plan_columns(columns, model)] == ["NAME", "id", "Order Date"]


def test_exact_spelling_wins_over_case():
    columns = (source("ID", "string"), source("id", "int64"))
    planned = plan_columns(columns, model_of(id=int, ID=str))
    assert [column.arrow_type for column in planned] == ["string", "int64"]


def test_names_that_differ_only_by_case_are_not_guessed():
    with raises_message(
        PlanError,
        "schemas.column_is_lost",
        column="id",
        expected="int",
        why="several columns differ from it only by case: ID, Id",
    ):
        plan_columns((source("ID", "int64"), source("Id", "int64")), model_of(id=int))


def test_every_problem_is_reported_in_one_error():
    columns = (
        source("a", "decimal128(9, 2)", "NUMBER(9,2)"),
        source("extra", "int64"),
        source("blob", None, "BFILE", refusal="BFILE is a file outside; select DBMS_LOB.SUBSTR"),
        source("items", "string"),
        source("fine", "int64"),
    )
    model = create_model(
        "Row",
        a=(int, ...),
        blob=(bytes, ...),
        items=(list[str], ...),
        fine=(int, ...),
        gone=(str, ...),
        maybe=(str, None),
    )
    with pytest.raises(PlanError) as refused:
        plan_columns(columns, model)
    lines = [line.strip() for line in refused.value.message.splitlines()[1:]]
    assert [line.split(":")[0] for line in lines] == [
        *("column a does not fit", "column extra is new", "column blob does not fit", "column items does not fit"),
        *("column gone is lost", "column maybe is lost"),
    ]
    assert says(lines[0], "schemas.not_exactly_the_type", type="NUMBER(9,2)", expected="int")
    assert "declare `extra: int | None`" in lines[1]
    assert "DBMS_LOB.SUBSTR" in lines[2]


def test_nullable_column_may_meet_a_field_that_is_not():
    assert arrow_type("int64", int, is_nullable=True) == "int64"


def test_root_model_is_refused():
    with pytest.raises(PlanError, match="RootModel"):
        plan_columns((source("c", "int64"),), RootModel[int])


def test_each_kind_of_difference_is_named_with_both_sides():
    columns = (
        source("a", "decimal128(9, 2)", "NUMBER(9,2)", is_nullable=False),
        source("extra", "int64", "NUMBER(9)"),
        source("may", "int64", "NUMBER(9)"),
        source("must", "string", "VARCHAR2(9)", is_nullable=False),
        source("same", "string", "VARCHAR2(9)"),
    )
    found = compare(columns, model_of(a=int, may=int, must=str | None, same=str | None, gone=Annotated[D, "x"] | None))
    assert [(one.kind.value, one.name, one.table, one.model, one.is_refused) for one in found.differences] == [
        ("retyped", "a", "NUMBER(9,2) not null", "int", True),
        ("new", "extra", "NUMBER(9)", None, True),
        ("nullability", "may", "NUMBER(9)", "int", False),
        ("nullability", "must", "VARCHAR2(9) not null", "str | None", False),
        ("lost", "gone", None, "Decimal | None", True),
    ]
    assert [column.name for column in found.columns] == ["may", "must", "same"]


@pytest.mark.parametrize("kind", [Any, Annotated[int, BeforeValidator(int)]])
@pytest.mark.parametrize("is_nullable", [False, True])
def test_nothing_is_said_of_null_where_the_model_does_not_say(kind, is_nullable):
    assert compare((source("c", "int64", is_nullable=is_nullable),), model_of(c=kind)).differences == ()


@pytest.mark.parametrize("kind", [int | str, Literal["a", "b"], Colour])
def test_unions_and_literals_say_whether_they_take_none(kind):
    (found,) = compare((source("c", "string", is_nullable=True),), model_of(c=kind)).differences
    assert found.kind.value == "nullability"
    assert compare((source("c", "string", is_nullable=True),), model_of(c=kind | None)).differences == ()


VALUES: dict[str, tuple[Any, ...]] = {
    "int8": (-128, 127, 0),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**63 - 1),
    "decimal128(9, 0)": (Decimal(999_999_999), Decimal(-1)),
    "decimal128(9, 2)": (Decimal("9999999.99"), Decimal("-0.01")),
    "decimal128(38, 0)": (Decimal(2**63 - 1), Decimal(0)),
    "decimal256(76, 38)": (Decimal(7), Decimal(-1)),
    "float": (0.5, -0.0, math.inf),
    "double": (0.1, 1e308, -math.inf),
    "string": ("", "\u00fc\U0001f600"),
    "binary": (b"", b"\x00\xff"),
    "bool": (True, False),
    "date32[day]": (date.min, date.max),
    "timestamp[s]": (datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)),
    "timestamp[us]": (datetime.min, datetime.max),
    "timestamp[ns]": (datetime(1700, 1, 1), datetime(2200, 1, 1, 0, 0, 0, 1)),
    "timestamp[us, tz=UTC]": (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
    "time64[us]": (time.min, time.max),
}
"""Values that a column of each type may hold."""
TYPES: dict[Kind, type] = {
    Kind.INT: int,
    Kind.DECIMAL: Decimal,
    Kind.FLOAT: float,
    Kind.STR: str,
    Kind.BYTES: bytes,
    Kind.BOOL: bool,
    Kind.DATE: date,
    Kind.DATETIME: datetime,
    Kind.TIME: time,
    Kind.UUID: UUID,
    Kind.ANY: object,
}
UUIDS = ("12345678-1234-1234-1234-123456789abc",)


def test_the_matrix_has_every_kind_of_column_and_of_field():
    assert TYPES.keys() == set(Kind)
    assert {natural_kind(parse_type(read)) for read in VALUES} == set(Kind) - {Kind.UUID, Kind.ANY}
    assert {kind for pair in TYPE_RULES for kind in pair} == set(Kind) - {Kind.ANY}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("read", VALUES)
def test_every_pair_either_meets_exactly_or_is_refused_by_name(tmp_path, read, kind):
    """Where a column meets a field, its values come to the file and from there to the field, each the same."""
    natural = natural_kind(parse_type(read))
    values = UUIDS if kind is Kind.UUID else VALUES[read]
    name = "uuid" if kind is Kind.UUID else "c"
    model = create_model("Row", **{name: (TYPES[kind], ...)})
    column = source(name, read, "UUID" if kind is Kind.UUID else "DBTYPE")
    can_meet = kind is Kind.ANY or ((natural, kind) in TYPE_RULES and read not in REFUSED_BY_VALUE.get(kind, ()))
    if not can_meet:
        with pytest.raises(PlanError) as refused:
            plan_columns((column,), model)
        assert says(refused.value.message, "schemas.not_exactly_the_type", type=column.database_type, expected=kind)
        return
    staged = Staged(tmp_path, model, {name: (read, list(values))})
    assert staged.scan().violations == ()
    (part,) = pair_fields((name,), read_model(model).fields).values()
    delivered = python_values(pq.read_table(staged.path).column(name).combine_chunks(), part)
    wanted = TYPES[kind] if kind is not Kind.ANY else type(values[0])
    assert [type(value) for value in delivered] == [wanted] * len(values)
    assert delivered == [UUID(value) if kind is Kind.UUID else value for value in values]


REFUSED_BY_VALUE = {
    Kind.INT: ("decimal128(9, 2)",),  # it has decimal places
    Kind.FLOAT: ("int64", "uint64"),  # not all are exact as a double
}


def test_what_a_literal_is_told_to_be_can_be_typed():
    null = compare((source("c", "string", is_nullable=True),), model_of(c=Literal["a", "b"])).differences
    assert [(one.model, one.remedy.partition(";")[0]) for one in null] == [
        ("Literal['a', 'b']", "if NULL is valid, add `| None` to the field's type (inline: `nullable: true`)")
    ]
    (retyped,) = compare((source("c", "date32[day]"),), model_of(c=Literal["a"])).differences
    assert retyped.message.endswith("or select it as str")
    (long,) = compare(
        (source("c", "date32[day]"),), model_of(c=Literal[tuple("abcdefghijklmnopqrstuvwxyz")])
    ).differences
    assert long.model == "Literal of 26 str values"
