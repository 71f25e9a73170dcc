"""How a run handles Oracle's error codes, each raised by the server when a real one would raise it."""

from __future__ import annotations

import pytest

from statekeeper.errors import (
    DataError,
    LoginRefused,
    PlanError,
    SnapshotLost,
    SourceError,
    SourceUnreachable,
    StatekeeperError,
    TransientSourceError,
)
from statekeeper.model.plan import Chunk
from statekeeper.model.table import Relation
from statekeeper.run.report import Outcome
from statekeeper.sources.registry import open_session
from tests.messages import raises_message
from tests.oracle.pipelines import Lake, opened, serving, source_at
from tests.oracle_server import OracleServer
from tests.readings import reading

ORDERS = Relation(schema_name="SALES", table_name="ORDERS")
TABLE = {"schema_name": "SALES", "table_name": "ORDERS"}


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        server.create_table("SALES", "ORDERS", [("ID", "NUMBER(9)")], [(1,), (2,)])
        yield server


@pytest.fixture(autouse=True)
def _no_fault_is_left(server):
    yield
    server.clear_faults()


def read(session, what):
    return [batch for batch in session.read(what, Chunk(chunk_id=0), batch_rows=100) if batch.num_rows]


@pytest.mark.parametrize(
    ("codes", "kind", "hint"),
    [
        ((8176, 2149), SnapshotLost, ""),
        ((8181,), SnapshotLost, "snapshot: transaction"),
        ((8188,), PlanError, "snapshot: none"),
        ((4020, 4030, 1035, 1109, 1219, 3172, 12637, 12592, 7454, 28030), TransientSourceError, ""),
        ((2393,), SourceError, "CPU_PER_CALL"),
        ((2395,), SourceError, "LOGICAL_READS_PER_CALL"),
        ((600, 7445), SourceError, "alert log"),
        ((40, 56733, 56735), SourceError, "resource plan"),
        ((29275, 1878), DataError, "custom_query"),
    ],
)
def test_a_code_during_a_table_has_its_meaning(server, codes, kind, hint):
    for code in codes:
        with opened(server) as session:
            what = reading(session, ORDERS)
            server.fault("error", match='SELECT q."ID".*AS OF SCN', code=code, times=None)
            with pytest.raises(kind) as caught:
                read(session, what)
        server.clear_faults()
        assert type(caught.value) is kind or kind is DataError, code
        assert caught.value.code == f"ORA-{code:05}"
        assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (28030, TransientSourceError, ""),
        (28040, SourceUnreachable, "thick_mode"),
        (12650, SourceUnreachable, "thick_mode"),
        (12660, SourceUnreachable, "thick_mode"),
        (29024, SourceUnreachable, "wallet_location"),
        (1017, LoginRefused, "password"),
    ],
)
def test_a_code_at_the_login_has_its_meaning(server, code, kind, hint):
    server.fault("refuse_login", code=code)
    with pytest.raises(kind) as caught:
        open_session(source_at(dsn=server.dsn))
    assert type(caught.value) is kind
    assert hint in (caught.value.hint or "")


def test_a_value_that_oracle_cannot_convert_is_reported_with_its_column(server):
    with opened(server) as session:
        what = reading(session, ORDERS)
        server.fault("error", match='SELECT q."ID".*AS OF SCN', code=29275, times=None)
        with pytest.raises(DataError, match=r"column ID \(NUMBER\(9\)\).*ORA-29275"):
            read(session, what)


@pytest.mark.parametrize(("code", "kind"), [(1017, SourceError), (28000, SourceError), (12541, TransientSourceError)])
def test_the_login_of_a_database_link_closes_no_source(server, code, kind):
    """A view or synonym may use another database, which refuses or does not answer: ORA-02063 follows the code."""
    with opened(server) as session:
        what = reading(session, ORDERS)
        server.fault("error", match="AS OF SCN", code=code)
        with pytest.raises(StatekeeperError) as caught:
            read(session, what)
        assert type(caught.value) is kind
        assert caught.value.exit_code == 1
        assert "database link" in (caught.value.hint or "")


