"""All JSON that is written or printed satisfies the JSON Schemas in schemas/json/."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from .pipeline import QUICK_CONFIG, QUICK_ROWS, Workplace

_SCHEMAS = Path(__file__).parents[2] / "schemas" / "json"
_BROKEN = """\
  - table_name: broken
    custom_query: select id, amount from large
    chunking: {strategy: key, column: id, target_rows: 2000}
    keep_violating_rows: true
    columns: {id: {type: int, lt: 10, nullable: true}, amount: {type: decimal, max_digits: 18, decimal_places: 2}}
  - {table_name: missing}
"""


def _violations_of(kind, document):
    schema = json.loads((_SCHEMAS / f"{kind}.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def _backfilled(work):
    config = yaml.safe_load((work.folder / "nightly.yml").read_text())
    table = {"table_name": "large", "path_name": "by_id", "incremental_column": "id", "window": "watermark"}
    (work.folder / "by_id.yml").write_text(yaml.safe_dump({**config, "pipeline": "by_id", "tables": [table]}))
    return work.run("backfill", "by_id.yml", "--from", "2026-01-05", "--to", "2026-01-06", "--json").stdout


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Every document of a run in which one table is complete, one broke its schema and one is missing."""
    config = QUICK_CONFIG.replace("path: shop.duckdb", "path: shop.duckdb, snapshot_scope: run") + _BROKEN
    work = Workplace.make(tmp_path_factory.mktemp("documents") / "work", rows=QUICK_ROWS, config=config)
    plan = work.run("plan", "nightly.yml", "--json")
    run = work.run("run", "nightly.yml", "--json")
    assert (plan.returncode, run.returncode) == (1, 1), (plan.stderr, run.stderr)
    day = work.day("broken")
    staging = next(day.glob(f".{work.run_id}.staging/*/plan.json")).parent
    printed = {
        "the plan of a run": ("plan-report", plan.stdout),
        "the result of a run": ("run-report", run.stdout),
        "the status": ("status", work.run("status", "--json").stdout),
        "inferred schemas": ("schemas-infer", work.run("schemas", "infer", "nightly.yml", "--json").stdout),
        "compared schemas": ("schemas-diff", work.run("schemas", "diff", "nightly.yml", "--json").stdout),
    }
    files = {
        "the state of a complete table": ("state", work.day("large") / f"{work.run_id}_state.json"),
        "the state of an invalid table": ("state", day / f"{work.run_id}_state.json"),
        "the state of a missing table": ("state", work.day("missing") / f"{work.run_id}_state.json"),
        "the metadata of a folder": ("metadata", work.day("large") / f"{work.run_id}_metadata.json"),
        "the metadata of a file": ("metadata", work.day("empty") / f"{work.run_id}_metadata.json"),
        "the manifest": ("manifest", work.folder / f"data/_runs/{work.run_id}.json"),
        "the snapshot of a run": ("run-snapshot", work.folder / f"data/_runs/{work.run_id}_snapshots/shop/0001.json"),
        "a plan": ("plan", staging / "plan.json"),
        "a receipt": ("receipt", min((staging / "receipts").glob("chunk-*.json"))),
        "the receipt of the count": ("count-receipt", staging / "receipts/count.json"),
        "the receipt of a sifted part": ("split-receipt", min((staging / "receipts").glob("sifted-*.json"))),
        "the receipt of all rejected rows": ("rejects-receipt", staging / "receipts/rejects.json"),
        "the violations": ("violations", day / f"{work.run_id}_violations.json"),
    }
    printed |= {
        "the history of a table": ("history", work.run("history", "large", "--json").stdout),
        "the result of a backfill": ("backfill-report", _backfilled(work)),
        "the status of a backfill": ("backfill-status", work.run("status", "--json").stdout),
    }
    found = {name: (kind, json.loads(text)) for name, (kind, text) in printed.items()}
    found |= {name: (kind, json.loads(path.read_text())) for name, (kind, path) in files.items()}
    # A date in YAML is a date; in JSON, which the schema speaks of, it is text.
    config = json.loads(json.dumps(yaml.safe_load((work.folder / "nightly.yml").read_text()), default=str))
    return {**found, "the config": ("config", config)}


_NAMES = (
    "the plan of a run",
    "the result of a run",
    "the status",
    "the history of a table",
    "the result of a backfill",
    "the status of a backfill",
    "inferred schemas",
    "compared schemas",
    "the state of a complete table",
    "the state of an invalid table",
    "the state of a missing table",
    "the metadata of a folder",
    "the metadata of a file",
    "the manifest",
    "the snapshot of a run",
    "a plan",
    "a receipt",
    "the receipt of the count",
    "the receipt of a sifted part",
    "the receipt of all rejected rows",
    "the violations",
    "the config",
)


@pytest.mark.parametrize("name", _NAMES)
def test_every_document_satisfies_its_schema(documents, name):
    kind, document = documents[name]
    assert _violations_of(kind, document) == []
    # The schema is not one that anything satisfies.
    assert _violations_of(kind, dict.fromkeys(document))
    key = next(iter(document))
    assert _violations_of(kind, {**document, key: {"of": "another kind"}})


def test_every_schema_has_a_document_here(documents):
    assert {kind for kind, _ in documents.values()} == {path.stem for path in _SCHEMAS.glob("*.json")}
    assert set(documents) == set(_NAMES)


def test_the_status_has_every_promised_key(documents):
    _, status = documents["the status"]
    promised = {"run_id", "pipeline", "extraction_date", "state", "tables", "counts", "processes", "next_steps"}
    assert set(status) == promised
    keys = "source_name schema_name table_name state records bytes chunks attempts started_at ended_at"
    keys += " duration_seconds output_path failure remarks waiting covered_through"
    assert [set(table) for table in status["tables"]] == [set(keys.split())] * 5
    tables = {table["table_name"]: table for table in status["tables"]}
    assert set(tables["broken"]["failure"]) == {"kind", "code", "message", "hint"}
    assert tables["broken"]["chunks"]["done"] == tables["broken"]["chunks"]["total"] > 1
    assert (tables["large"]["records"], tables["large"]["failure"]) == (QUICK_ROWS, None)
    damaged = copy.deepcopy(status)
    damaged["tables"][0]["state"] = "finished"
    assert _violations_of("status", damaged)
