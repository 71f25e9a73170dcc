"""Extractions in the layout `hive`: what a table's folder has, whose a date is, and that layouts are not mixed."""

from __future__ import annotations

import dataclasses
import hashlib
import shlex
import shutil
from datetime import date
from functools import partial

import pytest

from statekeeper.config.resolved import LockKind
from statekeeper.errors import UsageError
from statekeeper.model.preview import PreviewAction
from statekeeper.model.state import State
from statekeeper.model.table import Layout
from statekeeper.run.preview import preview_tables
from statekeeper.run.report import Outcome
from statekeeper.run.reset import reset_tables
from statekeeper.run.runner import RunIdentity
from statekeeper.run.status import read_status
from statekeeper.run.verify import verify_tables
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.locks.lock import acquire
from statekeeper.store.process import this_process
from tests.crash.nameless_disk import NamelessDisk
from tests.messages import raises_message, says
from tests.unit.small_shop import DAY, RUN_ID, Shop
from tests.unit.store.files.dying_disk import Died

ROWS = 5000
NEXT_DAY = date(2026, 1, 7)
ONE_PART = {"table_name": "orders"}
PARTS = {"table_name": "orders", "chunking": {"strategy": "rowid", "target_rows": 2048}}


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path, Layout.HIVE)
    shop.execute(f"create table orders as select i as id, 'note ' || i as note from range({ROWS}) as r(i)")
    return shop


@pytest.fixture(params=[LocalDisk, NamelessDisk], ids=["rename", "no rename"])
def disk(request):
    return request.param()


def _files(shop):
    """The files in the table's folder, by whichever names, relative to it."""
    folder = shop.layout().table_folder
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _published(shop):
    """The same, as the commit record names them."""
    dataset = shop.layout().dataset_named(shop.metadata().output_path)
    folder = dataset.relative_to(shop.layout().table_folder)
    return {(folder / file.name).as_posix() for file in shop.metadata().files}


def _verified(shop, *tables):
    runner = shop.runner(*tables)
    return verify_tables(runner, runner.pipeline.tables).tables[0]


@pytest.mark.parametrize("table", [ONE_PART, PARTS], ids=["one part", "three parts"])
def test_the_folder_of_a_table_has_only_the_parts_of_its_partitions(shop, disk, table):
    assert shop.run(table, disk=disk)["orders"].outcome is Outcome.COMPLETED
    assert shop.run(table, disk=disk, day=NEXT_DAY)["orders"].outcome is Outcome.COMPLETED
    parts = {path.partition("/")[0] for path in _files(shop)}
    assert parts == {"extraction_date=2026-01-06", "extraction_date=2026-01-07"}
    of_day = {path for path in _files(shop) if path.startswith("extraction_date=2026-01-06/")}
    assert of_day == _published(shop)
    assert shop.layout().folder == shop.folder / "data/_statekeeper/shop/orders/2026-01-06"
    assert {path.name for path in shop.layout().folder.iterdir()} >= {f"{RUN_ID}_state.json", f"{RUN_ID}_metadata.json"}


def test_a_dataset_of_one_part_is_a_folder_with_the_checksum_of_a_folder(shop, disk):
    shop.run(ONE_PART, disk=disk)
    metadata = shop.metadata()
    (file,) = metadata.files
    assert file.name == f"part-00000-{metadata.plan_id[:8]}.parquet"
    assert metadata.checksum == hashlib.md5(f"{file.md5}  {file.name}\n".encode()).hexdigest()


def test_a_complete_table_is_skipped_verified_and_shown(shop, disk):
    shop.run(PARTS, disk=disk)
    assert shop.run(PARTS, disk=disk)["orders"].outcome is Outcome.SKIPPED
    assert _verified(shop, PARTS).outcome is Outcome.SKIPPED
    runner = shop.runner(PARTS)
    assert preview_tables(runner, runner.pipeline.tables).tables[0].verdict is PreviewAction.SKIP
    table = read_status(shop.folder / "data", RUN_ID).tables[0]  # which reads no config
    assert (table.state, table.records, table.output_path) == ("complete", ROWS, shop.metadata().output_path)


def test_a_dataset_is_replaced_by_one_of_more_parts_and_by_one_of_fewer(shop, disk):
    for table in (ONE_PART, PARTS, ONE_PART):
        assert shop.run(table, disk=disk, is_forced=True)["orders"].outcome is Outcome.COMPLETED
        assert _files(shop) == _published(shop)


def test_without_rename_each_plan_has_its_own_folder_in_the_partition(shop):
    disk = NamelessDisk()
    for _ in range(2):
        shop.run(PARTS, disk=disk, is_forced=True)
        generation = shop.layout().generation(shop.state().published.plan_id)
        assert list(shop.layout().output.iterdir()) == [generation]


