"""The driver's side: when jobs are submitted, and how they end; partitions are threads of this process."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.engines.context import JobSource
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.engines.queue import JobQueue
from statekeeper.engines.spark import dispatch
from statekeeper.engines.spark import engine as spark_engine
from statekeeper.engines.spark.engine import SparkEngine, SparkSettings
from statekeeper.engines.spark.exchange import ErrorRecord, Exchange, Outcome, SlotReport
from statekeeper.engines.spark.ledger import Ledger
from statekeeper.engines.spark.pace import Pace
from statekeeper.engines.spark.session import HeldSession, Ownership
from statekeeper.errors import ConfigError, DataError, FailureKind, InternalError, Interrupted, WorkerDied
from tests.messages import raises_message

from .thread_spark import ThreadSpark


class Hall:
    """State that the partitions' threads share with the test."""

    doing = 0
    most = 0
    lock = threading.Lock()
    gate = threading.Event()
    begun = threading.Event()
    done: list[int]

    @classmethod
    def clear(cls):
        cls.doing = cls.most = 0
        cls.gate, cls.begun, cls.done = threading.Event(), threading.Event(), []


@pytest.fixture(autouse=True)
def _cleared():
    Hall.clear()


def square(spec, _context):
    return spec * spec


def count_those_inside(_spec, context):
    """Hold a session, and count how many are held."""
    if "shop" not in context._sessions.names:
        context.session()
        with Hall.lock:
            Hall.doing += 1
            Hall.most = max(Hall.most, Hall.doing)
        real = context._sessions.close_all

        def close_all():
            with Hall.lock:
                Hall.doing -= 1
            real()

        context._sessions.close_all = close_all
    Hall.gate.wait(0.02)
    return 1


def read_until_stopped(_spec, context):
    Hall.begun.set()
    while not Hall.gate.wait(0.01):
        context.progress(10)
        context.check_stop()
    return 1


def hear_nothing(_spec, _context):
    Hall.begun.set()
    Hall.gate.wait(60)
    return 1


def refuse(spec, _context):
    raise DataError(f"column {spec}", hint="look")


def wait_for_gate(spec, _context):
    Hall.begun.set()
    assert Hall.gate.wait(60)
    Hall.done.append(spec)
    return spec


def of_another_type(_spec, _context):
    return "text"


@dataclass
class Room:
    """An engine on a `ThreadSpark`, and its settings."""

    folder: Path
    spark: ThreadSpark = field(default_factory=ThreadSpark)
    budgets: dict[str, int | None] = field(default_factory=dict)
    ownership: Ownership = Ownership.OURS
    heartbeat_timeout: float = 60
    parallelism: int | None = None

    def run(self, main):
        async def supervised():
            engine = SparkEngine(
                SparkSettings(
                    self.folder / "_runs" / ".run.spark-t",
                    {name: JobSource(name, self.source) for name in self.budgets},
                    self.budgets,
                    "100MB",
                    timedelta(seconds=self.heartbeat_timeout),
                    parallelism=self.parallelism,
                    secrets=("tiger-1234",),
                ),
                control=LocalEngine(workers=1, budgets={"shop": 1}, memory_limit="100MB"),
                open_session=self.open,
            )
            try:
                return await asyncio.wait_for(main(engine), 60)
            finally:
                await engine.close()
                assert not (self.folder / "_runs" / ".run.spark-t").exists()

        return asyncio.run(supervised())

    @property
    def source(self):
        """A new database."""
        path = self.folder / "shop.duckdb"
        with duckdb.connect(path) as connection:
            connection.execute("create table if not exists t (i integer)")
        return DuckDBSource(type="duckdb", path=str(path))

    def open(self):
        return HeldSession.of(self.spark, self.ownership)

    @property
    def sizes(self):
        """How many partitions each job had, without the preflight."""
        return [partitions for tag, partitions in self.spark.jobs if not tag.startswith("preflight")]


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path)


def chunk(work, spec=None, *, source=None, size=0, result_type=int, **more):
    choices = {"source": source, "size": size, "remote_result_type": result_type, **more}
    return Job("shop.t", work, spec, urgency=Urgency.CHUNK, **choices)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
        await asyncio.sleep(0.01)


def test_many_small_jobs_are_one_spark_job(room):
    async def main(engine):
        return await asyncio.gather(*(engine.run(chunk(square, number)) for number in range(100)))

    assert room.run(main) == [number * number for number in range(100)]
    assert room.sizes == [2]
    assert room.spark.is_stopped


