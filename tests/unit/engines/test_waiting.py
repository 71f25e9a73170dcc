"""What tables wait for, and that it is reported."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.engines.context import JobSource
from statekeeper.engines.inline import InlineEngine
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job
from statekeeper.engines.waiting import WaitKind, Waits, WatchedEngine
from statekeeper.model.activity import RunActivity
from statekeeper.model.manifest import RunStatus
from statekeeper.run import wait_watch
from statekeeper.run.preview import preview_tables
from statekeeper.run.report import Outcome
from statekeeper.run.status import read_status
from statekeeper.runtime.progress import LogReporter, NullReporter
from statekeeper.store.activity import save_activity
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layout import activity_folder
from statekeeper.store.process import this_process
from tests.unit.engines import jobs
from tests.unit.small_shop import DAY, Shop

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += timedelta(seconds=seconds)


class Held(InlineEngine):
    """Does nothing until the test says so."""

    def __init__(self):
        super().__init__()
        self.job = None
        self.go_on = asyncio.Event()

    async def run(self, job):
        self.job = job
        await self.go_on.wait()


@pytest.fixture
def clock():
    return Clock()


def _told(waits, key="t"):
    wait = waits.now().get(key)
    return wait and (wait.kind, wait.what, (waits.clock() - wait.since).total_seconds())


def test_a_job_waits_to_start_and_then_for_the_sources_answer(clock):
    async def main():
        waits, engine = Waits(clock), Held()
        watched = WatchedEngine(engine, waits)
        running = asyncio.create_task(watched.run(Job("t", print, None, source=JobSource("shop", None))))
        await asyncio.sleep(0)
        clock.pass_by(5)
        assert _told(waits) == (WaitKind.WORKER, "its turn in this process", 5)
        engine.job.on_start()
        clock.pass_by(3)
        assert _told(waits) == (WaitKind.ANSWER, "an answer of shop", 3)
        engine.job.on_rows(10)
        assert _told(waits) == (WaitKind.ANSWER, "an answer of shop", 0)
        engine.go_on.set()
        await running
        assert _told(waits) is None

    asyncio.run(main())


def test_of_several_waits_the_latest_answer_is_shown_and_else_the_oldest(clock):
    waits = Waits(clock)
    with waits.on("t", WaitKind.LOCK, "a lock"):
        clock.pass_by(1)
        with waits.on("t", WaitKind.WORKER, "a worker"):
            assert _told(waits)[0] is WaitKind.LOCK
            with waits.on("t", WaitKind.ANSWER, "old"):
                clock.pass_by(1)
                with waits.on("t", WaitKind.ANSWER, "new"):
                    assert _told(waits)[1] == "new"


def test_a_wait_for_a_session_and_one_for_a_worker_are_distinguished(tmp_path):
    source = JobSource("shop", DuckDBSource(type="duckdb", path="shop.duckdb"))

    async def main():
        engine = LocalEngine(workers=2, budgets={"shop": 1}, memory_limit="100MB")
        job = Job("t", jobs.leave_pid, str(tmp_path / "pid"), source=source)
        assert engine.why_waiting(job) == (WaitKind.WORKER, "a worker process (2 allowed)")
        running = asyncio.create_task(engine.run(job))
        await asyncio.sleep(0)
        assert engine.why_waiting(job) == (WaitKind.SESSION, "a session with shop (1 allowed, all in use)")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await engine.close()

    asyncio.run(main())


def test_a_job_without_a_source_is_not_shown_as_waiting(clock):
    async def main():
        waits, engine = Waits(clock), Held()
        running = asyncio.create_task(WatchedEngine(engine, waits).run(Job("t", print, None)))
        await asyncio.sleep(0)
        assert _told(waits)[0] is WaitKind.WORKER
        engine.job.on_start()
        assert _told(waits) is None
        engine.go_on.set()
        await running

    asyncio.run(main())


class FrozenShop(InlineEngine):
    """An engine whose source does not answer a login until the test says so."""

    def __init__(self, has_answer):
        super().__init__(memory_limit="100MB")
        self.has_answer = has_answer

    async def run(self, job):
        if job.work.__name__ == "probe_source":
            await asyncio.to_thread(self.has_answer.wait, 20)
        return await super().run(job)


def test_reporter_and_status_say_what_a_table_waits_for_while_a_source_is_frozen(tmp_path, monkeypatch):
    monkeypatch.setattr(wait_watch, "CHECK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(wait_watch, "REPORT_AFTER_SECONDS", 0.0)
    shop, has_answer = Shop(tmp_path), threading.Event()
    shop.execute("create table orders as select 1 as id")
    told: list[tuple[str, str | None]] = []
    stood: list[RunStatus] = []

    class Reporter(NullReporter):
        def waiting(self, key, what, seconds):
            told.append((key, what))
            status = read_status(tmp_path / "data", runner.identity.run_id)
            if status.tables[0].waiting and status.tables[0].waiting.kind == "login":
                stood.append(status)
                has_answer.set()

    runner = shop.runner("orders", make_engine=lambda _p: FrozenShop(has_answer), reporter=Reporter())
    report = runner.run(runner.pipeline.tables)
    assert report.tables[0].outcome is Outcome.COMPLETED
    key = runner.pipeline.tables[0].table.key
    assert (key, "a login to shop") in told
    assert stood[0].tables[0].waiting.what == "a login to shop"
    assert read_status(tmp_path / "data", runner.identity.run_id).tables[0].waiting is None
    assert not list((tmp_path / "data" / "_runs").glob(".*activity*")), "what was written is removed in the end"


def test_a_preview_reports_what_it_waits_for_and_writes_nothing(tmp_path, monkeypatch):
    for name in ("CHECK_EVERY_SECONDS", "REPORT_AFTER_SECONDS", "WRITE_EVERY_SECONDS"):
        monkeypatch.setattr(wait_watch, name, 0.0)
    shop, has_answer = Shop(tmp_path), threading.Event()
    shop.execute("create table orders as select 1 as id")

    class Reporter(NullReporter):
        def waiting(self, key, what, seconds):
            has_answer.set()

    runner = shop.runner("orders", make_engine=lambda _p: FrozenShop(has_answer), reporter=Reporter())
    assert preview_tables(runner, runner.pipeline.tables).exit_code == 0
    assert has_answer.is_set()
    assert not (tmp_path / "data").exists()


def test_what_a_killed_process_left_is_gone_after_the_next_run(tmp_path):
    shop = Shop(tmp_path)
    shop.execute("create table orders as select 1 as id")
    base_path, run_id = shop.folder / "data", f"shop-{DAY:%Y%m%d}"
    killed = this_process().model_copy(update={"pid": 2**22 + 1})
    save_activity(LocalDisk(), base_path, RunActivity(run_id=run_id, owner=killed, written_at=NOON, waits=()))
    assert shop.run("orders")["orders"].outcome is Outcome.COMPLETED
    assert not activity_folder(base_path, run_id).exists()


def test_a_wait_is_logged_after_half_a_minute_and_then_each_time_it_has_doubled(caplog):
    caplog.set_level("INFO")
    reporter = LogReporter()
    for second in range(1, 125):
        reporter.waiting("t", "a login to hr", float(second))
    assert len(caplog.messages) == 3
    assert all("for a login to hr" in message for message in caplog.messages)


def test_a_run_that_recorded_no_wait_does_not_look_for_records(tmp_path):
    shop = Shop(tmp_path)
    shop.execute("create table orders as select 1 as id")
    asked = []

    class Asked(LocalDisk):
        def __getattribute__(self, name):
            step = super().__getattribute__(name)
            if name not in {"names", "exists", "remove_folder"}:
                return step

            def noted(path, **options):
                asked.append(path)
                return step(path, **options)

            return noted

    assert shop.run("orders", disk=Asked())["orders"].outcome is Outcome.COMPLETED
    assert asked
    assert not [path for path in asked if "activity" in str(path)]
