"""A run that is awaited, and a run that is looped over: what they give, and how they are left."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import aclosing
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from statekeeper import (
    ChunkDone,
    DataExtractor,
    Outcome,
    RowsRead,
    RunEnded,
    RunStarted,
    TableEnded,
    TablePlanned,
    TableStateChanged,
    TableWarning,
    UsageError,
)
from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import StorageError
from statekeeper.model.state import State
from statekeeper.run.interruption import Interruption
from statekeeper.runtime.events import EventReporter
from statekeeper.runtime.progress import NullReporter, TableEnd
from tests.unit.small_shop import CONFIG, Heard, Shop, configured, manifest

SOURCES = {"shop": {"type": "duckdb", "path": "shop.duckdb"}}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = Shop(tmp_path)
    shop.execute("create table orders as select 1 as id", "create table customers as select 2 as id")
    Path("shop.yml").write_text(CONFIG)
    return shop


class Engine(InlineEngine):
    """Where `is_slow`, a chunk takes longer than any test."""

    def __init__(self, *, is_slow=False):
        super().__init__(memory_limit="100MB")
        self.is_slow = is_slow
        self.was_killed = False
        self.has_begun = threading.Event()

    async def run(self, job):
        if job.work.__name__ == "extract_chunk" and self.is_slow:
            self.has_begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(self.lingers)
                raise
        return await super().run(job)

    lingers = 0.0

    def kill(self):
        self.was_killed = True
        super().kill()


@pytest.fixture
def engine():
    return Engine()


class TestAwaited:
    def test_run_async_returns_the_report_without_blocking_the_loop(self, shop, engine):
        async def program():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.001)

            ticking = asyncio.create_task(tick())
            report = await configured(engine=engine).run_async()
            ticking.cancel()
            return report, ticks

        report, ticks = asyncio.run(program())
        assert [table.outcome for table in report.tables] == [Outcome.COMPLETED] * 2
        assert ticks > 10
        assert shop.rows() == 1

    def test_resume_async_names_the_tables_that_are_left(self, shop, engine):
        configured(engine=engine).run(tables=["orders"])
        report = asyncio.run(configured(engine=engine).resume_async())
        assert {table.table.table_name: table.outcome for table in report.tables} == {
            "orders": Outcome.SKIPPED,
            "customers": Outcome.COMPLETED,
        }

    def test_extract_run_async_extracts_the_given_tables(self, shop, engine):
        extractor = DataExtractor(sources=SOURCES, reporter=NullReporter(), engine=engine)
        report = asyncio.run(extractor.extract_run_async([{"source_name": "shop", "table_name": "orders"}]))
        assert [table.outcome for table in report.tables] == [Outcome.COMPLETED]

    def test_a_run_that_cannot_start_raises_at_the_await(self, shop, engine):
        with pytest.raises(UsageError):
            asyncio.run(configured(engine=engine).run_async(tables=["ordes"]))
        Path("data").write_text("a file is in the way")
        with pytest.raises(StorageError):
            asyncio.run(configured(engine=engine).run_async())

    def test_a_cancelled_run_ends_cleanly_and_can_be_resumed(self, shop, engine):
        engine.is_slow = True

        async def program():
            task = asyncio.create_task(configured(engine=engine).run_async(tables=["orders"]))
            await asyncio.to_thread(engine.has_begun.wait, 20)
            task.cancel()
            await task

        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(program())
        assert time.monotonic() - began < 30
        assert (manifest().exit_code, manifest().processes) == (130, ())
        assert shop.state().state is State.EXTRACTING
        engine.is_slow = False
        assert configured(engine=engine).resume().exit_code == 0

    def test_a_timeout_is_a_cancellation(self, shop, engine):
        engine.is_slow = True

        async def program():
            async with asyncio.timeout(0.5):
                await configured(engine=engine).run_async(tables=["orders"])

        with pytest.raises(TimeoutError):
            asyncio.run(program())
        assert manifest().exit_code == 130

    def test_a_second_cancellation_kills_the_workers(self, shop, engine):
        engine.is_slow, engine.lingers = True, 2.0

        async def program():
            task = asyncio.create_task(configured(engine=engine).run_async(tables=["orders"]))
            await asyncio.to_thread(engine.has_begun.wait, 20)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0.2)
            await task

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(program())
        assert engine.was_killed

    def test_ctrl_c_under_asyncio_run_is_a_cancellation(self, shop, engine):
        engine.is_slow = True

        def interrupt():
            engine.has_begun.wait(20)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(configured(engine=engine).run_async(tables=["orders"]))
        assert (manifest().exit_code, shop.state().state) == (130, State.EXTRACTING)


def test_a_request_before_the_loop_runs_is_not_lost(shop):
    runner, interruption = shop.runner("orders"), Interruption()
    interruption.ask()
    report = runner.run(runner.pipeline.tables, interruption=interruption)
    assert (report.exit_code, report.tables[0].outcome) == (130, Outcome.INTERRUPTED)
    interruption.ask()  # and one that comes after the run does nothing


class TestEvents:
    def test_events_of_a_table_are_in_order_and_end_with_the_report(self, shop, engine):
        heard = Heard()
        events = [*configured(reporter=heard, engine=engine).events(tables=["orders"])]
        assert events[0] == RunStarted(tables=1)
        states = [event.state for event in events if isinstance(event, TableStateChanged)]
        assert states == ["extracting", "validating", "complete"]
        assert [state for _, state, _ in heard.states] == states, "the reporter of the extractor hears it as well"
        (planned, *_), (done,) = (
            [event for event in events if isinstance(event, kind)] for kind in (TablePlanned, ChunkDone)
        )
        assert (planned.table, planned.chunks) == ("shop.orders", 1)
        assert (done.table, done.done, done.total, done.rows) == ("shop.orders", 1, 1, 1)
        assert done.bytes == shop.layout().output.stat().st_size
        ended, last = events[-2:]
        assert isinstance(ended, TableEnded)
        assert (ended.table, ended.end.state, ended.end.rows) == ("shop.orders", "complete", 1)
        assert isinstance(last, RunEnded)
        assert last.report.raise_for_failure().tables[0].outcome is Outcome.COMPLETED
        with pytest.raises(FrozenInstanceError):
            done.rows = 2

    def test_extract_events_yields_events_of_several_tables(self, shop, engine):
        extractor = DataExtractor(sources=SOURCES, reporter=NullReporter(), engine=engine)
        entries = [{"source_name": "shop", "table_name": name} for name in ("orders", "customers")]
        events = [*extractor.extract_events(entries)]
        assert {event.table for event in events if isinstance(event, TableEnded)} == {"shop.orders", "shop.customers"}

    def test_leaving_the_loop_early_ends_the_run_cleanly(self, shop, engine):
        engine.is_slow = True
        for event in configured(engine=engine).events(tables=["orders"]):
            if isinstance(event, TablePlanned):
                assert engine.has_begun.wait(20)
                break
        assert (manifest().exit_code, manifest().processes, shop.state().state) == (130, (), State.EXTRACTING)

    def test_an_error_in_the_loop_ends_the_run_and_is_raised(self, shop, engine):
        engine.is_slow = True
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is what raises
            for event in configured(engine=engine).events(tables=["orders"]):
                if isinstance(event, TablePlanned):
                    1 / 0  # noqa: B018
        assert manifest().exit_code == 130

    @pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
    def test_a_signal_ends_the_run_and_then_has_its_usual_effect(self, shop, engine, number, error):
        engine.is_slow = True
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        last = None
        with pytest.raises(error):  # noqa: PT012 - the loop is what raises
            for event in configured(engine=engine).events(tables=["orders"]):
                if isinstance(event, TablePlanned):
                    os.kill(os.getpid(), number)
                last = event
        assert isinstance(last, RunEnded)
        assert last.report.exit_code == manifest().exit_code == 128 + number
        assert {each: signal.getsignal(each) for each in before} == before

    def test_a_signal_is_in_the_report_if_the_caller_asks_for_it(self, shop, engine):
        engine.is_slow = True
        for event in configured(engine=engine).events(tables=["orders"], report_interrupt=True):
            if isinstance(event, TablePlanned):
                os.kill(os.getpid(), signal.SIGINT)
        assert event.report.interrupted_by == signal.SIGINT

    def test_leaving_the_loop_after_a_signal_still_ends_the_run_cleanly(self, shop, engine):
        engine.is_slow, engine.lingers = True, 1.0
        for event in configured(engine=engine).events(tables=["orders"]):
            if isinstance(event, TablePlanned):
                assert engine.has_begun.wait(20)
                os.kill(os.getpid(), signal.SIGINT)
                break
        assert (manifest().exit_code, engine.was_killed) == (130, False)

    def test_a_run_that_cannot_start_raises_in_the_loop(self, shop, engine):
        Path("data").write_text("a file is in the way")
        with pytest.raises(StorageError):
            next(iter(configured(engine=engine).events()))

    def test_events_work_with_async_for(self, shop, engine):
        async def program():
            return [type(event) async for event in configured(engine=engine).events(tables=["orders"])]

        kinds = asyncio.run(program())
        assert (kinds[0], kinds[-1]) == (RunStarted, RunEnded)
        assert ChunkDone in kinds

    def test_leaving_an_async_for_early_ends_the_run_cleanly(self, shop, engine):
        engine.is_slow = True

        async def program():
            async with aclosing(aiter(configured(engine=engine).events(tables=["orders"]))) as events:
                async for event in events:
                    if isinstance(event, TablePlanned):
                        break
            return manifest().exit_code

        assert asyncio.run(program()) == 130

    def test_cancelling_an_async_for_ends_the_run_cleanly(self, shop, engine):
        engine.is_slow = True

        async def listen():
            async for _ in configured(engine=engine).events(tables=["orders"]):
                pass

        async def program():
            task = asyncio.create_task(listen())
            await asyncio.to_thread(engine.has_begun.wait, 20)
            task.cancel()
            await task

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(program())
        assert (manifest().exit_code, shop.state().state) == (130, State.EXTRACTING)


def test_row_events_add_up_and_are_not_too_frequent():
    now, told = [0.0], []
    reporter = EventReporter(told.append, also=NullReporter(), clock=lambda: now[0])
    reporter.table_state("t", "extracting", None)
    for seconds in (0.0, 0.1, 0.2, 0.6):
        now[0] = seconds
        reporter.rows_read("t", 10)
    reporter.table_state("t", "extracting", "resumed")
    now[0] = 2.0
    reporter.rows_read("t", 5)
    assert [event.rows for event in told if isinstance(event, RowsRead)] == [10, 40, 5]


def test_every_event_reaches_the_second_reporter_too():
    calls = []

    class Second(NullReporter):
        def __getattribute__(self, name):
            return lambda *given: calls.append((name, *given))

    reporter = EventReporter(lambda _: None, also=Second())
    end = TableEnd(state="complete")
    reporter.run_began(1)
    reporter.table_state("t", "pending", None)
    reporter.plan_ready("t", 2, None)
    reporter.rows_read("t", 3)
    reporter.chunk_done("t", 1, 2, 3, 4)
    reporter.waiting("t", "a login", 1.0)
    reporter.warning("t", "w")
    reporter.table_ended("t", end)
    assert calls == [
        ("run_began", 1),
        ("table_state", "t", "pending", None),
        ("plan_ready", "t", 2, None),
        ("rows_read", "t", 3),
        ("chunk_done", "t", 1, 2, 3, 4),
        ("waiting", "t", "a login", 1.0),
        ("warning", "t", "w"),
        ("table_ended", "t", end),
    ]


def test_warnings_are_events():
    told = []
    EventReporter(told.append, also=NullReporter()).warning("t", "the count differs")
    assert told == [TableWarning(table="t", message="the count differs")]
