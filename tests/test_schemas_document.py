"""docs/schemas.md agrees with the code: every pair in its tables of types, and every line of its example."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
import yaml
from pydantic import AwareDatetime, NaiveDatetime, create_model

from statekeeper.errors import PlanError
from statekeeper.model.schema import ColumnRule
from statekeeper.parquet.types import parse_type
from statekeeper.schemas.model.inline import inline_model
from statekeeper.sources.columns import described_column
from statekeeper.sources.duckdb import types as duckdb_types
from statekeeper.sources.oracle import types as oracle_types
from tests.unit.schemas.staged_columns import plan_columns

DOCUMENT = (Path(__file__).parent.parent / "docs/schemas.md").read_text()
FIELDS: dict[str, Any] = {
    "int": int,
    "Decimal": Decimal,
    "float": float,
    "str": str,
    "bytes": bytes,
    "bool": bool,
    "date": date,
    "NaiveDatetime": NaiveDatetime,
    "AwareDatetime": AwareDatetime,
    "time": time,
    "UUID": UUID,
}


def rows(heading: str) -> list[tuple[str, dict[str, str]]]:
    """Database type, and the type in the file by the field's type, of the table below a heading."""
    section = DOCUMENT[DOCUMENT.index(f"### {heading}\n") :]
    table = re.findall(
        r"^\| (`.*?) \| (.*?) \|$", section[: section.index("\n\n", section.index("|---"))], re.MULTILINE
    )
    return [
        (database_type, dict(re.findall(r"`(\w+)` → (?:`([^`]+)`|its own width)", pairs)))
        for types, pairs in table
        for database_type in re.findall(r"`([^`]+)`", types)
    ]


def rule(database_type: str, heading: str) -> Any:
    if heading == "Oracle":
        return oracle_types.type_rule(database_type, oracle_types.TypeChoices())
    return duckdb_types.type_rule(database_type)


def planned(database_type: str, heading: str, kind: Any) -> str | None:
    column = described_column("c", database_type, rule(database_type, heading), is_nullable=True)
    try:
        (found,) = plan_columns((column,), create_model("Row", c=(kind, ...)))
    except PlanError:
        return None
    return found.arrow_type


EVERY = [(heading, *row) for heading in ("Oracle", "DuckDB") for row in rows(heading)]


@pytest.mark.parametrize(("heading", "database_type", "pairs"), EVERY, ids=[f"{one[0]} {one[1]}" for one in EVERY])
def test_every_pair_of_the_table_meets_and_no_other(heading, database_type, pairs):
    found = {name: arrow for name, kind in FIELDS.items() if (arrow := planned(database_type, heading, kind))}
    read = rule(database_type, heading).read
    assert found == {name: arrow or read.arrow for name, arrow in pairs.items()}


@pytest.mark.parametrize(("heading", "database_type", "pairs"), EVERY, ids=[f"{one[0]} {one[1]}" for one in EVERY])
def test_without_a_schema_a_column_has_the_first_type_of_its_row(heading, database_type, pairs):
    described = rule(database_type, heading)
    column = described_column("c", database_type, described, is_nullable=True)
    if described.read is None:
        with pytest.raises(PlanError, match="column c"):
            plan_columns((column,), None)
        return
    (found,) = plan_columns((column,), None)
    first = next(iter(pairs.values())) or described.read.arrow
    assert parse_type(found.arrow_type) == parse_type(first)


def test_the_tables_have_every_type_of_the_sources():
    documented = {database_type for _, database_type, _ in EVERY}
    assert {name for name in duckdb_types._FIXED if name != '"NULL"'} <= documented
    assert {name for name in oracle_types._FIXED if name != "BFILE"} <= documented


def fenced(language: str, after: str) -> str:
    start = DOCUMENT.index(after)
    found = re.search(rf"^```{language}\n(.*?)^```$", DOCUMENT[start:], re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def statekeeper(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from statekeeper.cli.app import main; main()"]
    return subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_the_example_does_what_the_document_shows(tmp_path):
    (tmp_path / "people.py").write_text(fenced("python", "`people.py`:"))
    (tmp_path / "people.yml").write_text(fenced("yaml", "`people.yml`:"))
    with duckdb.connect(tmp_path / "people.duckdb") as database:
        database.execute(fenced("sql", "The database, `people.duckdb`"))
    assert fenced("", "`statekeeper plan people.yml`") in statekeeper(tmp_path, "plan", "people.yml").stdout
    run = statekeeper(tmp_path, "run", "people.yml", "--date", "2026-01-06")
    assert run.returncode == 1
    assert fenced("", "`statekeeper run people.yml --date").strip() in run.stdout
    (written,) = tmp_path.rglob("*_violations.json")
    assert json.loads(written.read_text())["violations"][-1] == json.loads(
        fenced("json", "The last of the four violations")
    )
    assert not list(tmp_path.rglob("people-20260106.parquet"))


def test_the_inline_rules_that_are_shown_are_rules():
    rules = yaml.safe_load(fenced("yaml", "## Inline"))["columns"]
    model = inline_model({name: ColumnRule.model_validate_json(json.dumps(rule)) for name, rule in rules.items()})
    assert [part.alias for part in model.model_fields.values()] == list(rules)
