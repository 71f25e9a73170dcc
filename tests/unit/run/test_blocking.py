"""The parent's event loop never blocks: a slow disk delays neither it nor what is done on a signal."""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
import os
import signal
import threading
import time
from datetime import date

import pytest

from statekeeper.engines.choice import LOCAL
from statekeeper.engines.inline import InlineEngine
from statekeeper.engines.protocol import EngineSetup
from statekeeper.model.state import State
from statekeeper.run.preview import preview_tables
from statekeeper.run.report import Outcome
from statekeeper.run.verify import verify_tables
from statekeeper.store.files.disk import Disk, LocalDisk, WholeFileDisk
from tests.unit.small_shop import Shop

ROWS = 100
MODEL = """
import asyncio
from pydantic import BaseModel, Field

try:
    asyncio.get_running_loop()
except RuntimeError:
    pass
else:
    raise RuntimeError("imported on an event loop")

class Orders(BaseModel):
    id: int = Field(ge=3)
    customer: int
"""
STEPS = frozenset(name for name, _ in inspect.getmembers(Disk, inspect.isfunction) if not name.startswith("_"))


class ThreadEngine(InlineEngine):
    """Does every job in a thread, one after the other, and remembers the thread of the event loop."""

    def __init__(self):
        super().__init__(memory_limit="100MB")
        self.loop_thread = threading.get_ident()
        self.one_at_a_time = asyncio.Lock()

    async def run(self, job):
        async with self.one_at_a_time:
            return await asyncio.to_thread(self._done, job)

    def _done(self, job):
        coroutine = super().run(job)  # made here: a thread that is cancelled before it begins would leave it unawaited
        try:
            coroutine.send(None)  # its one pause
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("an inline job waits for nothing")


def _watching(kind, blocked):
    """A disk that notes which of its steps are done on the thread of an event loop."""

    class Watched(kind):
        def __getattribute__(self, name):
            step = super().__getattribute__(name)
            if name not in STEPS:
                return step

            def watched(*arguments, **options):
                _note_if_on_loop(blocked, f"{name} {arguments[0].name} {options.get('role', '')}")
                return step(*arguments, **options)

            return watched

        def __reduce__(self):
            return kind, ()

    return Watched()


def _note_if_on_loop(blocked, what):
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    blocked.append(what)


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(
        f"create table orders as select i as id, i % 10 as customer from range({ROWS}) r(i)",
        "create table customers as select i as id from range(10) r(i)",
    )
    (tmp_path / "orders.py").write_text(MODEL)
    return shop


def _tables(shop):
    orders = {
        "table_name": "orders",
        "schema": f"{shop.folder}/orders.py:Orders",
        "on_violation": "quarantine",
        "chunking": {"strategy": "rowid", "target_rows": 40},
        "unique": ["id"],
        "references": [{"columns": "customer", "table": "customers", "to": "id"}],
    }
    return [orders, {"table_name": "customers", "unique": ["id"]}]


def _choices(shop, disk):
    source = {"type": "duckdb", "path": str(shop.folder / "shop.duckdb"), "snapshot_scope": "run"}
    return {"disk": disk, "make_engine": lambda _p: ThreadEngine(), "sources": {"shop": source}}


class TestNothingIsDoneOnTheLoop:
    @pytest.mark.parametrize("kind", [LocalDisk, WholeFileDisk])
    def test_no_step_of_an_extraction_blocks_the_loop(self, shop, monkeypatch, kind):
        blocked = []
        opened = io.open

        def open_watched(file, *arguments, **options):
            if str(file).startswith(str(shop.folder)):
                _note_if_on_loop(blocked, f"open {file}")
            return opened(file, *arguments, **options)

        monkeypatch.setattr("io.open", open_watched)
        tables, choices = _tables(shop), _choices(shop, _watching(kind, blocked))
        for is_forced in (False, False, True):  # extracted, skipped, extracted again
            reports = shop.run(*tables, is_forced=is_forced, **choices)
            assert all(report.is_good for report in reports.values()), reports
        runner = shop.runner(*tables, **choices)
        preview_tables(runner, runner.pipeline.tables)
        assert verify_tables(runner, runner.pipeline.tables).exit_code == 0
        assert blocked == []

    def test_recording_a_failure_does_not_block_the_loop(self, shop):
        blocked = []
        (shop.folder / "orders.py").write_text("import no_such_module")
        reports = shop.run(*_tables(shop), **_choices(shop, _watching(LocalDisk, blocked)))
        assert {report.outcome for report in reports.values()} == {Outcome.FAILED, Outcome.COMPLETED}
        assert blocked == []


