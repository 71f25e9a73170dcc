"""Extractions that are merged into a Delta table: windows, whole loads, other writers, and runs that die."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import deltalake
import pyarrow as pa
import pytest

from statekeeper.config.sections.output import WritesKind
from statekeeper.config.sections.stores import place_of
from statekeeper.publish import table_commit
from statekeeper.run.report import Outcome
from statekeeper.store.files import failpoints
from statekeeper.store.files.disk import WholeFileDisk
from statekeeper.store.registry import writing_disk
from statekeeper.table_formats.delta.format import DeltaVersion
from statekeeper.table_formats.protocol import TableConflict
from tests.messages import says
from tests.unit.publish.test_table_commit import NEXT, IcebergLake, Kill, Lake, dies  # noqa: F401 - a fixture
from tests.unit.small_shop import DAY, Layout

LATER = NEXT + timedelta(days=1)
WINDOWS = {"incremental_column": "changed", "incremental_timezone": "UTC", "unique": ["id"]}
WHOLE = {"unique": ["id"]}


class MergedLake(Lake):
    def merge(self, *, day=DAY, disk=None, is_forced=False, **options):
        output = {"base_path": str(self.folder / "data"), "write": "merge", **self.output}
        entry = {"table_name": "orders", **WINDOWS, **options}
        return self.run(entry, day=day, is_forced=is_forced, disk=disk, output=output)["orders"]

    def update(self, at, **notes):
        """Give rows, by `i<id>`, new notes and times."""
        for name, note in notes.items():
            self.execute(f"insert or replace into orders values ({name[1:]}, timestamp '{at}', '{note}')")

    def published(self):
        rows = self.table().select(["id", "note"]).to_pylist()
        return sorted((row["id"], row["note"]) for row in rows)

    def foreign_row(self, number, changed):
        """Another program adds a row."""
        at = pa.array([changed]).cast(pa.timestamp("us"))
        rows = pa.table({"id": pa.array([number], pa.int32()), "changed": at, "note": ["F"]})
        deltalake.write_deltalake(self.delta.table_uri, rows, mode="append")

    def rests(self):
        return sorted(name for name in self.files() if name.startswith("rest-"))


@pytest.fixture
def lake(tmp_path):
    shop = MergedLake(tmp_path, Layout.HIVE)
    _fill(shop)
    return shop


class MergedIcebergLake(IcebergLake, MergedLake):
    """The same, in an Iceberg table."""


@pytest.fixture(params=[MergedLake, MergedIcebergLake], ids=lambda kind: kind.output["format"])
def any_lake(request, tmp_path):
    shop = request.param(tmp_path, Layout.HIVE)
    _fill(shop)
    return shop


def _fill(shop):
    shop.execute(
        "create table orders (id int primary key, changed timestamp, note varchar)",
        "insert into orders values (1, '2026-01-05', 'a'), (2, '2026-01-05 12:00', 'b'), (3, '2026-01-06 01:00', 'c')",
    )


def test_windows_make_the_current_state_and_a_forced_or_late_one_makes_nothing_older(any_lake):
    lake = any_lake
    assert lake.merge().outcome is Outcome.COMPLETED
    lake.update("2026-01-07 08:00", i2="B", i4="D")
    assert lake.merge(day=NEXT).outcome is Outcome.COMPLETED
    assert lake.published() == [(1, "a"), (2, "B"), (3, "c"), (4, "D")]
    assert lake.table().schema.names == ["id", "changed", "note"], "the table has no partitions"
    lake.update("2026-01-08 08:00", i1="A", i4="DD")
    lake.merge(day=LATER)
    assert lake.published() == [(1, "A"), (2, "B"), (3, "c"), (4, "DD")]
    lake.merge(day=NEXT, is_forced=True)
    lake.merge(is_forced=True)
    assert lake.published() == [(1, "A"), (2, "B"), (3, "c"), (4, "DD")]
    for day in (DAY, NEXT, LATER):
        assert lake.merge(day=day).outcome is Outcome.SKIPPED


def test_a_whole_load_at_the_latest_snapshot_supersedes_all_and_deleted_rows_stay(any_lake):
    lake = any_lake
    lake.merge()
    lake.execute(
        "delete from orders where id = 3", "update orders set note = 'corrected', changed = '2020-01-01' where id = 1"
    )
    lake.merge(day=NEXT, is_full_extract=True)
    assert lake.published() == [(1, "corrected"), (2, "b"), (3, "c")]


def test_what_was_read_before_and_is_committed_late_does_not_make_the_table_older(lake, dies):  # noqa: F811
    dies("commit", "table", "before")
    with pytest.raises(Kill):
        lake.merge(is_full_extract=True)
    lake.update("2026-01-07 08:00", i2="B")
    lake.merge(day=NEXT, is_full_extract=True)
    lake.merge(is_full_extract=True)
    assert lake.published() == [(1, "a"), (2, "B"), (3, "c")]


def test_without_a_column_that_orders_rows_an_earlier_snapshot_is_refused(lake, dies):  # noqa: F811
    no_order = {"incremental_column": None, "incremental_timezone": None}
    dies("commit", "table", "before")
    with pytest.raises(Kill):
        lake.merge(**no_order)
    lake.update("2026-01-07 08:00", i2="B")
    lake.merge(day=NEXT, **no_order)
    failed = lake.merge(**no_order)
    assert says(failed.failure.message, "publish.merge_becomes_older", table="shop.orders")
    assert lake.published() == [(1, "a"), (2, "B"), (3, "c")]
    lake.merge(is_forced=True, **no_order)
    assert lake.published() == [(1, "a"), (2, "B"), (3, "c")]


@pytest.mark.parametrize(
    "place",
    [
        *[("publish", "publish", "after"), ("commit", "table", "before"), ("commit", "table", "after")],
        *[("create", "merge", "before"), ("fsync", "merge", "after"), ("rename", "merge", "after")],
        *[("fsync_folder", "merge", "after")],
    ],
    ids="-".join,
)
def test_a_run_that_dies_while_it_merges_and_is_repeated_has_one_commit(lake, dies, place):  # noqa: F811
    lake.merge()
    lake.update("2026-01-07 08:00", i2="B", i4="D")
    dies(*place)
    with pytest.raises(Kill):
        lake.merge(day=NEXT)
    assert lake.merge(day=NEXT).outcome is Outcome.COMPLETED
    assert lake.published() == [(1, "a"), (2, "B"), (3, "c"), (4, "D")]
    assert (lake.sequences(NEXT), len(lake.rests())) == ([1], 1)
    assert lake.merge(day=NEXT).outcome is Outcome.SKIPPED


def test_other_writers_commits_are_kept_and_what_they_made_needless_is_removed(lake, monkeypatch):
    lake.merge()
    lake.update("2026-01-07 08:00", i2="B", i9="I")
    commit, foreign = DeltaVersion.commit, iter([(9, "2026-01-09"), (8, "2026-01-09")])

    def overtaken(table, change):
        if found := next(foreign, None):
            number, day = found
            lake.foreign_row(number, day)
            if number == 8:
                lake.delta.delete("id = 1")
        commit(table, change)

    monkeypatch.setattr(DeltaVersion, "commit", overtaken)
    monkeypatch.setattr(table_commit, "_FIRST_PAUSE", 0)
    assert lake.merge(day=NEXT).failure is None
    assert lake.published() == [(2, "B"), (3, "c"), (8, "F"), (9, "F")]
    of_table = {path.rpartition("/")[2] for path in lake.delta.file_uris()}
    assert set(lake.rests()) <= of_table


def test_writers_at_once_are_all_kept(lake, monkeypatch):
    """Six runs, each of which merges the whole table, and another program that adds rows."""
    monkeypatch.setattr(table_commit, "_FIRST_PAUSE", 0.01)
    lake.merge()
    lake.update("2026-01-07 08:00", i2="B", i4="D")
    days = [DAY + timedelta(days=number) for number in range(1, 7)]
    with ThreadPoolExecutor(len(days) + 1) as pool:
        runs = [pool.submit(lake.merge, day=day, is_full_extract=True) for day in days]
        rows = pool.submit(lambda: [lake.foreign_row(number, "2026-01-07") for number in range(100, 105)])
        assert [run.result().failure for run in runs] == [None] * len(days)
        rows.result()
    own = [(1, "a"), (2, "B"), (3, "c"), (4, "D")]
    assert lake.published() == [*own, *((number, "F") for number in range(100, 105))]
    assert [lake.sequences(day) for day in days] == [[1]] * len(days)


def test_a_commit_whose_answer_was_lost_is_found_again(lake, monkeypatch):
    lake.merge()
    lake.update("2026-01-07 08:00", i2="B")
    commit = DeltaVersion.commit

    def lost(table, change):
        commit(table, change)
        raise TableConflict("the answer was lost")

    monkeypatch.setattr(DeltaVersion, "commit", lost)
    assert lake.merge(day=NEXT).outcome is Outcome.COMPLETED
    assert (lake.published(), lake.sequences(NEXT)) == ([(1, "a"), (2, "B"), (3, "c")], [1])


def test_an_extraction_of_which_every_row_is_older_is_a_commit_without_files(lake, dies):  # noqa: F811
    dies("commit", "table", "before")
    with pytest.raises(Kill):
        lake.merge()
    lake.update("2026-01-07 08:00", i1="A", i2="B", i3="C")
    lake.merge(day=NEXT)
    assert lake.merge().outcome is Outcome.COMPLETED
    assert (lake.published(), lake.sequences()) == ([(1, "A"), (2, "B"), (3, "C")], [1])
    assert lake.merge().outcome is Outcome.SKIPPED


def test_a_disk_without_rename(lake):
    for day, note in ((DAY, "b"), (NEXT, "B")):
        lake.update(f"{day} 08:00", i2=note)
        disk = WholeFileDisk(lake.folder / "data")
        assert lake.merge(day=day, disk=disk).outcome is Outcome.COMPLETED
    assert (lake.published(), len(lake.rests())) == ([(1, "a"), (2, "B"), (3, "c")], 1)


def test_a_bucket(lake, seaweed):
    """Files are read, and what is left of them is written, in the store."""
    base_path = f"{seaweed.url}/{uuid.uuid4().hex}"
    output = {"base_path": base_path, "format": "delta", "write": "merge"}
    entry = {"table_name": "orders", **WINDOWS}
    lake.runner(entry, output=output, storage=seaweed.storage)  # from now on the store's login is known
    for day in (DAY, NEXT):
        disk = writing_disk(place_of(base_path), WritesKind.AUTO)
        found = lake.run(entry, day=day, output=output, storage=seaweed.storage, disk=disk)["orders"]
        assert found.failure is None
        lake.update("2026-01-07 08:00", i2="B", i4="D")
    keys = seaweed.storage
    options = {f"aws_{name}": keys[name] for name in ("endpoint", "region", "access_key_id", "secret_access_key")}
    table = deltalake.DeltaTable(f"{base_path}/shop/orders", storage_options={**options, "allow_http": "true"})
    rows = table.to_pyarrow_table().select(["id", "note"]).to_pylist()
    assert sorted((row["id"], row["note"]) for row in rows) == [(1, "a"), (2, "B"), (3, "c"), (4, "D")]
    assert any("/rest-" in uri for uri in table.file_uris())


def test_a_new_column_is_null_in_the_rows_that_stay(any_lake):
    lake = any_lake
    lake.merge()
    lake.execute("alter table orders add column amount decimal(10, 2)")
    lake.execute("update orders set amount = 1.5, changed = '2026-01-07 08:00' where id = 2")
    lake.merge(day=NEXT, on_drift="evolve")
    assert sorted(map(str, lake.table()["amount"].to_pylist())) == ["1.50", "None", "None"]


def test_a_row_without_a_key_is_refused_before_anything_is_published(lake):
    lake.execute(
        "create or replace table orders as select null::int as id, timestamp '2026-01-05' as changed, 'a' as note"
    )
    failed = lake.merge()
    assert failed.failure.kind == "data"
    assert says(failed.failure.message, "publish.null_in_key", table="shop.orders", column="id", count="1")
    assert not (lake.folder / "data/shop/orders").exists()


def test_rows_with_equal_keys_are_refused_and_no_hint_says_to_let_them_pass(lake):
    lake.execute("create or replace table orders as select 1 id, timestamp '2026-01-05' changed, 'a' note, 2 n")
    lake.execute("insert into orders values (1, '2026-01-05', 'b', -1)")
    assert says(lake.merge().failure.hint, "validate.correct_the_schema", what="the schema or the key")
    columns = {"id": {"type": "int"}, "changed": {"type": "datetime"}, "note": {"type": "str"}}
    lake.execute("update orders set id = 2 where n < 0")
    failed = lake.merge(is_forced=True, columns={**columns, "n": {"type": "int", "ge": 0}}).failure
    assert says(failed.hint, "validate.correct_the_schema_or", otherwise="set on_violation: quarantine")


def test_a_file_of_which_rows_were_deleted_elsewhere_is_not_replaced(lake):
    lake.execute("insert into orders select i + 10, '2026-01-05', 'x' from range(30) r(i)")
    lake.merge()
    _delete_by_vector(lake)
    lake.execute("insert into orders values (100, '2026-01-07', 'y')")
    assert lake.merge(day=NEXT).outcome is Outcome.COMPLETED, "it shares no key with that file"
    lake.update("2026-01-08 08:00", i2="B")
    failed = lake.merge(day=LATER)
    assert says(failed.failure.message, "table_formats.has_deletions", table="shop.orders")


def _delete_by_vector(lake):
    """Delete six rows as Databricks does: by a list in the log, from the Delta protocol's own example."""
    log = lake.folder / "data/shop/orders/_delta_log"
    actions = [json.loads(line) for file in sorted(log.glob("*.json")) for line in file.read_text().splitlines()]
    (add,) = [action["add"] for action in actions if "add" in action]
    (protocol,) = [action["protocol"] for action in actions if "protocol" in action]
    features = {key: [*protocol.get(key, []), "deletionVectors"] for key in ("readerFeatures", "writerFeatures")}
    vector = {
        "storageType": "i", "cardinality": 6, "sizeInBytes": 44,
        "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
    }  # fmt: skip
    remove = {"path": add["path"], "dataChange": True, "deletionTimestamp": 1, "size": add["size"]}
    found = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}},
        {"remove": {**remove, "extendedFileMetadata": True, "partitionValues": {}}},
        {"add": {**add, "deletionVector": vector}},
    ]
    number = len(list(log.glob("*.json")))
    (log / f"{number:020d}.json").write_text("\n".join(map(json.dumps, found)))


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files that were open at the end
def test_a_run_that_dies_at_any_step_of_its_publication(tmp_path):
    """It dies once at each durable step of a merge that also leaves out an older row, and is repeated."""
    step, is_killed = 0, True
    while is_killed:
        step += 1
        (folder := tmp_path / str(step)).mkdir()
        lake = MergedLake(folder, Layout.HIVE)
        _fill(lake)
        lake.merge()
        lake.update("2026-01-07 08:00", i2="B", i4="D")
        lake.foreign_row(4, "2026-01-09")
        is_killed = _dies_at(step, lambda lake=lake: lake.merge(day=NEXT))
        found = lake.merge(day=NEXT)
        assert found.outcome in {Outcome.COMPLETED, Outcome.SKIPPED}, step
        assert lake.published() == [(1, "a"), (2, "B"), (3, "c"), (4, "F")], step
        assert lake.sequences(NEXT) == [1], step
        assert lake.merge(day=NEXT).outcome is Outcome.SKIPPED, step
        assert lake.merge().outcome is Outcome.SKIPPED, step
    assert step > 40


_OF_PUBLICATION = {"publish", "merge", "table", "metadata"}


def _dies_at(step, run):
    """Whether the run has died at its step of this number."""
    steps = iter(range(1, step + 1))

    def hook(*place):
        if place[1] in _OF_PUBLICATION and next(steps, None) == step:
            failpoints.install(None)
            raise Kill

    failpoints.install(hook)
    try:
        run()
    except Kill:
        return True
    finally:
        failpoints.install(None)
    return False
