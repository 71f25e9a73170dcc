from __future__ import annotations

import enum
from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WrapValidator,
    create_model,
)

from statekeeper.errors import PlanError
from statekeeper.model.schema import ColumnRule
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import Kind
from statekeeper.schemas.model.inline import KNOWS_ASCII_ONLY, inline_model
from tests.messages import message, raises_message, says
from tests.unit.schemas.staged_columns import PYDANTIC, Staged, plan_columns, source


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


def test_type_used_twice_is_read_through_its_definition(tmp_path):
    model = create_model("Row", a=(Level, ...), b=(Level | None, ...))
    staged = Staged(tmp_path, model, {"a": ("int8", [1, 3]), "b": ("decimal128(3, 0)", [None, Decimal(2)])})
    assert staged.compiled.row_by_row == ()
    assert staged.broken() == {"a.enum": 1}


def test_last_of_repeated_constraints_is_the_one_that_counts(tmp_path):
    model = create_model("Row", a=(Annotated[int, Field(ge=5), Field(ge=1)], ...))
    assert Staged(tmp_path, model, {"a": ("int64", [0, 3])}).broken() == {"a.ge": 1}


def test_alias_is_the_name_of_the_column():
    model = create_model("Row", order_id=(int, Field(alias="Order ID")))
    (part,) = read_model(model).fields
    assert (part.name, part.key, part.kind) == ("order_id", "Order ID", Kind.INT)


@pytest.mark.skipif(PYDANTIC < (2, 11), reason="pydantic has validate_by_name from 2.11 on")
def test_field_name_counts_where_the_model_says_so():
    config = ConfigDict(validate_by_alias=False, validate_by_name=True)
    model = create_model("Row", __config__=config, order_id=(int, Field(alias="Order ID")))
    assert read_model(model).fields[0].key == "order_id"


def test_of_several_aliases_the_first_that_a_column_has_counts(tmp_path):
    aliases = AliasChoices("id", AliasPath("nested", "id"), "key")
    model = create_model("Row", a=(int, Field(validation_alias=aliases, ge=1)))
    for column in ("id", "ID", "key", "Key"):
        staged = Staged(tmp_path, model, {column: ("int64", [0, 1])})
        assert staged.broken() == {f"{column}.ge": 1}
    with raises_message(
        PlanError, "schemas.column_is_new", column="key", found="INT64", why="the schema has no such field"
    ):
        plan_columns((source("key", "int64"), source("id", "int64")), model)


def test_name_of_the_field_goes_besides_its_alias_where_the_model_says_so(tmp_path):
    config = ConfigDict(populate_by_name=True)
    model = create_model("Row", __config__=config, order_id=(int, Field(alias="Order ID", ge=1)))
    for column in ("Order ID", "ORDER ID", "order_id", "ORDER_ID"):
        assert Staged(tmp_path, model, {column: ("int64", [0, 1])}).broken() == {f"{column}.ge": 1}


def test_errors_are_the_columns_own_where_the_model_names_them_by_field(tmp_path):
    config = ConfigDict(loc_by_alias=False)
    kind = Annotated[int, AfterValidator(_never), Field(alias="B")]
    model = create_model("Row", __config__=config, b=(Annotated[int, Field(alias="A", ge=1)], ...), a=(kind, ...))
    staged = Staged(tmp_path, model, {"A": ("int64", [0, 1]), "B": ("int64", [1, 2])})
    assert staged.broken() == {"A.ge": 1, "B.value_error": 2}


def _never(value: int) -> int:
    raise ValueError("never")


def test_alias_that_is_only_a_path_is_refused():
    model = create_model("Row", a=(int, Field(validation_alias=AliasPath("a", 0))))
    with raises_message(PlanError, "schemas.give_it_one_plain_name"):
        plan_columns((source("a", "int64"),), model)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (timedelta, message("schemas.no_column_holds", kind="timedelta", instead="...number of seconds...")),
        (list[int], message("schemas.no_column_holds", kind="list")),
        (Path, message("schemas.only_instances", name="Path")),
        (IPv4Address, message("schemas.only_instances", name="IPv4Address")),
        (BaseModel, message("schemas.no_column_holds", kind="model")),
    ],
)
def test_type_that_no_column_can_satisfy_is_refused_by_name(kind, said):
    with raises_message(PlanError, "schemas.column_does_not_fit", column="a") as caught:
        plan_columns((source("a", "string"),), create_model("Row", a=(kind, ...)))
    assert says(caught.value, "schemas.field_cannot_be_a_column")
    assert says(caught.value, said)


@pytest.mark.parametrize(
    ("config", "broken", "is_row_by_row"),
    [
        (ConfigDict(str_max_length=2), {"a.max_length": 1}, False),
        (ConfigDict(str_min_length=2), {"a.min_length": 2}, False),
        (ConfigDict(str_strip_whitespace=True, str_min_length=1), {"a.min_length": 1}, False),
        (ConfigDict(str_to_lower=True), {}, False),
        (ConfigDict(regex_engine="python-re"), {}, False),
        (ConfigDict(frozen=True, extra="ignore", populate_by_name=True, title="T"), {}, False),
    ],
)
def test_config_of_the_model_acts_on_its_fields(tmp_path, config, broken, is_row_by_row):
    model = create_model("Row", __config__=config, a=(str, ...))
    staged = Staged(tmp_path, model, {"a": ("string", ["abc", " ", "a"])})
    assert bool(staged.compiled.row_by_row) is is_row_by_row
    assert staged.broken() == broken


def test_ascii_only_of_inline_rules_means_the_same_in_every_pydantic(tmp_path):
    model = inline_model({"a": ColumnRule(type="str", ascii_only=True, max_length=3)})
    staged = Staged(tmp_path, model, {"a": ("string", ["abc", "é", "abcd"])})
    assert staged.broken() == {"a.ascii_only": 1, "a.max_length": 1}
    assert bool(staged.compiled.row_by_row) is not KNOWS_ASCII_ONLY


def test_config_refuses_infinities_of_every_float(tmp_path):
    model = create_model("Row", __config__=ConfigDict(allow_inf_nan=False), a=(float, ...))
    assert Staged(tmp_path, model, {"a": ("double", [float("inf"), 1.0])}).broken() == {"a.finite": 1}


def test_config_that_is_not_known_takes_every_row_through_the_model(monkeypatch):
    model = create_model("Row", a=(int, ...))
    monkeypatch.setitem(model.__pydantic_core_schema__["config"], "from_the_future", True)
    assert read_model(model).whole_row_reason == "model config from_the_future"


class WithInit(BaseModel):
    a: int

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.a == 13:
            raise ValueError("unlucky")


def test_own_constructor_takes_every_row_through_the_model():
    assert read_model(WithInit).whole_row_reason == "the model's own __init__"


def _wrapped(value: Any, handler: Any) -> Any:
    return handler(0) if value == "none" else handler(int(value))


def test_validator_before_the_type_sees_what_the_column_delivers(tmp_path):
    model = create_model("Row", a=(Annotated[int, WrapValidator(_wrapped), Field(ge=0)], ...))
    staged = Staged(tmp_path, model, {"a": ("string", ["none", "12", "x"])})
    assert staged.planned[0].arrow_type == "string"
    assert staged.broken() == {"a.value_error": 1}


def _never_below(value: int, info: ValidationInfo) -> int:
    return value


def test_any_validator_that_could_see_other_fields_counts_as_one():
    model = create_model("Row", a=(Annotated[int, AfterValidator(_never_below)], ...))
    assert read_model(model).fields[0].reads_others
