"""Plan, receipts, metadata and the pointer to the last run on a real disk."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime

import pytest

from statekeeper.errors import LockLost, StateDamaged, StorageError
from statekeeper.model.manifest import LastRun
from statekeeper.model.metadata import Metadata, TableConfigRecord, ValidationSummary
from statekeeper.model.plan import Chunk, Plan, PlannedColumn, ReadSpec, Snapshot
from statekeeper.model.receipt import CountReceipt, Receipt
from statekeeper.model.table import ExtractionMode, Relation, Scope, TableRef
from statekeeper.run.find_run import last_run
from statekeeper.store import documents, receipts
from statekeeper.store.files.disk import LocalDisk, WholeFileDisk
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.layout import ExtractionLayout
from tests.messages import raises_message

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TABLE = TableRef(source_name="shop", schema_name=None, table_name="orders", path_name="orders")
PLAN_ID = "0123456789abcdef" * 2
SNAPSHOT = Snapshot(kind="file", token="t1", taken_at=NOW)
SCOPE = Scope(mode=ExtractionMode.FULL)


@pytest.fixture
def disk():
    return LocalDisk()


@pytest.fixture
def layout(tmp_path):
    return ExtractionLayout(folder=tmp_path / "orders", run_id="shop-20260102")


@pytest.fixture
def staging(disk, layout):
    staging = layout.staging(PLAN_ID)
    documents.save_plan(disk, staging, a_plan())
    return staging


def a_plan(**changes) -> Plan:
    column = PlannedColumn(name="id", database_type="BIGINT", read_type="int64", arrow_type="int64")
    reading = ReadSpec(relation=Relation(table_name="orders"), snapshot=SNAPSHOT, scope=SCOPE, columns=(column,))
    plan = Plan(
        plan_id=PLAN_ID,
        run_id="shop-20260102",
        table=TABLE,
        created_at=NOW,
        reading=reading,
        chunks=tuple(Chunk(chunk_id=number) for number in range(3)),
    )
    return plan.model_copy(update=changes)


def a_receipt(chunk_id: int = 0, attempt: str = "a1", plan_id: str = PLAN_ID) -> Receipt:
    return Receipt(
        plan_id=plan_id,
        chunk_id=chunk_id,
        attempt=attempt,
        part=f"chunk-{chunk_id:05d}-{attempt}.parquet",
        rows=10,
        bytes=100,
        md5="0" * 32,
        arrow_schema="s",
        snapshot="t1",
        started_at=NOW,
        ended_at=NOW,
    )


def a_metadata() -> Metadata:
    return Metadata(
        output_path="shop/orders/202601/02/shop-20260102.parquet",
        record_count=0,
        start_time=NOW,
        end_time=NOW,
        duration_seconds=0.0,
        file_size_bytes=0,
        checksum="0" * 32,
        table_config=TableConfigRecord(
            source_name="shop",
            table_name="orders",
            schema_name=None,
            incremental_column=None,
            extraction_date="2026-01-02",
            is_full_extract=True,
            custom_query=None,
            flashback_enabled=False,
            flashback_timestamp=None,
            run_id="shop-20260102",
            path_name="orders",
            schema_model=None,
            verify="full",
            reconcile="count",
            scope=SCOPE,
        ),
        extraction_complete=True,
        run_id="shop-20260102",
        statekeeper_version="0",
        plan_id=PLAN_ID,
        snapshot=SNAPSHOT,
        files=(),
        columns={"id": "int64"},
        config_fingerprint="f",
        validation=ValidationSummary(reconcile="count", counted_rows=0, model=None, checks=0),
    )


def without_checksum(document):
    return document.model_copy(update={"checksum": ""})


def test_plan_makes_the_folders_that_workers_write_into(disk, staging):
    assert disk.is_folder(staging.parts)
    assert disk.is_folder(staging.receipts)
    assert without_checksum(documents.load_plan(disk, staging)) == a_plan()


def test_plan_is_saved_once_and_never_changed(disk, staging):
    documents.save_plan(disk, staging, a_plan())
    with raises_message(StateDamaged, "store.another_plan"):
        documents.save_plan(disk, staging, a_plan(chunks=()))
    assert len(documents.load_plan(disk, staging).chunks) == 3


def test_missing_plan_is_none_and_a_plan_in_a_foreign_folder_is_damage(disk, layout, staging):
    assert documents.load_plan(disk, layout.staging("f" * 32)) is None
    foreign = layout.staging("f" * 32)
    disk.make_folder(foreign.folder, role="plan")
    foreign.plan.write_bytes(staging.plan.read_bytes())
    with raises_message(StateDamaged, "store.plan_of_another_folder"):
        documents.load_plan(disk, foreign)


def test_first_receipt_of_a_chunk_wins(disk, staging):
    assert receipts.save_receipt(disk, staging, a_receipt(attempt="a1"))
    assert not receipts.save_receipt(disk, staging, a_receipt(attempt="b2"))
    assert receipts.load_receipts(disk, staging, PLAN_ID)[0].attempt == "a1"


def test_receipts_are_found_by_chunk(disk, staging):
    for chunk_id in (2, 0, 100_000):
        receipts.save_receipt(disk, staging, a_receipt(chunk_id))
    documents.save_count(disk, staging, CountReceipt(plan_id=PLAN_ID, rows=30, ended_at=NOW), attempt="a1")
    (staging.receipts / ".chunk-00001.json.a1.tmp").touch()
    assert sorted(receipts.load_receipts(disk, staging, PLAN_ID)) == [0, 2, 100_000]
    assert receipts.count_receipts(disk, staging) == 3


@pytest.mark.parametrize("content", [b"", b'{"format": "statekeeper.rec', a_receipt(7).to_bytes()])
def test_damaged_receipt_does_not_block_its_chunk(disk, staging, content):
    receipts.save_receipt(disk, staging, a_receipt(0))
    staging.receipt(1).write_bytes(content)
    assert list(receipts.load_receipts(disk, staging, PLAN_ID)) == [0]
    assert receipts.save_receipt(disk, staging, a_receipt(1))
    assert sorted(receipts.load_receipts(disk, staging, PLAN_ID)) == [0, 1]


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("/etc/hostname")], ids=["pipe", "link"])
def test_what_is_no_file_in_a_receipts_place_does_not_block_its_chunk(disk, staging, put):
    documents.save_plan(disk, staging, a_plan())
    put(staging.receipt(0))
    assert receipts.load_receipts(disk, staging, PLAN_ID) == {}
    assert receipts.save_receipt(disk, staging, a_receipt())
    assert receipts.load_receipt(disk, staging, PLAN_ID, 0) == a_receipt().model_copy(
        update={"checksum": receipts.load_receipt(disk, staging, PLAN_ID, 0).checksum}
    )


def test_receipt_of_another_plan_does_not_count_nor_block(disk, staging):
    receipts.save_receipt(disk, staging, a_receipt(0, plan_id="f" * 32))
    assert receipts.load_receipts(disk, staging, PLAN_ID) == {}
    assert receipts.save_receipt(disk, staging, a_receipt(0))


def test_receipt_made_while_it_was_looked_for_is_kept(staging):
    class MadeMeanwhile(LocalDisk):
        def read(self, path):
            try:
                return super().read(path)
            except FileNotFoundError:
                receipts.save_receipt(LocalDisk(), staging, a_receipt())
                raise

    assert receipts.load_receipt(MadeMeanwhile(), staging, PLAN_ID, 0) is None
    assert receipts.load_receipt(LocalDisk(), staging, PLAN_ID, 0) is not None


def test_late_receipt_of_a_discarded_plan_is_not_saved(disk, staging):
    disk.remove_folder(staging.folder, role="sweep")
    with pytest.raises(StorageError):
        receipts.save_receipt(disk, staging, a_receipt())
    assert receipts.load_receipts(disk, staging, PLAN_ID) == {}
    assert not disk.exists(staging.folder)


def test_discarded_receipt_lets_its_chunk_be_done_again(disk, staging):
    receipts.save_receipt(disk, staging, a_receipt(attempt="a1"))
    receipts.discard_receipt(disk, staging, PLAN_ID, 0)
    assert receipts.save_receipt(disk, staging, a_receipt(attempt="b2"))


def test_count_is_saved_once(disk, staging):
    assert documents.load_count(disk, staging, PLAN_ID) is None
    assert documents.save_count(disk, staging, CountReceipt(plan_id=PLAN_ID, rows=3, ended_at=NOW), attempt="a1")
    assert not documents.save_count(disk, staging, CountReceipt(plan_id=PLAN_ID, rows=4, ended_at=NOW), attempt="b2")
    assert documents.load_count(disk, staging, PLAN_ID).rows == 3


@pytest.mark.parametrize("content", [b"", CountReceipt(plan_id="f" * 32, rows=3, ended_at=NOW).to_bytes()])
def test_damaged_or_foreign_count_is_taken_again(disk, staging, content):
    staging.count_receipt.write_bytes(content)
    assert documents.load_count(disk, staging, PLAN_ID) is None
    assert documents.save_count(disk, staging, CountReceipt(plan_id=PLAN_ID, rows=4, ended_at=NOW), attempt="a1")


def test_metadata_is_saved_byte_for_byte(disk, layout):
    disk.make_folder(layout.folder, role="plan")
    assert documents.load_metadata(disk, layout.metadata) is None
    data = a_metadata().to_bytes()
    documents.save_metadata(disk, layout, data, fence=NO_FENCE)
    assert layout.metadata.read_bytes() == data
    assert documents.load_metadata(disk, layout.metadata) == a_metadata()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", a_metadata().to_bytes()[:-30]])
def test_damaged_metadata_is_said_to_be(disk, layout, content):
    disk.make_folder(layout.folder, role="plan")
    layout.metadata.write_bytes(content)
    with pytest.raises(StateDamaged, match="shop-20260102_metadata"):
        documents.load_metadata(disk, layout.metadata)
    assert layout.metadata.read_bytes() == content


def test_metadata_of_a_lost_lock_is_not_written(disk, layout):
    class Lost:
        epoch = 1

        def check(self):
            raise LockLost("lost")

    disk.make_folder(layout.folder, role="plan")
    with pytest.raises(LockLost):
        documents.save_metadata(disk, layout, b"x", fence=Lost())
    assert disk.names(layout.folder) == []


@pytest.mark.parametrize("disk", [LocalDisk(), WholeFileDisk()], ids=["rename", "whole"])
def test_last_run_is_recorded_when_several_processes_write_at_once(disk, tmp_path):
    assert last_run(tmp_path) is None
    runs = [LastRun(run_id=f"run {number}", base_path="data" * number, config_path=None) for number in range(1, 5)]
    threads = [threading.Thread(target=documents.save_last_run, args=(disk, tmp_path, each)) for each in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert last_run(tmp_path) in runs
