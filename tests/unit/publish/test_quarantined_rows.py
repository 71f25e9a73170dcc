"""Rows that lie beside a dataset: quarantined ones, which are published with it, and copies of those that break the
schema."""

from __future__ import annotations

import hashlib

import pytest

from statekeeper.errors import LockLost, StorageError
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.receipt import StagedFile
from statekeeper.publish.ownership import Ownership
from statekeeper.publish.publication import Publication
from statekeeper.publish.sweep import VIOLATING
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.layout import ExtractionLayout
from tests.unit.commit_records import state_of
from tests.unit.publish.test_publication import NEW, OLD, Dataset, Epoch, _proofs


class WithRejects(Dataset):
    """What one plan has staged, with rows to quarantine."""

    def __init__(self, layout, plan_id, *, parts):
        super().__init__(layout, plan_id, parts=parts)
        self.reject_content = f"{plan_id} rejects".encode()
        self.rejects = staged(self.staging, "rejects", self.reject_content)
        self.quarantine = layout.quarantine(plan_id)
        file = PublishedFile(
            name=self.quarantine.relative_to(layout.folder).as_posix(),
            rows=1,
            bytes=self.rejects.bytes,
            md5=self.rejects.md5,
        )
        metadata = self.intent.metadata
        validation = metadata.validation.model_copy(update={"quarantine": file, "quarantined_rows": 1})
        self.intent = self.intent.model_copy(
            update={"metadata": metadata.model_copy(update={"validation": validation})}
        )


def staged(staging, name, content):
    path = staging.parts / name
    path.unlink(missing_ok=True)  # it may have been linked into place
    path.write_bytes(content)
    return StagedFile(part=name, rows=1, bytes=len(content), md5=hashlib.md5(content).hexdigest())


@pytest.fixture
def layout(tmp_path):
    return ExtractionLayout(folder=tmp_path / "data/06", run_id="r", base_path=tmp_path / "data")


@pytest.fixture
def disk():
    return LocalDisk()


def _in_place(new, disk):
    one = new.publication(disk, Epoch())
    return one.is_in_place(new.intent, _proofs(one, new.intent))


@pytest.mark.parametrize("parts", [1, 3])
class TestQuarantined:
    def test_they_are_published_with_the_dataset_and_replace_those_of_the_one_before(self, layout, disk, parts):
        WithRejects(layout, OLD, parts=parts).publish(disk, NO_FENCE)
        new = WithRejects(layout, NEW, parts=parts)
        new.publish(disk, NO_FENCE)
        assert new.quarantine.read_bytes() == new.reject_content
        assert list(layout.quarantine_folder.iterdir()) == [new.quarantine]
        assert _in_place(new, disk)

    def test_those_of_before_stay_until_the_new_dataset_is_committed(self, layout, disk, parts):
        old = WithRejects(layout, OLD, parts=parts)
        old.publish(disk, NO_FENCE)
        new = Dataset(layout, NEW, parts=parts)
        one = new.publication(disk, NO_FENCE)
        one.stage(new.parts)
        one.swap_in(new.intent, {})
        assert old.quarantine.exists()
        one.commit(new.intent.metadata)
        assert not layout.quarantine_folder.exists()

    def test_of_two_that_were_left_half_in_place_neither_counts_as_done(self, layout, disk, parts):
        new = WithRejects(layout, NEW, parts=parts)
        one = new.publication(disk, NO_FENCE)
        one.stage(new.parts, rejects=new.rejects)
        one._put_quarantine(new.intent)
        assert not _in_place(new, disk)
        one.swap_in(new.intent, _proofs(one, new.intent))
        assert _in_place(new, disk)
        new.quarantine.unlink()
        assert not _in_place(new, disk)

    def test_rows_of_the_same_size_but_other_bytes_are_not_taken_for_them(self, layout, disk, parts):
        new = WithRejects(layout, NEW, parts=parts)
        new.publish(disk, NO_FENCE)
        new.quarantine.write_bytes(b"x" * len(new.reject_content))
        assert not _in_place(new, disk)

    def test_while_they_lie_ready_what_is_in_their_place_is_not_read(self, layout, disk, parts):
        new = WithRejects(layout, NEW, parts=parts)
        new.publish(disk, NO_FENCE)
        new.staging.parts.mkdir(parents=True)
        staged(new.staging, "rejects", new.reject_content)
        one = new.publication(disk, NO_FENCE)
        one._link_beside(new.rejects, "quarantine.unpublished", role="quarantine")
        assert not any(placed.path == new.quarantine for placed in one.unproven(new.intent))

    def test_an_owner_that_lost_its_lock_puts_none_in_place(self, layout, disk, parts):
        new, fence = WithRejects(layout, NEW, parts=parts), Epoch()
        one = new.publication(disk, fence)
        one.stage(new.parts, rejects=new.rejects)
        fence.is_lost = True
        with pytest.raises(LockLost):
            one.swap_in(new.intent, {})
        assert not new.quarantine.exists()

    def test_what_somebody_else_has_put_in_their_place_stays(self, layout, disk, parts):
        new = WithRejects(layout, NEW, parts=parts)
        one = new.publication(disk, NO_FENCE)
        one.stage(new.parts, rejects=new.rejects)
        new.quarantine.mkdir(parents=True)
        (new.quarantine / "notes.txt").write_text("mine")
        with pytest.raises(StorageError):
            one.swap_in(new.intent, {})
        assert (new.quarantine / "notes.txt").read_text() == "mine"
        assert not layout.output.exists()


