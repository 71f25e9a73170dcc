"""Data that Oracle leaves out silently is reported, or read on request."""

from __future__ import annotations

import pytest

from statekeeper.run.report import Outcome
from tests.messages import says
from tests.oracle.pipelines import Lake, serving


@pytest.fixture(scope="module")
def server():
    with serving("T") as server:
        server.create_table(
            "T",
            "LEDGER",
            [("ID", "NUMBER(9)"), ("SECRET", "VARCHAR2(5)"), ("ORA_ARCHIVE_STATE", "VARCHAR2(10)")],
            [(1, "a", "0"), (2, "b", "1"), (3, "c", "0")],
        )
        for column in ("SECRET", "ORA_ARCHIVE_STATE"):
            server.hide_column("T", "LEDGER", column)
        server.sql("CREATE VIEW T.RATED AS SELECT ID FROM T.LEDGER")
        server.set_view_calls("T", "RATED", [("T", "RATE_OF", "FUNCTION"), ("SYS", "STANDARD", "PACKAGE")])
        yield server


def told(lake: Lake, *arguments: str) -> str:
    done = lake.command(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("command", [("plan",), ("check", "--connect"), ("run", "--date", "2026-01-06")])
def test_data_that_is_not_read_is_reported_by_plan_and_by_check(server, tmp_path, command):
    lake = Lake(tmp_path, server)
    lake.configure({"schema_name": "T", "table_name": "LEDGER"}, {"schema_name": "T", "table_name": "RATED"})
    said = told(lake, command[0], "ora.yml", *command[1:])
    assert says(said, "oracle.archived_rows_are_not_read")
    assert says(said, "oracle.invisible_columns_are_not_read", columns="SECRET")
    assert says(said, "oracle.view_calls_code", functions="T.RATE_OF")
    assert "STANDARD" not in said


@pytest.mark.parametrize(("source", "ids"), [({}, [1, 3]), ({"row_archival": "visible"}, [1, 2, 3])])
def test_archived_rows_are_read_on_request(server, tmp_path, source, ids):
    lake = Lake(tmp_path, server)
    lake.configure({"schema_name": "T", "table_name": "LEDGER"}, source=source)
    (table,) = lake.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    assert sorted(lake.published("LEDGER").column("ID").to_pylist()) == ids
    assert lake.published("LEDGER").column_names == ["ID"]
