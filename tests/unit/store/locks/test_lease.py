"""A lease on file systems that keep no times, refuse a write, or do not answer: who holds it is known all the same."""

from __future__ import annotations

import errno
import os
import threading
import time
from datetime import timedelta

import pytest

from statekeeper.config.sections.output import LockKind
from statekeeper.errors import LockHeld, LockLost
from statekeeper.model.state import Owner
from statekeeper.store.files.disk import LocalDisk, WholeFileDisk, Writes
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.locks import heartbeat, lease_watch
from statekeeper.store.locks.holder import Holder, parse_holder
from statekeeper.store.locks.lease import heartbeat_interval
from statekeeper.store.locks.lease_watch import LeaseWatch
from statekeeper.store.locks.lock import acquire, peek
from statekeeper.store.process import this_process
from tests.messages import says
from tests.unit.store.files.refusing_system import RefusingSystem

TTL = 0.8
DISKS = [LocalDisk, WholeFileDisk]
ELSEWHERE = Owner(host="another machine", boot_id="another", pid=1, started=1.0)


@pytest.fixture
def layout(tmp_path):
    return ExtractionLayout(folder=tmp_path / "shop" / "orders" / "202601" / "01", run_id="shop-20260101")


@pytest.fixture
def lease_file(layout):
    return layout.lock.with_name(f"{layout.lock.name}.1")


def take(layout, disk=None, *, ttl=TTL):
    owner = this_process()
    return acquire(disk or LocalDisk(), layout, kind=LockKind.LEASE, owner=owner, ttl=timedelta(seconds=ttl))


def wait_for(condition, what):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)
    return found


def loss_of(lock):
    """The error of a check, None where there is none."""
    try:
        lock.check()
    except LockLost as lost:
        return lost
    return None


def beats(path):
    holder = parse_holder(path.read_bytes(), path)
    return -1 if holder is None else holder.beats


@pytest.fixture
def refuse_writes(monkeypatch):
    """Have the system refuse to write files of leases, as it does when permissions are changed meanwhile."""

    def refuse(code):
        real_open = os.open

        def opened(path, flags, *arguments, **options):
            if ".lock." in os.fspath(path) and flags & (os.O_WRONLY | os.O_RDWR):
                raise OSError(code, os.strerror(code), os.fspath(path))
            return real_open(path, flags, *arguments, **options)

        def set_time(path, *_arguments, **_options):
            raise OSError(code, os.strerror(code), os.fspath(path))

        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os, "utime", set_time)

    return refuse


class Hanging(LocalDisk):
    """A file system that does not answer what is asked of it in `step`, outside of the threads of leases or in them."""

    def __init__(self, step, *, in_heart):
        self.step, self.in_heart = step, in_heart
        self.answers = threading.Event()
        self.answers.set()

    def read(self, path):
        self._answer("read")
        return super().read(path)

    def rewrite(self, path, data):
        self._answer("rewrite")
        super().rewrite(path, data)

    def _answer(self, step):
        if step == self.step and threading.current_thread().name.startswith("lease ") == self.in_heart:
            assert self.answers.wait(30)