def test_a_foreign_file_in_a_partition_is_damage_and_is_hidden_from_readers(shop, disk):
    shop.run(PARTS, disk=disk)
    (shop.layout().output / "more.parquet").write_bytes(b"of others")
    assert "more.parquet" in _verified(shop, PARTS).reason
    assert shop.run(PARTS, disk=disk)["orders"].outcome is Outcome.COMPLETED
    assert _files(shop) == _published(shop)
    assert (shop.layout().foreign_files / "more.parquet.unpublished").read_bytes() == b"of others"
    assert shop.run(PARTS, disk=disk)["orders"].outcome is Outcome.SKIPPED


def test_a_foreign_folder_in_a_partition_is_hidden_from_readers(shop, disk):
    shop.run(PARTS, disk=disk)
    folder = shop.layout().output / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("keep me")
    assert shop.run(PARTS, disk=disk)["orders"].outcome is Outcome.COMPLETED
    assert _files(shop) == _published(shop)
    assert (shop.layout().foreign_files / "mine/notes.txt").read_text() == "keep me"


def test_a_damaged_part_is_found_and_replaced(shop, disk):
    shop.run(PARTS, disk=disk)
    damaged = shop.layout().table_folder / min(_published(shop))
    damaged.write_bytes(b"damage")
    assert damaged.name in _verified(shop, PARTS).reason
    assert shop.run(PARTS, disk=disk)["orders"].outcome is Outcome.COMPLETED
    assert not damaged.exists()
    assert _files(shop) == _published(shop)


def test_quarantined_rows_are_stored_with_the_documents(shop, disk):
    table = {
        **PARTS,
        "columns": {"id": {"type": "int", "ge": 10}, "note": {"type": "str"}},
        "on_violation": "quarantine",
    }
    assert shop.run(table, disk=disk)["orders"].outcome is Outcome.COMPLETED
    assert shop.metadata().record_count == ROWS - 10
    assert shop.quarantine().is_relative_to(shop.folder / "data/_statekeeper")
    assert _files(shop) == _published(shop)
    assert _verified(shop, table).outcome is Outcome.SKIPPED


def test_a_reset_leaves_the_dataset_until_the_next_is_published(shop, disk):
    shop.run(PARTS, disk=disk)
    before = _files(shop)
    runner = shop.runner(PARTS, disk=disk)
    assert reset_tables(runner, runner.pipeline.tables, only=None)
    assert shop.state().state is State.PENDING
    assert _files(shop) == before
    assert shop.run(PARTS, disk=disk)["orders"].outcome is Outcome.COMPLETED
    assert _files(shop) == _published(shop)
    assert not _files(shop) & before


@pytest.mark.parametrize(("first", "then"), [(NamelessDisk(), LocalDisk()), (LocalDisk(), NamelessDisk())])
def test_a_lake_may_move_to_another_kind_of_disk(shop, first, then):
    shop.run(PARTS, disk=first)
    assert shop.run(PARTS, disk=then)["orders"].outcome is Outcome.SKIPPED
    shop.run(PARTS, disk=then, is_forced=True)
    assert _files(shop) == _published(shop)
    assert shop.run(PARTS, disk=first)["orders"].outcome is Outcome.SKIPPED


@pytest.mark.parametrize("parts_copied", [0, 1])
def test_leftovers_of_an_unfinished_copy_are_removed_when_another_plan_is_published(shop, parts_copied):
    class Dying(NamelessDisk):
        copied = 0

        def create(self, path, *, role, **access):
            if role == "publish" and self.copied == parts_copied:
                path.write_bytes(b"half")
                raise Died
            self.copied += role == "publish"
            return super().create(path, role=role, **access)

    with pytest.raises(Died):
        shop.run(PARTS, disk=Dying())
    half = _files(shop)
    assert half
    shop.run(PARTS, disk=NamelessDisk(), is_forced=True)
    assert _files(shop) == _published(shop)
    assert not half & _files(shop)


def test_a_referenced_table_is_found_in_its_folder(shop, disk):
    shop.execute("create table lines as select i as id, i % 100 as orders_id from range(300) as r(i)")
    source = {"type": "duckdb", "path": str(shop.folder / "shop.duckdb"), "snapshot_scope": "run"}
    lines = {"table_name": "lines", "references": [{"columns": "orders_id", "table": "orders", "to": "id"}]}
    run = partial(shop.run, {**PARTS, "unique": ["id"]}, lines, disk=disk, sources={"shop": source})
    assert {each.outcome for each in run().values()} == {Outcome.COMPLETED}
    shop.layout("lines").state.unlink()
    assert {name: each.outcome for name, each in run().items()} == {
        "orders": Outcome.SKIPPED,
        "lines": Outcome.COMPLETED,
    }


def test_windows_continue_from_earlier_dates(shop):
    shop.execute("create table events as select i as id, timestamp '2026-01-05 12:00:00' as at from range(10) as r(i)")
    table = {
        "table_name": "events",
        "incremental_column": "at",
        "incremental_timezone": "UTC",
        "is_full_extract": False,
    }
    shop.run(table)
    shop.run(table, day=NEXT_DAY)
    modes = [shop.metadata("events", day=day).table_config.scope.mode for day in (DAY, NEXT_DAY)]
    assert modes == ["full", "incremental"]


