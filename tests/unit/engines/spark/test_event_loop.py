"""The driver's event loop only decides: files and heartbeats are the work of threads."""

from __future__ import annotations

import asyncio
import threading
import time

from statekeeper.engines.spark.exchange import Exchange
from statekeeper.errors import WorkerDied
from tests.messages import raises_message
from tests.unit.engines.spark.room import Hall, chunk, read_until_stopped, square, until


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
