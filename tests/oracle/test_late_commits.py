"""Rows that are stamped within a window and committed after its snapshot: which window has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import oracledb
import pyarrow.parquet as pq
import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.model.table import Relation
from statekeeper.run.report import Outcome, TableReport
from tests.messages import is_silent, says
from tests.oracle.pipelines import Lake, Warnings, opened
from tests.oracle_server import OracleServer

TABLE = {
    "schema_name": "SALES",
    "table_name": "ORDERS",
    "incremental_column": "AT",
    "incremental_timezone": "UTC",
    "is_full_extract": False,
    "allow_open_window": True,
}
MINUTE = 60
LIMITED = {"user": "LIMITED", "password": "limited-secret"}
GRANT = "GRANT SELECT ON SYS.GV_$TRANSACTION TO LIMITED"


class Day:
    """A server at noon by its own clock, and extractions of that day, one after the other."""

    def __init__(self, lake: Lake, server: OracleServer) -> None:
        self.lake, self.server = lake, server
        noon = datetime.now(UTC).replace(hour=12, minute=0)
        self._error = int((noon - datetime.now(UTC)) / timedelta(seconds=1))
        self.wait(0)

    def wait(self, seconds: int) -> None:
        """Let time pass by the server's clock."""
        self._error += seconds
        self.server.set_clock(self._error)

    @contextmanager
    def open_transaction(self) -> Iterator[oracledb.Connection]:
        """One that has written row 2, with the time of the statement."""
        login = {"user": "SALES", "password": "owner-secret", "dsn": self.server.dsn}
        with oracledb.connect(**login) as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO ORDERS (ID, AT) VALUES (2, SYSDATE)")
            yield connection

    def run(self, name: str) -> tuple[TableReport, list[str]]:
        """An extraction of this day of its own, and what was warned of."""
        warnings, day = Warnings(), self.server.now().date().isoformat()
        path = self.lake.cwd / "ora.yml"
        extractor = StatefulDataExtractor.from_config(path, date=day, run_id=name, reporter=warnings)
        (table,) = extractor.run().tables
        return table, warnings.told

    def file(self, name: str) -> Path:
        (found,) = self.lake.cwd.glob(f"lake/ora/ORDERS/2*/*/{name}")
        return found

    def ids(self, name: str) -> list[int]:
        return pq.read_table(self.file(f"{name}.parquet")).column("ID").to_pylist()

    def metadata(self, name: str) -> dict[str, dict[str, str]]:
        return json.loads(self.file(f"{name}_metadata.json").read_text())


@pytest.fixture
def server(sales):
    sales.create_table("SALES", "ORDERS", [("ID", "NUMBER(9)"), ("AT", "DATE")])
    sales.create_user(LIMITED["user"], LIMITED["password"])
    sales.grant("FLASHBACK ANY TABLE", LIMITED["user"])
    yield sales
    sales.set(role="PRIMARY", apply_lag=0)
    sales.set_clock(0)
    sales.sql("DROP TABLE SALES.ORDERS")


@pytest.fixture
def day(lake, server):
    made = Day(lake, server)
    server.sql("INSERT INTO ORDERS (ID, AT) VALUES (1, SYSDATE - 1/24)", "SALES")
    return made


@pytest.mark.parametrize(
    ("policy", "second"), [({}, [2]), ({"late_commits": "wait"}, [2]), ({"late_commits": "ignore"}, [])]
)
def test_a_row_that_is_committed_after_the_snapshot_is_in_the_next_window_if_windows_wait(day, policy, second):
    day.lake.configure({**TABLE, **policy}, workers=1)
    with day.open_transaction() as connection:
        day.wait(MINUTE)
        first, told = day.run("first")
        assert first.outcome is Outcome.COMPLETED, first.failure
        connection.commit()
    day.wait(MINUTE)
    last, _ = day.run("second")
    assert last.outcome is Outcome.COMPLETED, last.failure
    assert (day.ids("first"), day.ids("second")) == ([1], second)
    texts = "\n".join(told)
    if second:
        assert says(texts, "plan.a_transaction_is_open")
    else:
        assert is_silent(texts, "plan.a_transaction_is_open")


def test_a_window_before_which_a_transaction_is_open_is_refused_until_it_ends(day):
    day.lake.configure(TABLE, workers=1)
    assert day.run("first")[0].outcome is Outcome.COMPLETED
    with day.open_transaction() as connection:
        day.wait(MINUTE)
        refused, _ = day.run("second")
        assert refused.failure is not None
        assert says(refused.failure.message, "plan.nothing_has_ended", table="ora.SALES.ORDERS")
        assert says(refused.failure.message, "plan.a_transaction_is_open")
        connection.commit()
    day.wait(MINUTE)
    assert day.run("second")[0].outcome is Outcome.COMPLETED
    assert day.ids("second") == [2]