class TestADateOfOneRun:
    def _run(self, shop, run_id, table=PARTS):
        runner = self._runner(shop, run_id, table)
        return runner.run(runner.pipeline.tables).tables[0]

    def _runner(self, shop, run_id, table=PARTS):
        return dataclasses.replace(shop.runner(table), identity=RunIdentity(run_id, DAY))

    def test_another_run_is_refused_and_told_which_run_has_the_date(self, shop):
        shop.run(PARTS)
        before = _files(shop)
        refused = self._run(shop, "other")
        assert refused.outcome is Outcome.FAILED
        assert says(refused.reason, "store.date_belongs_to_a_run", run=RUN_ID)
        assert f"--run-id {RUN_ID}" in refused.failure.hint
        runner = self._runner(shop, "other")
        (planned,) = preview_tables(runner, runner.pipeline.tables).tables
        assert planned.verdict is PreviewAction.REFUSE
        assert _files(shop) == before
        assert shop.run(PARTS)["orders"].outcome is Outcome.SKIPPED

    def test_the_message_names_the_run_as_it_is_typed(self, shop):
        assert self._run(shop, "it's/mine").outcome is Outcome.COMPLETED
        refused = self._run(shop, "other")
        assert says(refused.reason, "store.date_belongs_to_a_run", run="it's/mine")
        assert shlex.split(refused.failure.hint.partition(";")[0])[-1] == "it's/mine"

    def test_another_run_is_refused_while_the_first_is_at_work(self, shop):
        owner, layout = this_process(), shop.layout()
        ttl = shop.runner(PARTS).pipeline.output.lease_lifetime
        with acquire(LocalDisk(), layout, kind=LockKind.FLOCK, owner=owner, ttl=ttl):
            assert self._run(shop, "other").outcome is Outcome.HELD
        assert self._run(shop, "other").outcome is Outcome.COMPLETED

    def test_another_run_gets_the_date_after_the_files_of_the_first_were_moved(self, shop):
        shop.run(PARTS)
        shutil.move(shop.layout().folder, shop.folder / "records")
        assert says(self._run(shop, "other").reason, "publish.something_is_in_the_way")
        shutil.move(shop.layout().output, shop.folder / "partition")
        assert self._run(shop, "other").outcome is Outcome.COMPLETED


class TestAnotherLayout:
    @pytest.fixture(params=[Layout.DATED, Layout.HIVE], ids=["dated then hive", "hive then dated"])
    def shops(self, shop, request):
        """The shop before and after its layout was changed."""
        first = request.param
        return Shop(shop.folder, first), Shop(shop.folder, next(each for each in Layout if each is not first))

    def test_a_run_keeps_the_layout_in_which_it_started(self, shops):
        before, after = shops
        before.run(PARTS)
        files = sorted((before.folder / "data").rglob("*"))
        runner = after.runner(PARTS)
        tables = runner.pipeline.tables
        for command in (
            lambda: runner.run(tables),
            lambda: preview_tables(runner, tables),
            lambda: verify_tables(runner, tables),
            lambda: reset_tables(runner, tables, only=None),
        ):
            with raises_message(UsageError, "store.layout_of_the_run", layout=before.kind) as caught:
                command()
            assert f"layout: {before.kind}" in caught.value.hint
        assert sorted((before.folder / "data").rglob("*")) == files
        assert read_status(before.folder / "data", RUN_ID).state == "complete"

    def test_a_table_with_extractions_in_one_layout_is_refused_in_the_other(self, shops):
        before, after = shops
        before.run(PARTS)
        refused = after.run(PARTS, day=NEXT_DAY)["orders"]
        assert refused.outcome is Outcome.FAILED
        assert says(refused.reason, "store.folder_in_another_layout", layout=before.kind)
        assert f"layout: {before.kind}" in refused.failure.hint
        runner = after.runner(PARTS, day=NEXT_DAY)
        (planned,) = preview_tables(runner, runner.pipeline.tables).tables
        assert planned.verdict is PreviewAction.REFUSE
        assert not after.layout(day=NEXT_DAY).folder.exists()
        assert before.run(PARTS, day=date(2026, 1, 8))["orders"].outcome is Outcome.COMPLETED

    def test_other_tables_under_the_same_base_path_may_use_either_layout(self, shops):
        before, after = shops
        before.run(PARTS)
        before.execute("create table customers as select 1 as id")
        assert after.run("customers", day=NEXT_DAY)["customers"].outcome is Outcome.COMPLETED


@pytest.mark.parametrize("name", ["extraction_date", "EXTRACTION_DATE"])
def test_a_column_with_the_name_of_the_partition_is_refused(shop, name):
    shop.execute(f"create table dated as select 1 as id, date '2026-01-01' as {name}")
    refused = shop.run("dated")["dated"]
    assert refused.outcome is Outcome.FAILED
    assert says(refused.reason, "sources.column_and_type", column=name, type="DATE")
    assert not shop.layout("dated").output.exists()
    assert Shop(shop.folder).run("dated", output={"base_path": str(shop.folder / "other")})["dated"].is_good
