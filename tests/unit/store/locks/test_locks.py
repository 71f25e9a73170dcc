"""Locks between real processes: held, killed, stopped, woken up."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from statekeeper.config.sections.output import LockKind
from statekeeper.errors import LockHeld, LockLost
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import replace
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.locks.lock import acquire, peek
from statekeeper.store.process import this_process
from tests.messages import raises_message, says

CHILD = Path(__file__).with_name("lock_child.py")
TTL = 1.0
KINDS = [LockKind.FLOCK, LockKind.LEASE]


class Runner:
    """A `lock_child` process."""

    def __init__(self, folder: Path, kind: LockKind, ttl: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), str(folder), kind.value, str(ttl)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.answer()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            self.wait_until_stopped()

    def wait_until_stopped(self) -> None:
        deadline = time.monotonic() + 20
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline, "the process did not stop"
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def layout(tmp_path):
    return ExtractionLayout(folder=tmp_path / "shop" / "orders" / "202601" / "01", run_id="shop-20260101")


@pytest.fixture
def runner(layout):
    runners: list[Runner] = []

    def start(kind: LockKind, ttl: float = TTL) -> Runner:
        runners.append(Runner(layout.folder, kind, ttl))
        return runners[-1]

    yield start
    for each in runners:
        each.close()


def take(layout, kind, ttl: float = TTL):
    return acquire(LocalDisk(), layout, kind=kind, owner=this_process(), ttl=timedelta(seconds=ttl))


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_second_process_is_told_who_holds_it(layout, runner, kind):
    first, second = runner(kind), runner(kind)
    assert first.ask("acquire").startswith("held ")
    answer = second.ask("acquire")
    assert answer.startswith("refused 3 ")
    assert f"process {first.process.pid} on {os.uname().nodename}, since 20" in answer
    assert first.ask("check") == "good"


@pytest.mark.parametrize("kind", KINDS)
def test_second_acquisition_in_one_process_is_refused(layout, kind):
    with take(layout, kind), pytest.raises(LockHeld, match=f"process {os.getpid()} on") as caught:
        take(layout, kind)
    assert says(caught.value.hint, "run.let_that_run_end")


@pytest.mark.parametrize("kind", KINDS)
def test_released_lock_is_free_at_once(layout, runner, kind):
    first = runner(kind, ttl=60)
    first.ask("acquire")
    assert first.ask("release") == "released"
    began = time.monotonic()
    with take(layout, kind, ttl=60) as lock:
        lock.check()
    assert time.monotonic() - began < 5
    assert first.ask("check").startswith("lost ")


@pytest.mark.parametrize("kind", KINDS)
def test_lock_of_a_killed_owner_is_taken_over_at_once(layout, runner, kind):
    first = runner(kind, ttl=60)
    first.ask("acquire")
    first.kill()
    began = time.monotonic()
    with take(layout, kind, ttl=60) as lock:
        lock.check()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", KINDS)
def test_owner_killed_before_its_rename_leaves_nothing_behind_after_takeover(layout, runner, kind):
    first = runner(kind)
    first.ask("acquire")
    assert first.ask("save old") == "saved"
    first.ask("stop rename before")
    first.tell("save new")
    first.wait_until_stopped()
    assert [name for name in LocalDisk().names(layout.folder) if name.endswith(".tmp")]
    first.kill()
    with take(layout, kind):
        assert layout.state.read_bytes() == b"old"
        assert not [name for name in LocalDisk().names(layout.folder) if name.endswith(".tmp")]


def test_stopped_owner_of_a_flock_keeps_it(layout, runner):
    first = runner(LockKind.FLOCK)
    first.ask("acquire")
    first.signal(signal.SIGSTOP)
    with pytest.raises(LockHeld, match=f"process {first.process.pid}"):
        take(layout, LockKind.FLOCK)
    first.signal(signal.SIGCONT)
    assert first.ask("check") == "good"


def test_living_owner_of_a_lease_keeps_it_beyond_its_ttl(layout, runner):
    first = runner(LockKind.LEASE)
    first.ask("acquire")
    time.sleep(2 * TTL)
    with pytest.raises(LockHeld):
        take(layout, LockKind.LEASE)
    assert first.ask("save mine") == "saved"


def test_workers_see_a_lease_that_was_taken_over_and_are_not_misled_by_a_heartbeat(layout, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    relative = ExtractionLayout(layout.folder.relative_to(tmp_path), layout.run_id)
    with acquire(LocalDisk(), relative, kind=LockKind.LEASE, owner=this_process(), ttl=timedelta(minutes=1)) as one:
        sent = pickle.dumps(one.for_workers())
        file = layout.lock.with_name(f"{layout.lock.name}.1")
        whole = file.read_bytes()
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir("/")
            fence = pickle.loads(sent)
            file.write_bytes(whole[:10])  # its owner is writing a heartbeat
            fence.check()
            layout.lock.with_name(f"{layout.lock.name}.2").write_bytes(whole)
            with raises_message(LockLost, "locks.taken_over"):
                fence.check()


def test_stopped_owner_of_a_lease_loses_it_after_its_ttl(layout, runner):
    first = runner(LockKind.LEASE)
    assert first.ask("acquire") == "held 1"
    first.signal(signal.SIGSTOP)
    began = time.monotonic()
    with take(layout, LockKind.LEASE) as lock:
        assert time.monotonic() - began >= TTL
        assert lock.epoch == 2
        replace(LocalDisk(), layout.state, b"theirs", role="state", fence=lock)
        first.signal(signal.SIGCONT)
        answer = first.ask("check")
        assert answer.startswith("lost ")
        assert says(answer, "locks.taken_over", successor=f"process {os.getpid()} on ...")
        assert first.ask("save mine").startswith("lost ")
        assert first.ask("release") == "released"
        lock.check()
    assert layout.state.read_bytes() == b"theirs"


# Where an owner may be stopped in the middle of a save. Before its rename, its check has already been passed.
@pytest.mark.parametrize(("step", "when"), [("write", "middle"), ("fsync", "after"), ("rename", "before")])
def test_owner_stopped_within_a_save_leaves_the_new_owners_file_untouched(layout, runner, step, when):
    first = runner(LockKind.LEASE)
    first.ask("acquire")
    first.ask("save old")
    first.ask(f"stop {step} {when}")
    first.tell("save mine")
    first.wait_until_stopped()
    with take(layout, LockKind.LEASE) as lock:
        assert layout.state.read_bytes() == b"old"
        replace(LocalDisk(), layout.state, b"theirs", role="state", fence=lock)
        first.signal(signal.SIGCONT)
        assert first.answer().startswith("lost ")
        assert layout.state.read_bytes() == b"theirs"
        lock.check()
    assert not [name for name in LocalDisk().names(layout.folder) if name.endswith(".tmp")]


def test_save_that_ended_before_the_takeover_is_seen_by_the_new_owner(layout, runner):
    first = runner(LockKind.LEASE)
    first.ask("acquire")
    first.ask("stop rename after")
    first.tell("save mine")
    first.wait_until_stopped()
    with take(layout, LockKind.LEASE):
        assert layout.state.read_bytes() == b"mine"


def test_publication_of_a_stopped_owner_finds_nothing_to_rename(layout, runner):
    first = runner(LockKind.LEASE)
    first.ask("acquire")
    staging = layout.staging("0" * 32)
    staging.publish(1).mkdir(parents=True)
    (staging.publish(1) / "part").write_bytes(b"x")
    first.signal(signal.SIGSTOP)
    with take(layout, LockKind.LEASE) as lock:
        assert not staging.publish(1).exists()
        assert (staging.folder / "fenced-2.publish.1" / "part").read_bytes() == b"x"
        staging.publish(lock.epoch).mkdir()
    with take(layout, LockKind.LEASE):
        assert sorted(LocalDisk().names(staging.folder)) == ["fenced-2.publish.1", "fenced-3.publish.2"]


def test_many_processes_race_for_a_lease_and_one_wins(layout, runner):
    dead = runner(LockKind.LEASE)
    dead.ask("acquire")
    dead.kill()
    racers = [runner(LockKind.LEASE) for _ in range(5)]
    for racer in racers:
        racer.tell("acquire")
    answers = [racer.answer() for racer in racers]
    assert sorted(answer.split()[0] for answer in answers) == ["held", *["refused"] * 4]


@pytest.mark.parametrize("kind", KINDS)
def test_peek_names_the_holder_and_nobody_else(layout, runner, kind):
    assert peek(LocalDisk(), layout) is None
    first = runner(kind)
    first.ask("acquire")
    owner = peek(LocalDisk(), layout)
    assert owner is not None
    assert owner.pid == first.process.pid
    first.ask("release")
    assert peek(LocalDisk(), layout) is None
    first.ask("acquire")
    first.kill()
    assert peek(LocalDisk(), layout) is None


def test_flock_file_survives_release_and_its_torn_content_is_tolerated(layout):
    with take(layout, LockKind.FLOCK):
        before = layout.lock.stat().st_ino
        layout.lock.write_bytes(b'{"format": "statekeeper.lo')
        with raises_message(LockHeld, "locks.unknown_runner"):
            take(layout, LockKind.FLOCK)
    assert layout.lock.stat().st_ino == before
    with take(layout, LockKind.FLOCK) as lock:
        lock.check()


@pytest.mark.parametrize("kind", KINDS)
def test_deleted_lock_file_is_a_lost_lock(layout, kind):
    with take(layout, kind) as lock:
        for path in layout.folder.glob("*.lock*"):
            path.unlink()
        with pytest.raises(LockLost):
            lock.check()
        with take(layout, kind) as second:
            second.check()
            with pytest.raises(LockLost):
                lock.check()


def test_flock_is_not_inherited_by_commands(layout):
    with take(layout, LockKind.FLOCK):
        command = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with take(layout, LockKind.FLOCK) as lock:
            lock.check()
    finally:
        command.kill()
        command.wait()


def test_lease_keeps_its_own_and_the_previous_file_alone(layout):
    for _ in range(4):
        with take(layout, LockKind.LEASE):
            pass
    assert LocalDisk().names(layout.folder) == [f"{layout.lock.name}.3", f"{layout.lock.name}.4"]


def test_late_maker_of_a_swept_epoch_does_not_hold_by_it(layout):
    """A process that was stopped before it made epoch 1, while epochs 1 to 3 came and 1 was swept."""
    from statekeeper.store.locks.holder import Holder
    from statekeeper.store.locks.lease import _made
    from statekeeper.store.locks.lease_files import LeaseFiles

    for _ in range(3):
        with take(layout, LockKind.LEASE):
            pass
    files = LeaseFiles(LocalDisk(), layout.lock)
    assert not _made(files, Holder.of(this_process(), epoch=1, ttl=timedelta(seconds=TTL)))
    assert files.epochs() == [2, 3]


def test_damaged_lease_file_is_followed_after_a_ttl_without_heartbeat(layout):
    with take(layout, LockKind.LEASE):
        pass
    layout.lock.with_name(f"{layout.lock.name}.1").write_bytes(b"")
    began = time.monotonic()
    with take(layout, LockKind.LEASE) as lock:
        assert lock.epoch == 2
    assert time.monotonic() - began >= TTL


def test_left_over_temps_of_the_lock_are_swept(layout, runner):
    first = runner(LockKind.LEASE)
    first.ask("acquire")
    first.ask("release")
    gone = layout.lock.with_name(f".{layout.lock.name}.1.someone.tmp")
    gone.write_bytes(b"")
    other_run = layout.folder / ".shop-20260101-b.lock.1.someone.tmp"
    other_run.write_bytes(b"")
    with take(layout, LockKind.LEASE):
        assert not gone.exists()
        assert other_run.exists()


def test_flock_of_a_file_deleted_meanwhile_is_taken_again(layout, monkeypatch):
    from statekeeper.store.locks import flock

    real = flock._lock
    opened = []

    def lock_too_late(descriptor, path):
        if not opened:
            path.unlink()
        opened.append(descriptor)
        real(descriptor, path)

    monkeypatch.setattr(flock, "_lock", lock_too_late)
    with take(layout, LockKind.FLOCK) as lock:
        assert len(opened) == 2
        lock.check()
