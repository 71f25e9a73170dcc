"""Faults that a test can request from the server."""

import time

import oracledb
import pytest


@pytest.fixture(scope="module")
def rows(server):
    server.create_table("APP", "MANY", [("ID", "NUMBER(9)"), ("T", "VARCHAR2(20)")])
    server.load("APP", "MANY", "SELECT i, 'row ' || i FROM range(5000) t(i)")
    return server


SQL = "select id from many order by id"


def test_a_dropped_connection_gives_some_rows_and_then_an_error(rows, cursor):
    rows.fault("drop", match="from many", after_rows=1200)
    cursor.arraysize = 500
    cursor.execute(SQL)
    seen = []
    with pytest.raises(oracledb.DatabaseError, match="DPY-4011"):
        seen.extend(row[0] for row in cursor)
    assert seen == list(range(len(seen)))
    assert 0 < len(seen) <= 1200


def test_an_error_can_come_at_once_or_between_rows(rows, cursor):
    rows.fault("error", match="from many", code=942)
    with pytest.raises(oracledb.DatabaseError, match="ORA-00942"):
        cursor.execute(SQL)
    assert cursor.execute("select count(*) from many").fetchone() == (5000,)
    rows.fault("error", match="from many", code=1555, after_rows=1000)
    cursor.arraysize = 400
    cursor.execute(SQL)
    with pytest.raises(oracledb.DatabaseError, match="ORA-01555"):
        cursor.fetchall()


@pytest.mark.parametrize("kind", ["drop", "error"])
def test_a_fault_beyond_the_last_row_never_comes(rows, cursor, kind):
    rows.fault(kind, match="from many", code=1555, after_rows=5001)
    assert len(cursor.execute(SQL).fetchall()) == 5000


def test_a_fault_waits_for_its_turn_and_for_its_session(rows, connection, cursor):
    rows.fault("error", match="from many", code=942, skip=1)
    rows.fault("error", match="from many", code=1031, action="other")
    connection.action = "mine"
    assert len(cursor.execute(SQL).fetchall()) == 5000
    with pytest.raises(oracledb.DatabaseError, match="ORA-00942"):
        cursor.execute(SQL)
    connection.action = "other"
    with pytest.raises(oracledb.DatabaseError, match="ORA-01031"):
        cursor.execute(SQL)


@pytest.mark.parametrize(("kind", "expected"), [("omit_row", 4999), ("repeat_row", 5001)])
def test_the_server_can_lie_about_one_row(rows, cursor, kind, expected):
    rows.fault(kind, match="select id", row=777)
    got = [row[0] for row in cursor.execute("select id from many order by id").fetchall()]
    assert len(got) == expected
    assert got.count(777) == (0 if kind == "omit_row" else 2)
    assert cursor.execute("select count(*) from many").fetchone() == (5000,)
    assert len(cursor.execute("select id from many order by id").fetchall()) == 5000


def test_a_delay_runs_into_the_call_timeout_and_the_connection_survives(rows, connection, cursor):
    rows.fault("delay", match="count", seconds=30)
    connection.call_timeout = 200
    began = time.monotonic()
    with pytest.raises(oracledb.DatabaseError, match="DPY-4024"):
        cursor.execute("select count(*) from many")
    assert time.monotonic() - began < 5
    connection.call_timeout = 0
    assert cursor.execute("select count(*) from many").fetchone() == (5000,)


def test_killed_sessions_hear_of_it_at_their_next_call(rows, connection, cursor):
    cursor.execute("select 1 from dual")
    assert rows.kill_sessions() >= 1
    with pytest.raises(oracledb.DatabaseError, match=r"ORA-00028|DPY-4011"):
        cursor.execute("select 1 from dual")
    assert not connection.is_healthy()


def test_a_cut_socket_is_the_end(rows, cursor):
    cursor.execute("select 1 from dual")
    rows.kill_sessions(cut=True)
    with pytest.raises(oracledb.DatabaseError, match=r"DPY-4011|DPY-1001"):
        cursor.execute("select 1 from dual")


def connect(server, **changed):
    return oracledb.connect(**(server.credentials | changed))


def test_logons_fail_as_accounts_say(rows):
    rows.create_user("LOCKED", "pw")
    rows.alter_user("LOCKED", locked=True)
    rows.create_user("OLD", "pw")
    rows.alter_user("OLD", expired=True)
    for user, password, code in (
        ("APP", "wrong", "01017"),
        ("NOBODY", "x", "01017"),
        ("LOCKED", "pw", "28000"),
        ("OLD", "pw", "28001"),
    ):
        with pytest.raises(oracledb.DatabaseError, match=f"ORA-{code}"):
            connect(rows, user=user, password=password)
    assert [logon["error"] for logon in rows.logons()[-4:]] == [1017, 1017, 28000, 28001]


def test_services_and_listeners_refuse(rows):
    with pytest.raises(oracledb.DatabaseError, match="DPY-6001"):
        connect(rows, dsn=f"{rows.host}:{rows.port}/NOPE")
    rows.fault("refuse_login", code=12516)
    with pytest.raises(oracledb.DatabaseError, match="12516"):
        connect(rows)
    rows.fault("refuse_login", code=2391, user="APP")
    with pytest.raises(oracledb.DatabaseError, match="ORA-02391"):
        connect(rows)
    with connect(rows) as fine:
        assert fine.thin


@pytest.mark.parametrize(("code", "said"), [(12516, "12516"), (18, "ORA-00018")])
def test_sessions_are_limited(rows, code, said):
    with connect(rows):
        rows.session_limit(len(rows.sessions()), code)
        with pytest.raises(oracledb.DatabaseError, match=said):
            connect(rows)


def test_a_user_has_his_own_limit(rows):
    rows.create_user("FEW", "pw", "none", session_limit=1)
    with connect(rows, user="FEW", password="pw"), pytest.raises(oracledb.DatabaseError, match="ORA-02391"):
        connect(rows, user="FEW", password="pw")
    with connect(rows, user="FEW", password="pw"):
        pass


def test_the_session_of_a_vanished_client_may_linger(rows):
    rows.set(linger=0.5)
    try:
        with connect(rows):
            before = len(rows.sessions())
        assert len(rows.sessions()) == before - 1, "who logs off is gone at once"
        vanishing = connect(rows)
        rows.kill_sessions(cut=True)
        assert len(rows.sessions()) >= 1
        deadline = time.monotonic() + 10
        while rows.sessions() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not rows.sessions()
        del vanishing
    finally:
        rows.set(linger=0.0)


def test_every_statement_is_logged_with_its_session(rows, connection, cursor):
    connection.module, connection.action = "statekeeper", "chunk 7"
    cursor.execute("select id from many where id < :limit and t like :1", [3, "row%"])
    cursor.fetchall()
    last = rows.log()[-1]
    assert (last["user"], last["module"], last["action"], last["rows"]) == ("APP", "statekeeper", "chunk 7", 3)
    assert last["binds"] == [3, "row%"]
    assert last["finished"]
    assert last["scn"] is None
