"""Events in a database during a run: a switchover, partitions that are created or renamed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.run.report import Outcome, TableReport
from statekeeper.runtime.progress import NullReporter
from tests.oracle.pipelines import DAY, Lake

ROWS = [(number, number % 60) for number in range(600)]
BOUNDS = ("REGION", [(f"SYS_P{bound}", bound) for bound in (10, 20, 30, 40, 50, 60)])
BY_PARTITION = {"chunking": {"strategy": "partition"}}


@pytest.fixture
def server(sales):
    sales.sql("DROP TABLE IF EXISTS SALES.ORDERS")
    sales.create_table("SALES", "ORDERS", [("ID", "NUMBER(9)"), ("REGION", "NUMBER(3)")], ROWS, partitions=BOUNDS)
    sales.clear_log()
    yield sales
    sales.set(unique_name="TESTDB")


class AfterTheFirstChunk(NullReporter):
    """Calls a function once a run has its first chunk and others are left; `left` says how many."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self.left = 0

    def chunk_done(self, key: str, done: int, total: int, rows: int, size: int) -> None:
        if not self.left:
            self._act()
            self.left = total - done


def run(lake: Lake, act: Callable[[], object], **entry: object) -> TableReport:
    lake.configure({"schema_name": "SALES", "table_name": "ORDERS", **entry}, workers=1)
    reporter = AfterTheFirstChunk(act)
    (table,) = StatefulDataExtractor.from_config(lake.cwd / "ora.yml", date=DAY, reporter=reporter).run().tables
    assert reporter.left > 1, "it came too late to be in the middle of the run"
    return table


def published(lake: Lake) -> list[int]:
    return sorted(lake.published("ORDERS").column("ID").to_pylist())


def scns(lake: Lake) -> set[int]:
    """The SCN at which the table's rows were read."""
    return {one["scn"] for one in lake.chunk_queries("ORDERS") if one["scn"]}


def test_a_run_goes_on_at_its_scn_after_a_switchover_that_ended_its_sessions(lake, server):
    def switch_over():
        server.set(unique_name="TESTDB_STANDBY")
        server.kill_sessions(cut=True)
        server.sql("DELETE FROM SALES.ORDERS WHERE ID >= 300")

    table = run(lake, switch_over, chunking={"target_rows": 100}, on_snapshot_lost="fail")
    assert table.outcome is Outcome.COMPLETED, table.failure
    assert published(lake) == list(range(600))
    assert len(scns(lake)) == 1
    assert len(server.logons()) > 1


def test_a_partition_created_during_a_run_is_read_by_the_next_run(lake, server):
    def create():
        server.add_partition("SALES", "ORDERS", "SYS_P70", 70)
        server.insert("SALES", "ORDERS", [(600, 65), (601, 5)])

    table = run(lake, create, **BY_PARTITION, on_snapshot_lost="fail")
    assert table.outcome is Outcome.COMPLETED, table.failure
    assert published(lake) == list(range(600))
    assert len(scns(lake)) == 1
    assert lake.run(force=True).tables[0].outcome is Outcome.COMPLETED
    assert published(lake) == list(range(602))


def test_a_partition_renamed_during_a_run_invalidates_the_plan_and_a_new_one_reads_it(lake, server):
    def rename():
        server.rename_partition("SALES", "ORDERS", "SYS_P60", "LAST")
        server.insert("SALES", "ORDERS", [(600, 55)])

    table = run(lake, rename, **BY_PARTITION)
    assert table.outcome is Outcome.COMPLETED, table.failure
    assert published(lake) == list(range(601))
    assert [one["error"] for one in server.log() if "SYS_P60" in one["sql"]] == [2149]
    assert len(scns(lake)) == 2