class TestViolating:
    """Copies of the rows that break the schema."""

    def _write(self, layout, disk, content, *, plan_id=NEW, fence=NO_FENCE):
        """What a plan has found, if `content`: its file in the folder of such rows."""
        layout.staging(plan_id).parts.mkdir(parents=True, exist_ok=True)
        rows = staged(layout.staging(plan_id), "rejects", content) if content else None
        ownership = Ownership(disk, layout, state_of(layout))
        Publication(disk, layout, layout.staging(plan_id), fence, ownership).write_violating_rows(rows)
        return layout.violating_rows(plan_id)

    def test_they_are_put_in_place_of_those_of_an_earlier_plan(self, layout, disk):
        before = self._write(layout, disk, b"before", plan_id=OLD)
        assert before.read_bytes() == b"before"
        after = self._write(layout, disk, b"after")
        assert (before.exists(), after.read_bytes()) == (False, b"after")
        assert not any((layout.staging(NEW).folder).glob("beside.*/*"))

    def test_written_again_they_are_the_last_ones(self, layout, disk):
        self._write(layout, disk, b"once")
        assert self._write(layout, disk, b"twice").read_bytes() == b"twice"

    def test_written_again_from_the_same_file_they_lie_nowhere_else(self, layout, disk):
        final = self._write(layout, disk, b"once")
        staging = layout.staging(NEW)
        rows = StagedFile(part="rejects", rows=1, bytes=4, md5=hashlib.md5(b"once").hexdigest())
        ownership = Ownership(disk, layout, state_of(layout))
        Publication(disk, layout, staging, NO_FENCE, ownership).write_violating_rows(rows)
        assert final.read_bytes() == b"once"
        assert not any(staging.folder.glob("beside.*/*"))

    def test_a_leftover_of_an_unfinished_attempt_makes_room(self, layout, disk):
        beside = layout.staging(NEW).beside(NO_FENCE.epoch)
        beside.mkdir(parents=True)
        (beside / VIOLATING).write_bytes(b"half")
        assert self._write(layout, disk, b"whole").read_bytes() == b"whole"

    def test_without_any_those_of_before_go_and_their_folder(self, layout, disk):
        self._write(layout, disk, b"before")
        self._write(layout, disk, None)
        assert not layout.violating_rows_folder.exists()

    def test_an_owner_that_lost_its_lock_writes_and_removes_none(self, layout, disk):
        before = self._write(layout, disk, b"before")
        fence = Epoch()
        fence.is_lost = True
        for content in (b"after", None):
            with pytest.raises(LockLost):
                self._write(layout, disk, content, fence=fence)
            assert before.read_bytes() == b"before"

    def test_what_is_not_ones_own_in_their_folder_stays(self, layout, disk):
        self._write(layout, disk, b"before")
        notes = layout.violating_rows_folder / "notes.txt"
        notes.write_text("mine")
        self._write(layout, disk, None)
        assert [path.name for path in layout.violating_rows_folder.iterdir()] == [notes.name]
