"""What fails a job, and what fails others with it; the engine goes on."""

from __future__ import annotations

import pytest

from statekeeper.engines.spark.exchange import Exchange
from statekeeper.errors import ConfigError, DataError, InternalError, WorkerDied
from tests.messages import raises_message
from tests.unit.engines.spark.room import chunk, of_another_type, refuse, square


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
        with raises_message(InternalError, "spark.job_cannot_be_sent"):
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


def test_after_the_session_is_lost_waiting_jobs_are_not_submitted_to_it(room):
    room.spark.fails = ConnectionRefusedError("[Errno 111] Connection refused")

    async def main(engine):
        for _ in range(3):
            with pytest.raises(WorkerDied):
                await engine.run(chunk(square, 2))

    room.run(main)
    assert len(room.sizes) == 1
