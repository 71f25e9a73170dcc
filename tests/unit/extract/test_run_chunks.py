"""The chunks of one plan at work, and what the failure of one means for the others."""

from __future__ import annotations

import asyncio
import time

import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import DataError, FailureKind, TransientSourceError
from tests.unit.small_shop import Heard, Shop

TABLE = {
    "table_name": "orders",
    "chunking": {"strategy": "rowid", "target_rows": 10},
    "retry": {"attempts": 5, "initial_delay": "1m", "max_delay": "1m"},
}


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute("create table orders as select i as id from range(100) r(i)")
    return shop


class Engine(InlineEngine):
    """At most `width` chunks at once; `on_chunk(number)` may raise or take its time."""

    def __init__(self, width, on_chunk):
        super().__init__(memory_limit="100MB")
        self.free = asyncio.Semaphore(width)
        self.on_chunk = on_chunk
        self.begun = []

    async def run(self, job):
        if job.work.__name__ != "extract_chunk":
            return await super().run(job)
        async with self.free:
            job.on_start()
            number = job.spec.chunk.chunk_id
            self.begun.append(number)
            await self.on_chunk(number)
            return await super().run(job)


def _run(shop, width, on_chunk):
    engine = Engine(width, on_chunk)
    heard = Heard()
    report = shop.run(TABLE, make_engine=lambda _p: engine, reporter=heard)["orders"]
    return report, engine.begun, heard


def test_after_the_first_failure_no_chunk_starts_and_running_ones_finish(shop):
    async def on_chunk(number):
        if number == 1:
            raise DataError("does not fit")
        await asyncio.sleep(0.1)

    report, begun, _ = _run(shop, 3, on_chunk)
    assert report.failure.message == "does not fit"
    assert len(begun) <= 4  # the place of the one that failed may be taken before it is heard of
    receipts = list(shop.layout().staging(shop.state().plan_id).receipts.glob("chunk-*.json"))
    assert len(receipts) == len(begun) - 1


def test_after_the_first_failure_nothing_is_tried_again(shop):
    async def on_chunk(number):
        if number == 1:
            raise DataError("does not fit")
        await asyncio.sleep(0.1)
        raise TransientSourceError("the connection dropped")

    began = time.monotonic()
    report, _, heard = _run(shop, 3, on_chunk)
    assert report.failure.kind is FailureKind.DATA
    assert time.monotonic() - began < 10
    assert heard.warnings == []


def test_after_the_first_failure_a_waiting_chunk_is_cancelled_only_once(shop):
    """Cancelled again by each chunk that is done meanwhile, an engine may lose what the waiting job had taken."""
    waits, is_cancelled = asyncio.Event(), asyncio.Event()
    cancelled = []

    class Waiting(Engine):
        async def run(self, job):
            if job.work.__name__ != "extract_chunk" or job.spec.chunk.chunk_id != 2:
                return await super().run(job)
            waits.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append("first")
                is_cancelled.set()
                try:
                    await asyncio.sleep(0.3)
                except asyncio.CancelledError:
                    cancelled.append("again")

    async def on_chunk(number):
        if number == 1:
            await waits.wait()
            raise DataError("does not fit")
        await is_cancelled.wait()

    report = shop.run(TABLE, make_engine=lambda _p: Waiting(2, on_chunk))["orders"]
    assert report.failure.message == "does not fit"
    assert cancelled == ["first"]


def test_of_many_failures_at_once_only_the_first_is_raised(shop, caplog):
    async def on_chunk(_number):
        await asyncio.sleep(0.05)
        raise DataError("does not fit")

    report, _, _ = _run(shop, 5, on_chunk)
    assert report.failure.kind is FailureKind.DATA
    assert caplog.records == []
