from __future__ import annotations

import keyword
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from statekeeper.scaffold.names import class_names, field_names, module_name


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("EMPLOYEE_ID", "employee_id"),
        ("OrderID", "order_id"),
        ("HTTPServer2", "http_server2"),
        ("some column", "some_column"),
        ("2nd", "column_2nd"),
        ("_id", "id"),
        ("class", "class_"),
        ("json", "json_"),
        ("model_config", "model_config_"),
        ("model_dump_all", "column_model_dump_all"),
        ("$#", "column"),
    ],
)
def test_a_field_is_named_as_python_names_things(column: str, field: str) -> None:
    assert field_names([column]) == {column: field}


def test_columns_that_differ_only_by_case_get_fields_of_their_own() -> None:
    assert field_names(["ID", "Id", "id"]) == {"ID": "id", "Id": "id_2", "id": "id_3"}


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("EMPLOYEES", "Employees"),
        ("big_customers", "BigCustomers"),
        ("row", "RowTable"),
        ("decimal", "DecimalTable"),
        ("2024", "Table2024"),
    ],
)
def test_a_class_is_named_as_python_names_classes(table: str, name: str) -> None:
    assert class_names([table]) == {table: name}


def test_a_module_is_named_after_a_file() -> None:
    assert module_name("My shop-2") == "my_shop_2"
    assert module_name("...") == "database"


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
def test_whatever_columns_are_called_pydantic_takes_their_fields(columns: list[str]) -> None:
    names = field_names(columns)
    assert len(set(names.values())) == len(columns)
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in names.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_model("Model", **dict.fromkeys(names.values(), (int, ...)))  # type: ignore[call-overload]


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
def test_whatever_tables_are_called_their_classes_can_be_defined(tables: list[str]) -> None:
    names = class_names(tables)
    assert len(set(names.values())) == len(tables)
    for name in names.values():
        exec(f"class {name}: ...", {})
