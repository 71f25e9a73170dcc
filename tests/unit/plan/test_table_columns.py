"""Which columns of a plan fit into the table that they are published into."""

from __future__ import annotations

from dataclasses import replace

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.errors import PlanError
from statekeeper.model.plan import PlannedColumn
from statekeeper.plan import table_columns
from statekeeper.table_formats.iceberg.format import FORMAT as ICEBERG
from tests.messages import raises_message

WRITTEN = {"sources": {"shop": {"type": "duckdb", "path": "shop.duckdb"}}, "tables": [{"table_name": "orders"}]}


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setattr(table_columns, "table_format", {"iceberg": ICEBERG}.__getitem__)
    return replace(pipeline_of(WRITTEN).tables[0], format="iceberg")


def planned(name, kind):
    return (PlannedColumn(name=name, database_type="any", read_type=kind, arrow_type=kind),)


@pytest.mark.parametrize(
    ("kind", "column"), [("int64", "int64"), ("int16", "int32"), ("int32", "int64"), ("timestamp[ms]", "timestamp[us]")]
)
def test_a_narrower_column_fits_where_the_format_reads_it_exactly(config, kind, column):
    assert table_columns.check_table_columns(config, planned("id", kind), (("id", column),)) == ()


def test_a_wider_type_is_given_to_the_column_where_the_format_can(config):
    notes = table_columns.check_table_columns(config, planned("id", "int64"), (("id", "int32"),))
    assert notes == ("the table's column id gets a wider type, int64 instead of int32",)


@pytest.mark.parametrize(("kind", "column"), [("double", "int32"), ("string", "int64"), ("int64", "list<item: int64>")])
def test_any_other_type_is_refused_by_name(config, kind, column):
    with raises_message(PlanError, "plan.another_type_in_the_table", column="id", kind=kind, stored=column):
        table_columns.check_table_columns(config, planned("id", kind), (("id", column),))


def test_a_type_that_the_format_lacks_is_refused_with_what_to_do(config):
    with raises_message(PlanError, "table_formats.iceberg_lacks_unsigned"):
        table_columns.check_table_columns(config, planned("id", "uint32"), None)