class TestSignOfLife:
    @pytest.mark.parametrize("disk", DISKS)
    def test_living_owner_is_seen_where_the_file_system_keeps_no_new_times(self, layout, monkeypatch, disk):
        monkeypatch.setattr(os, "utime", lambda *_arguments, **_options: None)
        with take(layout, disk()) as lock:
            with pytest.raises(LockHeld):
                take(layout, disk())
            lock.check()

    @pytest.mark.parametrize("disk", DISKS)
    def test_each_sign_writes_a_higher_number(self, layout, lease_file, disk):
        with take(layout, disk()):
            for number in (1, 2):
                wait_for(lambda number=number: beats(lease_file) >= number, "a heartbeat")

    def test_a_new_file_time_alone_is_no_heartbeat(self, layout, lease_file):
        layout.folder.mkdir(parents=True)
        lease_file.write_bytes(Holder.of(ELSEWHERE, epoch=1, ttl=timedelta(seconds=TTL)).to_bytes())
        watch = LeaseWatch(LocalDisk(), layout.lock, ttl=timedelta(seconds=TTL))
        deadline = time.monotonic() + 20
        while not watch.look():
            assert time.monotonic() < deadline, "it is never free"
            os.utime(lease_file)
            time.sleep(watch.pause)

    def test_a_file_that_is_being_written_neither_keeps_nor_frees_the_lease(self, layout, lease_file):
        layout.folder.mkdir(parents=True)
        holder = Holder.of(ELSEWHERE, epoch=1, ttl=timedelta(minutes=1))
        watch = LeaseWatch(LocalDisk(), layout.lock, ttl=timedelta(minutes=1))
        for content in (b"", holder.to_bytes(), b"", holder.to_bytes()[:40], holder.to_bytes()):
            lease_file.write_bytes(content)
            assert not watch.look()
        lease_file.write_bytes(holder.beaten().to_bytes())
        with pytest.raises(LockHeld):
            watch.look()
        lease_file.write_bytes(b"")
        assert not watch.look()
        lease_file.write_bytes(holder.released().to_bytes())
        assert watch.look()

    def test_a_check_that_hangs_does_not_stop_the_signs(self, layout, lease_file):
        disk = Hanging("read", in_heart=False)
        with take(layout, disk) as lock:
            disk.answers.clear()
            checking = threading.Thread(target=lock.check)
            checking.start()
            before = beats(lease_file)
            wait_for(lambda: beats(lease_file) >= before + 2, "a heartbeat")
            assert checking.is_alive()
            disk.answers.set()
            checking.join()

    def test_owner_does_not_write_over_the_lease_of_another(self, layout, lease_file):
        with take(layout) as lock:
            lease_file.unlink()
            theirs = Holder.of(ELSEWHERE, epoch=1, ttl=timedelta(seconds=TTL)).to_bytes()
            lease_file.write_bytes(theirs)
            assert says(wait_for(lock.trouble, "trouble").message, "locks.lock_was_replaced")
            assert loss_of(lock)
        assert lease_file.read_bytes() == theirs

    def test_partly_written_file_is_rewritten_by_its_owner(self, layout, lease_file):
        with take(layout) as lock:
            lease_file.write_bytes(b"")
            lock.check()
            assert peek(LocalDisk(), layout) == this_process()

    @pytest.mark.parametrize(
        ("ttl", "writes", "seconds"),
        [
            (300, Writes.WHOLE, 75),
            (60, Writes.RENAME, 15),
            (2, Writes.WHOLE, 1),
            (1, Writes.WHOLE, 0.5),
            (1, Writes.RENAME, 0.25),
        ],
    )
    def test_signs_are_a_quarter_of_the_ttl_apart_and_no_object_is_written_twice_a_second(self, ttl, writes, seconds):
        assert heartbeat_interval(ttl, writes) == seconds


