"""Publication on a disk that loses, in a crash, all that was not synced: what a step leaves behind is durable."""

from __future__ import annotations

import pytest

from statekeeper.model.receipt import StagedFile
from statekeeper.model.table import Layout
from statekeeper.publish.ownership import Ownership
from statekeeper.publish.publication import Publication
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.layouts import layout_of
from tests.crash.lossy_disk import LossyDisk
from tests.unit.commit_records import TABLE, state_of
from tests.unit.publish.test_publication import (
    NEW,
    OLD,
    SHAPES,
    Dataset,
    DiskWithoutExchange,
    Epoch,
    MountPoint,
    _until_committed,
    _until_in_place,
)
from tests.unit.publish.test_quarantined_rows import WithRejects
from tests.unit.small_shop import DAY
from tests.unit.store.files.dying_disk import Died


class WithoutExchange(DiskWithoutExchange, LossyDisk):
    """One that cannot exchange two names either."""


class AtMountPoint(MountPoint, LossyDisk):
    """One on which nothing can be moved out of base_path either."""


class DiesAtTheDataset(LossyDisk):
    """One whose process dies when the dataset is about to be put in place."""

    def rename(self, source, dest, *, role):
        if role == "publish":
            raise Died
        super().rename(source, dest, role=role)

    def exchange(self, first, second, *, role):
        del first, second, role
        raise Died


DISKS = pytest.mark.parametrize("kind_of_disk", [LossyDisk, WithoutExchange, AtMountPoint])


class Place:
    """A folder of which what is there counts as durable once a disk is made for it."""

    def __init__(self, folder, layout=Layout.DATED):
        self.folder = folder
        base_path = folder / "root" / "data"
        base_path.mkdir(parents=True)
        self.layout = layout_of(layout, base_path=base_path, table=TABLE, extraction_date=DAY, run_id="r")

    def staged(self, shape, kind):
        before, after = shape
        if before is not None:
            kind(self.layout, OLD, parts=before).publish(LocalDisk(), NO_FENCE)
        return kind(self.layout, NEW, parts=after)

    def disk(self, kind_of_disk):
        return kind_of_disk(self.folder / "root", self.folder / "image")


def _assert_is_there(new):
    new.assert_is_what_readers_see()
    if isinstance(new, WithRejects):
        assert new.quarantine.read_bytes() == new.reject_content
    waiting = {path.name for path in new.layout.swap.rglob("part-*")} if new.layout.swap else set()
    assert not waiting & {file.name for file in new.files}, "a part that is published does not wait as well"


@DISKS
@pytest.mark.parametrize("kind", [Dataset, WithRejects])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_in_place_is_there_after_a_power_failure(tmp_path, kind_of_disk, shape, kind):
    place = Place(tmp_path)
    new = place.staged(shape, kind)
    disk = place.disk(kind_of_disk)
    _until_in_place(new, disk, Epoch())
    disk.crash()
    _assert_is_there(new)


@pytest.mark.parametrize("kind_of_disk", [LossyDisk, WithoutExchange])
@pytest.mark.parametrize("shape", [(None, 3), (3, 3)], ids=str)
def test_parts_that_were_durable_where_they_waited_are_back_in_one_place_alone(tmp_path, kind_of_disk, shape):
    place = Place(tmp_path)
    new = place.staged(shape, Dataset)
    disk = place.disk(kind_of_disk)
    one = new.publication(disk, Epoch())
    one.stage(new.parts)
    disk.write_back()
    one.swap_in(new.intent, {})
    disk.crash()
    _assert_is_there(new)


@DISKS
@pytest.mark.parametrize("shape", [(None, 3), (3, 3)], ids=str)
def test_a_partition_is_there_after_a_power_failure(tmp_path, kind_of_disk, shape):
    place = Place(tmp_path, Layout.HIVE)
    new = place.staged(shape, Dataset)
    disk = place.disk(kind_of_disk)
    _until_in_place(new, disk, Epoch())
    disk.crash()
    _assert_is_there(new)


@pytest.mark.parametrize("parts", [1, 3])
def test_what_is_committed_is_there_after_a_power_failure_and_what_it_replaces_is_not(tmp_path, parts):
    place = Place(tmp_path)
    old = WithRejects(place.layout, OLD, parts=parts)
    old.publish(LocalDisk(), NO_FENCE)
    new = WithRejects(place.layout, NEW, parts=parts)
    disk = place.disk(LossyDisk)
    _until_committed(new, disk, Epoch())
    disk.crash()
    _assert_is_there(new)
    assert not old.quarantine.exists()
    assert place.layout.metadata.read_bytes() == new.intent.metadata.to_bytes()


@pytest.mark.parametrize("is_first", [True, False])
def test_rows_that_break_the_schema_are_there_after_a_power_failure_and_those_of_before_are_not(tmp_path, is_first):
    place = Place(tmp_path)
    before = place.layout.violating_rows(OLD)
    if not is_first:
        _write_violating_rows(place.layout, LocalDisk(), OLD)
        assert before.exists()
    disk = place.disk(LossyDisk)
    _write_violating_rows(place.layout, disk, NEW)
    disk.crash()
    assert place.layout.violating_rows(NEW).read_bytes() == NEW.encode()
    assert not before.exists()


def _write_violating_rows(layout, disk, plan_id):
    """Write one file, whose content is the plan's id."""
    staging = layout.staging(plan_id)
    disk.make_folder(staging.parts, role="parts")
    disk.write_new(staging.parts / "rejects", plan_id.encode(), role="parts")
    rows = StagedFile(part="rejects", rows=1, bytes=len(plan_id), md5="")
    Publication(disk, layout, staging, NO_FENCE, Ownership(disk, layout, state_of(layout))).write_violating_rows(rows)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_quarantined_rows_are_durable_before_the_dataset_that_lacks_them(tmp_path, shape):
    place = Place(tmp_path)
    new = place.staged(shape, WithRejects)
    disk = place.disk(DiesAtTheDataset)
    one = new.publication(disk, Epoch())
    one.stage(new.parts, rejects=new.rejects)
    with pytest.raises(Died):
        one.swap_in(new.intent, {})
    disk.crash()
    assert new.quarantine.read_bytes() == new.reject_content