def test_a_session_that_was_given_is_not_stopped(room):
    room.ownership = Ownership.GIVEN
    assert room.run(lambda engine: engine.run(chunk(square, 3))) == 9
    assert not room.spark.is_stopped


def test_a_run_without_jobs_for_executors_opens_no_session(room):
    room.open = lambda: pytest.fail("a session was opened")

    async def main(engine):
        return await engine.run(Job("shop.t", square, 4))

    assert room.run(main) == 16


def test_the_session_is_opened_when_chunks_are_expected(room):
    async def main(engine):
        engine.expect_chunks()
        await until(lambda: any(tag.startswith("preflight") for tag, _ in room.spark.jobs))
        return await engine.run(chunk(square, 3))

    assert room.run(main) == 9
    assert room.spark.is_stopped


def test_a_session_is_closed_although_no_expected_chunk_came(room):
    async def main(engine):
        engine.expect_chunks()

    room.run(main)
    assert room.spark.is_stopped


def test_chunks_wait_for_control_jobs_to_share_a_spark_job(room, monkeypatch):
    monkeypatch.setattr(dispatch, "GATHER_SECONDS", 60.0)

    async def main(engine):
        marker = room.folder / "pid"
        control = asyncio.create_task(engine.run(Job("shop.t", _until_there, str(marker))))
        first = asyncio.create_task(engine.run(chunk(square, 2)))
        await until(lambda: any(tag.startswith("preflight") for tag, _ in room.spark.jobs))
        await asyncio.sleep(3 * dispatch.TICK_SECONDS)
        assert room.sizes == []
        second = asyncio.create_task(engine.run(chunk(square, 3)))
        await asyncio.sleep(0)
        marker.touch()
        assert await asyncio.gather(first, second, control) == [4, 9, None]

    room.run(main)
    assert room.sizes == [2]


def _until_there(spec, _context):
    while not Path(spec).exists():
        pass


def test_chunks_that_fill_all_slots_do_not_wait_for_control_jobs(room, monkeypatch):
    monkeypatch.setattr(dispatch, "GATHER_SECONDS", 60.0)

    async def main(engine):
        marker = room.folder / "pid"
        control = asyncio.create_task(engine.run(Job("shop.t", _until_there, str(marker))))
        large = (engine.run(chunk(square, number, size=10_000_000)) for number in (2, 3))
        assert await asyncio.gather(*large) == [4, 9]
        marker.touch()
        await control

    room.run(main)


def test_chunks_wait_for_control_jobs_for_a_limited_time(room, monkeypatch):
    monkeypatch.setattr(dispatch, "GATHER_SECONDS", 0.05)

    async def main(engine):
        marker = room.folder / "pid"
        control = asyncio.create_task(engine.run(Job("shop.t", _until_there, str(marker))))
        assert await engine.run(chunk(square, 2)) == 4
        marker.touch()
        await control

    room.run(main)


def test_a_job_is_settled_before_the_others_of_its_spark_job_end(room):
    async def main(engine):
        slow = asyncio.create_task(engine.run(chunk(wait_for_gate, 1, size=9)))
        assert await engine.run(chunk(square, 3)) == 9
        assert not slow.done()
        Hall.gate.set()
        await slow

    room.run(main)


def test_a_slot_that_finishes_is_given_jobs_without_waiting_for_the_others(room):
    async def main(engine):
        slow = asyncio.create_task(engine.run(chunk(wait_for_gate, 1, size=9)))
        await until(Hall.begun.is_set)
        for number in range(3):
            assert await engine.run(chunk(square, number)) == number * number
        assert not slow.done()
        Hall.gate.set()
        await slow

    room.run(main)
    assert room.sizes == [1, 1]


def test_an_idle_slot_is_closed_and_another_opened_for_later_jobs(room, monkeypatch):
    monkeypatch.setattr(dispatch, "IDLE_SECONDS", 0.1)

    async def main(engine):
        assert await engine.run(chunk(square, 2)) == 4
        await until(lambda: not engine._ledger.slots)
        assert await engine.run(chunk(square, 3)) == 9

    room.run(main)
    assert room.sizes == [1, 1]


