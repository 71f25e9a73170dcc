"""The time limit of a state: what a table does counts, what it waits for does not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from statekeeper.engines.waiting import WaitKind, Waits
from statekeeper.run.own_time import OwnTimeExceeded, own_time_limit

LIMIT = timedelta(milliseconds=300)


def _within(block, limit=LIMIT):
    async def main():
        waits = Waits()
        async with own_time_limit(limit, waits=waits, key="t"):
            await block(waits)

    asyncio.run(main())


@pytest.mark.parametrize(
    "kind", [WaitKind.WORKER, WaitKind.SESSION, WaitKind.TABLE, WaitKind.LOGIN, WaitKind.SNAPSHOT, WaitKind.LOCK]
)
def test_waiting_for_others_does_not_count(kind):
    async def block(waits):
        with waits.on("t", kind, "others"):
            await asyncio.sleep(0.5)

    _within(block)


@pytest.mark.parametrize("kind", [WaitKind.ANSWER, WaitKind.RESULT])
def test_running_work_counts_although_other_work_waits(kind):
    async def block(waits):
        with waits.on("t", WaitKind.WORKER, "a worker"), waits.on("t", WaitKind.WORKER, "a worker") as begun:
            waits.change("t", begun, kind, "it")
            await asyncio.sleep(20)

    with pytest.raises(OwnTimeExceeded):
        _within(block)


def test_time_without_any_wait_counts():
    async def block(_waits):
        await asyncio.sleep(20)

    with pytest.raises(OwnTimeExceeded):
        _within(block)


def test_the_waits_of_other_tables_do_not_stop_it():
    async def block(waits):
        with waits.on("another", WaitKind.WORKER, "a worker"):
            await asyncio.sleep(20)

    with pytest.raises(OwnTimeExceeded):
        _within(block)


def test_separate_periods_of_work_add_up():
    rounds = []

    async def block(waits):
        while True:
            await asyncio.sleep(0.12)
            rounds.append(1)
            with waits.on("t", WaitKind.WORKER, "a worker"):
                await asyncio.sleep(0.12)

    with pytest.raises(OwnTimeExceeded):
        _within(block)
    assert 1 <= len(rounds) <= 2


def test_a_timeout_error_of_the_work_itself_is_raised():
    async def block(_waits):
        raise TimeoutError("of the system's")

    with pytest.raises(TimeoutError, match="of the system's"):
        _within(block)


def test_without_a_limit_nothing_is_cancelled():
    async def block(_waits):
        await asyncio.sleep(0)

    _within(block, limit=None)
