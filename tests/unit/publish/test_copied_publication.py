"""Extractions on a disk without rename and link: what they leave, and what of it later runs and readers go by."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from statekeeper.model.preview import PreviewAction
from statekeeper.model.receipt import Receipt
from statekeeper.model.state import State
from statekeeper.run.preview import preview_tables
from statekeeper.run.report import Outcome
from statekeeper.run.reset import reset_tables
from statekeeper.run.status import read_status
from statekeeper.run.verify import verify_tables
from statekeeper.store import receipts, staging
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.slots import second_slot
from tests.crash.nameless_disk import NamelessDisk
from tests.messages import says
from tests.unit.small_shop import DAY, Shop
from tests.unit.store.files.dying_disk import Died

FOLDER = {"table_name": "orders", "chunking": {"strategy": "rowid", "target_rows": 2048}}
ROWS = 5000


@pytest.fixture
def disk():
    return NamelessDisk()


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(f"create table orders as select i as id, 'note ' || i as note from range({ROWS}) as r(i)")
    return shop


def _output(shop):
    return shop.layout().folder / shop.metadata().output_name


def _datasets(shop):
    return sorted(path.name for path in shop.layout().folder.glob("*.parquet"))


@pytest.mark.parametrize("table", ["orders", FOLDER], ids=["file", "folder"])
def test_each_extraction_has_its_own_dataset_named_by_the_metadata(shop, disk, table):
    assert shop.run(table, disk=disk)["orders"].outcome is Outcome.COMPLETED
    layout = shop.layout()
    assert _output(shop) == layout.output
    assert shop.run(table, disk=disk, is_forced=True)["orders"].outcome is Outcome.COMPLETED
    assert _output(shop) == layout.generation(shop.state().published.plan_id)
    assert _datasets(shop) == [_output(shop).name]
    assert shop.run(table, disk=disk, is_forced=True)["orders"].outcome is Outcome.COMPLETED
    assert _datasets(shop) == [layout.output.name]


def test_the_second_generation_is_verified_skipped_and_shown(shop, disk):
    shop.run(FOLDER, disk=disk)
    shop.run(FOLDER, disk=disk, is_forced=True)
    assert shop.run(FOLDER, disk=disk)["orders"].outcome is Outcome.SKIPPED
    runner = shop.runner(FOLDER)  # which knows nothing of the disk, as the commands that only read
    assert verify_tables(runner, runner.pipeline.tables).tables[0].outcome is Outcome.SKIPPED
    assert preview_tables(runner, runner.pipeline.tables).tables[0].verdict is PreviewAction.SKIP
    table = read_status(shop.folder / "data", f"shop-{DAY:%Y%m%d}").tables[0]
    assert (table.state, table.records, table.output_path) == ("complete", ROWS, str(_output(shop)))


def test_damage_of_the_second_generation_is_found(shop, disk):
    shop.run(FOLDER, disk=disk)
    shop.run(FOLDER, disk=disk, is_forced=True)
    damaged = _output(shop)
    next(iter(sorted(damaged.iterdir()))).write_bytes(b"damage")
    again = shop.run(FOLDER, disk=disk)["orders"]
    assert again.outcome is Outcome.COMPLETED
    assert not damaged.exists()
    assert shop.rows() == ROWS


def test_a_dataset_named_by_the_metadata_must_be_of_this_extraction(shop, disk):
    shop.run(FOLDER, disk=disk)
    layout = shop.layout()
    metadata = shop.metadata().model_copy(update={"output_path": "/elsewhere/other.parquet"})
    layout.metadata.write_bytes(metadata.to_bytes())
    runner = shop.runner(FOLDER)
    found = verify_tables(runner, runner.pipeline.tables).tables[0]
    assert found.outcome is Outcome.FAILED


def test_foreign_files_are_kept(shop, disk):
    shop.run(FOLDER, disk=disk)
    (shop.layout().output / "notes.txt").write_text("keep me")
    shop.run(FOLDER, disk=disk, is_forced=True)
    assert (shop.layout().foreign_files / "notes.txt").read_text() == "keep me"
    assert _datasets(shop) == [_output(shop).name]


def test_the_dataset_of_a_run_named_like_a_generation_is_left_alone(shop, disk):
    shop.run(FOLDER, disk=disk)
    layout = shop.layout()
    other = layout.folder / f"{layout.run_id}.0123abcd.parquet"
    other.write_bytes(b"of another run")
    shop.run(FOLDER, disk=disk, is_forced=True)
    assert other.read_bytes() == b"of another run"


@pytest.mark.parametrize("parts_copied", [0, 1])
def test_leftovers_of_an_unfinished_first_publication_are_not_mistaken_for_the_dataset(shop, disk, parts_copied):
    class Dying(NamelessDisk):
        copied = 0

        def create(self, path, *, role, **access):
            if role == "publish" and self.copied == parts_copied:
                path.write_bytes(b"half")
                raise Died
            self.copied += role == "publish"
            return super().create(path, role=role, **access)

    with pytest.raises(Died):
        shop.run(FOLDER, disk=Dying())
    assert shop.layout().output.exists()
    shop.run(FOLDER, disk=disk, is_forced=True)
    assert _output(shop) == shop.layout().generation(shop.state().published.plan_id)
    assert _datasets(shop) == [_output(shop).name]


@pytest.mark.parametrize(("first", "then"), [(NamelessDisk(), LocalDisk()), (LocalDisk(), NamelessDisk())])
def test_a_lake_may_move_to_another_kind_of_disk(shop, first, then):
    shop.run(FOLDER, disk=first)
    shop.run(FOLDER, disk=first, is_forced=True)
    assert shop.run(FOLDER, disk=then)["orders"].outcome is Outcome.SKIPPED
    shop.run(FOLDER, disk=then, is_forced=True)
    assert shop.run(FOLDER, disk=first)["orders"].outcome is Outcome.SKIPPED
    assert _datasets(shop) == [_output(shop).name]


def test_a_copy_with_other_bytes_is_not_published(shop):
    class Corrupting(NamelessDisk):
        def sync_file(self, file, *, role):
            super().sync_file(file, role=role)
            if role == "publish":
                os.pwrite(file.fileno(), b"?", os.fstat(file.fileno()).st_size - 1)

    report = shop.run(FOLDER, disk=Corrupting())["orders"]
    assert report.outcome is Outcome.FAILED
    assert says(report.reason, "publish.copy_is_not_the_part")
    assert not shop.layout().metadata.exists()
    assert shop.run(FOLDER, disk=NamelessDisk())["orders"].outcome is Outcome.COMPLETED
    assert shop.rows() == ROWS


def test_a_reset_leaves_the_dataset_until_the_next_is_published(shop, disk):
    shop.run(FOLDER, disk=disk)
    runner = shop.runner(FOLDER, disk=disk)
    assert reset_tables(runner, runner.pipeline.tables, only=None)
    assert shop.state().state is State.PENDING
    assert shop.rows() == ROWS
    assert shop.run(FOLDER, disk=disk)["orders"].outcome is Outcome.COMPLETED


def test_a_state_damaged_in_both_slots_is_kept(shop, disk):
    shop.run(FOLDER, disk=disk)
    state = shop.layout().state
    state.write_bytes(b"{torn")
    second_slot(state).write_bytes(b"statekeeper.next 12\n{torn too")
    assert shop.run(FOLDER, disk=disk)["orders"].outcome is Outcome.FAILED
    runner = shop.runner(FOLDER, disk=disk)
    assert reset_tables(runner, runner.pipeline.tables, only=None)
    assert [path.read_bytes() for path in state.parent.glob("*.damaged-*")] == [b"{torn"]
    assert shop.run(FOLDER, disk=disk)["orders"].outcome is Outcome.COMPLETED


class _Dying(NamelessDisk):
    """Makes one file of a role, and dies before the second: from then on nothing is written any more."""

    def __init__(self, role):
        super().__init__()
        self._role, self._made = role, 0

    def create(self, path, *, role, **access):
        self._live(role)
        return super().create(path, role=role, **access)

    def write_new(self, path, data, *, role, **access):
        self._live(role)
        super().write_new(path, data, role=role, **access)

    def write_over(self, path, content, *, role, **access):
        self._live("")
        super().write_over(path, content, role=role, **access)

    def _live(self, role):
        self._made += role == self._role
        if self._made > 1:
            raise Died


class TestManyChunks:
    """Their parts and receipts lie in subfolders: a system makes and removes one name of a folder at a time."""

    @pytest.fixture(autouse=True)
    def few_are_many(self, monkeypatch):
        monkeypatch.setattr(staging, "_CHUNKS_PER_SUBFOLDER", 1)

    def _folders(self, shop):
        (plan,) = shop.layout().staging_root.iterdir()
        return {
            name: sorted(path.name for path in (plan / name).iterdir() if path.is_dir())
            for name in ("parts", "receipts")
        }

    @pytest.mark.parametrize("died_at", ["part", "receipt", "publish"])
    def test_finished_chunks_are_not_read_again_and_nothing_is_left(self, shop, disk, died_at):
        with pytest.raises(Died):
            shop.run(FOLDER, disk=_Dying(died_at))
        assert self._folders(shop) == {"parts": ["00", "01", "02"], "receipts": ["00", "01", "02"]}
        done = {receipt.part for receipt in self._receipts(shop, disk).values()}
        assert len(done) == (3 if died_at == "publish" else 1)
        assert {part.partition("/")[0] for part in done} <= {"00", "01", "02"}

        class Noting(NamelessDisk):
            made = ()

            def create(self, path, *, role, **access):
                self.made += (path.parent.name,) if role == "part" else ()
                return super().create(path, role=role, **access)

        noting = Noting()
        assert shop.run(FOLDER, disk=noting)["orders"].outcome is Outcome.COMPLETED
        assert sorted(noting.made) == sorted({"00", "01", "02"} - {part.partition("/")[0] for part in done})
        assert shop.rows() == ROWS
        assert not shop.layout().staging_root.exists()

    def _receipts(self, shop, disk):
        staging = shop.layout().staging(shop.state().plan_id)
        status = read_status(shop.folder / "data", f"shop-{DAY:%Y%m%d}").tables[0]
        found = receipts.load_receipts(disk, staging, shop.state().plan_id)
        assert status.chunks.done == len(found)
        return found

    def test_quarantined_rows_are_staged_beside_their_parts(self, shop, disk):
        columns = {"id": {"type": "int", "lt": ROWS - 10}, "note": {"type": "str"}}
        table = {**FOLDER, "columns": columns, "on_violation": "quarantine"}
        assert shop.run(table, disk=disk)["orders"].outcome is Outcome.COMPLETED
        assert shop.rows() == ROWS - 10
        assert not shop.layout().staging_root.exists()

    def test_a_plan_of_a_version_without_subfolders_continues(self, shop, disk, monkeypatch):
        monkeypatch.setattr(staging, "_CHUNKS_PER_SUBFOLDER", 1000)
        with pytest.raises(Died):
            shop.run(FOLDER, disk=_Dying("receipt"))
        monkeypatch.setattr(staging, "_CHUNKS_PER_SUBFOLDER", 1)
        assert self._folders(shop) == {"parts": [], "receipts": []}
        assert shop.run(FOLDER, disk=disk)["orders"].outcome is Outcome.COMPLETED
        assert shop.rows() == ROWS

    def test_a_damaged_part_is_read_again(self, shop, disk):
        class Damaging(NamelessDisk):
            is_done = False

            def write_over(self, path, content, *, role, **access):
                super().write_over(path, content, role=role, **access)
                if role == "receipt" and not self.is_done:
                    self.is_done = True
                    part = min((path.parent.parent / "parts").glob("*/*"))
                    part.write_bytes(part.read_bytes()[:-1] + b"?")

        assert shop.run(FOLDER, disk=Damaging())["orders"].outcome is Outcome.COMPLETED
        assert shop.rows() == ROWS


class TestReceipts:
    """Without link, every attempt at a chunk has a receipt; one of them counts."""

    PLAN = "a" * 32
    folder = ""

    @pytest.fixture(params=["", "01/"], ids=["flat", "subfolders"])
    def staging(self, shop, disk, request):
        staging = shop.layout().staging(self.PLAN)
        self.folder = request.param
        for name in ("", "00", "01") if self.folder else ("",):
            disk.make_folder(staging.receipts / name, role="plan")
        return staging

    def _receipt(self, attempt, *, minute):
        at = datetime(2026, 1, 6, 12, minute, tzinfo=UTC)
        return Receipt(
            plan_id=self.PLAN,
            chunk_id=0,
            attempt=attempt,
            part=f"{self.folder}{attempt}",
            rows=1,
            bytes=1,
            md5="0" * 32,
            arrow_schema="",
            snapshot="t",
            started_at=at,
            ended_at=at,
        )

    def _counting(self, disk, staging):
        found = receipts.load_receipts(disk, staging, self.PLAN)
        assert found.keys() <= {0}
        return found[0].attempt if found else None

    def test_without_a_record_the_first_finished_receipt_counts(self, disk, staging):
        assert self._counting(disk, staging) is None
        assert receipts.save_receipt(disk, staging, self._receipt("late", minute=9))
        assert self._counting(disk, staging) == "late"
        assert receipts.save_receipt(disk, staging, self._receipt("early", minute=1))
        assert self._counting(disk, staging) == "early"
        assert receipts.count_receipts(disk, staging) == 1

    def test_the_recorded_receipt_counts(self, disk, staging):
        receipts.save_receipt(disk, staging, self._receipt("late", minute=9))
        receipts.record_receipts(disk, staging, self.PLAN, [self._receipt("late", minute=9)])
        receipts.save_receipt(disk, staging, self._receipt("early", minute=1))
        assert self._counting(disk, staging) == "late"

    def test_a_torn_record_is_ignored(self, disk, staging):
        receipts.save_receipt(disk, staging, self._receipt("late", minute=9))
        receipts.record_receipts(disk, staging, self.PLAN, [self._receipt("late", minute=9)])
        receipts.save_receipt(disk, staging, self._receipt("early", minute=1))
        staging.recorded_receipts.write_bytes(staging.recorded_receipts.read_bytes()[:-20])
        assert self._counting(disk, staging) == "early"

    def test_records_per_chunk_of_an_earlier_version_count(self, disk, staging):
        staging.receipt(0).write_bytes(self._receipt("late", minute=9).to_bytes())
        receipts.save_receipt(disk, staging, self._receipt("early", minute=1))
        assert self._counting(disk, staging) == "late"

    def test_a_torn_receipt_does_not_block_the_chunk(self, disk, staging):
        staging.receipt(0).write_bytes(b"{")
        staging.receipt_of_attempt(0, "torn").write_bytes(b"{")
        assert self._counting(disk, staging) is None
        receipts.record_receipts(disk, staging, self.PLAN, [self._receipt("whole", minute=1)])
        assert self._counting(disk, staging) == "whole"

    def test_an_unfinished_receipt_is_left_to_its_writer(self, disk, staging):
        half = self._receipt("slow", minute=1).to_bytes()[:100]
        staging.receipt_of_attempt(0, "slow").write_bytes(half)
        assert self._counting(disk, staging) is None
        assert staging.receipt_of_attempt(0, "slow").read_bytes() == half

    def test_damage_of_a_part_discards_all_receipts_of_the_chunk(self, disk, staging):
        for attempt in ("one", "two"):
            receipts.save_receipt(disk, staging, self._receipt(attempt, minute=1))
        receipts.record_receipts(disk, staging, self.PLAN, [self._receipt("one", minute=1)])
        receipts.discard_receipt(disk, staging, self.PLAN, 0)
        assert self._counting(disk, staging) is None