def test_an_idle_slot_is_closed_at_once_if_another_waits_for_its_core(room, monkeypatch):
    monkeypatch.setattr(dispatch, "IDLE_SECONDS", 60.0)
    monkeypatch.setattr(dispatch, "_SLOT_START_SECONDS", 0.1)
    room.spark.slots, room.parallelism = 1, 2

    async def main(engine):
        large = (engine.run(chunk(square, number, size=10_000_000)) for number in range(2))
        assert await asyncio.gather(*large) == [0, 1]

    room.run(main)
    assert room.sizes == [2]


def test_a_batch_that_cannot_be_written_fails_its_jobs_and_not_the_engine(room, monkeypatch):
    write = Exchange.write_batch

    def refuse_once(exchange, slot, sealed):
        monkeypatch.setattr(Exchange, "write_batch", write)
        raise OSError("No space left on device")

    monkeypatch.setattr(Exchange, "write_batch", refuse_once)

    async def main(engine):
        with pytest.raises(WorkerDied, match="No space left"):
            await engine.run(chunk(square, 2))
        assert await engine.run(chunk(square, 3)) == 9

    room.run(main)
    assert room.sizes == [1]


def test_no_batch_holds_a_secret(room, monkeypatch):
    room.budgets, sealed = {"shop": 2}, []
    write = Exchange.write_batch
    monkeypatch.setattr(Exchange, "write_batch", lambda *args: sealed.append(args[2]) or write(*args))
    path = JobSource("shop", room.source).config.path
    room.run(lambda engine: engine.run(chunk(square, 2, source=JobSource("shop", room.source))))
    assert sealed
    assert not any(secret.encode() in batch for batch in sealed for secret in ("tiger-1234", path))


def test_no_more_sessions_than_the_budget_over_several_spark_jobs(room, monkeypatch):
    monkeypatch.setattr(dispatch, "IDLE_SECONDS", 0.1)
    room.spark.slots = 4
    room.budgets = {"shop": 2}
    source = JobSource("shop", room.source)

    async def main(engine):
        for _ in range(2):
            jobs = [engine.run(chunk(count_those_inside, source=source, size=400_000)) for _ in range(24)]
            assert sum(await asyncio.gather(*jobs)) == 24
            await until(lambda: not engine._ledger.slots)

    room.run(main)
    assert Hall.most == 2
    assert room.sizes == [2, 2]


def test_a_source_of_one_session_is_read_by_the_driver(room):
    source = JobSource("shop", room.source)
    assert room.run(lambda engine: engine.run(chunk(square, 5, source=source))) == 25
    assert room.spark.jobs == []


def test_an_error_fails_only_its_own_job(room):
    async def main(engine):
        with pytest.raises(DataError, match="column X") as caught:
            await engine.run(chunk(refuse, "X"))
        assert caught.value.hint == "look"
        assert await engine.run(chunk(square, 2)) == 4

    room.run(main)


def test_an_answer_of_another_type_fails_its_job(room):
    async def main(engine):
        with pytest.raises(InternalError):
            await engine.run(chunk(of_another_type))

    room.run(main)


def test_a_job_that_cannot_be_sent_fails_its_slot_and_not_the_engine(room):
    async def main(engine):
        with pytest.raises(InternalError, match="cannot be sent"):
            await engine.run(chunk(lambda _spec, _context: 1))
        assert await engine.run(chunk(square, 2)) == 4

    room.run(main)


def test_a_spark_job_that_fails_loses_its_work_and_says_why_without_secrets(room):
    room.spark.fails = RuntimeError("executor lost with tiger-1234\nand a page of Java")

    async def main(engine):
        with pytest.raises(WorkerDied, match=r"RuntimeError: executor lost with \*\*\*$"):
            await engine.run(chunk(square, 2))

    room.run(main)


def test_without_a_session_every_job_says_why(room):
    def no_session():
        raise ConfigError("no Spark session could be made", hint="look")

    room.open = no_session

    async def main(engine):
        for _ in range(2):
            with pytest.raises(ConfigError, match="no Spark session"):
                await engine.run(chunk(square, 2))

    room.run(main)


def test_a_waiting_job_is_dropped_with_its_caller_and_a_running_one_is_stopped(room):
    room.spark.slots = 1

    async def main(engine):
        running = asyncio.create_task(engine.run(chunk(read_until_stopped, size=9)))
        await until(Hall.begun.is_set)
        waiting = asyncio.create_task(engine.run(chunk(square, 1)))
        await asyncio.sleep(0)
        waiting.cancel()
        running.cancel()
        await asyncio.wait([waiting, running])
        assert waiting.cancelled()
        assert running.cancelled()
        assert await engine.run(chunk(square, 3)) == 9
        assert not room.spark.cancelled, "it stopped by itself"

    room.run(main)
    assert room.sizes == [1]


