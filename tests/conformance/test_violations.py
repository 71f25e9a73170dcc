"""Rows that break the schema, each kind of constraint under each policy: what is published, reported and kept.

Every case is a separate table; all of them are extracted in one run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import pyarrow.parquet as pq
import pytest

from statekeeper.errors import FailureKind
from statekeeper.run.report import Outcome
from tests.messages import says

from .databases import MOMENT, MONEY, NUMBER, TEXT, opened

COLUMNS = (("ID", f"{NUMBER} not null"), ("NAME", TEXT), ("PAID", MONEY), ("AT", MOMENT))
NOON = datetime.fromisoformat("2026-01-06T12:00")
ROWS = [(number, f"name {number}", number % 7, NOON) for number in range(1, 31)]
SCHEMA = {
    "ID": {"type": "int"},
    "NAME": {"type": "str", "nullable": True},
    "PAID": {"type": "decimal", "max_digits": 9, "decimal_places": 2, "nullable": True},
    "AT": {"type": "datetime", "nullable": True},
}
MODEL = """
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self
from pydantic import AfterValidator, BaseModel, Field, model_validator

def _short(value: str) -> str:
    assert value != "wrong", "is wrong"
    return value

class Validated(BaseModel):
    ID: int
    NAME: Annotated[str, AfterValidator(_short)] | None
    PAID: Annotated[Decimal, Field(max_digits=9, decimal_places=2)] | None
    AT: datetime | None

class Whole(BaseModel):
    ID: int
    NAME: str | None
    PAID: Annotated[Decimal, Field(max_digits=9, decimal_places=2)] | None
    AT: datetime | None

    @model_validator(mode="after")
    def _look(self) -> Self:
        assert self.NAME or self.ID, "a nameless row needs an id"
        return self
"""
BAD = 11
"""The id of the row that is made bad, where its id is not what is bad."""


@dataclass(frozen=True)
class Kind:
    """A constraint: how a row is changed, the rules or the model, and the name in the findings."""

    column: str
    value: object
    rule: dict[str, object] | str
    constraint: str
    told_column: str | None = "same"

    @property
    def told(self):
        return self.column if self.told_column == "same" else self.told_column


KINDS = {
    "not_null": Kind("NAME", None, {"NAME": {"type": "str"}}, "not_null"),
    "ge": Kind("PAID", -1, {"PAID": {**SCHEMA["PAID"], "ge": 0}}, "ge"),
    "lt": Kind("PAID", 999, {"PAID": {**SCHEMA["PAID"], "lt": 100}}, "lt"),
    "multiple_of": Kind("PAID", 1.5, {"PAID": {**SCHEMA["PAID"], "multiple_of": 1}}, "multiple_of"),
    "max_length": Kind("NAME", "x" * 30, {"NAME": {**SCHEMA["NAME"], "max_length": 8}}, "max_length"),
    "pattern": Kind("NAME", "Name", {"NAME": {**SCHEMA["NAME"], "pattern": "^name "}}, "pattern"),
    "enum": Kind("NAME", "other", {"NAME": {**SCHEMA["NAME"], "enum": [row[1] for row in ROWS]}}, "enum"),
    "moment": Kind("AT", datetime.fromisoformat("2031-01-01"), {"AT": {**SCHEMA["AT"], "lt": "2030-01-01"}}, "lt"),
    "validator": Kind("NAME", "wrong", "Validated", "assertion_error"),
    "whole_row": Kind("ID", 0, "Whole", "assertion_error", None),
}
POLICIES = ("fail", "warn", "quarantine")


def _rows(kind):
    """The rows, one of them bad; a row that is bad as a whole has neither id nor name."""
    index = [name for name, _ in COLUMNS].index(kind.column)
    rows = [list(row) for row in ROWS]
    rows[BAD - 1][index] = kind.value
    if kind.told is None:
        rows[BAD - 1][1] = None
    return [tuple(row) for row in rows]


def _table(name, policy):
    return f"{name}_{policy}".upper()


@pytest.fixture(scope="module", params=["duckdb", "duckdb, hive", "oracle"])
def extracted(request):
    """The database, and the outcome of each table."""
    with opened(request.param) as database:
        (database.folder / "model.py").write_text(MODEL)
        entries = []
        for name, kind in KINDS.items():
            for policy in POLICIES:
                database.make(_table(name, policy), COLUMNS, _rows(kind))
                is_model = isinstance(kind.rule, str)
                schema = {"schema": f"{database.folder}/model.py:{kind.rule}"} if is_model else {}
                rules = {} if is_model else {"columns": SCHEMA | kind.rule}
                keep = {"keep_violating_rows": True} if policy != "quarantine" else {}
                entries.append({"table_name": _table(name, policy), "on_violation": policy, **schema, **rules, **keep})
        yield database, database.run(entries)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_violation_under_each_policy(extracted, name, policy):
    database, reports = extracted
    table, kind = _table(name, policy), KINDS[name]
    report, layout = reports[table], database.layout(table)
    told = json.loads(layout.violations.read_text())
    assert (told["rows"], told["violating_rows"]) == (len(ROWS), 1)
    ((violation,),) = (told["violations"],)
    assert (violation["column"], violation["constraint"], violation["count"]) == (kind.told, kind.constraint, 1)
    bad_id = str(kind.value) if kind.told is None else str(BAD)
    assert [sample["values"]["ID"] for sample in violation["samples"]] == [bad_id]

    folder = layout.quarantine_folder if policy == "quarantine" else layout.violating_rows_folder
    (file,) = folder.iterdir()
    (row,) = pq.ParquetFile(file).read().to_pylist()
    assert str(row["ID"]) == bad_id
    assert row[kind.column] == kind.value
    ((broken,),) = (row["statekeeper_violations"],)
    assert (broken["column"], broken["constraint"]) == (kind.told, kind.constraint)
    assert row["statekeeper_row"] == BAD - 1

    if policy == "fail":
        assert report.failure.kind is FailureKind.VALIDATION
        assert says(report.failure.message, "schemas.rows_break", rows=1, total=30, what="the schema")
        assert f"{kind.told or 'row'} {kind.constraint} (1)" in report.failure.message
        assert not layout.output.exists()
        return
    assert report.outcome is Outcome.COMPLETED, report.failure
    metadata = database.metadata(table)
    apart = int(policy == "quarantine")
    assert database.published(table).num_rows == metadata.record_count == len(ROWS) - apart
    counts = metadata.validation
    assert (counts.quarantined_rows, counts.violations) == (apart, 1 - apart)
    assert counts.extracted_rows == counts.counted_rows == len(ROWS)
    assert bool(list(layout.quarantine_folder.glob("*"))) is bool(apart)
    assert bool(list(layout.violating_rows_folder.glob("*"))) is not bool(apart)
