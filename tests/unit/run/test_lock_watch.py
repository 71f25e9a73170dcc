"""A run that can no longer show that it lives: its table's work ends, and everybody is told why."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import LockLost
from statekeeper.model.state import State
from statekeeper.run import lock_watch
from statekeeper.run.report import Outcome
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.locks.holder import LockTrouble
from tests.messages import says
from tests.unit.small_shop import Heard, Shop


class Refusing(LocalDisk):
    """Refuses, once a table is read, to have files written over."""

    is_refusing = False

    def rewrite(self, path, data):
        if self.is_refusing:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        super().rewrite(path, data)


class Endless(InlineEngine):
    """Reads chunks for ever."""

    def __init__(self, disk):
        super().__init__(memory_limit="100MB")
        self.disk = disk
        self.was_cancelled = False

    async def run(self, job):
        if job.work.__name__ != "extract_chunk":
            return await super().run(job)
        self.disk.is_refusing = True
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute("create table orders as select range as id from range(10)")
    return shop


def test_if_its_lease_cannot_be_written_a_table_stops_reading_and_says_why(shop, monkeypatch):
    monkeypatch.setattr(lock_watch, "CHECK_EVERY_SECONDS", 0.1)
    disk, heard = Refusing(), Heard()
    engine = Endless(disk)
    output = {"base_path": str(shop.folder / "data"), "lock": "lease", "lease_ttl": "1s"}
    report = shop.run("orders", disk=disk, reporter=heard, make_engine=lambda _p: engine, output=output)["orders"]
    assert engine.was_cancelled
    assert report.outcome is Outcome.HELD
    assert says(report.reason, "locks.no_heartbeat")
    assert "Permission denied" in report.reason
    lease = f"{shop.layout().lock}.1"
    assert any(text.startswith(f"{lease}: no heartbeat could be written for") for text in heard.warnings)
    assert shop.state().state is State.EXTRACTING, "the state is the next runner's to change"
    assert shop.run("orders", output=output)["orders"].outcome is Outcome.COMPLETED


class Troubled:
    """A lock with trouble as it is given, look by look."""

    def __init__(self, *troubles):
        self.troubles = list(troubles)
        self.is_over = asyncio.Event()

    def trouble(self):
        if self.troubles:
            return self.troubles.pop(0)
        self.is_over.set()
        return None


async def _watched(lock, heard):
    async with lock_watch.ended_by_loss(lock, key="shop.orders", reporter=heard):
        await lock.is_over.wait()


@pytest.mark.parametrize("last", [[], [None]])
def test_a_loss_that_the_next_check_does_not_confirm_is_ignored(monkeypatch, last):
    monkeypatch.setattr(lock_watch, "CHECK_EVERY_SECONDS", 0.01)
    lost = LockTrouble("lost", LockLost("lost"))
    heard = Heard()
    asyncio.run(_watched(Troubled(LockTrouble("silent", None), lost, None, lost, *last), heard))
    assert heard.warnings[:2] == ["silent", "lost"]


def test_a_timeout_error_of_the_work_itself_is_raised():
    async def work():
        async with lock_watch.ended_by_loss(Troubled(), key="shop.orders", reporter=Heard()):
            raise TimeoutError("the source's")

    with pytest.raises(TimeoutError, match="the source's"):
        asyncio.run(work())
