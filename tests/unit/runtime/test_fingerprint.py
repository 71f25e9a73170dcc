"""What makes published data stale, and what does not."""

from __future__ import annotations

import re

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.runtime.fingerprint import DRIFT, changed_aspects, fingerprint_of, kept_fingerprint
from statekeeper.schemas.model.load import load_model

TABLE = {
    "table_name": "orders",
    "schema_name": "shop",
    "incremental_column": "at",
    "is_full_extract": False,
    "columns": {"id": {"type": "int", "ge": 0}, "note": {"type": "str", "max_length": 9}},
}


def _fingerprint(tmp_path, table, *, source=None, **sections):
    pipeline = pipeline_of(
        {
            "sources": {"shop": {"type": "duckdb", "path": "shop.duckdb", **(source or {})}},
            "tables": [table],
            **sections,
        },
        root=tmp_path,
    )
    (config,) = pipeline.tables
    return fingerprint_of(config, load_model(config.model, base=tmp_path))


@pytest.mark.parametrize(
    ("change", "aspects"),
    [
        ({"table_name": "orders_2"}, ("query",)),
        ({"schema_name": "other"}, ("query",)),
        ({"custom_query": "select * from shop.orders"}, ("query",)),
        ({"columns": {**TABLE["columns"], "id": {"type": "int", "ge": 1}}}, ("schema",)),
        ({"columns": {"id": {"type": "int"}}}, ("schema",)),
        ({"columns": None}, ("schema",)),
        ({"incremental_column": "made_at"}, ("window",)),
        ({"is_full_extract": True}, ("window",)),
        ({"window": "watermark"}, ("window",)),
        ({"lookback": "1h"}, ("window",)),
        ({"lookback": "1h", "unique": ["id"], "mark_taken_before": True}, ("keys", "mark_taken_before", "window")),
        ({"incremental_timezone": "Europe/Madrid"}, ("window",)),
        ({"incremental_column": None, "is_full_extract": None}, ("window",)),
    ],
)
def test_a_change_of_what_is_selected_or_checked_makes_data_stale_and_is_named(tmp_path, change, aspects):
    before = _fingerprint(tmp_path, TABLE)
    assert changed_aspects(before, _fingerprint(tmp_path, {**TABLE, **change})) == aspects


def test_another_database_makes_data_stale(tmp_path):
    before = _fingerprint(tmp_path, TABLE)
    after = _fingerprint(tmp_path, TABLE, source={"path": "other.duckdb"})
    assert changed_aspects(before, after) == ("source",)


@pytest.mark.parametrize(
    "change",
    [
        {"chunking": {"strategy": "none"}},
        {"chunking": {"strategy": "rowid", "target_rows": 5}},
        {"verify": "quick"},
        {"reconcile": "none"},
        {"retry": {"attempts": 9}},
        {"on_snapshot_lost": "fail"},
        {"max_snapshot_restarts": 9},
        {"on_violation": "warn"},
        {"on_drift": "evolve"},
        {"path_name": "elsewhere"},
        {"incremental_timezone": "UTC"},  # as it was taken where it was not set
    ],
)
def test_a_change_of_how_a_table_is_read_makes_nothing_stale(tmp_path, change):
    kept = kept_fingerprint(_fingerprint(tmp_path, TABLE), policies=frozenset())
    assert changed_aspects(kept, _fingerprint(tmp_path, {**TABLE, **change})) == ()


def test_a_changed_policy_makes_data_stale_only_if_the_old_one_affected_it(tmp_path):
    kept = kept_fingerprint(_fingerprint(tmp_path, {**TABLE, "on_drift": "evolve"}), policies={DRIFT})
    assert changed_aspects(kept, _fingerprint(tmp_path, {**TABLE, "on_drift": "evolve"})) == ()
    assert changed_aspects(kept, _fingerprint(tmp_path, TABLE)) == ("on_drift",)


@pytest.mark.parametrize(
    "sections",
    [
        {"execution": {"workers": 7}},
        {"output": {"base_path": "lake", "compression": "none"}},
        {"states": {"extracting": {"timeout": "1h"}}},
        {"source": {"max_sessions": 3}},
    ],
)
def test_a_change_of_folders_or_resources_makes_nothing_stale(tmp_path, sections):
    assert _fingerprint(tmp_path, TABLE, **sections) == _fingerprint(tmp_path, TABLE)


VALIDATOR = """\
from pydantic import BaseModel, field_validator


class Row(BaseModel):
    id: int

    @field_validator("id")
    @classmethod
    def even(cls, value):
        assert value % 2 == 0  # or not
        return value
"""
OF_0_1 = "bed9dc8a2d41dfa3"
"""The fingerprint that version 0.1 stored for that model."""


def test_what_version_0_1_extracted_with_a_validator_is_not_stale(tmp_path):
    table = {"table_name": "orders", "schema": "rows.py:Row"}
    (tmp_path / "rows.py").write_text(VALIDATOR)
    present = _fingerprint(tmp_path, table)
    kept = kept_fingerprint(present, policies=frozenset())
    before = re.sub(r"schema=\w+", f"schema={OF_0_1}", kept)
    assert before != kept
    assert changed_aspects(before, present) == ()
    assert "0.1" not in kept
    (tmp_path / "rows.py").write_text(VALIDATOR.replace("== 0", "== 1"))
    assert changed_aspects(before, _fingerprint(tmp_path, table)) == ("schema",)
    assert changed_aspects(kept, _fingerprint(tmp_path, table)) == ("schema",)
    (tmp_path / "rows.py").write_text(VALIDATOR.replace('"id"', "'id'").replace("  # or not", ""))
    assert changed_aspects(kept, _fingerprint(tmp_path, table)) == ()