class SlowDisk(LocalDisk):
    """Takes its time over every step, in this process; workers have a quick one."""

    seconds = 0.03

    def __getattribute__(self, name):
        step = super().__getattribute__(name)
        if name not in STEPS:
            return step

        def slow(*arguments, **options):
            time.sleep(LocalDisk.__getattribute__(self, "seconds"))
            return step(*arguments, **options)

        return slow

    def __reduce__(self):
        return LocalDisk, ()


class Pulse:
    """The longest time for which an event loop answered nobody, and for which the machine let no thread run.

    `of_work` is the longest for which the loop's own thread was at work meanwhile, however busy the machine is.
    """

    def __init__(self):
        self.of_loop = self.of_machine = self.of_work = 0.0
        self._is_over = threading.Event()

    async def beat(self):
        last, worked = time.monotonic(), time.thread_time()
        while True:
            await asyncio.sleep(0.002)
            now, work = time.monotonic(), time.thread_time()
            self.of_loop, last = max(self.of_loop, now - last), now
            self.of_work, worked = max(self.of_work, work - worked), work

    def beat_beside(self):
        last = time.monotonic()
        while not self._is_over.wait(0.002):
            now = time.monotonic()
            self.of_machine, last = max(self.of_machine, now - last), now

    def beside(self, engine):
        """The engine, with this pulse for as long as it is open; garbage is not sought in what earlier tests left."""
        gc.collect()
        gc.freeze()
        close, beat = engine.close, asyncio.get_running_loop().create_task(self.beat())
        beside = threading.Thread(target=self.beat_beside)
        beside.start()

        async def close_both():
            await close()
            beat.cancel()
            self._is_over.set()
            beside.join()
            gc.unfreeze()

        engine.close = close_both
        return engine


class TestSlowDisk:
    def test_blocks_the_event_loop_for_less_than_a_tenth_of_a_second(self, shop):
        names = ["a", "b", "c"]
        shop.execute(*(f"create table {name} as select i as id from range(100) r(i)" for name in names))
        tables = [{"table_name": name, "chunking": {"strategy": "rowid", "target_rows": 50}} for name in names]

        def local(pipeline):
            return LOCAL.start(EngineSetup(pipeline, "slow"))

        shop.run("a", day=date(2026, 1, 5), make_engine=local)  # whatever is imported late is imported
        pulse = Pulse()
        reports = shop.run(
            *tables,
            disk=SlowDisk(),
            make_engine=lambda pipeline: pulse.beside(local(pipeline)),
        )
        assert all(report.is_good for report in reports.values())
        assert pulse.of_loop < 0.1 + pulse.of_machine


class StuckDisk(LocalDisk):
    """Stays in the step that first replaces a file of a role in the folder of orders, until it is let go."""

    def __init__(self, role):
        self.role, self.is_stuck, self.let_go = role, threading.Event(), threading.Event()

    def rename(self, source, dest, *, role):
        if role == self.role and "orders" in dest.parts and not self.is_stuck.is_set():
            self.is_stuck.set()
            self.let_go.wait(3)
        super().rename(source, dest, role=role)


class TestSignals:
    @pytest.mark.parametrize("role", ["state", "publish", "metadata"])
    def test_a_signal_ends_other_tables_while_a_disk_is_stuck(self, shop, role):
        disk, pulse, signalled, ended = StuckDisk(role), Pulse(), [], []

        def interrupt():
            disk.is_stuck.wait(20)
            signalled.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGTERM)

        class Working(ThreadEngine):
            async def run(self, job):
                if (job.table, job.work.__name__) != ("shop.customers", "extract_chunk"):
                    return await super().run(job)
                threading.Thread(target=interrupt).start()
                try:
                    return await asyncio.sleep(20)
                finally:
                    ended.append(time.monotonic())
                    disk.let_go.set()

        orders, customers = {"table_name": "orders"}, {"table_name": "customers"}
        runner = shop.runner(orders, customers, disk=disk, make_engine=lambda _p: pulse.beside(Working()))
        report = runner.run(runner.pipeline.tables)
        assert report.exit_code == 143
        assert ended[0] - signalled[0] < 0.5 + pulse.of_machine
        assert {each.outcome for each in shop.run(orders, customers).values()} <= {Outcome.COMPLETED, Outcome.SKIPPED}
        assert shop.state().state is State.COMPLETE
