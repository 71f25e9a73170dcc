"""Delta tables: what a commit does, who wins, and which columns fit; on this disk and on a real S3 server."""

from __future__ import annotations

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import S3Store

from statekeeper.config.sections.storage import StorageConfig
from statekeeper.config.sections.stores import place_of
from statekeeper.errors import DataError, StorageError
from statekeeper.table_formats.delta.statistics import statistics_of
from statekeeper.table_formats.protocol import Change, Definition, NewFile, TableConflict, TablePlace
from statekeeper.table_formats.registry import table_format
from tests.messages import raises_message

DAY = date(2026, 1, 6)
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])
DELTA = table_format("delta")


class Folder:
    """A table on this disk."""

    def __init__(self, folder: Path):
        self.place = TablePlace(folder / "orders", "shop.orders", table="orders")
        self.options = None

    @property
    def uri(self):
        return str(self.place.folder)

    def put(self, path, table):
        file = self.place.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, file)
        return NewFile(path, file.stat().st_size, pq.read_metadata(file))


class Bucket(Folder):
    """A table in a bucket of SeaweedFS."""

    def __init__(self, server):
        self.server, self.prefix = server, uuid.uuid4().hex
        place = place_of(f"{server.url}/{self.prefix}/orders")
        self.place = TablePlace(place, "shop.orders", StorageConfig.model_validate(server.storage), table="orders")
        storage = server.storage
        self.options = {
            "aws_endpoint": storage["endpoint"],
            "aws_region": storage["region"],
            "aws_access_key_id": storage["access_key_id"],
            "aws_secret_access_key": storage["secret_access_key"],
            "allow_http": "true",
        }

    @property
    def uri(self):
        return f"{self.server.url}/{self.prefix}/orders"

    def put(self, path, table):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        data = sink.getvalue().to_pybytes()
        bucket: S3Store = self.server.bucket
        bucket.put(f"{self.prefix}/orders/{path}", data)
        return NewFile(path, len(data), pq.read_metadata(pa.BufferReader(data)))


@pytest.fixture(params=["folder", "bucket"])
def lake(request, tmp_path):
    return Folder(tmp_path) if request.param == "folder" else Bucket(request.getfixturevalue("seaweed"))


def _table(ids):
    return pa.table({"id": pa.array(ids, pa.int64()), "name": [f"name {number}" for number in ids]}, schema=SCHEMA)


def _change(*added, sequence=1, removed=(), day=DAY):
    return Change(added, removed, {"statekeeper/one": sequence}, day, {"statekeeper.run_id": "shop-20260106"})


def _read(lake):
    return deltalake.DeltaTable(lake.uri, storage_options=lake.options).to_pyarrow_table().sort_by("id")


def test_a_commit_adds_and_removes_files_and_records_its_number_in_one_version(lake):
    assert DELTA.find(lake.place) is None
    table = DELTA.create(lake.place, Definition(SCHEMA, is_by_date=True, comments={"name": "of the customer"}))
    assert (table.version, table.is_by_date, table.columns, table.files()) == ("0", True, SCHEMA, ())

    table.commit(_change(lake.put("extraction_date=2026-01-06/a.parquet", _table([1, 2]))))
    table = DELTA.find(lake.place)
    (file,) = table.files()
    assert (file.path, file.rows, file.date) == ("extraction_date=2026-01-06/a.parquet", 2, DAY)
    assert (table.version, table.sequence("statekeeper/one"), table.sequence("statekeeper/other")) == ("1", 1, 0)

    new = lake.put("extraction_date=2026-01-06/b.parquet", _table([3]))
    table.commit(_change(new, sequence=2, removed=[file]))
    table = DELTA.find(lake.place)
    assert [each.path for each in table.files()] == ["extraction_date=2026-01-06/b.parquet"]
    assert (table.version, table.sequence("statekeeper/one")) == ("2", 2)
    read = _read(lake)
    assert read["id"].to_pylist() == [3]
    assert read["extraction_date"].to_pylist() == [DAY]
    history = deltalake.DeltaTable(lake.uri, storage_options=lake.options).history(1)
    assert history[0]["statekeeper.run_id"] == "shop-20260106"
    (field,) = [
        each
        for each in deltalake.DeltaTable(lake.uri, storage_options=lake.options).schema().fields
        if each.name == "name"
    ]
    assert field.metadata == {"comment": "of the customer"}


def test_of_two_commits_on_one_version_the_second_is_a_conflict_and_leaves_nothing(lake):
    first = DELTA.create(lake.place, Definition(SCHEMA, is_by_date=True))
    second = DELTA.find(lake.place)
    first.commit(_change(lake.put("extraction_date=2026-01-06/a.parquet", _table([1]))))
    with raises_message(TableConflict, "table_formats.was_first"):
        second.commit(_change(lake.put("extraction_date=2026-01-06/b.parquet", _table([2]))))
    assert _read(lake)["id"].to_pylist() == [1]
    assert DELTA.create(lake.place, Definition(SCHEMA, is_by_date=True)).version == "1", "it is there already"


def test_of_several_that_create_a_table_at_once_one_does_and_the_others_find_it(tmp_path):
    for number in range(6):  # without the rule in `DeltaFormat.create` more than every second round has two versions
        lake, barrier = Folder(tmp_path / str(number)), threading.Barrier(8)
        lake.place.folder.parent.mkdir()

        def create(lake=lake, barrier=barrier):
            barrier.wait()
            return DELTA.create(lake.place, Definition(SCHEMA, is_by_date=True)).version

        with ThreadPoolExecutor(8) as pool:
            versions = [each.result() for each in [pool.submit(create) for _ in range(8)]]
        assert versions == ["0"] * 8
        assert deltalake.DeltaTable(lake.uri).version() == 0


