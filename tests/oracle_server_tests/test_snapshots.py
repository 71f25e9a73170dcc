"""Reading the past: versions, transactions, and what makes a snapshot unreadable."""

import datetime as dt

import oracledb
import pytest


@pytest.fixture
def counters(server):
    server.sql("drop table if exists app.counters")
    server.create_table("APP", "COUNTERS", [("ID", "NUMBER(9)"), ("V", "NUMBER(9)")], [(n, 0) for n in range(100)])
    return server


def total(cursor, as_of=""):
    return cursor.execute(f"select count(*), sum(v) from counters {as_of}").fetchone()


def test_as_of_scn_reads_what_was_current_then(counters, cursor):
    scn = cursor.execute("select dbms_flashback.get_system_change_number from dual").fetchone()[0]
    counters.sql("update app.counters set v = v + 1 where id < 50")
    between = counters.scn()
    counters.sql("delete from app.counters where id >= 90")
    counters.insert("APP", "COUNTERS", [(1000, 7)])
    assert total(cursor, f"as of scn {scn}") == (100, 0)
    assert total(cursor, f"as of scn {between}") == (100, 50)
    assert total(cursor) == (91, 57)
    assert counters.log()[-3]["scn"] == scn


def test_round_trips_are_the_requests_that_were_answered(counters, connection, cursor):
    counters.clear_log()
    cursor.arraysize, cursor.prefetchrows = 30, 30
    assert len(cursor.execute("select id from counters").fetchall()) == 100
    (served,) = counters.log()
    assert served["round_trips"] == 4, "30 rows with the execution, and 30, 30 and 10 after it"
    assert counters.traffic() == {"packets received": 4, "packets sent": 4, "round trips": 4}
    connection.commit()
    assert counters.traffic()["round trips"] == 5
    counters.clear_log()
    assert counters.traffic()["round trips"] == 0


def test_an_answer_of_many_packets_is_one_round_trip(counters, connection, cursor):
    counters.insert("APP", "COUNTERS", [(number, 0) for number in range(1000, 51_000)])
    counters.clear_log()
    cursor.prefetchrows = 60_000
    assert len(cursor.execute("select id from counters").fetchall()) == 50_100
    traffic = counters.traffic()
    assert traffic["round trips"] == 1
    assert traffic["packets sent"] > 10 > traffic["packets received"]


def test_row_ids_stay_with_their_rows(counters, cursor):
    before = dict(cursor.execute("select id, rowid from counters").fetchall())
    counters.sql("update app.counters set v = 5 where id = 10")
    assert dict(cursor.execute("select id, rowid from counters").fetchall()) == before


def test_uncommitted_changes_are_seen_by_their_session_only(counters, connection, cursor):
    cursor.execute("update counters set v = 1")
    with oracledb.connect(**counters.credentials) as other:
        assert total(other.cursor()) == (100, 0)
        assert total(cursor) == (100, 100)
        scn = counters.scn()
        connection.commit()
        assert total(other.cursor()) == (100, 100)
        assert total(other.cursor(), f"as of scn {scn}") == (100, 0)


def test_rollback_and_disconnect_undo(counters, connection, cursor):
    cursor.execute("delete from counters")
    connection.rollback()
    assert total(cursor) == (100, 0)
    with oracledb.connect(**counters.credentials) as other:
        other.cursor().execute("delete from counters")
    assert total(cursor) == (100, 0)


def test_a_running_query_reads_one_moment(counters, connection):
    connection.cursor()
    cursor = connection.cursor()
    cursor.arraysize = cursor.prefetchrows = 10
    cursor.execute("select v from counters")
    first = cursor.fetchmany(10)
    counters.sql("update app.counters set v = 9")
    assert first + cursor.fetchall() == [(0,)] * 100


def test_session_flashback_and_read_only_transactions_hold_their_moment(counters, connection, cursor):
    scn = counters.scn()
    cursor.execute("set transaction read only")
    counters.sql("update app.counters set v = 2")
    assert total(cursor) == (100, 0)
    connection.commit()
    assert total(cursor) == (100, 200)
    cursor.callproc("dbms_flashback.enable_at_system_change_number", [scn])
    assert total(cursor) == (100, 0)
    assert counters.log()[-1]["scn"] == scn
    cursor.callproc("dbms_flashback.disable")
    assert total(cursor) == (100, 200)


def test_as_of_timestamp_and_timestamp_to_scn(counters, cursor):
    moment = counters.now().replace(tzinfo=None)
    counters.sql("update app.counters set v = 3")
    cursor.execute("alter session set time_zone = 'UTC'")
    cursor.setinputsizes(oracledb.DB_TYPE_TIMESTAMP)
    got = cursor.execute("select sum(v) from counters as of timestamp :1", [moment]).fetchone()
    assert got == (0,)
    cursor.setinputsizes(oracledb.DB_TYPE_TIMESTAMP)
    scn = cursor.execute("select timestamp_to_scn(:1) from dual", [moment]).fetchone()[0]
    assert total(cursor, f"as of scn {scn}") == (100, 0)
    with pytest.raises(oracledb.DatabaseError, match="ORA-08180"):
        cursor.execute("select timestamp_to_scn(:1) from dual", [dt.datetime(2001, 1, 1)])


@pytest.mark.parametrize("code", [1555, 1466, 8181])
def test_snapshots_get_lost(counters, cursor, code):
    scn = counters.scn()
    if code == 1555:
        counters.expire_snapshots()
    elif code == 1466:
        counters.change_ddl("APP", "COUNTERS")
    else:
        scn += 1000
    with pytest.raises(oracledb.DatabaseError, match=f"ORA-{code:05}"):
        total(cursor, f"as of scn {scn}")
    assert total(cursor, f"as of scn {counters.scn()}") == (100, 0)


def test_a_snapshot_can_expire_between_two_fetches(counters, cursor):
    cursor.arraysize = cursor.prefetchrows = 10
    cursor.execute(f"select v from counters as of scn {counters.scn()}")
    counters.expire_snapshots()
    with pytest.raises(oracledb.DatabaseError, match="ORA-01555"):
        cursor.fetchall()


def test_flashback_needs_its_privilege(counters):
    counters.create_user("PLAIN", "pw", "none")
    with oracledb.connect(user="PLAIN", password="pw", dsn=counters.dsn) as plain:
        cursor = plain.cursor()
        assert cursor.execute("select count(*) from app.counters").fetchone() == (100,)
        with pytest.raises(oracledb.DatabaseError, match="ORA-41900"):
            cursor.execute(f"select count(*) from app.counters as of scn {counters.scn()}")
        with pytest.raises(oracledb.DatabaseError, match="ORA-00904"):
            cursor.execute("select dbms_flashback.get_system_change_number from dual")
        for view in ("v$database", "dba_extents", "v$session"):
            with pytest.raises(oracledb.DatabaseError, match="ORA-00942"):
                cursor.execute(f"select * from {view}")
        counters.grant("FLASHBACK ON APP.COUNTERS", "PLAIN")
        assert cursor.execute(f"select count(*) from app.counters as of scn {counters.scn()}").fetchone() == (100,)
