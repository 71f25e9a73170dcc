"""Extractions that are published into a table: each one exactly once, whatever happens on the way.

What holds for every format is tried with each; the rest with Delta, whose log is the easiest to look at.
"""

from __future__ import annotations

import shutil
from datetime import timedelta

import deltalake
import duckdb
import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from statekeeper.errors import LockLost
from statekeeper.model.state import State
from statekeeper.model.table import Layout
from statekeeper.publish import table_commit
from statekeeper.run.preview import look_at_tables
from statekeeper.run.report import Outcome
from statekeeper.store.files import failpoints
from statekeeper.table_formats.delta.format import DeltaVersion
from statekeeper.table_formats.iceberg.version import IcebergVersion
from statekeeper.table_formats.protocol import TableConflict
from tests.messages import says
from tests.unit.small_shop import DAY, Heard, Shop

NEXT = DAY + timedelta(days=1)


class Kill(BaseException):
    """The process dies here."""


class Lake(Shop):
    """A shop whose orders are published into a Delta table."""

    version_class = DeltaVersion
    output = {"format": "delta"}  # noqa: RUF012 - a constant

    def extract(self, *, write="append", day=DAY, is_forced=False, reporter=None, **table):
        entry = {"table_name": "orders", **table}
        output = {"base_path": str(self.folder / "data"), "write": write, **self.output}
        return self.run(entry, day=day, is_forced=is_forced, reporter=reporter, output=output)["orders"]

    @property
    def delta(self):
        return deltalake.DeltaTable(self.folder / "data/shop/orders")

    def table(self, name="orders"):
        return deltalake.DeltaTable(self.folder / "data/shop" / name).to_pyarrow_table()

    def ids(self):
        return sorted(self.table()["id"].to_pylist())

    def sequences(self, day=DAY):
        """The numbers that the extraction's commits have in the table's log, in order."""
        name = f"statekeeper/{day}/shop-{day:%Y%m%d}"
        found = []
        for file in sorted((self.folder / "data/shop/orders/_delta_log").glob("*.json")):
            rows = duckdb.execute("select json from read_json_objects(?)", [str(file)]).fetchall()
            for (row,) in rows:
                query = "select ?::json->>'$.txn.version' where ?::json->>'$.txn.appId' = ?"
                found += [int(number) for (number,) in duckdb.execute(query, [row, row, name]).fetchall()]
        return found

    def files(self):
        return sorted(path.name for path in (self.folder / "data/shop/orders").rglob("*.parquet"))

    def foreign(self, *ids, day=None):
        """Another program adds rows."""
        rows = {"id": pa.array(ids, pa.int32())}
        if day:
            rows["extraction_date"] = pa.array([day] * len(ids), pa.date32())
        deltalake.write_deltalake(self.folder / "data/shop/orders", pa.table(rows), mode="append")


class IcebergLake(Lake):
    """The same, in an Iceberg table."""

    version_class = IcebergVersion
    output = {"format": "iceberg", "catalog": {"type": "sql", "uri": "sqlite:///catalog.db"}}  # noqa: RUF012 - a constant

    @property
    def iceberg(self):
        return load_catalog("default", type="sql", uri=f"sqlite:///{self.folder}/catalog.db").load_table("shop.orders")

    def table(self, name="orders"):
        catalog = load_catalog("default", type="sql", uri=f"sqlite:///{self.folder}/catalog.db")
        return catalog.load_table(f"shop.{name}").scan().to_arrow()

    def sequences(self, day=DAY):
        name = f"statekeeper.sequence.statekeeper/{day}/shop-{day:%Y%m%d}"
        summaries = [snapshot.summary.additional_properties for snapshot in self.iceberg.snapshots()]
        return [int(each[name]) for each in summaries if name in each]

    def foreign(self, *ids, day=None):
        table = self.iceberg
        rows = pa.table({"id": pa.array(ids, pa.int32()), "extraction_date": pa.array([day] * len(ids), pa.date32())})
        table.append(rows if day else rows.select(["id"]))


LAKES = [Lake, IcebergLake]


def _lake(kind, folder):
    shop = kind(folder, Layout.HIVE)
    shop.execute("create table orders as select i::int as id from range(3) as r(i)")
    return shop


@pytest.fixture
def lake(tmp_path):
    return _lake(Lake, tmp_path)


@pytest.fixture(params=LAKES, ids=lambda kind: kind.output["format"])
def any_lake(request, tmp_path):
    return _lake(request.param, tmp_path)


