"""What can go wrong in a replacement, and what stands then."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import pytest

from statekeeper.errors import LockLost, StorageError
from statekeeper.store.files import failpoints
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import NO_FENCE, create_once, replace
from tests.messages import says


class Epoch:
    """A fence of an epoch that may have been lost."""

    def __init__(self, epoch=3, *, is_lost=False):
        self.epoch = epoch
        self.is_lost = is_lost

    def check(self):
        if self.is_lost:
            raise LockLost("lost")


@pytest.fixture
def disk():
    return LocalDisk()


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    return path


@pytest.fixture
def fail_at():
    """Makes a failpoint raise an error of the system."""

    def install(step, when, code):
        def hook(*point):
            if (point[0], point[2]) == (step, when):
                raise OSError(code, os.strerror(code))

        failpoints.install(hook)

    yield install
    failpoints.install(None)


def test_replace_leaves_the_new_document_alone(disk, state):
    replace(disk, state, b"new", role="state", fence=Epoch())
    assert state.read_bytes() == b"new"
    assert disk.names(state.parent) == ["state.json"]


def test_replace_follows_the_order_that_makes_stale_owners_lose(disk, state):
    seen = []

    class Noting(Epoch):
        def check(self):
            seen.append("check")

    failpoints.install(lambda step, _role, when: seen.append(step) if when == "after" else None)
    try:
        replace(disk, state, b"new", role="state", fence=Noting())
    finally:
        failpoints.install(None)
    assert seen == ["write", "fsync", "check", "rename", "fsync_folder"]


@pytest.mark.parametrize("fence", [Epoch(), NO_FENCE])
def test_replace_writes_over_a_left_over_temporary_file(disk, state, fence):
    from statekeeper.store.files.temps import process_token, temp_file

    token = process_token() if fence is NO_FENCE else "3"
    temp_file(state, token).write_bytes(b"left")
    replace(disk, state, b"new", role="state", fence=fence)
    assert disk.names(state.parent) == ["state.json"]


def test_lost_fence_leaves_the_document_and_no_temporary_file(disk, state):
    with pytest.raises(LockLost):
        replace(disk, state, b"new", role="state", fence=Epoch(is_lost=True))
    assert state.read_bytes() == b"old"
    assert disk.names(state.parent) == ["state.json"]


def test_temporary_file_swept_after_the_check_is_a_lost_lock(disk, state):
    """The window that a takeover closes: our check has passed, then another takes over and sweeps."""
    fence = Epoch()

    def take_over(step, _role, when):
        if (step, when) == ("rename", "before"):
            fence.is_lost = True
            (state.parent / ".state.json.3.tmp").unlink()

    failpoints.install(take_over)
    try:
        with pytest.raises(LockLost):
            replace(disk, state, b"new", role="state", fence=fence)
    finally:
        failpoints.install(None)
    assert state.read_bytes() == b"old"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize(
    ("step", "when"),
    [("write", "before"), ("write", "middle"), ("fsync", "before"), ("fsync", "after"), ("rename", "before")],
)
def test_refused_step_is_a_storage_error_and_the_old_document_stays(disk, state, fail_at, code, step, when):
    fail_at(step, when, code)
    with pytest.raises(StorageError) as caught:
        replace(disk, state, b"new", role="state", fence=Epoch())
    failpoints.install(None)
    error = caught.value
    assert error.code == errno.errorcode[code]
    assert str(state) in error.message
    assert os.strerror(code) in error.message
    assert error.hint
    assert "{" not in error.hint
    assert state.read_bytes() == b"old"
    assert disk.names(state.parent) == ["state.json"]


def test_failed_folder_sync_is_reported(disk, state, fail_at):
    fail_at("fsync_folder", "before", errno.EIO)
    with pytest.raises(StorageError) as caught:
        replace(disk, state, b"new", role="state", fence=Epoch())
    assert caught.value.code == "EIO"


@pytest.fixture
def tiny(tmp_path):
    """A real file system of 64 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_keeps_the_old_document(disk, tiny):
    state = tiny / "state.json"
    replace(disk, state, b"old" * 1000, role="state", fence=Epoch())
    (tiny / "filler").write_bytes(b"x" * 50_000)
    with pytest.raises(StorageError) as caught:
        replace(disk, state, b"new" * 10_000, role="state", fence=Epoch())
    assert caught.value.code == "ENOSPC"
    assert says(caught.value.hint, "system.free_some_space")
    assert state.read_bytes() == b"old" * 1000
    assert disk.names(tiny) == ["filler", "state.json"]
    (tiny / "filler").unlink()
    replace(disk, state, b"new" * 10_000, role="state", fence=Epoch())
    assert state.read_bytes() == b"new" * 10_000


def test_file_size_limit_keeps_the_old_document(state):
    code = f"""
import resource
from pathlib import Path
from statekeeper.errors import StorageError
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import NO_FENCE, replace
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    replace(LocalDisk(), Path({str(state)!r}), b"x" * 10_000, role="state", fence=NO_FENCE)
except StorageError as error:
    print(error.code)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "EFBIG"
    assert state.read_bytes() == b"old"
    assert LocalDisk().names(state.parent) == ["state.json"]


def test_create_once_first_wins(disk, tmp_path):
    path = tmp_path / "receipt.json"
    assert create_once(disk, path, b"one", role="receipt", unique="a1")
    assert not create_once(disk, path, b"two", role="receipt", unique="b2")
    assert path.read_bytes() == b"one"
    assert disk.names(tmp_path) == ["receipt.json"]


def test_create_once_again_after_a_crash_between_link_and_unlink(disk, tmp_path):
    path = tmp_path / "receipt.json"
    (tmp_path / ".receipt.json.a1.tmp").write_bytes(b"one")
    os.link(tmp_path / ".receipt.json.a1.tmp", path)
    assert not create_once(disk, path, b"two", role="receipt", unique="a1")
    assert path.read_bytes() == b"one"
    assert disk.names(tmp_path) == ["receipt.json"]


@pytest.mark.parametrize(("step", "when"), [("write", "middle"), ("fsync", "before"), ("link", "before")])
def test_refused_step_of_create_once_leaves_nothing(disk, tmp_path, fail_at, step, when):
    fail_at(step, when, errno.ENOSPC)
    with pytest.raises(StorageError) as caught:
        create_once(disk, tmp_path / "receipt.json", b"one", role="receipt", unique="a1")
    assert caught.value.code == "ENOSPC"
    assert disk.names(tmp_path) == []


def test_create_once_has_one_winner_among_threads(disk, tmp_path):
    path = tmp_path / "receipt.json"
    won = []

    def compete(number):
        if create_once(disk, path, str(number).encode(), role="receipt", unique=f"t{number}"):
            won.append(number)

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(number).encode() for number in won] == [path.read_bytes()]
    assert disk.names(tmp_path) == ["receipt.json"]


def test_unfenced_writers_at_once_leave_one_whole_document(disk, tmp_path):
    path = tmp_path / "manifest.json"
    contents = [str(number).encode() * 50_000 for number in range(8)]

    def write(content):
        for _ in range(5):
            replace(disk, path, content, role="manifest", fence=NO_FENCE)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert disk.names(tmp_path) == ["manifest.json"]
