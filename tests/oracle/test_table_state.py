"""Which DDL during a run ends its plan, and which does not."""

from __future__ import annotations

import hashlib
from contextlib import closing

import pytest

from statekeeper.config.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.config.loader import pipeline_of
from statekeeper.errors import SnapshotLost
from statekeeper.model.plan import PlannedColumn, Reading
from statekeeper.model.table import ExtractionMode, Relation, Scope
from statekeeper.sources import open_session
from tests.oracle_server import OracleServer

ORDERS = Relation(schema_name="SALES", table_name="ORDERS")
EVERYTHING = Scope(mode=ExtractionMode.FULL)


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"SALES": "s"}) as server:
        server.create_user("READER", "reader-secret", "all")
        yield server


@pytest.fixture
def session(server):
    server.sql("DROP TABLE IF EXISTS SALES.ORDERS")
    columns = [("ID", "NUMBER(9)"), ("REGION", "NUMBER(3)")]
    rows = [(number, number % 20) for number in range(100)]
    server.create_table("SALES", "ORDERS", columns, rows, partitions=("REGION", [("P1", 10), ("P2", 20)]))
    source = {"type": "oracle", "dsn": server.dsn, "user": "reader", "password": "reader-secret"}
    made = pipeline_of({"sources": {"ora": source}, "tables": [{"table_name": "T"}]})
    with closing(open_session(made.sources["ora"])) as session:
        yield session


def planned(session):
    """The reading and the chunks of a plan of the table, a chunk for each partition."""
    snapshot = session.take_snapshot(ORDERS)
    pieces = session.plan_chunks(ORDERS, EVERYTHING, snapshot, ChunkingPolicy(strategy=ChunkingStrategy.PARTITION))
    columns = tuple(
        PlannedColumn(name=one.name, database_type=one.database_type, read_type=one.read_type, arrow_type=one.read_type)
        for one in session.describe(ORDERS)
    )
    what = Reading(
        relation=ORDERS, scope=EVERYTHING, columns=columns, snapshot=snapshot, relation_state=pieces.relation_state
    )
    return what, pieces.chunks


def ids(session, reading, chunks):
    batches = [batch for chunk in chunks for batch in session.read(reading, chunk, batch_rows=1000)]
    return sorted(number for batch in batches for number in batch.column("ID").to_pylist())


def test_a_partition_that_is_born_during_a_run_leaves_its_plan_alone(server, session):
    reading, chunks = planned(session)
    server.add_partition("SALES", "ORDERS", "P3", 30)
    server.insert("SALES", "ORDERS", [(1000, 25)])
    assert ids(session, reading, chunks) == list(range(100))
    again, chunks = planned(session)
    assert ids(session, again, chunks) == [*range(100), 1000]


def test_a_segment_that_is_gone_ends_the_plan_also_beside_a_new_one(server, session):
    reading, chunks = planned(session)
    server.add_partition("SALES", "ORDERS", "P3", 30)
    server.change_ddl("SALES", "ORDERS", moved=True)
    with pytest.raises(SnapshotLost, match="segments"):
        ids(session, reading, chunks)


@pytest.mark.parametrize(("is_same", "outcome"), [(True, list(range(100))), (False, None)])
def test_a_plan_of_an_earlier_version_is_compared_by_its_digest(server, session, is_same, outcome):
    reading, chunks = planned(session)
    numbers = server.sql("SELECT DATA_OBJECT_ID FROM ALL_OBJECTS WHERE OBJECT_TYPE = 'TABLE PARTITION' ORDER BY 1")
    text = ",".join(str(number) for (number,) in numbers)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16] if is_same else "0" * 16
    earlier = reading.model_copy(update={"relation_state": {"last_ddl": "1999", "data_objects": digest}})
    if outcome is None:
        with pytest.raises(SnapshotLost):
            ids(session, earlier, chunks)
    else:
        assert ids(session, earlier, chunks) == outcome


def test_the_numbers_of_many_partitions_are_kept_as_ranges(server, session):
    reading, _ = planned(session)
    first, _, last = reading.relation_state["data_object_ids"].partition("-")
    assert int(last) == int(first) + 1