def test_columns_are_added_and_are_null_in_earlier_rows(lake):
    table = DELTA.create(lake.place, Definition(SCHEMA, is_by_date=False))
    table.commit(_change(lake.put("a.parquet", _table([1])), day=None))
    added = pa.schema([("at", pa.timestamp("us")), ("amount", pa.decimal128(38, 10))])
    table = DELTA.find(lake.place).add_columns(added)
    assert table.columns == pa.schema([*SCHEMA, *added])
    assert not table.is_by_date
    wide = _table([2]).append_column("at", pa.array([datetime.fromisoformat("2026-01-06")], pa.timestamp("us")))
    wide = wide.append_column("amount", pa.array([Decimal("1.5")], pa.decimal128(38, 10)))
    table.commit(_change(lake.put("b.parquet", wide), sequence=2, day=None))
    assert _read(lake)["amount"].to_pylist() == [None, Decimal("1.5000000000")]


def test_a_table_with_other_partitions_and_one_that_cannot_be_read_are_refused_by_name(tmp_path):
    lake = Folder(tmp_path)
    deltalake.DeltaTable.create(lake.uri, SCHEMA, partition_by=["name"])
    with raises_message(DataError, "table_formats.has_other_partitions", columns="name"):
        _ = DELTA.find(lake.place).is_by_date
    next((lake.place.folder / "_delta_log").iterdir()).write_text("{")
    with raises_message(StorageError, "table_formats.cannot_be_read", table="shop.orders"):
        DELTA.find(lake.place)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (pa.int8(), None),
        (pa.int64(), None),
        (pa.float32(), None),
        (pa.binary(), None),
        (pa.date32(), None),
        (pa.bool_(), None),
        (pa.timestamp("us"), None),
        (pa.timestamp("us", "UTC"), None),
        (pa.decimal128(38, 37), None),
        (pa.decimal256(39, 0), "at most 38 digits"),
        (pa.uint8(), "no unsigned integers"),
        (pa.timestamp("ms"), "microseconds"),
        (pa.timestamp("ns"), "microseconds"),
        (pa.time64("us"), "no time of day"),
    ],
    ids=str,
)
def test_each_type_fits_or_is_refused_with_what_to_do_instead(tmp_path, kind, reason):
    found = DELTA.why_unsupported(pa.field("column", kind))
    assert (found is None) == (reason is None)
    assert reason is None or reason in found
    if reason is None:  # and the table gives back what was written
        lake = Folder(tmp_path)
        schema = pa.schema([("column", kind)])
        values = pa.array([None], kind)
        table = DELTA.create(lake.place, Definition(schema, is_by_date=False))
        table.commit(_change(lake.put("a.parquet", pa.table({"column": values}, schema=schema)), day=None))
        assert deltalake.DeltaTable(lake.uri).to_pyarrow_table()["column"].to_pylist() == [None]


def test_a_name_that_delta_does_not_allow_is_refused():
    assert "does not allow" in DELTA.why_unsupported(pa.field("order no", pa.int64()))


def test_statistics_are_bounds_that_no_value_is_beyond(tmp_path):
    values = {
        "number": pa.array([5, None, -3], pa.int64()),
        "amount": pa.array([Decimal("0.10"), Decimal("12345678901234567890.12"), None], pa.decimal128(30, 2)),
        "text": pa.array(["b" * 40, "a" * 40, None]),
        "at": pa.array(
            [datetime.fromisoformat("2026-01-06T01:02:03.456789"), None, datetime.fromisoformat("2025-01-01")],
            pa.timestamp("us"),
        ),
        "zoned": pa.array([datetime(2026, 1, 6, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
        "carried": pa.array([datetime.fromisoformat("2026-01-06T00:00:00.999500")] * 3, pa.timestamp("us")),
        "day": pa.array([DAY, DAY, None]),
        "ratio": pa.array([float("nan"), 1.0, 2.0]),
        "infinite": pa.array([float("inf"), 1.0, 2.0]),
        "flag": pa.array([True, False, None]),
        "empty": pa.array([None] * 3, pa.int32()),
    }
    pq.write_table(pa.table(values), tmp_path / "a.parquet", row_group_size=2)
    found = json.loads(statistics_of(pq.read_metadata(tmp_path / "a.parquet")), parse_float=Decimal)
    assert found["numRecords"] == 3
    assert found["nullCount"] == {
        "number": 1, "amount": 1, "text": 1, "at": 1, "zoned": 0, "carried": 0, "day": 1, "ratio": 0, "infinite": 0,
        "flag": 1, "empty": 3,
    }  # fmt: skip
    assert found["minValues"] == {
        "number": -3, "amount": Decimal("0.10"), "text": "a" * 32, "at": "2025-01-01T00:00:00.000",
        "zoned": "2026-01-06T00:00:00.000Z", "day": "2026-01-06", "ratio": Decimal("1.0"),
    }  # fmt: skip
    assert found["maxValues"] == {
        "number": 5, "amount": Decimal("12345678901234567890.12"), "text": "b" * 32 + "\U0010ffff",
        "at": "2026-01-06T01:02:03.457", "zoned": "2026-01-06T00:00:00.000Z", "day": "2026-01-06",
        "ratio": Decimal("2.0"),
    }  # fmt: skip
