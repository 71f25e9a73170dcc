from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from statekeeper.engines.spark import watch as watching
from statekeeper.engines.spark.exchange import DriverSign, ErrorRecord, Exchange, Outcome, SlotReport
from statekeeper.engines.spark.sweeping import sweep_dead_exchanges, sweep_silent_exchanges
from statekeeper.engines.spark.watch import Watch, WatchResult
from statekeeper.errors import FailureKind, LoginRefused
from statekeeper.store.process import this_process

REFUSED = ErrorRecord(kind=FailureKind.LOGIN_REFUSED, message="ORA-01017", code="ORA-01017")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def exchange(tmp_path):
    exchange = Exchange(tmp_path / "_runs" / ".run.spark-0123")
    exchange.make(this_process())
    return exchange


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until the test moves it."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(watching.time, "monotonic", lambda: Clock.now)
    return Clock


def reports(exchange, *slots):
    return [exchange.read_report(name) for name in exchange.report_names(slots)]


def test_only_reports_of_the_given_slots_are_found(exchange):
    done = (Outcome(item=1, answer="{}"), Outcome(item=2, failure=REFUSED))
    exchange.write_report(SlotReport(slot=7, item=3, rows=5, outcomes=done), attempt="a")
    exchange.write_report(SlotReport(slot=17, item=4), attempt="b")
    (report,) = reports(exchange, 7)
    assert (report.item, report.rows) == (3, 5)
    assert report.outcomes[0].answer == "{}"
    assert isinstance(report.outcomes[1].failure.as_error(), LoginRefused)


def test_each_attempt_of_a_slot_has_its_own_file(exchange):
    for attempt in ("a", "b"):
        exchange.write_report(SlotReport(slot=7, item=1), attempt=attempt)
        exchange.write_report(SlotReport(slot=7, item=2), attempt=attempt)
    assert [report.item for report in reports(exchange, 7)] == [2, 2]


def test_a_partly_written_file_counts_as_not_yet_written(exchange):
    exchange.write_report(SlotReport(slot=7, outcomes=(Outcome(item=1, answer="{}"),)), attempt="a")
    exchange.write_sign(DriverSign(beat=1, dropped=(3,)))
    for file, parse in (
        (next(exchange.folder.glob("slot-*")), lambda: reports(exchange, 7)[0]),
        (exchange.folder / "pulse", lambda: exchange.parse_sign(exchange.read_pulse())),
    ):
        whole = file.read_bytes()
        for length in range(0, len(whole) - 1, 17):
            file.write_bytes(whole[:length])
            assert parse() is None
        file.write_bytes(whole)
        assert parse() is not None


def test_a_refused_login_is_recorded_for_any_name_of_a_source(exchange):
    assert exchange.read_refusal("../shop/ä") is None
    exchange.write_refusal("../shop/ä", REFUSED)
    assert exchange.read_refusal("../shop/ä") == REFUSED
    assert exchange.read_refusal("shop") is None


def test_work_goes_on_while_the_pulse_changes_and_ends_when_it_does_not(exchange, clock):
    watch = Watch(exchange, slot=9, heartbeat_timeout=10, every=0.25)
    for beat in range(5):
        exchange.write_sign(DriverSign(beat=beat))
        assert watch.check() is WatchResult.GO_ON
        clock.now += 9
    clock.now += 2
    assert watch.check() is WatchResult.DRIVER_LOST
    exchange.write_sign(DriverSign(beat=99))
    clock.now += 1
    assert watch.check() is WatchResult.DRIVER_LOST, "what has ended does not begin again"


def test_the_timeout_of_a_pulse_that_never_changes_counts_from_the_first_look(exchange, clock):
    watch = Watch(exchange, slot=9, heartbeat_timeout=10, every=0.25)
    assert watch.check() is WatchResult.GO_ON
    clock.now += 11
    assert watch.check() is WatchResult.DRIVER_LOST


