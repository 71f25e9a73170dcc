"""Which SCN is used, and what its time is: after a DDL, on a standby, and for a past time."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.errors import SnapshotLost
from statekeeper.model.table import Relation
from statekeeper.run.report import Outcome
from statekeeper.runtime.progress import NullReporter
from statekeeper.sources.oracle import snapshot as oracle_snapshot
from tests.messages import says
from tests.oracle.pipelines import Lake, opened

ORDERS = Relation(schema_name="SALES", table_name="ORDERS")
TABLE = {"schema_name": "SALES", "table_name": "ORDERS"}
HOUR = timedelta(hours=1)
TRUNCATE_ROUNDS = int(os.environ.get("TRUNCATE_ROUNDS", "2"))


@pytest.fixture
def server(sales):
    """A server with a new table, for one test."""
    sales.create_table("SALES", "ORDERS", [("ID", "NUMBER(9)"), ("AT", "DATE")], [(1, None), (2, None)])
    yield sales
    sales.set_ddl_settles(0)
    sales.set(role="PRIMARY", apply_lag=0, clock_minutes=0)
    sales.set_clock(0)
    sales.clear_log()
    sales.sql("DROP TABLE SALES.ORDERS")


def test_truncate_load_extract_waits_for_an_scn_after_the_ddl_and_spends_no_restart(server, tmp_path):
    server.set_ddl_settles(2)  # longer than a busy machine takes to begin a run
    lake = Lake(tmp_path, server)
    lake.configure({**TABLE, "on_snapshot_lost": "fail"}, workers=1)
    refused = []
    for loaded in range(1, TRUNCATE_ROUNDS + 1):
        server.clear_log()
        server.sql("TRUNCATE TABLE SALES.ORDERS")
        server.insert("SALES", "ORDERS", [(number, None) for number in range(loaded)])
        (table,) = lake.run(force=True).tables
        assert table.outcome is Outcome.COMPLETED, table.reason
        assert sorted(lake.published("ORDERS").column("ID").to_pylist()) == list(range(loaded))
        refused.append(sum(one["error"] == 1466 for one in server.log()))
    print(f"{TRUNCATE_ROUNDS} rounds, ORA-01466 in each: {refused}")
    assert any(refused), "the hazard is gone"


def test_an_scn_that_oracle_keeps_refusing_becomes_a_lost_snapshot(server, monkeypatch):
    monkeypatch.setattr(oracle_snapshot, "_DDL_SETTLES", 0.2)
    server.set_ddl_settles(600)
    with opened(server) as session, pytest.raises(SnapshotLost, match="ORA-01466"):
        session.take_snapshot(ORDERS)


@pytest.mark.parametrize("mode", ["scn", "transaction", "none"])
def test_the_time_of_a_standbys_snapshot_is_that_of_the_applied_redo(server, mode):
    server.set(role="PHYSICAL STANDBY", apply_lag=3600)
    with opened(server, snapshot=mode) as session:
        snapshot = session.take_snapshot(ORDERS)
    assert snapshot.taken_at <= datetime.now(UTC) - HOUR


def test_a_window_that_a_standby_has_not_fully_applied_is_refused(server, tmp_path):
    now = datetime.now(UTC)
    zone = f"Etc/GMT+{now.hour}" if now.hour <= 12 else f"Etc/GMT-{24 - now.hour}"  # where a day ended within the hour
    ended = (now - timedelta(hours=now.hour if now.hour <= 12 else now.hour - 24)).date() - timedelta(days=1)
    entry = {**TABLE, "incremental_column": "AT", "is_full_extract": False, "incremental_timezone": zone}
    lake = Lake(tmp_path, server)
    path = lake.configure(entry)

    def ran(day):
        extractor = StatefulDataExtractor.from_config(path, date=day.isoformat(), reporter=NullReporter())
        (table,) = extractor.run().tables
        return table

    assert ran(ended - timedelta(days=1)).outcome is Outcome.COMPLETED
    server.set(role="PHYSICAL STANDBY", apply_lag=3600)
    refused = ran(ended)
    assert refused.outcome is Outcome.FAILED
    assert refused.failure is not None
    assert "window" in refused.failure.message
    server.set(role="PRIMARY", apply_lag=0)
    assert ran(ended).outcome is Outcome.COMPLETED


def test_a_column_without_a_zone_needs_one_and_the_servers_offset_is_suggested(server, tmp_path):
    lake = Lake(tmp_path, server)
    lake.configure({**TABLE, "incremental_column": "AT"}, workers=1)
    (table,) = lake.run().tables
    assert table.failure is not None
    assert says(table.failure.message, "plan.column_has_no_zone", table="ora.SALES.ORDERS", column="AT", type="DATE")
    assert says(table.failure.hint, "plan.clock_of_the_database", offset="+00:00")


@pytest.mark.parametrize("error", [-420, 420])
@pytest.mark.parametrize("mode", ["scn", "transaction", "none"])
def test_the_time_of_a_snapshot_is_the_servers_and_never_that_of_this_machine(server, mode, error):
    server.set_clock(error)
    before = server.now()
    with opened(server, snapshot=mode) as session:
        snapshot = session.take_snapshot(ORDERS)
    assert before <= snapshot.taken_at <= server.now()
    assert abs(datetime.now(UTC) - snapshot.taken_at) > timedelta(seconds=300)


@pytest.mark.parametrize("error", [-420, 420])
def test_a_window_up_to_now_ends_by_the_servers_clock_which_stamps_the_rows(server, tmp_path, error):
    """By another clock it would end after rows that are still to come, or before rows that are there."""
    server.set_clock(error)
    server.sql("INSERT INTO ORDERS (ID, AT) VALUES (3, SYSDATE - 10/86400)", "SALES")
    lake = Lake(tmp_path, server)
    entry = {**TABLE, "incremental_column": "AT", "incremental_timezone": "UTC", "is_full_extract": False}
    path = lake.configure(entry, workers=1)
    today = server.now().date()
    (table,) = StatefulDataExtractor.from_config(path, date=today.isoformat(), reporter=NullReporter()).run().tables
    assert table.outcome is Outcome.COMPLETED, table.failure
    (folder,) = (tmp_path / "lake/ora/ORDERS").glob("2*/*")
    assert 3 in pq.read_table(folder / f"ora-{today:%Y%m%d}.parquet").column("ID").to_pylist()
    metadata = json.loads((folder / f"ora-{today:%Y%m%d}_metadata.json").read_text())
    server.sql("INSERT INTO ORDERS (ID, AT) VALUES (4, SYSDATE)", "SALES")
    ((stamp,),) = server.sql("SELECT AT FROM ORDERS WHERE ID = 4", "SALES")
    assert datetime.fromisoformat(metadata["table_config"]["scope"]["watermark"]) <= stamp.replace(tzinfo=UTC)


@pytest.mark.parametrize("minutes", [0, 120, -330])
def test_a_past_time_is_found_for_any_clock_of_the_server(server, minutes):
    """TIME_AT_DBTIMEZONE may give SYSTIMESTAMP another zone than that of the clock."""
    then, scn = datetime.now(UTC), server.scn()
    server.insert("SALES", "ORDERS", [(3, None)])
    server.set(clock_minutes=minutes)
    with opened(server) as session:
        snapshot = session.take_snapshot(ORDERS, at=then)
    assert snapshot.token == str(scn)
    assert snapshot.taken_at == then - timedelta(seconds=3), "what TIMESTAMP_TO_SCN tells is exact to three seconds"
