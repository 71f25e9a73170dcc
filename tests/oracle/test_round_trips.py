"""The round trips of a plan and a count: one per statement, however large the table is."""

from __future__ import annotations

import datetime as dt

import pytest

from statekeeper.config.sections.chunking import ChunkingPolicy
from statekeeper.model.table import ExtractionMode, Relation, Scope, Window
from tests.oracle.pipelines import opened, serving
from tests.readings import FULL, reading

DAY = dt.datetime(2026, 1, 6, tzinfo=dt.UTC)
WINDOW = Scope(
    mode=ExtractionMode.INCREMENTAL,
    window=Window(column="AT", start=DAY, end=DAY + dt.timedelta(days=1), timezone="UTC"),
)
SIZES = (2_000, 20_000)


@pytest.fixture(scope="module")
def server():
    with serving("T") as server:
        columns = [("ID", "NUMBER(9)"), ("AT", "TIMESTAMP(6)")]
        for rows in SIZES:
            query = f"SELECT range, TIMESTAMP '2026-01-06' + to_seconds(range) FROM range({rows})"
            server.create_table("T", f"HEAP{rows}", columns, rows_per_block=10)
            server.create_index("T", f"HEAP{rows}", "AT")
            server.create_table("T", f"IOT{rows}", columns, organization="index", primary_key=["ID"])
            for name in ("HEAP", "IOT"):
                server.load("T", f"{name}{rows}", query)
                server.set_table("T", f"{name}{rows}", statistics_rows=rows)
        yield server


def spent(server, rows: int, name: str, scope: Scope) -> tuple[int, int, dict[str, int]]:
    """Statements, their round trips and all traffic of a plan of four chunks with its count."""
    with opened(server) as session:
        what = reading(session, Relation(schema_name="T", table_name=f"{name}{rows}"), scope=scope)
        server.clear_log()
        plan = session.plan_chunks(what.relation, scope, what.snapshot, ChunkingPolicy(target_rows=rows // 4))
        assert session.count(what).rows == rows
        assert len(plan.chunks) in range(4, 7)
        statements = server.log()
        return len(statements), sum(one["round_trips"] for one in statements), server.traffic()


@pytest.mark.parametrize(("name", "scope"), [("HEAP", WINDOW), ("HEAP", FULL), ("IOT", FULL)])
def test_a_plan_and_its_count_take_one_round_trip_per_statement_for_any_table_size(server, name, scope):
    small, large = (spent(server, rows, name, scope) for rows in SIZES)
    assert small == large
    statements, round_trips, traffic = large
    assert statements == round_trips == traffic["round trips"] < 20
    assert traffic["packets received"] == traffic["packets sent"] == round_trips
