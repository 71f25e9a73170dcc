"""A run that finds leases of a machine that is gone: they are judged together, and no signal waits for that."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta

import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import DataError
from statekeeper.model.state import Owner
from statekeeper.run.report import Outcome
from statekeeper.store.locks.holder import Holder
from tests.unit.small_shop import Shop

ELSEWHERE = Owner(host="a machine that is gone", boot_id="another", pid=1, started=1.0)
TABLES = 32
TTL = 2.0


class Refusing(InlineEngine):
    """Refuses all work, so that only the locks take their time."""

    async def run(self, job):
        raise DataError(f"{job.table} is refused")


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def _leave_leases(shop, names, *, ttl):
    for name in names:
        lock = shop.layout(name).lock
        lock.parent.mkdir(parents=True)
        holder = Holder.of(ELSEWHERE, epoch=1, ttl=timedelta(seconds=ttl))
        lock.with_name(f"{lock.name}.1").write_bytes(holder.to_bytes())


def _seconds(shop, names, *, ttl):
    """How long a run takes that comes to nothing, and what it came to."""
    output = {"base_path": str(shop.folder / "data"), "lock": "lease", "lease_ttl": f"{ttl:.0f}s"}
    choices = {"make_engine": lambda _p: Refusing(), "output": output, "execution": {"workers": 1}}
    runner = shop.runner(*names, **choices)
    began = time.monotonic()
    report = runner.run(runner.pipeline.tables)
    return time.monotonic() - began, {table.outcome for table in report.tables}


def test_many_leases_of_a_dead_host_take_as_long_as_one(shop):
    names = [f"t{number:03d}" for number in range(TABLES)]
    _leave_leases(shop, names, ttl=TTL)
    seconds, outcomes = _seconds(shop, names, ttl=TTL)
    assert outcomes == {Outcome.FAILED}, "each lease was taken over, and its table refused"
    without_leases, _ = _seconds(shop, names, ttl=TTL)
    assert TTL <= seconds < without_leases + 2.5 * TTL


def test_a_run_that_waits_for_a_lease_ends_at_once_on_request(shop):
    _leave_leases(shop, ["orders"], ttl=30)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    seconds, outcomes = _seconds(shop, ["orders"], ttl=30)
    timer.join()
    assert outcomes == {Outcome.INTERRUPTED}
    assert seconds < 10