def test_a_table_behind_a_broken_link_fails_alone(server, tmp_path):
    server.create_table("SALES", "LINES", [("ID", "NUMBER(9)")], [(1,)])
    lake = Lake(tmp_path, server)
    lake.configure(TABLE, {"schema_name": "SALES", "table_name": "LINES"}, workers=1)
    server.fault("error", match='"ORDERS".*AS OF SCN', code=1017)
    report = lake.run()
    assert sorted(table.outcome for table in report.tables) == [Outcome.COMPLETED, Outcome.FAILED]
    assert report.exit_code == 1


def test_a_sort_without_temporary_space_during_planning_is_not_retried(server, tmp_path):
    server.create_table("SALES", "KEYED", [("ID", "NUMBER(9)")], [(1,), (2,)], organization="index", primary_key=["ID"])
    lake = Lake(tmp_path, server)
    lake.configure({"schema_name": "SALES", "table_name": "KEYED", "chunking": {"target_rows": 1}})
    server.fault("error", match="NTILE", code=1652, times=None)
    (table,) = lake.run().tables
    assert table.failure is not None
    assert table.failure.code == "ORA-01652"
    assert "temporary space" in (table.failure.hint or "")
    assert len([one for one in server.log() if "NTILE" in one["sql"] and '"KEYED"' in one["sql"]]) == 1


def test_a_plan_goes_on_after_a_switchover_and_waits_for_a_standby_that_lags(server):
    server.advance_scn(1000)
    with opened(server) as session:
        what = reading(session, ORDERS)
    try:
        server.set(unique_name="TESTDB_STANDBY")
        with opened(server) as session:
            assert sum(batch.num_rows for batch in read(session, what)) == 2
        server.set_scn(int(what.snapshot.token) - 500)
        with opened(server) as session, raises_message(TransientSourceError, "oracle.standby_lags_behind"):
            read(session, what)
    finally:
        server.advance_scn(2000)
        server.set(unique_name="TESTDB")


def test_a_plan_of_an_earlier_version_is_valid_despite_the_name_that_it_stores(server):
    with opened(server) as session:
        what = reading(session, ORDERS)
        identity = {name: value for name, value in what.snapshot.identity.items() if name != "db_name"}
        earlier = what.snapshot.model_copy(update={"identity": identity | {"db_unique_name": "ANOTHER"}})
        assert read(session, what.model_copy(update={"snapshot": earlier}))
        other = what.snapshot.model_copy(update={"identity": what.snapshot.identity | {"dbid": "1"}})
        with pytest.raises(SnapshotLost, match="dbid"):
            read(session, what.model_copy(update={"snapshot": other}))


def test_a_database_before_12_1_is_identified_without_a_container(server):
    server.set(container=None)
    try:
        with opened(server) as session:
            what = reading(session, ORDERS)
            assert what.snapshot.identity.keys() == {"db_name", "dbid", "incarnation"}
        with opened(server) as session:
            assert read(session, what)
    finally:
        server.set(container="TESTPDB")


@pytest.mark.parametrize("release", [21, 23])
def test_a_missing_privilege_gets_the_same_grant_from_each_release(release):
    """ORA-01031 in older releases, ORA-41900 from 23 on."""
    with OracleServer.start(users={"SALES": "s"}, release=release) as server:
        server.create_user("READER", "reader-secret", "scn")
        server.create_table("SALES", "ORDERS", [("ID", "NUMBER(9)")], [(1,)])
        with opened(server) as session, pytest.raises(SourceError) as caught:
            session.take_snapshot(ORDERS)
    assert caught.value.code == ("ORA-41900" if release == 23 else "ORA-01031")
    assert 'GRANT FLASHBACK ON "SALES"."ORDERS" TO READER' in (caught.value.hint or "")
