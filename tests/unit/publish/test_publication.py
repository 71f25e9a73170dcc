"""Publication on a real disk: every instant at which it may have been left, and what the next owner does then."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest

from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.errors import LockLost, StorageError
from statekeeper.model.receipt import PublishablePart
from statekeeper.model.record import PublishIntent
from statekeeper.publish.ownership import Ownership
from statekeeper.publish.part_copy import ProofSpec, prove_file
from statekeeper.publish.publication import Publication
from statekeeper.publish.sweep import sweep
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.layout import ExtractionLayout, part_name
from statekeeper.store.locks.fencing import fence_off
from tests.messages import raises_message
from tests.unit.commit_records import commit_record, state_of

OLD, NEW = "0" * 32, "1" * 32
TAKEN_OVER = "taken over"
CONTEXT = ProcessContext(Sessions("100MB"), memory_limit="100MB", is_stopping=lambda: False, report=lambda _rows: None)


class DiskWithoutExchange(LocalDisk):
    def exchange(self, first, second, *, role):
        del first, second, role
        return False


class Epoch:
    """A fence at an epoch, that may be lost."""

    def __init__(self, epoch=0):
        self.epoch = epoch
        self.is_lost = False

    def check(self):
        if self.is_lost:
            raise LockLost(TAKEN_OVER)


class Dataset:
    """What one plan has staged, and its intent."""

    rejects = None
    """The quarantined rows, where there are any."""

    def __init__(self, layout, plan_id, *, parts):
        self.layout = layout
        self.staging = layout.staging(plan_id)
        self.staging.parts.mkdir(parents=True)
        self.contents = [f"{plan_id} part {number}".encode() for number in range(parts)]
        staged = []
        for number, content in enumerate(self.contents):
            md5 = hashlib.md5(content).hexdigest()
            (self.staging.parts / f"chunk-{number}").write_bytes(content)
            name = layout.output.name if parts == 1 else part_name(number, plan_id)
            staged.append(PublishablePart(name=name, part=f"chunk-{number}", rows=1, bytes=len(content), md5=md5))
        self.parts = tuple(staged)
        self.files = tuple(part.published for part in staged)
        self.intent = PublishIntent(
            plan_id=plan_id,
            aside_name=layout.aside(plan_id).name,
            metadata=commit_record(layout, files=self.files, plan_id=plan_id),
        )

    def publication(self, disk, fence):
        record = state_of(self.layout).with_intent(self.intent)
        return Publication(disk, self.layout, self.staging, fence, Ownership(disk, self.layout, record))

    def publish(self, disk, fence):
        """All of it, as `validating` does it, from wherever it was left."""
        one = self.publication(disk, fence)
        proofs = _proofs(one, self.intent)
        if not one.is_in_place(self.intent, proofs):
            one.stage(self.parts, rejects=self.rejects)
        one.swap_in(self.intent, proofs)
        one.commit(self.intent.metadata)
        sweep(disk, self.layout, live_plan=None, fence=fence)

    def assert_is_what_readers_see(self):
        output = self.layout.output
        if len(self.contents) == 1:
            assert output.read_bytes() == self.contents[0]
        else:
            assert [path.read_bytes() for path in sorted(output.iterdir())] == self.contents


def _proofs(one, intent):
    """What workers say of the files that only their bytes can tell."""
    specs = [ProofSpec(placed.path.absolute(), one.disk) for placed in one.unproven(intent)]
    return {spec.path: prove_file(spec, CONTEXT) for spec in specs}


class MountPoint(LocalDisk):
    """Nothing can be moved out of base_path."""

    def rename(self, source, dest, *, role):
        if role == "ready":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        super().rename(source, dest, role=role)


@pytest.fixture(params=[LocalDisk, DiskWithoutExchange, MountPoint], ids=["exchange", "no exchange", "mount point"])
def disk(request):
    return request.param()


@pytest.fixture
def layout(tmp_path):
    return ExtractionLayout(folder=tmp_path / "data/06", run_id="shop-20260106", base_path=tmp_path / "data")


SHAPES = [(None, 1), (None, 3), (1, 1), (3, 3), (1, 3), (3, 1)]


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape[0]}-by-{shape[1]}")
def new(request, layout, disk):
    """A staged dataset, over an older one that is published."""
    before, after = request.param
    if before is not None:
        old = Dataset(layout, OLD, parts=before)
        old.publish(disk, NO_FENCE)
        old.assert_is_what_readers_see()
    return Dataset(layout, NEW, parts=after)


def _assert_done(new):
    new.assert_is_what_readers_see()
    assert {path.name for path in new.layout.folder.iterdir()} == {new.layout.output.name, new.layout.metadata.name}
    assert not new.layout.swap.parent.exists()


def _until_ready(new, disk, fence):
    new.publication(disk, fence).stage(new.parts, rejects=new.rejects)


def _until_in_place(new, disk, fence):
    _until_ready(new, disk, fence)
    one = new.publication(disk, fence)
    one.swap_in(new.intent, _proofs(one, new.intent))


def _until_committed(new, disk, fence):
    _until_in_place(new, disk, fence)
    new.publication(disk, fence).commit(new.intent.metadata)


def _until_moved_aside(new, disk, fence):
    """The old is moved aside and the new is not in place."""
    _until_ready(new, disk, fence)
    if new.layout.output.exists():
        new.layout.output.rename(new.layout.folder / new.intent.aside_name)


@pytest.mark.parametrize(
    "left_at", [_until_ready, _until_moved_aside, _until_in_place, _until_committed], ids=lambda step: step.__name__
)
@pytest.mark.parametrize("epochs", [(0, 0), (1, 2)], ids=["flock", "lease"])
def test_a_publication_that_stopped_at_any_step_is_rolled_forward(new, disk, left_at, epochs):
    left_at(new, disk, Epoch(epochs[0]))
    new.publish(disk, Epoch(epochs[1]))
    _assert_done(new)


def test_unfinished_staging_is_repeated(new, disk):
    ready = new.staging.publish(0)
    ready.mkdir()
    (ready / new.files[0].name).write_bytes(b"half")
    new.publish(disk, Epoch())
    _assert_done(new)


def test_is_in_place_only_if_every_file_is(new, disk):
    one = new.publication(disk, Epoch())
    assert not one.is_in_place(new.intent, _proofs(one, new.intent))
    one.stage(new.parts)
    assert not one.is_in_place(new.intent, _proofs(one, new.intent))
    one.swap_in(new.intent, {})
    proofs = _proofs(one, new.intent)
    assert one.is_in_place(new.intent, proofs)
    one.swap_in(new.intent, proofs)
    new.assert_is_what_readers_see()


def test_a_large_file_is_not_read_while_it_is_still_ready(layout):
    disk = LocalDisk()
    Dataset(layout, OLD, parts=1).publish(disk, NO_FENCE)
    new = Dataset(layout, NEW, parts=1)
    one = new.publication(disk, Epoch())
    one.stage(new.parts)
    assert one.unproven(new.intent) == ()
    one.swap_in(new.intent, {})
    new.assert_is_what_readers_see()


def test_a_reader_of_all_of_base_path_finds_each_part_once(new, disk):
    before = _read_by_a_glob(new.layout)
    _until_ready(new, disk, Epoch())
    assert _read_by_a_glob(new.layout) == before
    new.publication(disk, Epoch()).swap_in(new.intent, {})
    assert _read_by_a_glob(new.layout) == new.contents


def _read_by_a_glob(layout):
    """What `**/*.parquet` matches under base_path, hidden folders included."""
    return sorted(path.read_bytes() for path in layout.base_path.rglob("*.parquet") if path.is_file())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_only_where_a_folder_is_or_was_the_dataset_waits_beside_base_path(layout, shape):
    before, after = shape
    if before is not None:
        Dataset(layout, OLD, parts=before).publish(LocalDisk(), NO_FENCE)
    _until_ready(Dataset(layout, NEW, parts=after), LocalDisk(), Epoch())
    assert layout.swap.exists() == (3 in shape)


@pytest.mark.parametrize("parts", [1, 3])
def test_what_an_earlier_attempt_has_moved_aside_makes_room(layout, parts):
    disk = DiskWithoutExchange()
    Dataset(layout, OLD, parts=3).publish(disk, NO_FENCE)
    new = Dataset(layout, NEW, parts=parts)
    _until_ready(new, disk, Epoch())
    left = layout.swap / new.intent.aside_name
    left.mkdir()
    (left / part_name(0, OLD)).write_bytes(b"moved aside before")
    new.publication(disk, Epoch()).swap_in(new.intent, {})
    new.assert_is_what_readers_see()


def test_an_owner_that_was_taken_over_says_that_and_not_what_is_missing(layout):
    class TakenOver(LocalDisk):
        def rename(self, source, dest, *, role):
            fence.is_lost = role == "publish"
            if fence.is_lost:
                fence_off(LocalDisk(), layout, epoch=2)
            super().rename(source, dest, role=role)

    fence, new = Epoch(1), Dataset(layout, NEW, parts=1)
    _until_ready(new, TakenOver(), fence)
    with pytest.raises(LockLost) as caught:
        new.publication(TakenOver(), fence).swap_in(new.intent, {})
    assert caught.value.message == TAKEN_OVER
    assert not layout.output.exists()


def test_an_owner_that_lost_its_lock_replaces_nothing(new, disk):
    before = _seen(new.layout.output)
    fence = Epoch(1)
    _until_ready(new, disk, fence)
    fence.is_lost = True
    with pytest.raises(LockLost):
        new.publication(disk, fence).swap_in(new.intent, {})
    with pytest.raises(LockLost):
        new.publication(disk, fence).commit(new.intent.metadata)
    assert _seen(new.layout.output) == before


def test_an_owner_whose_ready_files_were_removed_replaces_nothing(new, disk):
    before = _seen(new.layout.output)
    _until_ready(new, disk, Epoch(1))
    fence_off(disk, new.layout, epoch=2)
    with pytest.raises(LockLost):
        new.publication(disk, Epoch(1)).swap_in(new.intent, {})
    assert _seen(new.layout.output) == before


def _seen(output):
    if output.is_dir():
        return [path.read_bytes() for path in sorted(output.iterdir())]
    return output.read_bytes() if output.exists() else None


def test_a_sweep_keeps_the_live_plan_and_removes_everything_else(new, disk):
    other = Dataset(new.layout, "2" * 32, parts=1)
    (new.layout.folder / f".{new.layout.run_id}.replaced-22222222").mkdir()
    (new.layout.folder / f".{new.layout.run_id}.replaced-33333333").write_bytes(b"a file")
    (new.layout.folder / f".{new.layout.state.name}.0.tmp").write_bytes(b"half")
    (new.layout.folder / ".another-run.staging").mkdir()
    before = _seen(new.layout.output)
    sweep(disk, new.layout, live_plan=NEW, fence=Epoch())
    assert not other.staging.folder.exists()
    assert len(list(new.staging.parts.iterdir())) == len(new.files)
    hidden = {path.name for path in new.layout.folder.iterdir() if path.name.startswith(".")}
    assert hidden == {new.layout.staging_root.name, ".another-run.staging"}
    assert _seen(new.layout.output) == before


def test_a_refusing_disk_is_a_storage_error_and_readers_keep_the_old_data(new):
    class Full(LocalDisk):
        def link(self, source, dest, *, role):
            raise OSError(28, "No space left on device")

    before = _seen(new.layout.output)
    with pytest.raises(StorageError, match="No space left"):
        _until_ready(new, Full(), Epoch())
    assert _seen(new.layout.output) == before


def test_the_commit_record_is_written_as_it_is_and_told_by_its_md5(new, disk):
    _until_in_place(new, disk, Epoch())
    md5 = new.publication(disk, Epoch()).commit(new.intent.metadata)
    assert new.layout.metadata.read_bytes() == new.intent.metadata.to_bytes()
    assert md5 == hashlib.md5(new.layout.metadata.read_bytes()).hexdigest()


def test_what_somebody_else_has_put_in_the_datasets_place_stays(layout, disk):
    new = Dataset(layout, NEW, parts=1)
    _until_ready(new, disk, Epoch())
    layout.output.write_bytes(b"somebody's")
    one = Publication(disk, layout, new.staging, Epoch(), Ownership(disk, layout, state_of(layout)))
    with raises_message(StorageError, "publish.something_is_in_the_way", path=layout.output):
        one.swap_in(new.intent, {})
    assert layout.output.read_bytes() == b"somebody's"


def test_a_part_that_is_missing_or_of_another_size_is_not_in_place(layout, disk):
    new = Dataset(layout, NEW, parts=3)
    new.publish(disk, Epoch())
    one, part = new.publication(disk, Epoch()), layout.output / new.files[1].name
    assert one.is_in_place(new.intent, {})
    part.write_bytes(b"short")
    assert not one.is_in_place(new.intent, {})
    part.unlink()
    assert not one.is_in_place(new.intent, {})


def test_a_file_of_the_same_size_but_other_bytes_is_not_in_place(layout, disk):
    new = Dataset(layout, NEW, parts=1)
    new.publish(disk, Epoch())
    layout.output.write_bytes(b"x" * new.files[0].bytes)
    one = new.publication(disk, Epoch())
    assert not one.is_in_place(new.intent, _proofs(one, new.intent))


@pytest.mark.parametrize("parts", [1, 3])
def test_a_generation_of_the_same_files_is_another_dataset(layout, disk, parts):
    new = Dataset(layout, NEW, parts=parts)
    new.publish(disk, Epoch())
    generation = layout.generation(NEW)
    files = new.files if parts > 1 else (new.files[0].model_copy(update={"name": generation.name}),)
    metadata = new.intent.metadata.model_copy(update={"output_path": str(generation), "files": files})
    intent, one = new.intent.model_copy(update={"metadata": metadata}), new.publication(disk, Epoch())
    assert one.unproven(intent) == ()
    assert not one.is_in_place(intent, _proofs(one, new.intent))


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("lost", ["lock", "ready files"])
def test_what_was_moved_aside_is_put_back_where_the_new_cannot_follow(layout, parts, lost):
    fence = Epoch()

    class Loses(DiskWithoutExchange):
        def rename(self, source, dest, *, role):
            super().rename(source, dest, role=role)
            if source == layout.output and lost == "lock":
                fence.is_lost = True
            elif source == layout.output:
                fence_off(LocalDisk(), layout, epoch=1)

    Dataset(layout, OLD, parts=3).publish(LocalDisk(), NO_FENCE)
    before = _seen(layout.output)
    new, disk = Dataset(layout, NEW, parts=parts), Loses()
    _until_ready(new, disk, fence)
    with pytest.raises(LockLost):
        new.publication(disk, fence).swap_in(new.intent, {})
    assert _seen(layout.output) == before


def test_what_a_successor_has_published_meanwhile_is_not_written_over_by_what_was_moved_aside(layout):
    class Slow(DiskWithoutExchange):
        def rename(self, source, dest, *, role):
            super().rename(source, dest, role=role)
            if source == layout.output:
                layout.output.mkdir()
                (layout.output / "part").write_bytes(b"the successor's")
                fence.is_lost = True

    fence = Epoch()
    Dataset(layout, OLD, parts=3).publish(LocalDisk(), NO_FENCE)
    new = Dataset(layout, NEW, parts=3)
    _until_ready(new, Slow(), fence)
    with pytest.raises(LockLost):
        new.publication(Slow(), fence).swap_in(new.intent, {})
    assert _seen(layout.output) == [b"the successor's"]