@pytest.fixture
def dies(monkeypatch):
    """Makes the next run die at a step with the table."""
    yield lambda *place: failpoints.install(_hook(place))
    failpoints.install(None)


def _hook(place):
    def hook(*step):
        if step == place:
            failpoints.install(None)
            raise Kill

    return hook


def test_append_adds_each_date_once_and_a_forced_run_replaces_its_own_rows_alone(any_lake):
    assert any_lake.extract().outcome is Outcome.COMPLETED
    any_lake.foreign(100, day=DAY)
    any_lake.execute("insert into orders values (3)")
    assert any_lake.extract(day=NEXT).outcome is Outcome.COMPLETED
    assert any_lake.ids() == [0, 0, 1, 1, 2, 2, 3, 100]
    any_lake.extract(is_forced=True)
    assert any_lake.ids() == [0, 0, 1, 1, 2, 2, 3, 3, 100]
    assert any_lake.extract().outcome is Outcome.SKIPPED
    assert any_lake.sequences() == [1, 2]
    assert len(any_lake.files()) == 4, "earlier versions keep their files"


def test_replace_date_replaces_the_rows_of_its_date_whoever_wrote_them(any_lake):
    any_lake.extract(write="replace_date")
    any_lake.foreign(100, day=DAY)
    any_lake.foreign(200, day=NEXT)
    any_lake.extract(write="replace_date", is_forced=True)
    assert any_lake.ids() == [0, 1, 2, 200]


def test_replace_makes_the_table_the_latest_extraction_and_never_an_earlier_one(any_lake):
    any_lake.extract(write="replace", day=NEXT)
    any_lake.foreign(100)
    any_lake.execute("delete from orders where id = 0")
    failed = any_lake.extract(write="replace")
    assert says(failed.failure.message, "runtime.would_become_older", date="2026-01-06")
    assert any_lake.ids() == [0, 1, 2, 100]
    any_lake.extract(write="replace", day=NEXT, is_forced=True)
    assert any_lake.ids() == [1, 2]
    assert any_lake.table().column_names == ["id"]


@pytest.mark.parametrize(
    "place",
    [
        ("publish", "publish", "before"),
        ("publish", "publish", "after"),
        ("create", "table", "before"),
        ("create", "table", "after"),
        ("commit", "table", "before"),
        ("commit", "table", "after"),
    ],
    ids="-".join,
)
def test_a_run_that_dies_at_any_step_and_is_repeated_has_one_commit(any_lake, dies, place):
    dies(*place)
    with pytest.raises(Kill):
        any_lake.extract()
    assert any_lake.extract().outcome is Outcome.COMPLETED
    assert (any_lake.ids(), any_lake.sequences(), len(any_lake.files())) == ([0, 1, 2], [1], 1)
    assert any_lake.extract().outcome is Outcome.SKIPPED


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_plan_that_is_given_up_leaves_no_files_unless_they_are_the_tables(any_lake, dies, step):
    dies("commit", "table", step)
    with pytest.raises(Kill):
        any_lake.extract()
    any_lake.execute("insert into orders values (3)")
    any_lake.extract(is_forced=True)
    assert (any_lake.ids(), any_lake.sequences()) == ([0, 1, 2, 3], [1] if step == "before" else [1, 2])
    assert len(any_lake.files()) == 1 + (step == "after")


def test_a_commit_whose_answer_was_lost_is_found_again(any_lake, monkeypatch):
    commit = any_lake.version_class.commit

    def lost(table, change):
        commit(table, change)
        raise TableConflict("the answer was lost")

    monkeypatch.setattr(any_lake.version_class, "commit", lost)
    assert any_lake.extract().outcome is Outcome.COMPLETED
    assert (any_lake.ids(), any_lake.sequences()) == ([0, 1, 2], [1])


def test_other_writers_first_are_tried_again_and_lose_nothing(any_lake, monkeypatch):
    any_lake.extract()
    commit, foreign = any_lake.version_class.commit, iter(range(100, 103))

    def overtaken(table, change):
        if (number := next(foreign, None)) is not None:
            any_lake.foreign(number, day=DAY)
        commit(table, change)

    monkeypatch.setattr(any_lake.version_class, "commit", overtaken)
    monkeypatch.setattr(table_commit, "_FIRST_PAUSE", 0)
    any_lake.extract(day=NEXT)
    assert any_lake.ids() == [0, 0, 1, 1, 2, 2, 100, 101, 102]


