"""Equal meaning has one fingerprint, however it is spelt and whatever pydantic keeps beside it; another has another."""

from __future__ import annotations

import enum
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from annotated_types import Ge, Interval, Len
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    StringConstraints,
    conint,
    constr,
    create_model,
)

from statekeeper.model.schema import ColumnRule, SchemaRef
from statekeeper.schemas.model.inline import KNOWS_ASCII_ONLY, inline_model
from statekeeper.schemas.model.load import load_model, model_fingerprint
from statekeeper.schemas.model.syntax import syntax_of


class Level(enum.IntEnum):
    LOW = 1


def print_of(kind: Any, **more: Any) -> str:
    return model_fingerprint(create_model("Row", a=(kind, ...), **more))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (conint(ge=1, le=9), Annotated[int, Interval(ge=1, le=9)]),
        (PositiveInt, Annotated[int, Field(gt=0)]),
        (Optional[int], int | None),  # noqa: UP045 - the spelling is what is tested
        (constr(min_length=1, max_length=3), Annotated[str, Len(1, 3)]),
        (Annotated[str, StringConstraints(strip_whitespace=False, max_length=3)], Annotated[str, Field(max_length=3)]),
        (float, Annotated[float, Field(allow_inf_nan=True)]),
        (FiniteFloat, Annotated[float, Field(allow_inf_nan=False)]),
        (Annotated[Annotated[int, Ge(3)], Field(le=5)], Annotated[int, Field(le=5, ge=3)]),
        (Annotated[Decimal, Field(ge=1.50)], Annotated[Decimal, Field(ge=Decimal("1.5"))]),
        (Annotated[float, Field(ge=1)], Annotated[float, Field(ge=1.0)]),
        (Literal["a", "b"], Literal["b", "a"]),
        (int | str, str | int),
    ],
)
def test_spelling_does_not_count(one, other):
    assert print_of(one) == print_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (int, int | None),
        (int, Annotated[int, Field(ge=0)]),
        (float, FiniteFloat),
        (Literal["1"], Literal[1]),
        (Literal["a", "b"], Literal["a"]),
        (int | str, int | bytes),
        (Annotated[int, Field(ge=1)] | str, int | str),
        (AwareDatetime, Annotated[date, Field(ge=date(2020, 1, 1))]),
        (Annotated[str, Field(pattern="a")], Annotated[str, Field(pattern="b")]),
        (Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], Annotated[str, Field(min_length=1)]),
    ],
)
def test_meaning_counts(one, other):
    assert print_of(one) != print_of(other)


def test_a_class_and_the_same_rules_inline_are_one():
    ascii_only = {"ascii_only": True} if KNOWS_ASCII_ONLY else {}

    class Row(BaseModel):
        model_config = ConfigDict(strict=True, extra="forbid")
        amount: Annotated[Decimal, Field(max_digits=9, decimal_places=2, ge=0)]
        name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern="^[a-z]+$", **ascii_only)]
        kind: Literal["x", "y"] | None
        rate: Annotated[float, Field(allow_inf_nan=False, lt=1)]
        seen: Annotated[AwareDatetime, Field()]
        born: Annotated[date, Field(ge=date(1900, 1, 1))]
        code: Annotated[bytes, Field(min_length=16)]

    rules: dict[str, dict[str, Any]] = {
        "amount": {"type": "decimal", "max_digits": 9, "decimal_places": 2, "ge": 0},
        "name": {"type": "str", "strip_whitespace": True, "min_length": 1, "pattern": "^[a-z]+$", **ascii_only},
        "kind": {"type": "str", "enum": ("x", "y"), "nullable": True},
        "rate": {"type": "float", "allow_inf_nan": False, "lt": 1},
        "seen": {"type": "datetime", "timezone": "aware"},
        "born": {"type": "date", "ge": "1900-01-01"},
        "code": {"type": "bytes", "min_length": 16},
    }

    def of_rules() -> str:
        return model_fingerprint(inline_model({name: ColumnRule(**rule) for name, rule in rules.items()}))

    assert of_rules() == model_fingerprint(Row)
    rules["code"]["min_length"] = 15
    assert of_rules() != model_fingerprint(Row)


def test_what_pydantic_keeps_beside_the_meaning_does_not_count():
    model = create_model("Row", a=(Annotated[int, Field(ge=1)], ...), b=(Level, ...), c=(Level | None, None))
    before = model_fingerprint(model)
    node = model.__pydantic_core_schema__

    def noisy(part: Any) -> Any:
        if isinstance(part, dict) and "type" in part:
            return {key: noisy(value) for key, value in part.items()} | {"metadata": {"new": 1}, "serialization": {}}
        if isinstance(part, dict):
            return {key: noisy(value) for key, value in part.items()}
        return [noisy(value) for value in part] if isinstance(part, list) else part

    model.__pydantic_core_schema__ = noisy(node)  # type: ignore[assignment]  # as a later version may write it
    assert model_fingerprint(model) == before
    once = create_model("Row", a=(Annotated[int, Field(ge=1)], ...), b=(Level, ...), c=(Literal[1] | None, None))
    assert model_fingerprint(once) == before


