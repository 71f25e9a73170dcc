"""Whether an owner still lives, told by real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import psutil
import pytest

from statekeeper.store import process as owners
from statekeeper.store.process import Liveness, liveness, this_process


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def as_owner(process):
    return this_process().model_copy(update={"pid": process.pid, "started": owners._started(process.pid)})


def test_this_process_is_alive():
    me = this_process()
    assert me.pid == os.getpid()
    assert liveness(me) is Liveness.ALIVE


def test_process_is_alive_then_a_zombie_then_gone(sleeper):
    owner = as_owner(sleeper)
    assert liveness(owner) is Liveness.ALIVE
    sleeper.kill()
    deadline = time.monotonic() + 20
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert liveness(owner) is Liveness.DEAD
    sleeper.wait()
    assert liveness(owner) is Liveness.DEAD


def test_stopped_process_is_alive(sleeper):
    owner = as_owner(sleeper)
    sleeper.send_signal(signal.SIGSTOP)
    assert liveness(owner) is Liveness.ALIVE


def test_pid_with_another_start_is_dead(sleeper):
    owner = as_owner(sleeper)
    assert liveness(owner.model_copy(update={"started": owner.started - 60})) is Liveness.DEAD


def test_start_does_not_move_with_the_wall_clock(sleeper, monkeypatch, tmp_path):
    """The kernel then says another boot time: psutil reads it from here, and the process where it is."""
    owner = as_owner(sleeper)
    moved, before = tmp_path / "proc", psutil.boot_time()
    moved.mkdir()
    (moved / "stat").write_text(f"btime {before + 3600:.0f}\n")
    (moved / str(sleeper.pid)).symlink_to(f"/proc/{sleeper.pid}")
    with monkeypatch.context() as patched:
        patched.setattr(psutil, "PROCFS_PATH", str(moved))
        assert liveness(owner) is Liveness.ALIVE
        assert owners._started(sleeper.pid) == owner.started
        assert psutil.boot_time() == before + 3600
    assert psutil.boot_time() == before  # up to psutil 7.0, it keeps what it found last


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"host": "elsewhere"}, Liveness.UNKNOWN),
        ({"boot_id": "another-boot/pid:[1]"}, Liveness.DEAD),
        ({"boot_id": ""}, Liveness.UNKNOWN),
        ({"host": "elsewhere", "boot_id": "another-boot"}, Liveness.UNKNOWN),
    ],
)
def test_other_machines_and_boots(change, expected):
    assert liveness(this_process().model_copy(update=change)) is expected


def test_another_container_of_this_machine_is_unknown():
    me = this_process()
    boot = me.boot_id.partition("/")[0]
    assert liveness(me.model_copy(update={"boot_id": f"{boot}/pid:[1]", "pid": 2**22})) is Liveness.UNKNOWN