def test_a_removed_exchange_ends_the_work_at_the_next_look(exchange, clock):
    watch = Watch(exchange, slot=9, heartbeat_timeout=1000, every=0.25)
    assert watch.begin(1) is WatchResult.GO_ON
    exchange.remove()
    assert watch.check() is WatchResult.GO_ON, "looked a moment ago"
    clock.now += 0.25
    assert watch.check() is WatchResult.DRIVER_LOST


def test_stop_ends_everything_and_a_dropped_item_ends_alone(exchange, clock):
    watch = Watch(exchange, slot=9, heartbeat_timeout=1000, every=0.25)
    exchange.write_sign(DriverSign(beat=1, dropped=(1,)))
    assert watch.begin(1) is WatchResult.STOPPED
    assert not watch.is_over
    assert watch.begin(2) is WatchResult.GO_ON
    exchange.write_sign(DriverSign(beat=2, is_stopped=True))
    clock.now += 0.25
    assert watch.begin(3) is WatchResult.STOPPED
    assert watch.is_over


def test_an_abandoned_slot_ends_and_no_other(exchange, clock):
    watch, other = (Watch(exchange, slot=slot, heartbeat_timeout=1000, every=0.25) for slot in (1, 2))
    exchange.write_sign(DriverSign(beat=1, abandoned=(1,)))
    assert watch.begin(1) is WatchResult.STOPPED
    assert watch.is_over
    assert other.begin(2) is WatchResult.GO_ON
    assert not other.is_over


def test_threads_of_a_worker_read_the_pulse_once_and_none_misses_the_result(exchange, clock, monkeypatch):
    """A read that began before the driver's message must not undo the result of a later one."""
    looks, is_asked = [], threading.Barrier(4, timeout=20)

    def pulse():
        looks.append(1)
        time.sleep(0.05)
        return DriverSign(beat=len(looks), is_stopped=True).to_bytes()

    watch = Watch(exchange, slot=9, heartbeat_timeout=1000, every=0.25)
    monkeypatch.setattr(Exchange, "read_pulse", lambda _exchange: pulse())

    def ask(_number):
        is_asked.wait()
        return watch.check()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(4))) == {WatchResult.STOPPED}
    assert len(looks) == 1


def test_a_partly_written_heartbeat_is_ignored(exchange, clock):
    watch = Watch(exchange, slot=9, heartbeat_timeout=10, every=0.25)
    assert watch.check() is WatchResult.GO_ON
    clock.now += 11
    (exchange.folder / "pulse").write_bytes(b"{")
    assert watch.check() is WatchResult.DRIVER_LOST


def test_exchanges_of_dead_drivers_of_the_same_run_are_removed(exchange):
    dead = subprocess.run(
        [sys.executable, "-c", "from statekeeper.store.process import this_process as p; print(p().model_dump_json())"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    for name in (".run.spark-dead", ".run-2.spark-dead", ".run.spark-alive"):
        other = Exchange(exchange.folder.with_name(name))
        other.make(this_process())
        if "dead" in name:
            (other.folder / "owner.json").write_bytes(dead)
    sweep_dead_exchanges(exchange.folder.parent.parent, "run")
    assert names(exchange.folder.parent) == [".run-2.spark-dead", ".run.spark-0123", ".run.spark-alive"]


def test_a_driver_on_another_machine_is_dead_when_its_pulse_does_not_change(exchange):
    for name in ("silent", "beating"):
        other = Exchange(exchange.folder.with_name(f".run.spark-{name}"))
        other.make(this_process().model_copy(update={"host": "elsewhere"}))
    beating = Exchange(exchange.folder.with_name(".run.spark-beating"))
    beats = iter(range(1, 10_000))
    original = Exchange.read_pulse

    def pulse(self):
        if self == beating:
            beating.write_sign(DriverSign(beat=next(beats)))
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Exchange, "read_pulse", pulse)
        sweep_silent_exchanges(exchange.folder, timedelta(milliseconds=10))
    assert names(exchange.folder.parent) == [".run.spark-0123", ".run.spark-beating"]