def test_a_job_that_does_not_stop_is_cancelled_through_spark(room, monkeypatch):
    monkeypatch.setattr(spark_engine, "GRACE_SECONDS", 0.1)

    async def main(engine):
        deaf = asyncio.create_task(engine.run(chunk(hear_nothing)))
        await until(Hall.begun.is_set)
        await until(lambda: engine._ledger.pending[1].has_begun)
        deaf.cancel()
        await asyncio.wait([deaf])
        await until(lambda: room.spark.cancelled)

    try:
        room.run(main)
    finally:
        Hall.gate.set()


def test_jobs_behind_a_cancelled_job_that_hangs_go_to_another_slot(room, monkeypatch):
    """Otherwise a hanging chunk of one table would block those of other tables."""
    monkeypatch.setattr(spark_engine, "GRACE_SECONDS", 0.1)

    async def main(engine):
        deaf = asyncio.create_task(engine.run(chunk(hear_nothing, size=9)))
        others = [asyncio.create_task(engine.run(chunk(square, number))) for number in range(8)]
        await until(lambda: len(engine._ledger.slots) == 2)
        await until(lambda: sum(each.done() for each in others) == len(engine._ledger.slots[2].items))
        deaf.cancel()
        assert await asyncio.gather(*others) == [number * number for number in range(8)]
        assert not Hall.gate.is_set(), "it hangs still"
        assert not room.spark.cancelled, "the other slot is kept"
        Hall.gate.set()

    room.run(main)
    assert room.sizes == [2]


