"""The steps of a real disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from statekeeper.store.files import disk as disk_module
from statekeeper.store.files import failpoints
from statekeeper.store.files.disk import Access, LocalDisk


@pytest.fixture
def disk():
    return LocalDisk()


@pytest.fixture
def points():
    seen: list[tuple[str, str, str]] = []
    failpoints.install(lambda *point: seen.append(point))
    yield seen
    failpoints.install(None)


class Recording(LocalDisk):
    """Notes the files and folders that were synced, in order."""

    def __init__(self, base_path=None):
        super().__init__(base_path)
        self.synced = []

    def _fsync(self, descriptor):
        super()._fsync(descriptor)
        self.synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))


def test_failpoints_are_silent_without_a_hook(disk, tmp_path):
    disk.write_new(tmp_path / "a", b"x", role="state")


def test_every_step_is_marked_before_and_after(disk, tmp_path, points):
    disk.write_new(tmp_path / "a", b"xy", role="state")
    assert points == [
        ("write", "state", "before"),
        ("write", "state", "middle"),
        ("write", "state", "after"),
        ("fsync", "state", "before"),
        ("fsync", "state", "after"),
    ]
    points.clear()
    disk.rename(tmp_path / "a", tmp_path / "b", role="state")
    disk.link(tmp_path / "b", tmp_path / "c", role="receipt")
    assert disk.exchange(tmp_path / "b", tmp_path / "c", role="publish")
    disk.unlink(tmp_path / "c", role="sweep")
    disk.make_folder(tmp_path / "d", role="plan")
    disk.remove_folder(tmp_path / "d", role="sweep")
    with disk.create(tmp_path / "e", role="part") as file:
        disk.sync_file(file, role="part")
    steps = ["rename", "link", "exchange", "unlink", "fsync_folder", "mkdir", "fsync_folder", "remove_folder"]
    steps += ["create", "fsync"]
    assert [point[0] for point in points if point[2] == "before"] == steps
    assert [point[0] for point in points if point[2] == "after"] == steps


def test_write_stopped_in_the_middle_leaves_half(disk, tmp_path):
    def stop(step, role, when):
        if (step, when) == ("write", "middle"):
            raise KeyboardInterrupt

    failpoints.install(stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            disk.write_new(tmp_path / "a", b"123456", role="state")
    finally:
        failpoints.install(None)
    assert (tmp_path / "a").read_bytes() == b"123"


def test_new_files_never_replace_others(disk, tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        disk.write_new(tmp_path / "a", b"new", role="state")
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "a", role="part")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_write_new_syncs_its_content(tmp_path):
    disk = Recording()
    disk.write_new(tmp_path / "a", b"x", role="state")
    assert disk.synced == [str(tmp_path / "a")]


def test_make_folder_syncs_the_parent_of_each_new_folder(tmp_path):
    disk = Recording()
    disk.make_folder(tmp_path / "a" / "b" / "c", role="plan")
    assert disk.synced == [str(path) for path in (tmp_path.parent, tmp_path, tmp_path / "a", tmp_path / "a" / "b")]
    disk.make_folder(tmp_path / "a" / "b" / "c", role="plan")
    assert disk.synced[4:] == [str(tmp_path / "a" / "b")]


def test_a_base_path_is_made_durable_and_nothing_above_one_that_is_in_use_is_touched(tmp_path):
    base_path = tmp_path / "new" / "data"
    disk = Recording(base_path)
    disk.make_folder(base_path, role="plan")
    made = [str(path) for path in (tmp_path, tmp_path / "new")]
    assert disk.synced == made
    disk.make_folder(base_path / "a", role="plan")  # as if its maker had died before it synced the parent
    assert disk.synced == [*made, str(tmp_path / "new"), str(base_path)]
    del disk.synced[:]
    disk.make_folder(base_path / "b", role="plan")
    assert disk.synced == [str(base_path)]


def test_make_folder_over_a_file_is_refused(disk, tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError):
        disk.make_folder(tmp_path / "a", role="plan")


def test_link_to_a_taken_name_is_refused_unless_it_is_the_same_file(disk, tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        disk.link(tmp_path / "a", tmp_path / "b", role="receipt")
    disk.link(tmp_path / "a", tmp_path / "c", role="receipt")
    disk.link(tmp_path / "a", tmp_path / "c", role="receipt")
    assert (tmp_path / "b").read_text() == "b"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EXDEV, errno.ENOTSUP])
def test_refused_link_becomes_a_durable_copy(tmp_path, monkeypatch, code):
    def refuse(source, dest):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(disk_module.os, "link", refuse)
    (tmp_path / "a").write_bytes(b"content")
    disk = Recording()
    disk.link_or_copy(tmp_path / "a", tmp_path / "b", role="publish")
    assert (tmp_path / "b").read_bytes() == b"content"
    assert disk.synced == [str(tmp_path / "b")]


def test_link_or_copy_links_where_it_can(disk, tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    disk.link_or_copy(tmp_path / "a", tmp_path / "b", role="publish")
    assert (tmp_path / "a").samefile(tmp_path / "b")
    (tmp_path / "c").touch()
    with pytest.raises(FileExistsError):
        disk.link_or_copy(tmp_path / "a", tmp_path / "c", role="publish")


def test_other_failures_of_a_link_are_not_copied_over(disk, tmp_path):
    with pytest.raises(FileNotFoundError):
        disk.link_or_copy(tmp_path / "absent", tmp_path / "b", role="publish")


def test_exchange_swaps_file_and_folder(disk, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    assert disk.exchange(tmp_path / "file", tmp_path / "folder", role="publish")
    assert (tmp_path / "file").is_dir()
    assert (tmp_path / "folder").read_text() == "x"


def test_exchange_with_a_missing_name_is_an_error(disk, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        disk.exchange(tmp_path / "file", tmp_path / "absent", role="publish")


def test_exchange_says_no_where_the_system_has_none(disk, tmp_path, monkeypatch):
    from statekeeper.store.files import exchange

    class Libc:
        @staticmethod
        def renameat2(*_arguments):
            exchange.ctypes.set_errno(errno.EINVAL)
            return -1

    for name in "ab":
        (tmp_path / name).write_text(name)
    for libc in (Libc(), object()):
        monkeypatch.setattr(exchange.ctypes, "CDLL", lambda *_args, _libc=libc, **_options: _libc)
        assert not disk.exchange(tmp_path / "a", tmp_path / "b", role="publish")
    assert (tmp_path / "a").read_text() == "a"


def test_folders_in_one_that_is_there_are_made_and_synced_together(tmp_path, points):
    disk = Recording()
    (tmp_path / "00").mkdir()
    disk.make_folders(tmp_path, ("00", "01"), role="plan", access=Access.PRIVATE)
    assert disk.names(tmp_path) == ["00", "01"]
    assert (tmp_path / "01").stat().st_mode & 0o777 == 0o700
    assert disk.synced == [str(tmp_path)]
    assert [point[0] for point in points if point[2] == "before"] == ["mkdir", "mkdir", "fsync_folder"]


def test_missing_things_are_fine_to_remove(disk, tmp_path):
    disk.unlink(tmp_path / "absent", role="sweep")
    disk.remove_folder(tmp_path / "absent", role="sweep")


def test_remove_folder_removes_all_but_what_links_point_to(disk, tmp_path, points):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch()
    (tmp_path / "a" / "link").symlink_to(outside)
    disk.remove_folder(tmp_path / "a", role="sweep")
    assert disk.names(tmp_path) == ["outside"]
    assert disk.names(outside) == ["kept"]
    assert ("remove_folder", "sweep", "middle") in points


def test_looking(disk, tmp_path):
    (tmp_path / "b").write_bytes(b"123")
    (tmp_path / "a").mkdir()
    assert disk.names(tmp_path) == ["a", "b"]
    assert disk.names(tmp_path / "absent") == []
    assert disk.exists(tmp_path / "b")
    assert not disk.exists(tmp_path / "absent")
    assert disk.is_folder(tmp_path / "a")
    assert not disk.is_folder(tmp_path / "b")
    assert disk.size(tmp_path / "b") == 3
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert [disk.file_size(tmp_path / name) for name in ("b", "a", "link", "absent", "b/c")] == [3, *[None] * 4]
    with pytest.raises(FileNotFoundError):
        disk.read(tmp_path / "absent")


def test_folder_sync_that_a_file_system_does_not_offer_is_let_be(tmp_path):
    class Without(LocalDisk):
        code = errno.EINVAL

        def _fsync(self, _descriptor):
            raise OSError(self.code, os.strerror(self.code))

    disk = Without()
    disk.sync_folder(tmp_path, role="state")
    disk.code = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        disk.sync_folder(tmp_path, role="state")


def test_a_folder_is_removed_although_a_late_worker_still_writes_into_it(tmp_path):
    folder = tmp_path / "plan" / "parts"
    folder.mkdir(parents=True)
    (folder / "a").touch()
    middles = []

    def write_late(_step, _role, when):
        if when == "middle":
            middles.append(when)
            if len(middles) == 2:  # of the inner folder, whose names are listed already
                (folder / "late").touch()

    failpoints.install(write_late)
    try:
        LocalDisk().remove_folder(tmp_path / "plan", role="sweep")
    finally:
        failpoints.install(None)
    assert not (tmp_path / "plan").exists()
