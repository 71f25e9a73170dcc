# ruff: noqa: DTZ001 - columns without a time zone hold naive moments
from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from statekeeper.errors import ConfigError
from statekeeper.model.schema import ColumnRule, SchemaRef
from statekeeper.schemas.model.load import load_model, model_fingerprint
from tests.messages import raises_message, says, text_of

EMPLOYEE = """
from __future__ import annotations
from datetime import date
from decimal import Decimal
from typing import Literal, Optional
from pydantic import BaseModel, ConfigDict, Field, field_validator

class Employee(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    id: int = Field(ge=1)
    name: str = Field(max_length=80)
    salary: Decimal = Field(max_digits=9, decimal_places=2)
    hired: date = Field(ge=date(1990, 1, 1))
    kind: Optional[Literal["a", "b"]] = None

    @field_validator("name")
    @classmethod
    def not_blank(cls, value):
        if not value.strip():
            raise ValueError("blank")
        return value
"""

WITH_SIBLING = """
from common_types import BOUND
from pydantic import BaseModel, Field

class Employee(BaseModel):
    id: int = Field(ge=BOUND)
"""


def load(folder: Path, text: str, path: str = "hr.py:Employee"):
    (folder / "hr.py").write_text(text)
    return load_model(SchemaRef(path=path), base=folder)


def refused(folder: Path, text: str, path: str = "hr.py:Employee") -> ConfigError:
    with pytest.raises(ConfigError) as error:
        load(folder, text, path)
    return error.value


def inline(**rules: dict) -> SchemaRef:
    return SchemaRef(columns={name: ColumnRule(**rule) for name, rule in rules.items()})


def test_nothing_declared_is_no_model(tmp_path):
    assert load_model(SchemaRef(), base=tmp_path) is None


def test_model_is_loaded_from_its_file(tmp_path):
    model = load(tmp_path, EMPLOYEE)
    assert list(model.model_fields) == ["id", "name", "salary", "hired", "kind"]


def test_siblings_are_importable_and_forgotten_after(tmp_path):
    before = list(sys.path)
    for folder, bound in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "common_types.py").write_text(f"BOUND = {bound}\n")
        text = WITH_SIBLING
        model = load(tmp_path / folder, text)
        assert model.model_fields["id"].metadata[0].ge == bound
    assert "common_types" not in sys.modules
    assert sys.path == before


def test_changed_file_is_read_anew(tmp_path):
    first = load(tmp_path, EMPLOYEE)
    second = load(tmp_path, EMPLOYEE.replace("ge=1)", "ge=22)"))
    assert model_fingerprint(first) != model_fingerprint(second)


def test_changed_sibling_is_read_anew_and_what_did_not_change_is_not(tmp_path):
    (tmp_path / "common_types.py").write_text("BOUND = 1\n")
    first = load(tmp_path, WITH_SIBLING)
    ref = SchemaRef(path="hr.py:Employee")
    assert load_model(ref, base=tmp_path) is first
    (tmp_path / "common_types.py").write_text("BOUND = 10\n")
    again = load_model(ref, base=tmp_path)
    assert again is not None
    assert again.model_fields["id"].metadata[0].ge == 10


def test_missing_file_is_named(tmp_path):
    with raises_message(ConfigError, "schemas.no_file", file=tmp_path / "nowhere.py"):
        load_model(SchemaRef(path="nowhere.py:Employee"), base=tmp_path)


@pytest.mark.parametrize("path", ["hr.py", "hr.py:", ":Employee", "hr.py:no-name"])
def test_path_of_another_form_is_refused(tmp_path, path):
    assert says(refused(tmp_path, EMPLOYEE, path).message, "schemas.path_without_a_class")


def test_nearest_class_is_suggested(tmp_path):
    error = refused(tmp_path, EMPLOYEE, "hr.py:Employe")
    assert says(error.message, "schemas.no_class", name="Employe")
    assert error.hint == text_of("config.did_you_mean_table", key="Employee")


def test_class_that_is_no_model_is_refused(tmp_path):
    error = refused(tmp_path, "class Employee:\n    id: int\n")
    assert "Employee" in error.message
    assert says(error.message, "schemas.not_a_model")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_file_that_cannot_be_imported_says_why(tmp_path, text, expected):
    error = refused(tmp_path, text)
    assert expected in error.message
    assert "hr.py" in error.message


def test_model_with_an_undefined_name_is_refused(tmp_path):
    text = EMPLOYEE.replace("name: str", "name: Missing")
    error = refused(tmp_path, text)
    assert says(error.message, "schemas.not_fully_defined")
    assert "Missing" in error.message


def test_model_without_fields_is_refused(tmp_path):
    assert says(
        refused(tmp_path, "from pydantic import BaseModel\nclass Employee(BaseModel):\n    pass\n").message,
        "schemas.no_fields",
    )


