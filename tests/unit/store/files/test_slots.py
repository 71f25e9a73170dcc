"""A document on a disk without rename: whatever is left of its replacement, one of the two slots is whole."""

from __future__ import annotations

import errno
import os

import pytest

from statekeeper.errors import LockLost, StateDamaged, StorageError
from statekeeper.store.files import failpoints
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import NO_FENCE, create_once, move, replace, streamed_once
from statekeeper.store.files.slots import read_document, read_listed, second_slot, settle
from tests.crash.nameless_disk import NamelessDisk


class Died(BaseException):
    pass


@pytest.fixture
def disk():
    return NamelessDisk()


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    return path


@pytest.fixture
def at():
    """Makes a failpoint raise, at the first or a later time that it is passed."""

    def install(step, when, error, *, time=1):
        passed = []

        def hook(*point):
            if (point[0], point[2]) == (step, when):
                passed.append(point)
                if len(passed) == time:
                    raise error

        failpoints.install(hook)

    yield install
    failpoints.install(None)


def _replace(disk, path, data=b"new", fence=NO_FENCE):
    replace(disk, path, data, role="state", fence=fence)


def test_a_replacement_leaves_the_new_document_alone(disk, state):
    _replace(disk, state)
    assert state.read_bytes() == b"new"
    assert disk.names(state.parent) == ["state.json"]


def test_a_new_document_is_made_the_same_way(disk, tmp_path):
    _replace(disk, tmp_path / "new.json")
    assert (tmp_path / "new.json").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (("write_over", "before", 1), b"old"),
        (("write_over", "middle", 1), b"old"),
        (("fsync", "before", 1), b"new"),  # the bytes are all there, though a loss of power may take them
        (("write_over", "after", 1), b"new"),
        (("write_over", "middle", 2), b"new"),
        (("write_over", "after", 2), b"new"),
        (("unlink", "before", 1), b"new"),
        (("unlink", "after", 1), b"new"),
    ],
)
@pytest.mark.parametrize("reader", [LocalDisk(), NamelessDisk()], ids=["rename", "whole"])
def test_whenever_a_writer_dies_readers_see_one_of_the_two(disk, state, at, point, expected, reader):
    step, when, time = point
    at(step, when, Died(), time=time)
    with pytest.raises(Died):
        _replace(disk, state)
    failpoints.install(None)
    assert read_document(reader, state) == expected
    settle(reader, state, role="state")  # as the next owner does, on whichever disk
    assert state.read_bytes() == expected
    assert disk.names(state.parent) == ["state.json"]


def test_a_first_document_that_was_left_in_its_middle_does_not_exist(disk, tmp_path, at):
    at("write_over", "middle", Died())
    with pytest.raises(Died):
        _replace(disk, tmp_path / "first.json")
    with pytest.raises(FileNotFoundError):
        read_document(disk, tmp_path / "first.json")


def test_a_writer_finishes_what_another_left_before_it_takes_the_slot(disk, state, at):
    at("write_over", "middle", Died(), time=2)
    with pytest.raises(Died):
        _replace(disk, state, b"second")  # the document is torn; only the slot is whole
    at("write_over", "middle", Died(), time=2)
    with pytest.raises(Died):
        _replace(disk, state, b"third")  # dies as it writes the slot, after it has settled the document
    failpoints.install(None)
    assert read_document(disk, state) == b"second"