def test_writers_that_are_always_first_fail_the_table_by_name_and_a_later_run_goes_on(lake, monkeypatch):
    def overtaken(*_):
        raise TableConflict("another writer was first")

    monkeypatch.setattr(table_commit, "_FIRST_PAUSE", 0)
    with monkeypatch.context() as patched:
        patched.setattr(DeltaVersion, "commit", overtaken)
        failed = lake.extract()
    assert failed.failure.kind == "storage"
    assert says(failed.failure.message, "publish.always_overtaken", table="shop.orders", times="30")
    assert lake.extract().outcome is Outcome.COMPLETED
    assert (lake.ids(), lake.sequences()) == ([0, 1, 2], [1])


def test_an_owner_that_lost_its_lock_commits_nothing(lake, monkeypatch):
    def lost(*_):
        raise LockLost("another runner has taken over")

    with monkeypatch.context() as patched:
        patched.setattr("statekeeper.publish.table_commit.failpoint", lost)
        assert lake.extract().outcome is Outcome.HELD
    assert not (lake.folder / "data/shop/orders/_delta_log").exists()


def test_a_skip_is_refused_if_the_table_lacks_the_commit_or_a_file(lake):
    lake.extract()
    heard = Heard()
    (file,) = (lake.folder / "data/shop/orders").rglob("*.parquet")
    file.write_bytes(b"no Parquet")
    assert lake.extract(reporter=heard).outcome is Outcome.COMPLETED
    ((*_, reason),) = [state for state in heard.states if state[1] == "pending"]
    assert reason.endswith("has 10 bytes and not 1430")
    log = lake.folder / "data/shop/orders/_delta_log"
    log.rename(lake.folder / "log")
    heard = Heard()
    assert lake.extract(reporter=heard).outcome is Outcome.COMPLETED
    assert ("shop.orders", "pending", "the delta table is gone") in heard.states
    assert lake.ids() == [0, 1, 2]


def test_what_optimize_and_vacuum_do_to_a_complete_extraction_is_no_damage(lake):
    lake.extract()
    lake.extract(day=NEXT)
    lake.delta.optimize.compact()
    lake.delta.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    lake.foreign(100, day=DAY)
    assert lake.extract().outcome is Outcome.SKIPPED
    assert lake.extract(day=NEXT).outcome is Outcome.SKIPPED
    assert lake.ids() == [0, 0, 1, 1, 2, 2, 100]


def test_rows_that_another_program_has_rewritten_are_not_added_a_second_time(lake):
    lake.execute("insert into orders select 3 + i from range(997) as r(i)")
    chunking = {"strategy": "key", "column": "id", "target_rows": 300}
    lake.extract(chunking=chunking)
    lake.delta.optimize.compact()
    failed = lake.extract(chunking=chunking, is_forced=True)
    assert says(failed.failure.message, "runtime.rows_were_rewritten", table="shop.orders")
    assert len(lake.ids()) == 1000
    assert lake.extract(chunking=chunking, write="replace_date").outcome is Outcome.COMPLETED
    assert len(lake.ids()) == 1000
    lake.extract(chunking=chunking, is_forced=True)
    assert len(lake.ids()) == 1000


def test_rows_of_a_commit_that_no_state_knows_are_not_added_a_second_time(lake, dies):
    lake.extract()
    lake.execute("insert into orders values (3)")
    dies("commit", "table", "after")
    with pytest.raises(Kill):
        lake.extract(is_forced=True)
    shutil.rmtree(lake.layout().folder / f".{lake.layout().run_id}.staging")
    lake.layout().state.unlink()
    lake.delta.delete("id = 3")
    assert says(lake.extract().failure.message, "runtime.rows_were_rewritten")


def test_columns_that_cannot_be_in_the_table_are_refused_before_a_row_is_read(lake):
    lake.extract()
    lake.execute("alter table orders add column note varchar", "update orders set note = 'new'")
    heard = Heard()
    assert lake.extract(day=NEXT, reporter=heard, on_drift="evolve").outcome is Outcome.COMPLETED
    assert "the table gets new columns, which are NULL in its earlier rows: note" in heard.warnings
    notes = lake.table()["note"].to_pylist()
    assert sorted(notes, key=str) == [None] * 3 + ["new"] * 3

    failed = lake.extract(
        day=NEXT + timedelta(days=1),
        custom_query='select id::bigint as id, 1 as "NOTE", 1::utinyint as small, now()::time as at, 1 as "a b" '
        "from orders",
        on_drift="evolve",
    )
    message = failed.failure.message
    assert "id (int64) is int32 in the table" in message
    assert "NOTE is note in the table" in message
    assert "small (uint8): Delta has no unsigned integers" in message
    assert "at (time64[us]): Delta has no time of day" in message
    assert "a b (int32): its name has one of the characters" in message
    assert lake.state(day=NEXT + timedelta(days=1)).state is State.FAILED
    assert lake.delta.version() == 3


