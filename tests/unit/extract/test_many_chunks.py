"""What a table of many chunks costs is counted, in Python calls and listed names: it grows with them, not faster."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from statekeeper.engines.context import JobSource
from statekeeper.engines.in_flight import all_done
from statekeeper.engines.inline import InlineEngine
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.engines.queue import JobQueue
from statekeeper.engines.spark.ledger import Ledger
from statekeeper.engines.spark.packing import PackedSlot, Packing, share
from statekeeper.engines.threads import Threads
from statekeeper.extract.run_chunks import run_chunks
from statekeeper.model.plan import Chunk
from statekeeper.model.receipt import Receipt
from statekeeper.runtime.active_plan import ActivePlan
from statekeeper.runtime.progress import NullReporter
from statekeeper.runtime.retried_jobs import RetriedJobs
from statekeeper.store.files.disk import LocalDisk, WholeFileDisk
from statekeeper.store.receipts import load_receipt, load_receipts, save_receipt
from statekeeper.store.staging import Staging
from tests.unit.small_shop import Shop

SIZES = (1_000, 4_000, 16_000)
PLAN_ID = "0123456789abcdef" * 2
NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)


class Calls:
    """How many calls were made, of Python's functions and of built-in ones."""

    def __init__(self):
        self.count = 0

    @contextmanager
    def counted(self):
        def note(_frame, event, _what):
            self.count += event in {"call", "c_call"}

        sys.setprofile(note)
        try:
            yield self
        finally:
            sys.setprofile(None)


def _calls_each(work):
    """How many calls `work(number)` makes for each of so many, at every size."""
    each = []
    for number in SIZES:
        with Calls().counted() as calls:
            work(number)
        each.append(calls.count / number)
        assert each[-1] < 1.5 * each[0] + 1, f"{number} cost {each[-1]:.0f} calls each, {SIZES[0]} cost {each[0]:.0f}"
    return each


def _chunk(number, source="shop"):
    return Job("t", print, None, urgency=Urgency.CHUNK, source=JobSource(source, None), size=number)


def test_queueing_a_chunk_while_the_session_budget_is_full_costs_constant_time():
    def work(number):
        queue = JobQueue(workers=4)
        for size in range(number):
            queue.add(_chunk(size))
            assert queue.take({"shop": False}) is None

    _calls_each(work)


def test_taking_or_cancelling_a_chunk_costs_constant_time():
    def take_all(number):
        queue = JobQueue(workers=4)
        for size in range(number):
            queue.add(_chunk(size % 7))
        assert sum(queue.take({}) is not None for _ in range(number)) == number

    def give_all_up(number):
        queue = JobQueue(workers=4)
        for waiting in [queue.add(_chunk(size % 7)) for size in range(number)]:
            queue.remove(waiting)
        assert queue.take({}) is None

    _calls_each(take_all)
    _calls_each(give_all_up)


def test_a_round_of_the_spark_driver_costs_constant_time():
    async def rounds_of(number):
        ledger = Ledger(JobQueue(4))
        for size in range(number):
            ledger.add(_chunk(size))
        slot = ledger.open_slot("tag")
        ledger.assign(slot, [next(iter(ledger.waiting.values()))])
        with Calls().counted() as calls:
            for _ in range(10):
                idle = ledger.idle_slots
                packing = Packing(
                    slots=1,
                    room={"shop": 1 - ledger.sessions(idle)["shop"]},
                    share_rows=share(ledger.waiting_rows, 4),
                    packed=[PackedSlot(slot.number, set()) for slot in idle],
                )
                names = ledger.queue.sources
                assert ledger.queue.take({name: packing.can_take(name) for name in names}) is None
        return calls.count

    counts = [asyncio.run(rounds_of(number)) for number in SIZES]
    assert max(counts) < 1.2 * min(counts)


class CountedNames:
    """A disk without syncs that counts the names that it lists."""

    listed = 0

    def names(self, path):
        found = super().names(path)
        self.listed += len(found)
        return found

    def _fsync(self, descriptor):
        pass


class CountedLocalDisk(CountedNames, LocalDisk):
    pass


class CountedWholeFileDisk(CountedNames, WholeFileDisk):
    pass


def _receipt(chunk_id):
    return Receipt(
        plan_id=PLAN_ID,
        chunk_id=chunk_id,
        attempt=f"a{chunk_id}",
        part=f"chunk-{chunk_id:05d}-a.parquet",
        rows=1,
        bytes=1,
        md5="0" * 32,
        arrow_schema="s",
        snapshot="1",
        started_at=NOON,
        ended_at=NOON,
    )