class TestSilence:
    @pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO])
    def test_lock_whose_sign_cannot_be_written_is_lost_and_says_what_where_and_since_when(
        self, layout, lease_file, refuse_writes, code
    ):
        lock = take(layout)
        refuse_writes(code)
        trouble = wait_for(lock.trouble, "trouble")
        assert says(trouble.message, "locks.lock_is_lost")
        message = str(wait_for(lambda: loss_of(lock), "the loss"))
        assert message.startswith(f"{lease_file}: no heartbeat could be written for ")
        assert " UTC: " + os.strerror(code) in message
        assert time.strftime("since %Y-%m-%d", time.gmtime()) in message
        wait_for(lambda: lock.trouble().loss, "the loss as trouble")
        lock.release()

    def test_lock_that_cannot_be_kept_alive_is_lost_before_another_can_have_it(self, layout, refuse_writes):
        lock = take(layout)
        refuse_writes(errno.EACCES)
        watch = LeaseWatch(LocalDisk(), layout.lock, ttl=timedelta(seconds=TTL))
        while True:
            try:
                if watch.look():
                    break
            except LockHeld:  # its last sign
                watch = LeaseWatch(LocalDisk(), layout.lock, ttl=timedelta(seconds=TTL))
            time.sleep(watch.pause)
        assert loss_of(lock)
        lock.release()

    def test_file_system_that_does_not_answer_is_trouble_then_a_loss(self, layout, monkeypatch):
        monkeypatch.setattr(heartbeat, "_LAST_SECONDS", 0.05)
        disk = Hanging("rewrite", in_heart=True)
        lock = take(layout, disk)
        disk.answers.clear()
        assert says(wait_for(lock.trouble, "trouble").message, "locks.no_answer")
        assert wait_for(lambda: loss_of(lock), "the loss")
        disk.answers.set()
        wait_for(lambda: lock.trouble() is None, "the end of it")
        lock.check()
        lock.release()

    def test_trouble_that_passes_in_time_costs_nothing(self, layout):
        class Failing(LocalDisk):
            fails = False

            def rewrite(self, path, data):
                if self.fails:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                super().rewrite(path, data)

        disk = Failing()
        with take(layout, disk, ttl=4 * TTL) as lock:
            disk.fails = True
            assert says(wait_for(lock.trouble, "trouble").message, "locks.lock_is_lost_after")
            disk.fails = False
            wait_for(lambda: lock.trouble() is None, "the end of it")
            lock.check()

    def test_lock_that_cannot_be_released_is_no_secret(self, layout, refuse_writes, caplog):
        lock = take(layout, ttl=60)
        refuse_writes(errno.EACCES)
        lock.release()
        assert "other runs wait 60 s until this lock is free" in caplog.text
        assert "Permission denied" in caplog.text


class TestRequests:
    """On a volume each of these is a round trip to an object store."""

    def test_a_check_lists_and_reads_once(self, layout, tmp_path, monkeypatch):
        with take(layout, WholeFileDisk(), ttl=60) as lock:
            system = RefusingSystem(tmp_path, monkeypatch)
            lock.check()
            found = _requests(system)
        assert found == {"listdir": 1, "open": 2}, "the folder is opened, too"

    def test_a_sign_reads_and_writes_once(self, layout, tmp_path, monkeypatch):
        with take(layout, WholeFileDisk(), ttl=60) as lock:
            system = RefusingSystem(tmp_path, monkeypatch)
            lock._beat()
            found = _requests(system)
        assert found == {"open": 2, "write": 1}

    def test_a_lease_costs_a_few_requests_to_take_and_to_release(self, layout, tmp_path, monkeypatch):
        layout.folder.mkdir(parents=True)
        system = RefusingSystem(tmp_path, monkeypatch)
        take(layout, WholeFileDisk(), ttl=60).release()
        assert sum(_requests(system).values()) <= 40

    def test_a_silent_lease_is_looked_at_less_and_less_often(self, layout, lease_file, monkeypatch):
        layout.folder.mkdir(parents=True)
        lease_file.write_bytes(Holder.of(ELSEWHERE, epoch=1, ttl=timedelta(minutes=5)).to_bytes())
        now, looks = 1000.0, 0
        monkeypatch.setattr(lease_watch.time, "monotonic", lambda: now)
        watch = LeaseWatch(LocalDisk(), layout.lock, ttl=timedelta(minutes=5))
        while not watch.look():
            looks += 1
            now += watch.pause
        assert now - 1000 >= 300
        assert looks < 80


def _requests(system):
    """What was asked of the file system, without what is answered from memory."""
    names = [name for name, _ in list(system.calls) if name not in {"fstat", "read", "fsync"}]
    return {name: names.count(name) for name in names}