def test_a_full_disk_leaves_the_old_document(disk, state, at):
    at("write_over", "middle", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(StorageError, match="ENOSPC"):
        _replace(disk, state)
    failpoints.install(None)
    assert read_document(disk, state) == b"old"


def test_a_lost_fence_leaves_both_slots_alone(disk, state):
    class Lost:
        epoch = 1

        def check(self):
            raise LockLost("lost")

    with pytest.raises(LockLost):
        _replace(disk, state, fence=Lost())
    assert disk.names(state.parent) == ["state.json"]
    assert state.read_bytes() == b"old"


def test_a_slot_that_is_not_ours_is_not_believed(disk, state):
    second_slot(state).write_bytes(b"statekeeper.next 0000\nforged")
    assert read_document(disk, state) == b"old"


def test_a_reader_that_saw_the_document_grow_looks_again(state):
    class Growing(LocalDisk):
        """Reads a document in the instant in which it is written over, once."""

        torn = b"ne"

        def read(self, path):
            data = super().read(path)
            if path == state and self.torn:
                data, self.torn = self.torn, b""
            return data

    assert read_document(Growing(), state) == b"old"


def test_a_document_that_is_created_once_stays(disk, tmp_path):
    path = tmp_path / "plan.json"
    assert create_once(disk, path, b"first", role="plan", unique="a")
    assert not create_once(disk, path, b"second", role="plan", unique="b")
    assert path.read_bytes() == b"first"


def test_a_creation_that_failed_leaves_nothing(disk, tmp_path, at):
    at("write", "middle", OSError(errno.EIO, os.strerror(errno.EIO)))
    with pytest.raises(StorageError):
        create_once(disk, tmp_path / "plan.json", b"first", role="plan", unique="a")
    assert disk.names(tmp_path) == []


def test_a_part_is_copied_in_whole(disk, tmp_path):
    with streamed_once(disk, tmp_path / "part", role="part", unique="a") as file:
        file.write(b"x" * 3_000_000)
        assert disk.names(tmp_path) == []  # it grows on this machine, not there
        file.write(b"end")
    assert (tmp_path / "part").read_bytes() == b"x" * 3_000_000 + b"end"


@pytest.mark.parametrize("disk", [LocalDisk(), NamelessDisk()], ids=["rename", "whole"])
def test_a_part_that_failed_leaves_nothing(disk, tmp_path):
    def write_half():
        with streamed_once(disk, tmp_path / "part", role="part", unique="a") as file:
            file.write(b"half")
            raise StateDamaged("no more")

    with pytest.raises(StateDamaged):
        write_half()
    assert disk.names(tmp_path) == []


def test_a_part_whose_copy_failed_leaves_nothing(disk, tmp_path, at):
    at("fsync", "before", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with (
        pytest.raises(StorageError, match="ENOSPC"),
        streamed_once(disk, tmp_path / "part", role="part", unique="a") as file,
    ):
        file.write(b"all of it")
    assert disk.names(tmp_path) == []


def test_no_folder_is_made_for_a_part(disk, tmp_path):
    with (
        pytest.raises(StorageError, match="ENOENT"),
        streamed_once(disk, tmp_path / "gone" / "part", role="part", unique="a") as file,
    ):
        file.write(b"late")
    assert disk.names(tmp_path) == []


def test_a_file_is_moved_without_rename(disk, state):
    move(disk, state, state.with_name("aside"), role="state")
    assert disk.names(state.parent) == ["aside"]
    assert state.with_name("aside").read_bytes() == b"old"


@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("is_seen", [True, False], ids=["slot_was_listed", "listed_before"])
def test_a_listed_document_is_whole_whenever_its_writer_dies(disk, state, at, time, is_seen):
    old, new = b'{\n  "a": {}\n}\n', b'{\n  "a": {\n    "b": 1\n  }\n}\n'
    state.write_bytes(old)
    names = disk.names(state.parent)
    at("write_over", "middle", Died, time=time)
    with pytest.raises(Died):
        _replace(disk, state, new)
    if is_seen:
        names = disk.names(state.parent)
    assert read_listed(disk, state, names) in (old, new)
    assert read_listed(disk, state, names) == read_document(disk, state)


def test_a_listed_document_that_is_only_in_its_second_slot_is_found(disk, tmp_path, at):
    path = tmp_path / "new.json"
    at("write_over", "before", Died, time=2)
    with pytest.raises(Died):
        _replace(disk, path, b"{\n}\n")
    assert disk.names(tmp_path) == [second_slot(path).name]
    assert read_listed(disk, path, disk.names(tmp_path)) == b"{\n}\n"
    with pytest.raises(FileNotFoundError):
        read_listed(disk, path, ())