VALIDATED = """
import re
from decimal import Decimal
from common_rules import LIMIT, is_known
from pydantic import BaseModel, field_validator, model_validator

ALLOWED = {"a", "b"}
PATTERN = re.compile("x+")

def helper(value):
    return deeper(value)

def deeper(value):
    return value in ALLOWED

class Row(BaseModel):
    a: str
    b: int

    @field_validator("a")
    @classmethod
    def known(cls, value):
        if not helper(value) or PATTERN.match(value) or not is_known(value):
            raise ValueError("unknown")
        return value

    @model_validator(mode="after")
    def whole(self):
        assert self.limit() < LIMIT
        return self

    def limit(self):
        return 7
"""
COMMON = "LIMIT = 9\nKNOWN = ('a', 'b')\ndef is_known(value):\n    return value in KNOWN\n"


def written(folder: Path, text: str, common: str = COMMON) -> str:
    (folder / "common_rules.py").write_text(common)
    (folder / "rows.py").write_text(text)
    model = load_model(SchemaRef(path="rows.py:Row"), base=folder)
    assert model is not None
    return model_fingerprint(model)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('raise ValueError("unknown")', 'raise ValueError("other")'),
        ("deeper(value)\n\n", "not deeper(value)\n\n"),
        ("value in ALLOWED", "value not in ALLOWED"),
        ('{"a", "b"}', '{"a", "c"}'),
        ('"x+"', '"y+"'),
        ("< LIMIT", "<= LIMIT"),
        ("return 7", "return 8"),
    ],
)
def test_what_a_validator_uses_of_its_file_counts(tmp_path, old, new):
    assert VALIDATED.count(old) == 1
    assert written(tmp_path, VALIDATED) != written(tmp_path, VALIDATED.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [("= 9", "= 10"), ("('a', 'b')", "('a',)"), ("value in", "value not in")])
def test_what_a_validator_uses_of_files_beside_its_own_counts(tmp_path, old, new):
    assert written(tmp_path, VALIDATED) != written(tmp_path, VALIDATED, COMMON.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [('{"a", "b"}', '{"b", "a"}'), ("\nclass Row", "\nUNUSED = 3\n\nclass Row"), ("Decimal\n", "Decimal as D\n")],
)
def test_what_no_validator_uses_does_not_count(tmp_path, old, new):
    assert written(tmp_path, VALIDATED) == written(tmp_path, VALIDATED.replace(old, new))


REFORMATTED = '''
import re
from decimal import Decimal
from common_rules import LIMIT, is_known
from pydantic import BaseModel, field_validator, model_validator

ALLOWED = {"a", "b"}
PATTERN = re.compile("x+")


def helper(value): return deeper(value)


def deeper(value):
    """Whether it is one of those."""
    return (value
            in ALLOWED)


class Row(BaseModel):
    """A row."""

    a: str
    b: int

    @field_validator('a')
    @classmethod
    def known(cls, value):
        # What is not known is refused.
        if (
            not helper(value)
            or PATTERN.match(value)
            or not is_known(value)
        ):
            raise ValueError('unknown')
        return value

    @model_validator(mode='after')
    def whole(self):
        """Looks at all."""
        assert self.limit() < LIMIT  # no more
        return self

    def limit(self): return 7
'''
LAMBDAS = """
from typing import Annotated
from pydantic import AfterValidator, BaseModel

class Row(BaseModel):
    a: Annotated[str, AfterValidator(lambda value: value.strip())]
    b: Annotated[int, AfterValidator(lambda value: abs(value))] = 1
"""


def test_how_a_validator_is_written_does_not_count(tmp_path):
    assert written(tmp_path, VALIDATED) == written(tmp_path, REFORMATTED, COMMON.replace("'", '"') + "# the end\n")


def test_how_a_lambda_is_written_does_not_count(tmp_path):
    spread = LAMBDAS.replace(
        "lambda value: value.strip()", "\n        lambda  value: (  # of its blanks\n  value.strip())"
    )
    assert written(tmp_path, LAMBDAS) == written(tmp_path, spread)
    assert written(tmp_path, LAMBDAS) != written(tmp_path, LAMBDAS.replace("abs(value)", "-value"))


def test_a_syntax_tree_is_told_alike_by_every_version_of_python():
    def checked(value: str, *, limit: int = 5) -> str:
        """Documented."""
        return f"{value!r}"[:limit]

    assert syntax_of(checked) == (
        "FunctionDef(args=arguments(args=[arg(annotation=Name(id='str'), arg='value')], "
        "kw_defaults=[Constant(value=5)], kwonlyargs=[arg(annotation=Name(id='int'), arg='limit')]), "
        "body=[Return(value=Subscript(slice=Slice(upper=Name(id='limit')), "
        "value=JoinedStr(values=[FormattedValue(conversion=114, value=Name(id='value'))])))], name='checked', "
        "returns=Name(id='str'))"
    )
