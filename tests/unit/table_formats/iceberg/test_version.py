"""Iceberg tables: what a commit does, and who wins; on this disk and on a real S3 server with two catalogs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException

from statekeeper.errors import DataError, StateDamaged, StorageError
from statekeeper.table_formats.iceberg import catalog as catalogs
from statekeeper.table_formats.protocol import Change, TableConflict
from tests.messages import raises_message
from tests.unit.table_formats.iceberg.places import (
    DAY,
    ICEBERG,
    SCHEMA,
    BucketTable,
    LocalTable,
    RestTable,
    rows_of,
)

DAY_2 = DAY + timedelta(days=1)


@pytest.fixture(params=["local", "bucket", "rest"])
def anywhere(request, tmp_path):
    if request.param == "local":
        return LocalTable(tmp_path)
    kind = BucketTable if request.param == "bucket" else RestTable
    return kind(tmp_path, request.getfixturevalue("seaweed"))


@pytest.fixture
def orders(tmp_path):
    return LocalTable(tmp_path)


def test_each_commit_changes_files_columns_and_sequences_at_once(anywhere):
    assert ICEBERG.find(anywhere.place) is None
    empty = anywhere.create(comment="the orders", comments={"id": "its number"}, properties={"owner": "sales"})
    assert (empty.version, empty.files(), empty.columns, empty.is_by_date) == ("empty", (), SCHEMA, True)

    anywhere.add("extraction_date=2026-01-06/a/part-1.parquet", rows_of(1, 2), a=1)
    anywhere.add("extraction_date=2026-01-07/b/part-1.parquet", rows_of(3), day=DAY_2, a=2, b=20260107)
    of_first_day = [file for file in anywhere.find().files() if file.date == DAY]
    assert [(file.path, file.rows) for file in of_first_day] == [("extraction_date=2026-01-06/a/part-1.parquet", 2)]
    wider = anywhere.find().add_columns(pa.schema([("note", pa.string())]))
    assert wider.columns == SCHEMA.append(pa.field("note", pa.string()))
    replaced = rows_of(1, name="y").append_column("note", pa.array(["new"]))
    new = anywhere.put("extraction_date=2026-01-06/c/part-1.parquet", replaced)
    wider.commit(Change([new], of_first_day, {"a": 3}, DAY, {"run": "r-1"}))

    found = anywhere.find()
    assert (found.sequence("a"), found.sequence("b"), found.sequence("c")) == (3, 20260107, 0)
    assert {(file.path, file.bytes, file.rows, file.date) for file in found.files()} == {
        (new.path, new.bytes, 1, DAY),
        ("extraction_date=2026-01-07/b/part-1.parquet", *_size(anywhere), 1, DAY_2),
    }
    assert anywhere.rows() == [
        {"id": 1, "name": "y", "extraction_date": DAY, "note": "new"},
        {"id": 3, "name": "x", "extraction_date": DAY_2, "note": None},
    ]
    read = anywhere.reader()
    assert (read.properties["comment"], read.properties["owner"]) == ("the orders", "sales")
    assert read.schema().find_field("id").doc == "its number"
    summary = read.current_snapshot().summary
    assert (summary["run"], summary["statekeeper.sequence.a"], summary["added-records"]) == ("r-1", "3", "1")
    assert read.scan("extraction_date = '2026-01-07'").to_arrow().num_rows == 1


def _size(anywhere):
    return [file.bytes for file in anywhere.find().files() if file.date == DAY_2]


def test_of_two_commits_on_one_version_the_second_is_refused_and_changes_nothing(anywhere):
    anywhere.create(is_by_date=False)
    first, second = anywhere.find(), anywhere.find()
    files = [anywhere.put(f"{name}.parquet", rows_of(number)) for number, name in enumerate("ab")]
    first.commit(Change(files[:1], [], {"a": 1}))
    with raises_message(TableConflict, "table_formats.was_first", table="shop.orders"):
        second.commit(Change(files[1:], [], {"b": 1}))
    with pytest.raises(TableConflict):
        first.commit(Change(files[1:], [], {"b": 1}))  # a version stays what it was, after its own commit too
    found = anywhere.find()
    assert ([file.path for file in found.files()], found.sequence("b")) == (["a.parquet"], 0)
    found.commit(Change(files[1:], [], {"b": 1}))
    assert [row["id"] for row in anywhere.rows()] == [0, 1]


def test_of_two_changes_of_columns_on_one_version_the_second_is_refused(orders):
    orders.create()
    first, second = orders.find(), orders.find()
    first.add_columns(pa.schema([("a", pa.int64())]))
    with pytest.raises(TableConflict):
        second.add_columns(pa.schema([("b", pa.int64())]))
    assert orders.find().columns.names == ["id", "name", "a"]


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (CommitStateUnknownException("504"), "table_formats.iceberg_unknown"),
        (ConnectionError("reset"), "table_formats.iceberg_unknown"),
        (CommitFailedException("409"), "table_formats.was_first"),
    ],
)
def test_a_commit_whose_answer_is_lost_stays_in_the_table_and_is_found(orders, monkeypatch, lost, said):
    """A proxy that sends a commit twice gets a refusal for the second; pyiceberg would remove the first's manifests."""
    orders.create()
    version = orders.find()
    real = version.table.catalog.catalog
    send = real.commit_table

    def lose_the_answer(*arguments):
        send(*arguments)
        raise lost

    monkeypatch.setattr(real, "commit_table", lose_the_answer)
    with raises_message(TableConflict, said, table="shop.orders"):
        version.commit(Change([orders.put("a.parquet", rows_of(1))], [], {"a": 7}, DAY))
    assert orders.find().sequence("a") == 7
    assert [row["id"] for row in orders.rows()] == [1]


