"""Which DDL during a run invalidates its plan, and which does not."""

from __future__ import annotations

import hashlib

import pytest

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.errors import SnapshotLost
from statekeeper.model.table import Relation
from tests.oracle.pipelines import opened
from tests.readings import reading

ORDERS = Relation(schema_name="SALES", table_name="ORDERS")


@pytest.fixture
def session(sales):
    sales.sql("DROP TABLE IF EXISTS SALES.ORDERS")
    columns = [("ID", "NUMBER(9)"), ("REGION", "NUMBER(3)")]
    rows = [(number, number % 20) for number in range(100)]
    sales.create_table("SALES", "ORDERS", columns, rows, partitions=("REGION", [("P1", 10), ("P2", 20)]))
    with opened(sales) as session:
        yield session


def planned(session):
    """The ReadSpec and the chunks of a plan of the table, a chunk for each partition."""
    what = reading(session, ORDERS)
    by_partition = ChunkingPolicy(strategy=ChunkingStrategy.PARTITION)
    pieces = session.plan_chunks(ORDERS, what.scope, what.snapshot, by_partition)
    return what.model_copy(update={"relation_state": pieces.relation_state}), pieces.chunks


def ids(session, what, chunks):
    batches = [batch for chunk in chunks for batch in session.read(what, chunk, batch_rows=1000)]
    return sorted(number for batch in batches for number in batch.column("ID").to_pylist())


def test_a_partition_created_during_a_run_does_not_invalidate_its_plan(sales, session):
    what, chunks = planned(session)
    sales.add_partition("SALES", "ORDERS", "P3", 30)
    sales.insert("SALES", "ORDERS", [(1000, 25)])
    assert ids(session, what, chunks) == list(range(100))
    again, chunks = planned(session)
    assert ids(session, again, chunks) == [*range(100), 1000]


def test_a_missing_segment_invalidates_the_plan_even_if_there_is_a_new_one(sales, session):
    what, chunks = planned(session)
    sales.add_partition("SALES", "ORDERS", "P3", 30)
    sales.change_ddl("SALES", "ORDERS", moved=True)
    with pytest.raises(SnapshotLost, match="segments"):
        ids(session, what, chunks)


@pytest.mark.parametrize(("is_same", "outcome"), [(True, list(range(100))), (False, None)])
def test_a_plan_of_an_earlier_version_is_compared_by_its_digest(sales, session, is_same, outcome):
    what, chunks = planned(session)
    numbers = sales.sql("SELECT DATA_OBJECT_ID FROM ALL_OBJECTS WHERE OBJECT_TYPE = 'TABLE PARTITION' ORDER BY 1")
    text = ",".join(str(number) for (number,) in numbers)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16] if is_same else "0" * 16
    earlier = what.model_copy(update={"relation_state": {"last_ddl": "1999", "data_objects": digest}})
    if outcome is None:
        with pytest.raises(SnapshotLost):
            ids(session, earlier, chunks)
    else:
        assert ids(session, earlier, chunks) == outcome


def test_the_segment_numbers_of_many_partitions_are_stored_as_ranges(sales, session):
    what, _ = planned(session)
    first, _, last = what.relation_state["data_object_ids"].partition("-")
    assert int(last) == int(first) + 1