PRINT = """
import sys
from pathlib import Path
from statekeeper.model.schema import SchemaRef
from statekeeper.schemas.model.load import load_model, model_fingerprint
print(model_fingerprint(load_model(SchemaRef(path="hr.py:Employee"), base=Path(sys.argv[1]))))
"""


def test_fingerprint_is_the_same_in_every_process(tmp_path):
    mine = model_fingerprint(load(tmp_path, EMPLOYEE))
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "hr.py").write_text(EMPLOYEE)
    found = {
        subprocess.run(
            [sys.executable, "-c", PRINT, str(folder)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for folder, seed in ((tmp_path, "1"), (moved, "2"))
    }
    assert found == {mine}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Field(ge=1)", "Field(ge=2)"),
        ("Field(ge=1)", "Field(gt=1)"),
        ("id: int", "id: float"),
        ("max_digits=9", "max_digits=10"),
        ("date(1990, 1, 1)", "date(1990, 1, 2)"),
        ('Literal["a", "b"]', 'Literal["a", "c"]'),
        ('kind: Optional[Literal["a", "b"]]', 'kind: Literal["a", "b"]'),
        ('raise ValueError("blank")', "pass"),
        ("salary:", "wage:"),
        ("Field(max_length=80)", "Field(max_length=80, alias='NAME')"),
    ],
)
def test_fingerprint_changes_with_the_meaning(tmp_path, old, new):
    assert old in EMPLOYEE
    before = model_fingerprint(load(tmp_path, EMPLOYEE))
    assert model_fingerprint(load(tmp_path, EMPLOYEE.replace(old, new))) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class Employee(BaseModel):", 'class Employee(BaseModel):\n    """What we know of people."""'),
        ("Field(ge=1)", "Field(ge=1, description='the key')"),
        (" = None", " = 'a'"),
        ("strict=True, ", ""),
        ("salary: Decimal = Field(max_digits=9", "salary: Decimal = Field(title='pay', max_digits=9"),
    ],
)
def test_fingerprint_ignores_what_decides_no_row(tmp_path, old, new):
    assert old in EMPLOYEE
    before = model_fingerprint(load(tmp_path, EMPLOYEE))
    assert model_fingerprint(load(tmp_path, EMPLOYEE.replace(old, new))) == before


def test_inline_rules_are_a_strict_model(tmp_path):
    model = load_model(
        inline(ID={"type": "int", "ge": 1}, **{"Full Name": {"type": "str", "nullable": True}}), base=tmp_path
    )
    assert model.model_validate({"ID": 1, "Full Name": None})
    for row in (
        {"ID": 0, "Full Name": "a"},
        {"ID": "1", "Full Name": "a"},
        {"ID": 1},
        {"ID": 1, "Full Name": "a", "x": 1},
    ):
        with pytest.raises(ValidationError):
            model.model_validate(row)


def test_inline_bounds_take_the_type_of_their_column(tmp_path):
    model = load_model(
        inline(
            day={"type": "date", "ge": "2020-01-01"},
            at={"type": "datetime", "lt": "2030-01-01T00:00:00"},
            price={"type": "decimal", "gt": "0.10", "max_digits": 5, "decimal_places": 2},
            rate={"type": "float", "le": 0.1},
        ),
        base=tmp_path,
    )
    good = {"day": date(2020, 1, 1), "at": datetime(2029, 1, 1), "price": Decimal("0.11"), "rate": 0.1}
    assert model.model_validate(good)
    bad = ({"day": date(2019, 1, 1)}, {"at": datetime(2030, 1, 1)}, {"price": Decimal("0.1")}, {"rate": 0.2})
    for change in bad:
        with pytest.raises(ValidationError):
            model.model_validate(good | change)


def test_contradictions_of_inline_rules_are_all_reported(tmp_path):
    ref = inline(
        a={"type": "int", "max_length": 3},
        b={"type": "int", "ge": "1.5"},
        c={"type": "str", "pattern": "("},
        d={"type": "str", "enum": ("x", 1)},
        e={"type": "date", "ge": "soon"},
        f={"type": "int", "enum": (1, 2), "ge": 0},
        g={"type": "int", "ge": 1},
        h={"type": "float", "ge": "2020-01-01"},
    )
    with pytest.raises(ConfigError) as error:
        load_model(ref, base=tmp_path)
    lines = error.value.message.splitlines()[1:]
    assert [line.strip()[0] for line in lines] == ["a", "b", "c", "d", "e", "f", "h"]
    assert "max_length does not go with type int" in lines[0]


def test_fingerprint_of_inline_rules_is_stable_and_follows_them(tmp_path):
    one = model_fingerprint(load_model(inline(ID={"type": "int", "ge": 1}), base=tmp_path))
    assert one == model_fingerprint(load_model(inline(ID={"type": "int", "ge": 1}), base=tmp_path))
    assert one != model_fingerprint(load_model(inline(ID={"type": "int", "ge": 2}), base=tmp_path))
    assert one != model_fingerprint(load_model(inline(id={"type": "int", "ge": 1}), base=tmp_path))