def test_a_commit_that_the_catalog_refuses_for_good_is_an_error_of_storage(orders, monkeypatch):
    orders.create()
    version = orders.find()

    def refuse(*arguments):
        raise catalogs.ForbiddenError("no, not here")

    monkeypatch.setattr(version.table.catalog.catalog, "commit_table", refuse)
    with raises_message(StorageError, "table_formats.iceberg_cannot_be", reason="no, not here") as refused:
        version.commit(Change([orders.put("a.parquet", rows_of(1))], [], {"a": 1}, DAY))
    assert not isinstance(refused.value, TableConflict)
    assert orders.find().files() == ()


def test_sequences_outlive_the_snapshots_that_recorded_them(orders):
    orders.create()
    for number, name in enumerate("abc", 1):
        orders.add(f"{name}.parquet", rows_of(number), **{name: number})
    reader = orders.reader()
    reader.maintenance.expire_snapshots().older_than(datetime.now(UTC) + timedelta(days=1)).commit()
    assert len(orders.reader().snapshots()) == 1
    found = orders.find()
    assert [found.sequence(name) for name in "abc"] == [1, 2, 3]
    assert [row["id"] for row in orders.rows()] == [1, 2, 3]


def test_manifests_of_many_commits_are_merged_without_a_change_of_rows(orders):
    orders.create(properties={"commit.manifest.min-count-to-merge": "2"})
    for number in range(4):
        orders.add(f"{number}.parquet", rows_of(number), a=number + 1)
    table = orders.reader()
    assert len(table.current_snapshot().manifests(table.io)) < 4
    assert [row["id"] for row in orders.rows()] == [0, 1, 2, 3]
    assert len(orders.find().files()) == 4


def test_everything_can_be_replaced_and_removed(orders):
    orders.create(is_by_date=False)
    assert not orders.find().is_by_date
    orders.add("a.parquet", rows_of(1), day=None, a=1)
    orders.add("b.parquet", rows_of(2), removed=orders.find().files(), day=None, a=2)
    assert [row["id"] for row in orders.rows()] == [2]
    orders.find().commit(Change([], orders.find().files(), {"a": 3}))
    assert (orders.rows(), orders.find().files(), orders.find().sequence("a")) == ([], (), 3)
    orders.find().commit(Change([], [], {"a": 4}))
    assert orders.find().sequence("a") == 4


def test_a_table_that_another_program_partitioned_is_refused(orders):
    orders.create(is_by_date=False)
    with orders.reader().update_spec() as spec:
        spec.add_identity("name")
    with raises_message(DataError, "table_formats.iceberg_has_other_partitions", columns="name"):
        assert orders.find().is_by_date


def test_a_table_of_another_folder_is_refused(orders):
    orders.create()
    orders.place = replace(orders.place, folder=orders.place.folder.parent / "other")
    with raises_message(DataError, "table_formats.iceberg_elsewhere", address="the Iceberg table shop.orders"):
        orders.find()


def test_a_table_whose_metadata_is_gone_is_damaged(orders):
    orders.create()
    for file in (orders.place.folder / "metadata").iterdir():
        file.unlink()
    with raises_message(StateDamaged, "table_formats.iceberg_is_damaged", address="the Iceberg table shop.orders"):
        orders.find()


def test_two_runners_create_one_table(orders):
    orders.create()
    orders.add("a.parquet", rows_of(1), a=1)
    assert orders.create().sequence("a") == 1


def test_a_column_of_the_partitions_name_is_refused(orders):
    with raises_message(DataError, "table_formats.iceberg_column_of_its_own", column="extraction_date"):
        orders.create(SCHEMA.append(pa.field("Extraction_Date", pa.date32())))
    own = SCHEMA.append(pa.field("extraction_date", pa.date32()))
    assert orders.create(own, is_by_date=False).columns == own


def test_files_before_1970_have_their_date(orders):
    orders.create()
    orders.add("a.parquet", rows_of(1), day=date(1969, 12, 31), a=1)
    assert orders.find().files()[0].date == date(1969, 12, 31)
    assert orders.rows()[0]["extraction_date"] == date(1969, 12, 31)
