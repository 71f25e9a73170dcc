"""The driver's side: sessions, and jobs that end as they should."""

from __future__ import annotations

import asyncio

import pytest

from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job
from statekeeper.engines.spark.exchange import Exchange
from statekeeper.engines.spark.pace import Pace
from statekeeper.engines.spark.session import Ownership
from tests.unit.engines.spark.room import Hall, chunk, read_until_stopped, square, until


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


def test_no_batch_holds_a_secret(room, monkeypatch):
    room.budgets, sealed = {"shop": 2}, []
    write = Exchange.write_batch
    monkeypatch.setattr(Exchange, "write_batch", lambda *args: sealed.append(args[2]) or write(*args))
    path = JobSource("shop", room.source).config.path
    room.run(lambda engine: engine.run(chunk(square, 2, source=JobSource("shop", room.source))))
    assert sealed
    assert not any(secret.encode() in batch for batch in sealed for secret in ("tiger-1234", path))


def test_a_source_of_one_session_is_read_by_the_driver(room):
    source = JobSource("shop", room.source)
    assert room.run(lambda engine: engine.run(chunk(square, 5, source=source))) == 25
    assert room.spark.jobs == []


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
