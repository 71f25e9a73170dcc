"""What the lossy disk loses and keeps, and that it reveals a missing sync."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from statekeeper.errors import StorageError
from statekeeper.store.files.durable import NO_FENCE, create_once, replace

from .lossy_disk import LossyDisk


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def disk(root, tmp_path):
    return LossyDisk(root, tmp_path / "image")


class NoFolderSync(LossyDisk):
    def sync_folder(self, path, *, role):
        pass


class NoFileSync(LossyDisk):
    def sync_file(self, file, *, role):
        file.flush()


def tree(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in sorted(root.rglob("*"))
    }


def test_what_was_there_before_is_durable(root, tmp_path):
    (root / "old" / "deep").mkdir(parents=True)
    (root / "old" / "deep" / "file").write_bytes(b"kept")
    LossyDisk(root, tmp_path / "image").crash()
    assert tree(root) == {"old": None, "old/deep": None, "old/deep/file": b"kept"}


def test_replace_survives_whole(root, disk):
    replace(disk, root / "state", b"one", role="state", fence=NO_FENCE)
    replace(disk, root / "state", b"two", role="state", fence=NO_FENCE)
    disk.crash()
    assert tree(root) == {"state": b"two"}


def test_replace_without_folder_sync_keeps_the_old_and_loses_the_new(root, disk, tmp_path):
    replace(disk, root / "state", b"one", role="state", fence=NO_FENCE)
    broken = NoFolderSync(root, tmp_path / "image")
    replace(broken, root / "state", b"two", role="state", fence=NO_FENCE)
    replace(broken, root / "other", b"new", role="state", fence=NO_FENCE)
    assert (root / "state").read_bytes() == b"two"
    broken.crash()
    assert tree(root) == {"state": b"one"}


def test_replace_without_file_sync_leaves_an_empty_file(root, tmp_path):
    broken = NoFileSync(root, tmp_path / "image")
    replace(broken, root / "state", b"one", role="state", fence=NO_FENCE)
    broken.crash()
    assert tree(root) == {"state": b""}


def test_create_once_survives_without_its_temporary_file(root, disk):
    assert create_once(disk, root / "receipt", b"one", role="receipt", unique="a")
    disk.crash()
    assert tree(root) == {"receipt": b"one"}


def test_a_late_second_create_once_makes_the_first_durable(root, disk, tmp_path):
    create_once(NoFolderSync(root, tmp_path / "image"), root / "receipt", b"one", role="receipt", unique="a")
    assert not create_once(disk, root / "receipt", b"two", role="receipt", unique="b")
    disk.crash()
    assert tree(root) == {"receipt": b"one"}


def test_made_folders_survive_and_bare_ones_do_not(root, disk):
    disk.make_folder(root / "a" / "b" / "c", role="plan")
    (root / "a" / "bare").mkdir()
    disk.crash()
    assert tree(root) == {"a": None, "a/b": None, "a/b/c": None}


def test_make_folder_finishes_what_a_dead_process_left_unsynced(root, disk):
    (root / "a").mkdir()
    disk.make_folder(root / "a" / "b", role="plan")
    disk.crash()
    assert tree(root) == {"a": None, "a/b": None}
    (root / "a" / "b" / "c").mkdir()
    disk.make_folder(root / "a" / "b" / "c", role="plan")
    disk.crash()
    assert tree(root) == {"a": None, "a/b": None, "a/b/c": None}


def test_a_stream_keeps_what_was_synced(root, disk):
    with disk.create(root / "part", role="part") as file:
        file.write(b"synced")
        disk.sync_file(file, role="part")
        file.write(b" and lost")
    disk.sync_folder(root, role="part")
    disk.crash()
    assert tree(root) == {"part": b"synced"}


def test_unsynced_unlinks_and_renames_come_back(root, tmp_path):
    for name in ("gone", "old"):
        (root / name).write_bytes(name.encode())
    disk = LossyDisk(root, tmp_path / "image")
    disk.unlink(root / "gone", role="sweep")
    disk.rename(root / "old", root / "new", role="publish")
    disk.crash()
    assert tree(root) == {"gone": b"gone", "old": b"old"}


def test_synced_unlinks_and_renames_stay(root, tmp_path):
    for name in ("gone", "old"):
        (root / name).write_bytes(name.encode())
    disk = LossyDisk(root, tmp_path / "image")
    disk.unlink(root / "gone", role="sweep")
    disk.rename(root / "old", root / "new", role="publish")
    disk.sync_folder(root, role="publish")
    disk.crash()
    assert tree(root) == {"new": b"old"}


def folders_with_content(root: Path) -> None:
    for name in ("live", "next"):
        (root / name).mkdir()
        (root / name / "part").write_bytes(name.encode())


@pytest.mark.parametrize(("is_synced", "content"), [(True, b"next"), (False, b"live")])
def test_an_exchange_of_folders_takes_their_content_along(root, tmp_path, is_synced, content):
    folders_with_content(root)
    disk = LossyDisk(root, tmp_path / "image")
    assert disk.exchange(root / "live", root / "next", role="publish")
    if is_synced:
        disk.sync_folder(root, role="publish")
    disk.crash()
    assert (root / "live" / "part").read_bytes() == content


def test_a_folder_moved_to_a_folder_synced_alone_is_in_both(root, tmp_path):
    (root / "staging" / "publish").mkdir(parents=True)
    (root / "staging" / "publish" / "part").write_bytes(b"x")
    disk = LossyDisk(root, tmp_path / "image")
    disk.rename(root / "staging" / "publish", root / "out", role="publish")
    disk.sync_folder(root, role="publish")
    disk.crash()
    assert tree(root) == {
        "out": None,
        "out/part": b"x",
        "staging": None,
        "staging/publish": None,
        "staging/publish/part": b"x",
    }
    disk.unlink(root / "staging" / "publish" / "part", role="sweep")
    disk.sync_folder(root / "staging" / "publish", role="sweep")
    disk.crash()
    assert (root / "out" / "part").read_bytes() == b"x"
    assert not (root / "staging" / "publish" / "part").exists()


def test_links_are_one_file_after_a_crash(root, disk):
    disk.write_new(root / "a", b"x", role="part")
    disk.link(root / "a", root / "b", role="publish")
    disk.sync_folder(root, role="publish")
    disk.crash()
    assert (root / "a").samefile(root / "b")


def test_a_new_file_is_not_taken_for_an_old_one_of_the_same_inode_number(root, disk):
    for turn in range(50):
        disk.write_new(root / "file", b"durable once", role="part")
        disk.unlink(root / "file", role="sweep")
        (root / "file").touch()
        disk.sync_folder(root, role="part")
        disk.crash()
        assert tree(root) == {"file": b""}, turn
        disk.unlink(root / "file", role="sweep")


def test_what_another_process_synced_before_it_was_killed_is_kept(root, tmp_path):
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from lossy_disk import LossyDisk
root = Path({str(root)!r})
disk = LossyDisk(root, Path({str(tmp_path / "image")!r}))
disk.write_new(root / "synced", b"x", role="part")
disk.sync_folder(root, role="part")
disk.write_new(root / "unsynced", b"x", role="part")
os._exit(9)
"""
    child = subprocess.run([sys.executable, "-c", code], check=False)
    assert child.returncode == 9
    assert sorted(child.name for child in root.iterdir()) == ["synced", "unsynced"]
    LossyDisk(root, tmp_path / "image").crash()
    assert tree(root) == {"synced": b"x"}


def test_an_image_within_the_tree_is_refused(root):
    with pytest.raises(ValueError, match="lies in the tree"):
        LossyDisk(root, root / "image")


def test_create_once_makes_no_folder(root, disk):
    with pytest.raises(StorageError) as caught:
        create_once(disk, root / "swept" / "receipt", b"x", role="receipt", unique="a")
    assert caught.value.code == "ENOENT"
    assert tree(root) == {}
