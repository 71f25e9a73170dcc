"""What is cancelled stops, through Spark if it must, and holds up no other work; closing stops all."""

from __future__ import annotations

import asyncio

import pytest

from statekeeper.engines.queue import JobQueue
from statekeeper.engines.spark import dispatch
from statekeeper.engines.spark import engine as spark_engine
from statekeeper.engines.spark.exchange import ErrorRecord, Outcome, SlotReport
from statekeeper.engines.spark.ledger import Ledger
from statekeeper.errors import FailureKind, Interrupted
from tests.unit.engines.spark.room import Hall, chunk, hear_nothing, read_until_stopped, square, until


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