def test_a_new_table_has_the_comments_of_the_source_and_over_them_those_of_the_schema(lake):
    lake.execute(
        "create table people (id int primary key, name varchar, born date)",
        "comment on table people is 'Who works here.'",
        "comment on column people.id is 'a number'",
        "comment on column people.name is 'as in the passport'",
    )
    (lake.folder / "people.py").write_text(
        "from datetime import date\nfrom pydantic import BaseModel, Field\n\n"
        "class Person(BaseModel):\n    id: int\n    name: str | None = Field(description='the full name')\n"
        "    born: date | None\n"
    )
    lake.run(
        {"table_name": "people", "schema": str(lake.folder / "people.py:Person")},
        output={"base_path": str(lake.folder / "data"), "format": "delta"},
    )
    table = deltalake.DeltaTable(lake.folder / "data/shop/people")
    assert table.metadata().description == "Who works here. Primary key: id."
    assert {field.name: field.metadata for field in table.schema().fields if field.metadata} == {
        "id": {"comment": "a number"},
        "name": {"comment": "the full name"},
    }
    assert table.metadata().configuration["statekeeper.table"] == "shop.people"


DRIFT = {
    # what becomes of the column: what a Delta table, and an Iceberg table, says to it; None: it is accepted
    "id::bigint as id": ("id (int64) is int32 in the table", None),
    "id::smallint as id": ("id (int16) is int32 in the table", None),
    "id::double as id": ("id (double) is int32 in the table", "id (double) is int32 in the table"),
    "id::varchar as id": ("id (string) is int32 in the table", "id (string) is int32 in the table"),
    'id as "ID"': ("ID is id in the table", "ID is id in the table"),
    "id, 1::int as added": (None, None),
    "1::int as other": (None, None),
    'id, 1 as "a b"': ("a b (int32): its name has one of the characters", None),
    "id, 1::utinyint as small": ("small (uint8): Delta has no", "small (uint8): Iceberg has no"),
    "id, '01:02:03'::time as at": ("at (time64[us]): Delta has no time of day", None),
    "id, now()::timestamp_ms as at": (None, None),
    "id, now()::timestamp_ns as at": ("column at (TIMESTAMP_NS) has nanoseconds",) * 2,
}


def test_each_change_of_columns_is_made_or_refused_before_a_row_is_read(any_lake):
    """Each change is that of a table of its own; what is accepted is followed by the first form again."""
    output = {"base_path": str(any_lake.folder / "data"), **any_lake.output}
    days = [DAY, NEXT, NEXT + timedelta(days=1)]

    def extract(day, selects):
        entries = [
            {"table_name": f"t{number}", "custom_query": f"select {select} from orders", "on_drift": "evolve"}
            for number, select in selects.items()
        ]
        return list(any_lake.run(*entries, day=day, output=output).values())

    numbered = dict(enumerate(DRIFT))
    assert {each.outcome for each in extract(days[0], dict.fromkeys(numbered, "id"))} == {Outcome.COMPLETED}
    accepted = set()
    for number, found in enumerate(extract(days[1], numbered)):
        reason = DRIFT[numbered[number]][LAKES.index(type(any_lake))]
        if reason is None:
            assert found.outcome is Outcome.COMPLETED, (numbered[number], found.reason)
            accepted.add(number)
        else:
            assert reason in found.failure.message
            assert not any_lake.layout(f"t{number}", day=days[1]).staging_root.exists()
    again = extract(days[2], dict.fromkeys(numbered, "id"))
    assert {each.outcome for each in again} == {Outcome.COMPLETED}
    for number in numbered:
        assert len(any_lake.table(f"t{number}")) == 3 * (2 + (number in accepted))


def test_a_look_at_the_sources_finds_what_the_table_cannot_take(any_lake):
    any_lake.extract()
    output = {"base_path": str(any_lake.folder / "data"), **any_lake.output}
    entry = {"table_name": "orders", "custom_query": "select id::varchar as id from orders"}
    runner = any_lake.runner(entry, output=output)
    (found,) = look_at_tables(runner, runner.pipeline.tables).tables
    assert "id (string) is int32 in the table" in found.failure.message


def test_another_way_to_write_needs_another_table(lake):
    lake.extract()
    failed = lake.extract(write="replace", day=NEXT)
    assert says(failed.failure.message, "runtime.has_partition", write="replace")
