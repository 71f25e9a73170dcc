"""When chunks are sent: which share a Spark job, and when its slots open and close."""

from __future__ import annotations

import asyncio
from pathlib import Path

from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job
from statekeeper.engines.spark import dispatch
from tests.unit.engines.spark.room import Hall, chunk, count_those_inside, square, until, wait_for_gate


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