def test_all_tables_of_a_run_wait_for_the_transactions_that_were_open_before_its_snapshot(day):
    day.lake.configure(TABLE, source={"snapshot_scope": "run"}, workers=1)
    with day.open_transaction():
        day.wait(MINUTE)
        assert day.run("first")[0].outcome is Outcome.COMPLETED
    (document,) = day.lake.cwd.glob("lake/_runs/first_snapshots/ora/*.json")
    since = json.loads(document.read_text())["snapshot"]["open_since"]
    assert since == day.metadata("first")["snapshot"]["open_since"]
    assert datetime.fromisoformat(
        day.metadata("first")["table_config"]["scope"]["watermark"]
    ) == datetime.fromisoformat(since)


def test_without_the_grant_the_plan_warns_and_names_it(day):
    day.lake.configure(TABLE, source=LIMITED, workers=1)
    with day.open_transaction():
        day.wait(MINUTE)
        table, told = day.run("first")
    assert table.outcome is Outcome.COMPLETED, table.failure
    assert says("\n".join(told), "plan.late_commits_are_missed")
    assert GRANT in "\n".join(told)
    checked = day.lake.command("check", "--connect", "ora.yml")
    assert GRANT in " ".join(checked.stdout.split()), checked.stdout + checked.stderr


def test_a_table_that_must_wait_is_refused_without_the_grant_until_it_is_typed(day):
    day.lake.configure({**TABLE, "late_commits": "wait"}, source=LIMITED, workers=1)
    table, _ = day.run("first")
    assert table.failure is not None
    assert says(table.failure.message, "plan.late_commits_wait", table="ora.SALES.ORDERS")
    assert table.failure.hint == GRANT
    day.server.sql(GRANT)
    try:
        assert day.run("first")[0].outcome is Outcome.COMPLETED
    finally:
        day.server.revoke("SELECT ON SYS.GV_$TRANSACTION", LIMITED["user"])


def test_lookback_reads_the_row_with_the_next_window(day):
    day.lake.configure({**TABLE, "late_commits": "lookback", "lookback": "1h"}, source=LIMITED, workers=1)
    with day.open_transaction() as connection:
        day.wait(MINUTE)
        _, told = day.run("first")
        connection.commit()
    day.wait(MINUTE)
    assert day.run("second")[0].outcome is Outcome.COMPLETED
    assert day.ids("second") == [2]
    assert is_silent("\n".join(told), "plan.late_commits_are_missed")


def test_an_error_of_the_view_fails_only_tables_whose_windows_wait(day):
    waiting = {**TABLE, "path_name": "waiting"}
    day.lake.configure({"schema_name": "SALES", "table_name": "ORDERS"}, waiting, workers=1)
    day.server.fault("error", match=r"GV\$TRANSACTION", code=12850, times=None)
    try:
        extractor = StatefulDataExtractor.from_config(day.lake.cwd / "ora.yml", run_id="first", reporter=Warnings())
        whole, refused = extractor.run().tables
    finally:
        day.server.clear_faults()
    assert whole.outcome is Outcome.COMPLETED, whole.failure
    assert refused.failure is not None
    assert refused.failure.code == "ORA-12850"


@pytest.mark.parametrize("mode", ["scn", "transaction", "none"])
def test_a_standby_does_not_see_the_open_transactions(server, mode):
    server.set(role="PHYSICAL STANDBY", apply_lag=60)
    with opened(server, snapshot=mode) as session:
        snapshot = session.take_snapshot(Relation(schema_name="SALES", table_name="ORDERS"))
        assert snapshot.open_since is None
        assert says(session.why_transactions_are_hidden(), "oracle.standby_sees_no_transactions")


@pytest.mark.parametrize("mode", ["scn", "transaction", "none"])
def test_transactions_are_read_before_the_snapshot_of_any_kind(day, mode):
    with day.open_transaction(), opened(day.server, snapshot=mode) as session:
        began = day.server.now()
        day.wait(MINUTE)
        snapshot = session.take_snapshot(Relation(schema_name="SALES", table_name="ORDERS"))
        assert snapshot.open_since is not None
        assert began - timedelta(seconds=5) <= snapshot.open_since <= began
        again = session.take_snapshot(Relation(schema_name="SALES", table_name="ORDERS"))
        assert again.open_since == snapshot.open_since
