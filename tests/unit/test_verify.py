"""Every way in which published data may no longer be what was published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from statekeeper import verify as verification
from statekeeper.config.resolved import Verify
from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.engines.protocol import FILE_ROWS
from statekeeper.errors import Interrupted, StorageError
from statekeeper.model.metadata import PublishedFile
from statekeeper.parquet.integrity import find_part_damage
from statekeeper.run.report import Outcome
from statekeeper.store.files.disk import LocalDisk
from statekeeper.verify import FilesSpec, FilesVerdict, VerifySpec, verify_published
from tests.messages import message, raises_message, says
from tests.unit.engines.counting_engine import CountingEngine
from tests.unit.small_shop import Shop

TABLES = (
    {"table_name": "orders", "chunking": {"strategy": "rowid", "target_rows": 100}},
    {"table_name": "customers"},
)
CONTEXT = ProcessContext(Sessions("100MB"), memory_limit="100MB", is_stopping=lambda: False, report=lambda _rows: None)


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(
        "create table orders as select i as id from range(300) r(i)", "create table customers as select 1 as id"
    )
    shop.run(*TABLES)
    return shop


def _wrong(shop, table="orders", *, verify=Verify.FULL, with_state=True):
    published = shop.state(table).published if with_state else None
    return verify_published(VerifySpec(shop.layout(table), published, verify, LocalDisk()), CONTEXT).damage


def _edit_metadata(shop, **changes):
    path = shop.layout().metadata
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("verify", list(Verify))
@pytest.mark.parametrize("table", ["orders", "customers"])
def test_freshly_published_data_has_no_damage(shop, table, verify):
    assert _wrong(shop, table, verify=verify) is None
    assert _wrong(shop, table, verify=verify, with_state=False) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"record_count": 1}, message("verify.other_record_count")),
        ({"checksum": "0" * 32}, message("verify.other_checksum")),
        ({"extraction_complete": False}, message("verify.not_complete")),
        ({"record_count": "seven"}, message("model.metadata_cannot_be_read")),
        ({"plan_id": "0" * 32}, message("parquet.part_of_another_plan", plan="0" * 32)),
    ],
)
def test_edited_metadata_is_found_by_its_md5_and_by_its_content(shop, changes, words):
    _edit_metadata(shop, **changes)
    assert says(_wrong(shop), "verify.not_what_was_written")
    assert says(_wrong(shop, with_state=False), words)


def test_a_folder_instead_of_a_file_is_damage_and_the_reverse(shop):
    orders, customers = shop.layout("orders").output, shop.layout("customers").output
    orders.rename(orders.with_name("aside"))
    customers.rename(orders)
    orders.with_name("aside").rename(customers)
    assert says(_wrong(shop, "orders"), "verify.other_kind", found="file", expected="folder")
    assert says(_wrong(shop, "customers"), "verify.other_kind", found="folder", expected="file")


def test_a_part_of_another_plan_is_damage(shop):
    before = shop.layout("customers").output.read_bytes()
    shop.run(*TABLES, is_forced=True)
    file = shop.metadata("customers").files[0]
    shop.layout("customers").output.write_bytes(before)
    assert len(before) == file.bytes
    assert says(_wrong(shop, "customers"), "parquet.other_md5", expected=file.md5)
    assert says(_wrong(shop, "customers", verify=Verify.QUICK), "parquet.part_of_another_plan")


def test_an_unreadable_footer_is_damage_even_in_a_quick_verification(shop):
    part = next(shop.layout().output.iterdir())
    part.write_bytes(b"x" * part.stat().st_size)
    assert says(_wrong(shop, verify=Verify.QUICK), "parquet.no_readable_footer")


def test_a_verification_can_be_stopped_between_two_files(shop):
    stopping = ProcessContext(Sessions("1MB"), memory_limit="1MB", is_stopping=lambda: True, report=print)
    with pytest.raises(Interrupted):
        verify_published(VerifySpec(shop.layout(), None, Verify.FULL, LocalDisk()), stopping)


def test_a_part_with_another_row_count_is_damage(shop):
    file = shop.metadata("customers").files[0].model_copy(update={"rows": 2})
    plan_id = shop.state("customers").published.plan_id
    found = find_part_damage(shop.layout("customers").output, file, plan_id=plan_id, verify=Verify.FULL)
    assert says(found, "parquet.other_number_of_rows", found=1, expected=2)


def test_missing_metadata_are_damage(shop):
    shop.layout().metadata.unlink()
    assert says(_wrong(shop), "parquet.file_is_missing", file=shop.layout().metadata.name)


def test_a_symbolic_link_is_not_followed(shop):
    path = shop.layout().metadata
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")
    with raises_message(StorageError, "store.symbolic_link"):
        _wrong(shop)


def test_metadata_that_name_the_dataset_of_another_run_are_damage(shop):
    _edit_metadata(shop, output_path="/lake/other.parquet")
    assert says(_wrong(shop, with_state=False), "verify.not_a_dataset", dataset="other.parquet")


def test_a_file_beside_the_parts_is_damage_unless_readers_pass_over_its_name(shop):
    output = shop.layout().output
    for name in ("_SUCCESS", ".part.crc"):
        (output / name).write_bytes(b"")
    assert _wrong(shop) is None
    (output / "other.parquet").write_bytes(b"")
    assert says(_wrong(shop), "verify.foreign_file", folder=output.name, file="other.parquet")


def test_of_several_damaged_files_the_first_by_its_name_is_told(shop):
    first, *_, last = sorted(shop.layout().output.iterdir())
    for part in (first, last):
        part.write_bytes(b"")
    metadata = json.loads(shop.layout().metadata.read_text())
    for files in (metadata["files"], metadata["files"][::-1]):
        _edit_metadata(shop, files=files)
        assert says(_wrong(shop, with_state=False), "parquet.other_size", file=first.name, found=0)


class TestQuarantine:
    """Quarantined rows are a part of what is published."""

    @pytest.fixture
    def shop(self, tmp_path):
        shop = Shop(tmp_path)
        shop.execute("create table orders as select i as id from range(9) r(i)")
        rules = {"columns": {"id": {"type": "int", "ge": 1}}, "on_violation": "quarantine"}
        shop.run({"table_name": "orders", **rules})
        assert shop.quarantine().is_file()
        return shop

    @pytest.mark.parametrize("verify", list(Verify))
    def test_as_they_were_published_they_are_no_damage(self, shop, verify):
        assert _wrong(shop, verify=verify) is None

    def test_without_them_there_is_damage(self, shop):
        name = shop.quarantine().name
        shop.quarantine().unlink()
        assert says(_wrong(shop), "parquet.file_is_missing", file=name)

    def test_rows_that_the_metadata_do_not_name_are_damage(self, shop):
        other = shop.layout().quarantine("f" * 32)
        other.write_bytes(shop.quarantine().read_bytes())
        assert says(_wrong(shop), "verify.not_quarantined", file=f"...{other.name}")

    def test_metadata_that_name_another_runs_rows_are_damage(self, shop):
        metadata = shop.metadata()
        other = metadata.validation.quarantine.model_copy(update={"name": "_other.quarantine/0.unpublished"})
        validation = metadata.validation.model_copy(update={"quarantine": other})
        shop.layout().metadata.write_bytes(metadata.model_copy(update={"validation": validation}).to_bytes())
        assert says(_wrong(shop, with_state=False), "verify.not_a_quarantine", quarantine=other.name)


def _of_sizes(*sizes, verify=Verify.FULL):
    files = (PublishedFile(name=f"{number}", rows=1, bytes=size, md5="") for number, size in enumerate(sizes))
    return FilesSpec(tuple((Path(file.name), file) for file in files), "p", verify, LocalDisk())


class TestShares:
    """Large datasets are checked by several workers."""

    OPEN, SHARE = verification._OPEN_BYTES, verification._SHARE_BYTES

    def test_a_full_check_costs_the_bytes_of_the_files_and_a_quick_one_only_their_opening(self):
        assert _of_sizes(5, 7).cost == 2 * self.OPEN + 12
        assert _of_sizes(5, 7, verify=Verify.QUICK).cost == 2 * self.OPEN

    def test_a_share_takes_files_as_long_as_it_has_room(self):
        whole = self.SHARE - self.OPEN
        shares = _of_sizes(whole - 1, 0, whole, 0, 0).shares
        assert [[path.name for path, _ in share.files] for share in shares] == [["0", "1"], ["2"], ["3", "4"]]

    def test_a_dataset_that_costs_more_than_a_share_is_left_to_other_workers(self, shop, monkeypatch):
        spec = VerifySpec(shop.layout(), None, Verify.FULL, LocalDisk())
        cost = sum(self.OPEN + file.bytes for file in shop.metadata().files)
        monkeypatch.setattr(verification, "_SHARE_BYTES", cost)
        assert verify_published(spec, CONTEXT) == verification.Verified(None)
        monkeypatch.setattr(verification, "_SHARE_BYTES", cost - 1)
        left = [path for share in verify_published(spec, CONTEXT).left for path, _ in share.files]
        assert left == sorted(shop.layout().output.iterdir())

    @pytest.mark.parametrize(("verify", "remote"), [("full", FilesVerdict), ("quick", None)])
    def test_a_worker_that_reads_whole_files_may_be_elsewhere(self, shop, monkeypatch, verify, remote):
        monkeypatch.setattr(verification, "_SHARE_BYTES", 1)
        jobs = self._jobs(shop, {**TABLES[0], "verify": verify})
        rows = [file.rows for file in shop.metadata().files]
        assert [(job.size, job.remote_result_type) for job in jobs] == [(each // FILE_ROWS, remote) for each in rows]

    def test_damage_that_such_a_worker_finds_is_repaired(self, shop, monkeypatch):
        monkeypatch.setattr(verification, "_SHARE_BYTES", 1)
        assert shop.run(*TABLES)["orders"].outcome is Outcome.SKIPPED
        part = max(shop.layout().output.iterdir())
        part.write_bytes(b"x" * part.stat().st_size)
        assert shop.run(*TABLES)["orders"].outcome is Outcome.COMPLETED

    def test_damage_that_the_first_worker_finds_is_repaired(self, shop):
        shop.layout().metadata.unlink()
        assert shop.run(*TABLES)["orders"].outcome is Outcome.COMPLETED

    def _jobs(self, shop, table):
        """The jobs that check a share of the table's files, in the order of these."""
        jobs = []

        class Recording(CountingEngine):
            async def run(self, job):
                if job.work is verification.check_files:
                    jobs.append(job)
                return await super().run(job)

        assert shop.run(table, make_engine=lambda _pipeline: Recording())["orders"].outcome is Outcome.SKIPPED
        return sorted(jobs, key=lambda job: job.spec.files[0][0])
