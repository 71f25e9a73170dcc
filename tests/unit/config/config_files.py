"""Configurations as files of the working directory, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from statekeeper.config.loader import load_pipeline
from statekeeper.errors import ConfigError

HEAD = "pipeline: p\nsources: {shop: {type: duckdb, path: shop.duckdb}}\n"
ONE = HEAD + "tables: [{table_name: A}]\n"
FULL = """\
pipeline: prod
sources:
  crm: {type: duckdb, path: "${CRM:-data/crm.duckdb}"}
  shop:
    type: duckdb
    path: data/${NAME}.duckdb
    max_sessions: ${SESSIONS:-3}
output: {base_path: out, compression: snappy, row_group_bytes: 64MB, lock: lease, lease_ttl: 2m}
execution: {engine: local, workers: 2, active_tables: 3, memory_limit: 2GiB}
extraction_date: yesterday
defaults:
  source_name: shop
  chunking: {strategy: key, column: ID, target_rows: 1_000}
  verify: quick
  retry: {attempts: 9, initial_delay: 1s}
  window: watermark
states:
  extracting: {timeout: 6h}
  on_enter:
    failed:
      - webhook: https://hooks.example.com/${TOKEN}
tables:
  - {schema_name: HR, table_name: EMPLOYEES, schema: "hr.py:Employee", reconcile: none}
  - table_name: ORDERS
    incremental_column: UPDATED_AT
    lookback: 1h
    incremental_timezone: Europe/Madrid
    chunking: {target_rows: 7}
    retry: {max_delay: 10s}
    verify: null
  - table_name: big
    source_name: crm
    custom_query: select '$${x}' from t as of {as_of}
    chunking: {strategy: none}
    columns: {ID: {type: int, ge: 0.10000000000000000000001, nullable: "${NULLS:-no}"}, NO: {type: str}}
"""


def load(text, *, environ=None, tables=None, suffix="yml"):
    Path("c.yml").write_text(text, encoding="utf-8")
    if tables is not None:
        Path(f"t.{suffix}").write_text(tables, encoding="utf-8")
    tables_path = None if tables is None else Path(f"t.{suffix}")
    return load_pipeline(Path("c.yml"), environ=environ or {}, tables_path=tables_path)


def problems(text, **options):
    with pytest.raises(ConfigError) as caught:
        load(text, **options)
    assert caught.value.exit_code == 2
    return caught.value.message.splitlines()


def table_problems(entries):
    return problems(f"{HEAD}tables:\n{entries}")
