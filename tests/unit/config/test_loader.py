"""What a configuration is resolved to: its references, its defaults, and its file of tables."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from statekeeper.config.loader import load_pipeline
from statekeeper.config.resolved import (
    ChunkingStrategy,
    Compression,
    Reconcile,
    Verify,
    WindowKind,
)
from statekeeper.model.state import State
from tests.unit.config.config_files import FULL, HEAD, load

pytestmark = pytest.mark.usefixtures("config_folder")


def test_a_whole_configuration_is_resolved():
    pipeline = load(FULL, environ={"NAME": "big", "TOKEN": "hunter2"})
    assert (pipeline.name, pipeline.path, pipeline.extraction_date) == ("prod", "c.yml", "yesterday")
    assert pipeline.sources["crm"].path == "data/crm.duckdb"
    assert pipeline.sources["shop"].path == "data/big.duckdb"
    assert pipeline.sources["shop"].max_sessions == 3
    assert pipeline.output.compression is Compression.SNAPPY
    assert pipeline.output.row_group_bytes == 64_000_000
    assert pipeline.execution.memory_limit == 2 * 1024**3
    assert pipeline.states.timeout(State.EXTRACTING) == timedelta(hours=6)
    assert pipeline.states.hooks(State.FAILED)[0].webhook.get_secret_value() == "https://hooks.example.com/hunter2"

    employees, orders, big = pipeline.tables
    assert employees.table.key == "shop.HR.EMPLOYEES"
    assert employees.source is pipeline.sources["shop"]
    assert employees.relation.label == "HR.EMPLOYEES"
    assert employees.model.path == "hr.py:Employee"
    assert employees.reconcile is Reconcile.NONE
    assert employees.is_full_extract
    assert employees.incremental is None
    assert employees.declared_at == "c.yml:23:5: tables[0]"

    assert not orders.is_full_extract
    assert orders.incremental.kind is WindowKind.WATERMARK
    assert orders.incremental.timezone == "Europe/Madrid"
    assert orders.incremental.lookback == timedelta(hours=1)

    assert big.custom_query == "select '${x}' from t as of {as_of}"
    assert big.relation.table_name is None
    assert list(big.model.columns) == ["ID", "NO"]
    assert big.model.columns["ID"].ge == Decimal("0.10000000000000000000001")
    assert big.model.columns["ID"].nullable is False


def test_defaults_lie_under_each_table_key_by_key():
    employees, orders, big = load(FULL, environ={"NAME": "x", "TOKEN": "x"}).tables
    assert employees.chunking.strategy is ChunkingStrategy.KEY
    assert (orders.chunking.column, orders.chunking.target_rows) == ("ID", 7)
    assert big.chunking.strategy is ChunkingStrategy.NONE
    assert big.chunking.target_rows == 1000
    assert (orders.retry.attempts, orders.retry.initial_delay) == (9, timedelta(seconds=1))
    assert orders.retry.max_delay == timedelta(seconds=10)
    assert employees.verify is Verify.QUICK
    assert orders.verify is Verify.FULL, "null is the built-in default"
    assert big.table.source_name == "crm"


def test_a_schema_of_the_entry_hides_the_other_kind_in_the_defaults():
    text = (
        HEAD
        + "defaults: {schema: 'hr.py:Employee'}\ntables: [{table_name: A, columns: {X: {type: int}}}, {table_name: B}]"
    )
    first, second = load(text).tables
    assert (first.model.path, list(first.model.columns)) == (None, ["X"])
    assert second.model.path == "hr.py:Employee"


def test_a_column_may_be_called_key():
    (table,) = load(HEAD + "tables: [{table_name: A, chunking: {strategy: key, key: ID}}]").tables
    assert table.chunking.column == "ID"


def test_the_fingerprint_is_of_the_text_before_references():
    first = load(FULL, environ={"NAME": "x", "TOKEN": "a"})
    assert first.fingerprint == load(FULL, environ={"NAME": "y", "TOKEN": "b"}).fingerprint
    assert first.fingerprint != load(FULL + "#", environ={"NAME": "x", "TOKEN": "a"}).fingerprint
    tables = '[{"table_name": "A"}]'
    with_tables = load(FULL, environ={"NAME": "x", "TOKEN": "a"}, tables=tables)
    assert first.fingerprint != with_tables.fingerprint
    assert with_tables.fingerprint != load(FULL, environ={"NAME": "x", "TOKEN": "a"}, tables=tables + " ").fingerprint


def test_identity_is_of_the_data_not_of_the_budget():
    assert load(HEAD + "tables: [{table_name: A}]").sources["shop"].identity_settings() == {"path": "shop.duckdb"}


def test_numbers_and_truth_values_may_come_through_references():
    text = HEAD + "execution: {workers: '${W}'}\ntables: [{table_name: A, is_full_extract: '${FULL:-yes}'}]"
    pipeline = load(text, environ={"W": "3"})
    assert pipeline.execution.workers == 3
    assert pipeline.tables[0].is_full_extract


SEEDS = {
    "source_name": "shop",
    "table_name": "ORDERS",
    "schema_name": "SALES",
    "incremental_column": "UPDATED_AT",
    "extraction_date": "2026-01-31",
    "is_full_extract": False,
    "custom_query": None,
    "flashback_enabled": False,
    "flashback_timestamp": None,
    "run_id": "p-20260131",
}


@pytest.mark.parametrize("suffix", ["json", "yml"])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_file_of_tables_replaces_those_of_the_configuration(suffix, is_wrapped):
    entries = [SEEDS, {"table_name": "OTHER"}]
    text = json.dumps({"tables": entries} if is_wrapped else entries, indent="\t" if suffix == "json" else 1)
    pipeline = load(HEAD + "tables: [{table_name: ONE}]", tables=text, suffix=suffix)
    orders, other = pipeline.tables
    assert pipeline.tables_path == f"t.{suffix}"
    assert orders.table.key == "shop.SALES.ORDERS"
    assert orders.incremental.column == "UPDATED_AT"
    assert (orders.extraction_date, orders.run_id) == ("2026-01-31", "p-20260131")
    assert other.table.key == "shop.OTHER"
    assert [table.table.key for table in load(HEAD, tables=text, suffix=suffix).tables] == [
        "shop.SALES.ORDERS",
        "shop.OTHER",
    ]


def test_a_byte_order_mark_is_no_text():
    Path("c.yml").write_bytes(b"\xef\xbb\xbf" + (HEAD + "tables: [{table_name: A}]").encode())
    assert load_pipeline(Path("c.yml"), environ={}).name == "p"