class InstantEngine(InlineEngine):
    """Does nothing; every chunk's receipt is its answer."""

    def __init__(self):
        super().__init__()
        self.most = self.now = 0

    async def run(self, job):
        self.now += 1
        self.most = max(self.most, self.now)
        job.on_start()
        await asyncio.sleep(0)
        self.now -= 1
        return _receipt(job.spec.chunk.chunk_id)


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts what is put on it to be done."""

    scheduled = 0

    def call_soon(self, *arguments, **options):
        self.scheduled += 1
        return super().call_soon(*arguments, **options)


async def _busiest_turn(work):
    """The most that was put on the event loop during one turn of it while `work` was done."""
    loop, task, most = asyncio.get_running_loop(), asyncio.ensure_future(work), 0
    while not task.done():
        before = loop.scheduled
        await asyncio.sleep(0)
        most = max(most, loop.scheduled - before)
    await task
    return most


def _run_over(runner, staging, disk, engine):
    staging.receipts.mkdir(parents=True)
    return SimpleNamespace(
        disk=disk,
        threads=Threads.of(1),
        reporter=NullReporter(),
        engine=engine,
        jobs=RetriedJobs(engine, NullReporter()),
        run_id="r",
        pipeline=runner.pipeline,
    )


def _plan(number):
    return SimpleNamespace(
        plan_id=PLAN_ID,
        reading=SimpleNamespace(mark=None),
        chunks=tuple(Chunk(chunk_id=each) for each in range(number)),
    )


@pytest.fixture
def runner(tmp_path):
    return Shop(tmp_path).runner({"table_name": "orders", "reconcile": "none"})


@pytest.mark.parametrize("number", SIZES)
def test_no_turn_of_the_event_loop_grows_with_the_number_of_chunks(runner, tmp_path, number):
    disk, engine, staging = CountedLocalDisk(), InstantEngine(), Staging(tmp_path / "staging")
    run = _run_over(runner, staging, disk, engine)
    with asyncio.Runner(loop_factory=CountingLoop) as loop:
        active = ActivePlan(runner.pipeline.tables[0], run, _plan(number), staging)
        busiest = loop.run(_busiest_turn(run_chunks(active)))
    run.threads.close()
    assert disk.listed == 0
    assert engine.most == engine.in_flight
    assert busiest <= 4 * engine.in_flight + 4


def test_without_rename_no_chunk_lists_the_receipts_of_others(runner, tmp_path):
    disk, number, staging = CountedWholeFileDisk(), 200, Staging(tmp_path / "staging")
    run = _run_over(runner, staging, disk, InstantEngine())
    asyncio.run(run_chunks(ActivePlan(runner.pipeline.tables[0], run, _plan(number), staging)))
    assert disk.listed == 0
    assert len(load_receipts(disk, staging, PLAN_ID)) == number
    assert disk.listed == 1, "all that was done is in one document"
    asyncio.run(run_chunks(ActivePlan(runner.pipeline.tables[0], run, _plan(number), staging)))
    assert disk.listed == 2
    run.threads.close()


def test_receipts_of_attempts_are_listed_once_and_a_chunk_reads_only_its_own(tmp_path):
    staging, disk = Staging(tmp_path), CountedWholeFileDisk()
    staging.receipts.mkdir(parents=True)
    for chunk_id in range(100):
        save_receipt(disk, staging, _receipt(chunk_id))
    assert load_receipt(disk, staging, PLAN_ID, 100) is None
    assert disk.listed == 0
    assert sorted(load_receipts(disk, staging, PLAN_ID)) == list(range(100))
    assert disk.listed == 100


def test_work_runs_in_order_up_to_a_limit_and_ends_with_the_first_failure():
    under_way: Counter[str] = Counter()

    async def work(number):
        under_way["now"] += 1
        under_way["most"] = max(under_way["most"], under_way["now"])
        try:
            await asyncio.sleep(0.001 if number != 50 else 0)
            if number == 50:
                raise ValueError(number)
        finally:
            under_way["now"] -= 1
        return number

    async def main():
        assert await all_done(range(20), work, at_once=4) == tuple(range(20))
        assert under_way["most"] == 4
        with pytest.raises(ValueError, match="50"):
            await all_done(range(1000), work, at_once=8)
        assert under_way["now"] == 0

    asyncio.run(main())


def test_every_engine_says_how_many_jobs_of_a_table_it_takes():
    assert InlineEngine().in_flight < LocalEngine(workers=4, budgets={}, memory_limit="1MB").in_flight < 200
