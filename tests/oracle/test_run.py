"""Whole runs against the server, through the real driver: snapshots, privileges, logins, faults."""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from statekeeper.errors import FailureKind
from statekeeper.run.report import Outcome
from tests.acceptance.pipeline import wait_until
from tests.messages import says
from tests.oracle.pipelines import Lake, serving

START = datetime(2026, 1, 1)  # noqa: DTZ001 - a DATE has no zone
COLUMNS = [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(40)"), ("AMOUNT", "NUMBER(12,2)"), ("AT", "DATE")]
ROWS = [(number, f"name {number}", number / 4, START + timedelta(minutes=number)) for number in range(3000)]
ORDERS = {"schema_name": "SALES", "table_name": "ORDERS", "chunking": {"target_rows": 400}}


@pytest.fixture
def server():
    with serving("SALES") as server:
        server.create_table("SALES", "ORDERS", COLUMNS, ROWS, primary_key=["ID"])
        yield server


def ids(lake: Lake, table: str = "ORDERS") -> list[int]:
    return sorted(lake.published(table).column("ID").to_pylist())


def test_a_table_is_read_in_chunks_at_one_scn_and_skipped_the_second_time(lake):
    lake.configure(ORDERS)
    (table,) = lake.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    assert ids(lake) == list(range(3000))
    queries = lake.chunk_queries("ORDERS")
    assert len(queries) >= 7
    assert len({query["scn"] for query in queries}) == 1
    assert {query["module"] for query in queries} == {"statekeeper"}
    assert all(len(query["action"]) <= 32 for query in queries)
    assert lake.metadata("ORDERS")["snapshot"]["token"] == str(queries[0]["scn"])
    lookups = [one for one in lake.server.log() if "FROM ALL_TABLES" in one["sql"]]
    of_rows = Counter(
        one["session"] for one in lookups if one["action"].endswith(" count") or " chunk " in one["action"]
    )
    assert set(of_rows.values()) == {1}, "what the table is, a session asks once a plan, and not for every chunk"
    lake.server.clear_log()
    (again,) = lake.run().tables
    assert again.outcome is Outcome.SKIPPED
    assert lake.server.log() == []


def test_rows_that_change_meanwhile_are_read_as_of_the_scn(lake):
    lake.configure(ORDERS)
    lake.server.fault("delay", match="AS OF SCN.*ROWID", seconds=1.0, times=2)
    process = lake.begin("run", "ora.yml", "--date", "2026-01-06", "--no-progress")
    deadline = time.monotonic() + 30
    while not lake.server.fired() and time.monotonic() < deadline:
        time.sleep(0.02)
    lake.server.insert("SALES", "ORDERS", [(9000, "new", 1, START)])
    lake.server.sql("UPDATE SALES.ORDERS SET NAME = 'changed' WHERE ID < 1500")
    lake.server.sql("DELETE FROM SALES.ORDERS WHERE ID >= 2000")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors
    assert ids(lake) == list(range(3000))
    assert "changed" not in lake.published("ORDERS").column("NAME").to_pylist()


def test_a_killed_run_is_resumed_at_the_same_scn_and_reads_no_finished_chunk_again(lake):
    lake.configure(ORDERS, workers=1)
    lake.server.fault("delay", match="AS OF SCN.*CHARTOROWID", seconds=0.5, times=None)
    process = lake.begin("run", "ora.yml", "--date", "2026-01-06", "--no-progress")
    wait_until(lambda: len(lake.receipts()) >= 3 or process.poll() is not None, what="receipts")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lake.server.clear_faults()
    done = lake.chunk_queries("ORDERS")
    lake.server.insert("SALES", "ORDERS", [(9000, "new", 1, START)])
    lake.server.advance_scn(100_000)
    lake.server.clear_log()
    resumed = lake.command("resume", "ora.yml", "--run-id", "ora-20260106")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    rest = lake.chunk_queries("ORDERS")
    assert len({query["scn"] for query in (*done, *rest) if query["scn"]}) == 1
    finished = {tuple(query["binds"]) for query in done if query["finished"]}
    again = finished & {tuple(query["binds"]) for query in rest}
    assert len(again) <= 1, "at most the chunk that was under way when it was killed"
    assert ids(lake) == list(range(3000))


@pytest.mark.parametrize("code", [1555, 8180, 1466, 8103])
def test_a_lost_snapshot_restarts_all_chunks_at_a_new_scn(lake, code):
    lake.configure(ORDERS)
    lake.server.fault("error", match="AS OF SCN.*CHARTOROWID", code=code, skip=3)
    (table,) = lake.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    scns = [query["scn"] for query in lake.chunk_queries("ORDERS") if not query["error"]]
    assert len(set(scns)) == 2
    published = lake.metadata("ORDERS")["snapshot"]["token"]
    assert published == str(max(scns))
    assert scns.count(max(scns)) >= 7
    assert ids(lake) == list(range(3000))


def test_a_lost_snapshot_fails_the_table_if_the_policy_says_so(lake):
    lake.configure({**ORDERS, "on_snapshot_lost": "fail"})
    lake.server.fault("error", match="AS OF SCN.*CHARTOROWID", code=1555, skip=3)
    (table,) = lake.run().tables
    assert table.outcome is Outcome.FAILED
    assert table.failure is not None
    assert (table.failure.kind, table.failure.code) == (FailureKind.SNAPSHOT_LOST, "ORA-01555")
    assert "UNDO_RETENTION" in (table.failure.hint or "")
    assert not lake.output("ORDERS").exists()


@pytest.mark.parametrize(("moved", "exit_code"), [(True, 1), (False, 0)], ids=["a move", "a grant"])
def test_a_move_between_two_chunks_loses_the_plan_and_a_grant_does_not(lake, moved, exit_code):
    entry = {**ORDERS, "on_snapshot_lost": "fail"}
    lake.configure(entry, source={"snapshot": "none"}, workers=1)
    lake.server.fault("delay", match="q.ROWID", seconds=0.3, times=None)
    process = lake.begin("run", "ora.yml", "--date", "2026-01-06", "--no-progress")
    deadline = time.monotonic() + 30
    while len(lake.chunk_queries("ORDERS")) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    lake.server.change_ddl("SALES", "ORDERS", moved=moved)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == exit_code, output + errors
    assert ("its segments have changed" in output + errors) is moved


@pytest.mark.parametrize("code", [28, 2392, 2396, 3113, 3135, 12152])
def test_a_session_that_ends_is_opened_again(lake, code):
    lake.configure(ORDERS)
    lake.server.fault("error", match="AS OF SCN.*CHARTOROWID", code=code, skip=2, after_rows=50)
    (table,) = lake.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    assert ids(lake) == list(range(3000))
    assert len({query["scn"] for query in lake.chunk_queries("ORDERS")}) == 1


def test_a_run_survives_a_dropped_socket(lake):
    lake.configure(ORDERS)
    lake.server.fault("drop", match="AS OF SCN.*CHARTOROWID", after_rows=100, times=3)
    (table,) = lake.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    assert ids(lake) == list(range(3000))


@pytest.mark.parametrize("kind", ["omit_row", "repeat_row"])
def test_rows_that_the_database_omits_or_repeats_are_caught_by_the_count(lake, kind):
    lake.configure(ORDERS)
    lake.server.fault(kind, match="AS OF SCN.*CHARTOROWID", row=5)
    (table,) = lake.run().tables
    assert table.outcome is Outcome.FAILED
    assert table.failure is not None
    assert table.failure.kind is FailureKind.DATA
    assert not lake.output("ORDERS").exists()


def test_one_missing_table_fails_alone(lake):
    lake.configure(ORDERS, {"schema_name": "SALES", "table_name": "NOWHERE"})
    orders, nowhere = lake.run().tables
    assert orders.outcome is Outcome.COMPLETED, orders.reason
    assert nowhere.outcome is Outcome.FAILED
    assert nowhere.failure is not None
    assert nowhere.failure.code == "ORA-00942"
    assert "GRANT SELECT ON SALES.NOWHERE TO READER" in (nowhere.failure.hint or "")


def test_a_wrong_password_is_tried_once_and_exits_4(lake):
    lake.configure(ORDERS, {**ORDERS, "path_name": "again"}, source={"password": "wrong-secret"}, workers=4)
    ran = lake.command("run", "ora.yml", "--date", "2026-01-06")
    assert ran.returncode == 4
    assert "ORA-01017" in ran.stdout + ran.stderr
    assert "wrong-secret" not in ran.stdout + ran.stderr
    tried = [logon for logon in lake.server.logons() if logon.get("user") == "READER"]
    assert len(tried) == 1


@pytest.mark.parametrize(("what", "words"), [("locked", "ACCOUNT UNLOCK"), ("expired", "IDENTIFIED BY")])
def test_a_locked_or_expired_account_is_tried_once(lake, what, words):
    lake.server.alter_user("READER", **{what: True})
    lake.configure(ORDERS, {**ORDERS, "path_name": "again"}, workers=4)
    ran = lake.command("run", "ora.yml", "--date", "2026-01-06")
    assert ran.returncode == 4
    assert words in ran.stdout + ran.stderr
    assert len([logon for logon in lake.server.logons() if logon["user"] == "READER"]) == 1


def test_an_unreachable_host_exits_4_with_a_hint(lake):
    lake.configure(ORDERS, source={"port": 1})
    ran = lake.command("run", "ora.yml", "--date", "2026-01-06")
    assert ran.returncode == 4
    assert says(" ".join((ran.stdout + ran.stderr).split()), "oracle.check_host_and_port")


def test_the_session_budget_is_never_exceeded(lake):
    lake.server.session_limit(2)
    lake.configure(ORDERS, {**ORDERS, "path_name": "again"}, source={"max_sessions": 2}, workers=4)
    report = lake.run()
    assert [table.outcome for table in report.tables] == [Outcome.COMPLETED] * 2, report.tables
    assert lake.server.most_sessions() <= 2


@pytest.mark.parametrize("code", [18, 2391, 12516, 12520])
def test_a_login_refused_for_lack_of_sessions_is_retried_within_the_budget(lake, code):
    lake.server.fault("refuse_login", code=code, times=2)
    lake.configure(ORDERS, source={"max_sessions": 2}, workers=3)
    (table,) = lake.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    assert len(lake.server.fired()) == 2
    assert lake.server.most_sessions() <= 2


@pytest.mark.parametrize(
    ("preset", "words"),
    [("none", "FLASHBACK"), ("dictionary", "FLASHBACK"), ("scn", "GRANT FLASHBACK ON")],
)
def test_a_missing_grant_is_reported(lake, preset, words):
    lake.server.create_user("POOR", "poor-secret", preset)
    lake.configure(ORDERS, source={"user": "POOR", "password": "poor-secret"})
    (table,) = lake.run().tables
    assert table.outcome is Outcome.FAILED
    assert table.failure is not None
    assert words in (table.failure.hint or ""), table.failure


@pytest.mark.parametrize("preset", ["none", "dictionary", "scn", "all"])
def test_a_read_only_transaction_needs_no_grant_beyond_select(lake, preset):
    lake.server.create_user("POOR", "poor-secret", preset)
    lake.configure(
        {**ORDERS, "retry": {"attempts": 1}},
        source={"user": "POOR", "password": "poor-secret", "snapshot": "transaction"},
        workers=3,
    )
    (table,) = lake.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    assert ids(lake) == list(range(3000))
    assert len({query["session"] for query in lake.chunk_queries("ORDERS")}) == 1


def test_a_query_reads_at_the_scn_by_its_token_or_by_the_sessions_flashback(lake):
    by_token = "select id, name from sales.orders {as_of} o where id < 1000"
    lake.configure(
        {
            "table_name": "BY_TOKEN",
            "custom_query": by_token,
            "chunking": {"strategy": "key", "column": "id", "target_rows": 300},
        },
        {"table_name": "BY_SESSION", "custom_query": by_token.replace("{as_of} ", "")},
    )
    report = lake.run()
    assert [table.outcome for table in report.tables] == [Outcome.COMPLETED] * 2, report.tables
    assert ids(lake, "BY_TOKEN") == ids(lake, "BY_SESSION") == list(range(1000))
    assert any("ENABLE_AT_SYSTEM_CHANGE_NUMBER" in one["sql"] for one in lake.server.log())


def test_a_query_that_cannot_use_a_snapshot_is_refused_with_all_ways(lake):
    lake.server.create_user("POOR", "poor-secret", "dictionary")
    lake.server.grant("SELECT ON SYS.V$DATABASE", "POOR")
    lake.configure(
        {"table_name": "Q", "custom_query": "select id from sales.orders"},
        source={"user": "POOR", "password": "poor-secret"},
    )
    (table,) = lake.run().tables
    assert table.failure is not None
    for words in ("{as_of}", "GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO POOR", "snapshot: transaction"):
        assert words in (table.failure.hint or "")


def test_a_past_time_is_read_as_it_was(lake):
    then = lake.server.now()
    time.sleep(1.1)
    lake.server.sql("DELETE FROM SALES.ORDERS WHERE ID >= 10")
    lake.configure({**ORDERS, "flashback_enabled": True, "flashback_timestamp": then.astimezone(UTC).isoformat()})
    (table,) = lake.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    assert ids(lake) == list(range(3000))


def test_an_incremental_day_takes_its_rows_only(lake):
    lake.server.insert("SALES", "ORDERS", [(9000, "in", 1, datetime(2026, 1, 6, 12)), (9001, "null", 1, None)])  # noqa: DTZ001
    entry = {**ORDERS, "incremental_column": "at", "incremental_timezone": "UTC", "is_full_extract": False}
    lake.configure(entry)
    assert lake.run().tables[0].outcome is Outcome.COMPLETED
    lake.server.insert("SALES", "ORDERS", [(9002, "next day", 1, datetime(2026, 1, 7, 12))])  # noqa: DTZ001
    from statekeeper.api import StatefulDataExtractor
    from statekeeper.runtime.progress import NullReporter

    next_day = StatefulDataExtractor.from_config(lake.cwd / "ora.yml", date="2026-01-07", reporter=NullReporter())
    (table,) = next_day.run().tables
    assert table.outcome is Outcome.COMPLETED, table.reason
    assert table.records == 1
    bound = [one for one in lake.server.log() if ":window_start" in one["sql"]]
    assert bound


def test_check_connect_names_grants_and_masks(lake):
    lake.server.create_user("POOR", "poor-secret", "scn")
    lake.server.grant("FLASHBACK ANY TABLE", "POOR")
    lake.server.set_table("SALES", "ORDERS", policies=["REGION_ONLY"], redacted=["NAME"])
    lake.server.set(character_set="WE8MSWIN1252")
    lake.configure(ORDERS, source={"user": "POOR", "password": "poor-secret"})
    checked = lake.command("check", "ora.yml", "--connect")
    said = " ".join((checked.stdout + checked.stderr).split())
    assert checked.returncode == 0, said
    for words in ("REGION_ONLY", "EXEMPT REDACTION POLICY", "WE8MSWIN1252"):
        assert words in said
