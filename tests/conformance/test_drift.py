"""Columns that are new, lost or retyped, under each policy, against a schema and against the last extraction.

Every case is a table of its own; all of them are extracted in one run, changed, and extracted in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest

from statekeeper.engines.context import JobSource, ProcessContext, Sessions
from statekeeper.errors import FailureKind
from statekeeper.plan.make_plan import PlanSpec, make_plan
from statekeeper.run.report import Outcome

from .databases import FIRST, MOMENT, MONEY, NUMBER, SECOND, TEXT, opened

BASE = (("ID", f"{NUMBER} not null"), ("NAME", TEXT), ("PAID", MONEY))
ROWS = [(1, "one", 1), (2, "two", None)]
SCHEMA = {
    "ID": {"type": "int"},
    "NAME": {"type": "str", "nullable": True},
    "PAID": {"type": "decimal", "max_digits": 9, "decimal_places": 2, "nullable": True},
}
CHANGED = {
    "new": ((*BASE, ("EXTRA", TEXT)), [(1, "one", 1, "x"), (2, "two", None, None)]),
    "lost": (BASE[:2], [(1, "one"), (2, "two")]),
    "retyped": ((("ID", TEXT), *BASE[1:]), [("1", "one", 1), ("2", "two", None)]),
}
NAMED = {"new": "EXTRA", "lost": "PAID", "retyped": "ID"}
WITH_EXTRA, WITHOUT_PAID, AS_IT_WAS = ["ID", "NAME", "PAID", "EXTRA"], ["ID", "NAME"], ["ID", "NAME", "PAID"]
REFUSED = None


@dataclass(frozen=True)
class Case:
    """`columns` are those of the file, or REFUSED; `outcome` is what the metadata says of the column."""

    expectation: str
    kind: str
    policy: str
    columns: list[str] | None
    outcome: str | None = None

    @property
    def table(self):
        return f"{self.expectation}_{self.kind}_{self.policy}".replace("-", "_").upper()

    @property
    def entry(self):
        schema = {"columns": SCHEMA} if self.expectation == "schema" else {}
        return {"table_name": self.table, "on_drift": self.policy, **schema}


CASES = [
    Case("schema", "new", "fail", REFUSED),
    Case("schema", "new", "ignore-new", AS_IT_WAS, "left out"),
    Case("schema", "new", "evolve", WITH_EXTRA, "taken"),
    Case("schema", "lost", "fail", REFUSED),
    Case("schema", "lost", "ignore-new", REFUSED),
    Case("schema", "lost", "evolve", WITHOUT_PAID, "accepted"),
    Case("schema", "retyped", "fail", REFUSED),
    Case("schema", "retyped", "ignore-new", REFUSED),
    Case("schema", "retyped", "evolve", REFUSED),
    Case("earlier", "new", "fail", REFUSED),
    Case("earlier", "new", "ignore-new", AS_IT_WAS, "left out"),
    Case("earlier", "new", "evolve", WITH_EXTRA, "taken"),
    Case("earlier", "lost", "fail", REFUSED),
    Case("earlier", "lost", "ignore-new", REFUSED),
    Case("earlier", "lost", "evolve", WITHOUT_PAID, "accepted"),
    Case("earlier", "retyped", "fail", REFUSED),
    Case("earlier", "retyped", "ignore-new", REFUSED),
    Case("earlier", "retyped", "evolve", AS_IT_WAS, "accepted"),
]


@pytest.fixture(scope="module", params=["duckdb", "duckdb, hive", "oracle"])
def extracted(request):
    """The database, the plan for the second run, and the outcome of each table in it."""
    with opened(request.param) as database:
        entries = [case.entry for case in CASES]
        for case in CASES:
            database.make(case.table, BASE, ROWS)
        first = database.run(entries, day=FIRST)
        assert {table.outcome for table in first.values()} == {Outcome.COMPLETED}, first
        for case in CASES:
            database.make(case.table, *CHANGED[case.kind])
        planned = database.plan(entries, day=SECOND)
        yield database, planned, database.run(entries, day=SECOND)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.table.lower())
def test_each_kind_of_drift_under_each_policy(extracted, case):
    database, planned, reports = extracted
    report, plan, column = reports[case.table], planned[case.table], NAMED[case.kind]
    if case.columns is REFUSED:
        assert report.outcome is Outcome.FAILED
        assert report.failure.kind is FailureKind.PLAN
        assert f"column {column} " in report.failure.message
        assert case.table in report.failure.message
        assert report.failure.hint
        assert plan.failure == report.failure
        assert not database.layout(case.table, day=SECOND).output.exists()
        return
    assert report.outcome is Outcome.COMPLETED, report.failure
    assert database.published(case.table, day=SECOND).column_names == case.columns
    metadata = database.metadata(case.table, day=SECOND)
    (change,) = metadata.validation.drift
    assert (change.column, change.kind.value, change.outcome.value) == (column, case.kind, case.outcome)
    assert list(metadata.columns) == case.columns
    assert report.remarks == (str(change),)
    assert [note for note in plan.notes if str(change) in note and f"on_drift: {case.policy}" in note]


def test_all_differences_are_reported_at_once_with_expected_found_and_hint():
    with opened("duckdb") as database:
        database.make("T", (("ID", TEXT), ("NAME", TEXT), ("EXTRA", NUMBER)), [])
        failure = database.run([{"table_name": "T", "columns": SCHEMA}])["T"].failure
    heading, *lines = failure.message.splitlines()
    assert heading == "db.T: the table is not as its `columns` describe it:"
    retyped, new, lost = [line.strip() for line in lines]
    assert retyped == (
        "column ID does not fit: the database's VARCHAR is not exactly the model's int; "
        "declare str, or select it as int"
    )
    assert new == (
        "column EXTRA is new: found INTEGER, but the schema has no such field; "
        "declare `EXTRA: {type: int, nullable: true}`, or select without it in a custom_query"
    )
    assert lost == (
        "column PAID is lost: expected Decimal | None, but the table has no such column; remove the field PAID, "
        "or give it the column's new name"
    )
    assert "on_drift: evolve" in failure.hint


EVENTS = (("ID", f"{NUMBER} not null"), ("AT", MOMENT), ("NAME", TEXT))
EVENT_ROWS = [(number, datetime.fromisoformat(f"2026-01-06T{number:02}:00"), f"event {number}") for number in range(20)]


@pytest.mark.parametrize("kind", ["duckdb", "oracle"])
def test_rows_can_be_chosen_and_cut_by_columns_that_are_left_out(kind):
    entry = {
        "table_name": "EVENTS",
        "columns": {"NAME": {"type": "str", "nullable": True}},
        "on_drift": "ignore-new",
        "incremental_column": "AT",
        "incremental_timezone": "UTC",
        "chunking": {"strategy": "key", "column": "ID", "target_rows": 5},
    }
    with opened(kind) as database:
        database.make("EVENTS", EVENTS, EVENT_ROWS)
        for is_full, rows in ((True, 20), (False, 20)):
            report = database.run([{**entry, "is_full_extract": is_full}])["EVENTS"]
            assert report.outcome is Outcome.COMPLETED, report.failure
            assert database.published("EVENTS").column_names == ["NAME"]
            assert database.published("EVENTS").num_rows == rows
            assert len(database.metadata("EVENTS").files) > 1


def test_a_grant_while_a_column_is_left_out_loses_no_snapshot():
    """A GRANT is a DDL: then the columns are compared, and the one that is left out still exists."""
    with opened("oracle") as database:
        database.make("T", (*BASE, ("EXTRA", TEXT)), [(1, "one", 1, "x")])
        source = {**database.source, "snapshot": "none"}  # to AS OF, a GRANT is a change of the definition
        runner = database.runner(
            [{"table_name": "T", "columns": SCHEMA, "on_drift": "ignore-new"}], sources={"db": source}
        )
        (config,) = runner.pipeline.tables
        sessions = Sessions("100MB")
        context = ProcessContext(
            sessions,
            memory_limit="100MB",
            is_stopping=lambda: False,
            report=lambda _rows: None,
            source=JobSource("db", config.source),
        )
        plan = make_plan(PlanSpec(config, "r", FIRST, None, (), database.folder), context)
        assert [column.name for column in plan.reading.left_out] == ["EXTRA"]
        database.server.change_ddl("APP", "T", moved=False)
        session = context.session()
        assert sum(len(batch) for batch in session.read(plan.reading, plan.chunks[0], batch_rows=10)) == 1
        sessions.close_all()