def test_a_hung_slot_is_cancelled_through_spark_once_the_others_of_its_job_have_ended(room, monkeypatch):
    monkeypatch.setattr(spark_engine, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(dispatch, "IDLE_SECONDS", 0.1)

    async def main(engine):
        deaf = asyncio.create_task(engine.run(chunk(hear_nothing, size=9)))
        others = [asyncio.create_task(engine.run(chunk(square, number))) for number in range(8)]
        await until(lambda: Hall.begun.is_set() and engine._ledger.pending[1].has_begun)
        deaf.cancel()
        assert await asyncio.gather(*others) == [number * number for number in range(8)]
        await until(lambda: room.spark.cancelled)
        Hall.gate.set()

    room.run(main)


def test_waiting_jobs_run_in_another_spark_job_if_every_slot_hangs(room, monkeypatch):
    monkeypatch.setattr(spark_engine, "GRACE_SECONDS", 0.1)
    room.spark.slots = 1

    async def main(engine):
        deaf = asyncio.create_task(engine.run(chunk(hear_nothing, size=9)))
        behind = [asyncio.create_task(engine.run(chunk(square, number))) for number in range(3)]
        await until(lambda: Hall.begun.is_set() and engine._ledger.pending[1].has_begun)
        deaf.cancel()
        assert await asyncio.gather(*behind) == [0, 1, 4]
        assert len(room.spark.cancelled) == 1
        Hall.gate.set()

    room.run(main)
    assert room.sizes == [1, 1]


def test_a_late_failure_on_an_abandoned_slot_does_not_fail_the_job():
    """An abandoned slot is told to stop, and its failure says nothing about the job on another slot."""

    async def main():
        ledger = Ledger(JobQueue(2))
        jobs = [ledger.add(chunk(square, number)) for number in (1, 2)]
        first, second = ledger.open_slot("a"), ledger.open_slot("a")
        assert [ledger.queue.take({}), ledger.queue.take({})] == [job.waiting for job in jobs]
        ledger.assign(first, jobs)
        ledger.apply_report(SlotReport(slot=first.number, item=jobs[0].number))
        ledger.abandon(first)
        assert list(ledger.waiting.values()) == [jobs[1]]
        assert ledger.queue.take({}) is jobs[1].waiting
        ledger.assign(second, [jobs[1]])
        stopped = ErrorRecord(kind=FailureKind.INTERRUPTED, message="stopped")
        ledger.apply_report(SlotReport(slot=first.number, outcomes=(Outcome(item=jobs[1].number, failure=stopped),)))
        assert not jobs[1].future.done()
        ledger.apply_report(SlotReport(slot=second.number, outcomes=(Outcome(item=jobs[1].number, answer="4"),)))
        assert await jobs[1].future == 4

    asyncio.run(main())


def test_closing_stops_running_jobs_and_drops_waiting_ones(room):
    room.spark.slots = 1

    async def main(engine):
        running = asyncio.create_task(engine.run(chunk(read_until_stopped, size=9)))
        await until(Hall.begun.is_set)
        waiting = asyncio.create_task(engine.run(chunk(square, 1)))
        await asyncio.sleep(0)
        await engine.close()
        for task in (running, waiting):
            with pytest.raises(Interrupted):
                await task
        with pytest.raises(Interrupted):
            await engine.run(chunk(square, 1))

    room.run(main)
    assert room.spark.is_stopped


def test_closing_ends_a_preflight_that_waits_for_executors(room):
    room.spark.has_executors = False

    async def main(engine):
        waiting = asyncio.create_task(engine.run(chunk(square, 1)))
        await until(lambda: room.spark.jobs)
        await engine.close()
        with pytest.raises(Interrupted):
            await waiting

    room.run(main)
    assert room.spark.cancelled == {"preflight-t"}


def test_a_driver_that_is_stopped_too_long_loses_its_workers_and_notices(room):
    room.heartbeat_timeout = 0.2

    async def main(engine):
        job = asyncio.create_task(engine.run(chunk(read_until_stopped)))
        await until(Hall.begun.is_set)
        engine._exchange.__class__.write_sign, write = lambda *_: None, engine._exchange.__class__.write_sign
        try:
            with raises_message(WorkerDied, "spark.no_heartbeat_of_the_driver"):
                await job
        finally:
            engine._exchange.__class__.write_sign = write

    room.run(main)


def test_rows_and_starts_are_reported(room, monkeypatch):
    monkeypatch.setattr(Pace, "of", lambda _: Pace(poll=0.05, max_poll=0.1, watch=0.25, report=0.0, heartbeat=1.0))
    begun, rows = [], []

    async def main(engine):
        job = chunk(read_until_stopped, on_start=lambda: begun.append(1), on_rows=rows.append)
        task = asyncio.create_task(engine.run(job))
        await until(lambda: sum(rows) >= 100)
        Hall.gate.set()
        await task

    room.run(main)
    assert begun == [1]


def test_after_the_session_is_lost_waiting_jobs_are_not_submitted_to_it(room):
    room.spark.fails = ConnectionRefusedError("[Errno 111] Connection refused")

    async def main(engine):
        for _ in range(3):
            with pytest.raises(WorkerDied):
                await engine.run(chunk(square, 2))

    room.run(main)
    assert len(room.sizes) == 1


def test_the_driver_sends_heartbeats_while_its_loop_and_threads_are_busy(room):
    room.heartbeat_timeout = 2.5

    async def main(engine):
        reading = asyncio.create_task(engine.run(chunk(read_until_stopped)))
        await until(Hall.begun.is_set)
        over = threading.Event()
        busy = [asyncio.get_running_loop().run_in_executor(None, over.wait, 20) for _ in range(64)]
        time.sleep(5)  # noqa: ASYNC251 - the loop hears nothing, and every thread of its own is taken
        Hall.gate.set()
        over.set()
        await asyncio.gather(*busy)
        return await reading

    assert room.run(main) == 1


def test_batches_are_written_concurrently(room, monkeypatch):
    room.spark.slots = 4
    all_four, were_together, write = threading.Barrier(4), threading.Event(), Exchange.write_batch

    def write_together(exchange, slot, sealed):
        if not were_together.is_set():  # only the first batches
            all_four.wait(10)
            were_together.set()
        write(exchange, slot, sealed)

    monkeypatch.setattr(Exchange, "write_batch", write_together)

    async def main(engine):
        return await asyncio.gather(*(engine.run(chunk(square, number)) for number in range(8)))

    assert room.run(main) == [number * number for number in range(8)]


def test_no_file_of_the_exchange_is_read_or_written_on_the_event_loop(room, monkeypatch):
    on_loop = []

    def watched(name, step):
        def watch(*arguments, **options):
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return step(*arguments, **options)
            on_loop.append(name)
            return step(*arguments, **options)

        return watch

    for name in ("make", "remove", "write_sign", "write_batch", "report_names", "read_report"):
        monkeypatch.setattr(Exchange, name, watched(name, getattr(Exchange, name)))

    async def main(engine):
        running = asyncio.create_task(engine.run(chunk(read_until_stopped)))
        await until(Hall.begun.is_set)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert await engine.run(chunk(square, 3)) == 9
        engine.kill()

    room.run(main)
    assert on_loop == []
