"""One table's way through the states: what a run does when something is in the way."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import threading
import time
from datetime import date, timedelta

import psutil
import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import FailureKind, LoginRefused, SnapshotLost, StorageError
from statekeeper.model.state import State
from statekeeper.model.table import ExtractionMode
from statekeeper.run import table_task as turn
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.run.table_task import run_table_task
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.locks.lock import acquire
from tests.unit.small_shop import DAY, Heard, Shop

ROWS = 100
INCREMENTAL = {
    "table_name": "orders",
    "incremental_column": "at",
    "incremental_timezone": "UTC",
    "is_full_extract": False,
}


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(
        f"create table orders as select i as id, timestamp '2026-01-01' + to_hours(i) as at from range({ROWS}) r(i)",
        "create table customers as select 1 as id",
    )
    return shop


class Engine(InlineEngine):
    """Does something before a job, by the name of its work."""

    def __init__(self, **before):
        super().__init__(memory_limit="100MB")
        self.before = before
        self.done = []

    async def run(self, job):
        name = job.work.__name__
        self.done.append(name)
        if name in self.before:
            if job.on_start:
                job.on_start()  # it is work, and no waiting for it
            result = self.before[name]()
            if asyncio.iscoroutine(result):
                await result
        return await super().run(job)


def _raising(error, *, times=1_000):
    left = [error] * times

    def fail():
        if left:
            raise left.pop()

    return fail


def _engine(**before):
    return lambda _pipeline: Engine(**before)


class TestFailures:
    def test_an_unforeseen_error_is_recorded_in_the_state_and_stops_no_other_table(self, shop, caplog):
        failing = {"extract_chunk": _raising(ZeroDivisionError("a defect"))}
        reports = shop.run({"table_name": "orders"}, make_engine=_engine(**failing))
        assert reports["orders"].outcome is Outcome.FAILED
        state = shop.state()
        assert (state.state, state.failure.kind) == (State.FAILED, FailureKind.INTERNAL)
        assert "a defect" in state.failure.message
        assert "Traceback" in caplog.text
        assert shop.run("orders")["orders"].outcome is Outcome.COMPLETED

    def test_an_unforeseen_error_tells_no_secret(self, shop, caplog):
        hooks = {"on_enter": {"complete": [{"webhook": "https://hooks.example.com/s3cr3t"}]}}
        failing = {"extract_chunk": _raising(ValueError("https://hooks.example.com/s3cr3t is wrong"))}
        shop.run("orders", make_engine=_engine(**failing), states=hooks)
        assert shop.state().failure.message == "unforeseen error: ValueError('*** is wrong')"
        assert "s3cr3t" not in caplog.text

    def test_a_timeout_error_of_the_system_is_not_a_state_timeout(self, shop):
        failing = {"extract_chunk": _raising(TimeoutError(110, "Connection timed out"))}
        shop.run("orders", make_engine=_engine(**failing))
        assert shop.state().failure.kind is FailureKind.STORAGE

    def test_a_state_that_lasts_too_long_fails_and_can_continue(self, shop):
        slow = {"extract_chunk": lambda: asyncio.sleep(60)}
        shop.run("orders", make_engine=_engine(**slow), states={"extracting": {"timeout": "100ms"}})
        failure = shop.state().failure
        assert (failure.kind, failure.failed_in) == (FailureKind.TIMEOUT, State.EXTRACTING)
        plan = shop.state().plan_id
        shop.run("orders")
        assert (shop.state().state, shop.state().published.plan_id) == (State.COMPLETE, plan)

    def test_time_spent_waiting_for_others_does_not_count_for_the_timeout(self, shop):
        names = [f"t{number}" for number in range(6)]
        shop.execute(*(f"create table {name} as select 1 as id" for name in names))

        class OneWorker(InlineEngine):
            def __init__(self):
                super().__init__(memory_limit="100MB")
                self.worker = asyncio.Lock()

            async def run(self, job):
                async with self.worker:
                    if job.work.__name__ == "extract_chunk":
                        job.on_start()
                        await asyncio.sleep(0.5)
                    return await super().run(job)

        states = {"extracting": {"timeout": "2s"}}  # of its own a table takes half a second, with the others three
        reports = shop.run(*names, make_engine=lambda _p: OneWorker(), states=states)
        assert {report.outcome for report in reports.values()} == {Outcome.COMPLETED}

    def test_a_model_that_cannot_be_imported_fails_its_own_table(self, shop):
        (shop.folder / "broken.py").write_text("import no_such_module")
        broken = {"table_name": "orders", "schema": f"{shop.folder}/broken.py:Orders"}
        reports = shop.run(broken, "customers")
        assert (reports["orders"].outcome, reports["customers"].outcome) == (Outcome.FAILED, Outcome.COMPLETED)
        assert reports["orders"].failure.kind is FailureKind.CONFIG


class FullDisk(LocalDisk):
    """Cannot remove folders."""

    def remove_folder(self, path, *, role):
        if path.exists():
            raise OSError(5, f"cannot remove {path} as {role}")


class TestLeftovers:
    def test_leftovers_that_cannot_be_removed_do_not_fail_a_complete_table(self, shop):
        heard = Heard()
        reports = shop.run("orders", disk=FullDisk(), reporter=heard)
        assert (reports["orders"].outcome, shop.state().state) == (Outcome.COMPLETED, State.COMPLETE)
        assert any("leftovers stay" in warning for warning in heard.warnings)
        assert shop.run("orders", disk=FullDisk())["orders"].outcome is Outcome.SKIPPED
        assert shop.run("orders")["orders"].outcome is Outcome.SKIPPED
        assert not shop.layout().staging_root.exists()

    def test_foreign_files_of_the_same_name_in_replaced_datasets_are_all_kept(self, shop):
        table = {"table_name": "orders", "chunking": {"strategy": "rowid", "target_rows": 50}}
        shop.run(table)
        for number in range(3):
            (shop.layout().output / "notes").mkdir()
            (shop.layout().output / "notes" / "mine.txt").write_text(str(number))
            assert shop.run(table)["orders"].outcome is Outcome.COMPLETED
        kept = sorted(path.read_text() for path in shop.layout().foreign_files.rglob("mine.txt"))
        assert kept == ["0", "1", "2"]


class TestSnapshots:
    def test_a_snapshot_lost_during_planning_means_a_new_plan(self, shop):
        heard = Heard()
        losing = {"make_plan": _raising(SnapshotLost("gone"), times=2)}
        assert shop.run("orders", make_engine=_engine(**losing), reporter=heard)["orders"].outcome is Outcome.COMPLETED
        assert heard.warnings == ["planned again: gone"] * 2

    def test_repeatedly_lost_snapshots_fail_the_table(self, shop):
        losing = {"make_plan": _raising(SnapshotLost("gone"))}
        table = {"table_name": "orders", "max_snapshot_restarts": 2}
        assert shop.run(table, make_engine=_engine(**losing))["orders"].failure.kind is FailureKind.SNAPSHOT_LOST
        assert shop.state().snapshot_restarts == 2

    @pytest.mark.parametrize("work", ["make_plan", "extract_chunk"])
    def test_a_lost_snapshot_fails_the_table_if_the_policy_says_so(self, shop, work):
        table = {"table_name": "orders", "on_snapshot_lost": "fail"}
        losing = {work: _raising(SnapshotLost("gone"), times=1)}
        assert shop.run(table, make_engine=_engine(**losing))["orders"].failure.kind is FailureKind.SNAPSHOT_LOST

    def test_a_file_that_changes_between_two_chunks_leaves_one_version_only(self, shop):
        table = {"table_name": "orders", "chunking": {"strategy": "rowid", "target_rows": 10}}
        changed = []

        def change():
            if len(changed) == 4:
                (shop.folder / "new").mkdir()
                other = Shop(shop.folder / "new")
                other.execute("create table orders as select -i as id, now() as at from range(20) r(i)")
                (other.folder / "shop.duckdb").replace(shop.folder / "shop.duckdb")
            changed.append(1)

        report = shop.run(table, make_engine=_engine(extract_chunk=change))["orders"]
        assert (report.outcome, report.records, shop.rows()) == (Outcome.COMPLETED, 20, 20)
        assert [entry.trigger for entry in shop.state().history].count("restart") == 1


class TestSources:
    def test_a_resumed_table_logs_in_once_before_its_chunks(self, shop):
        shop.run("orders", make_engine=_engine(extract_chunk=_raising(StorageError("no space"))))
        engine = Engine(probe_source=_raising(LoginRefused("wrong password")))
        report = shop.run("orders", make_engine=lambda _pipeline: engine)["orders"]
        assert report.failure.kind is FailureKind.LOGIN_REFUSED
        assert "extract_chunk" not in engine.done
        assert engine.done.count("probe_source") == 1


class TestManyTables:
    def test_many_tables_are_not_all_locked_at_once(self, shop):
        names = [f"t{number}" for number in range(20)]
        shop.execute(*(f"create table {name} as select 1 as id" for name in names))
        most = []
        count = lambda: most.append(psutil.Process().num_fds())  # noqa: E731
        for _ in range(2):  # extracted, then skipped
            before = psutil.Process().num_fds()
            reports = shop.run(
                *names, make_engine=_engine(extract_chunk=count, verify_published=count), execution={"active_tables": 2}
            )
            assert {report.is_good for report in reports.values()} == {True}
            assert max(most) < before + 12
            assert psutil.Process().num_fds() <= before


class TestCancellation:
    def test_a_lock_acquired_after_cancellation_is_released(self, shop, monkeypatch):
        shop.run("orders")
        waits = threading.Event()

        def slow(*arguments, **options):
            waits.set()
            time.sleep(0.3)
            return acquire(*arguments, **options)

        monkeypatch.setattr(turn, "acquire", slow)
        runner = shop.runner("orders")

        async def main(run, _interruption):
            task = asyncio.create_task(run_table_task(runner.pipeline.tables[0], run, Reprocess.STALE))
            await asyncio.to_thread(waits.wait)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

        from statekeeper.run.runner import Interruption

        assert runner.within_engine(main, Interruption())
        monkeypatch.undo()
        assert shop.run("orders")["orders"].outcome is Outcome.SKIPPED


class TestWindows:
    def _run(self, shop, table=INCREMENTAL, *, day=DAY, **choices):
        report = shop.run(table, day=day, **choices)["orders"]
        assert report.outcome in {Outcome.COMPLETED, Outcome.SKIPPED}, report
        return shop.metadata(day=day).table_config.scope, shop.rows(day=day)

    def test_the_first_extraction_takes_all_up_to_its_day_and_so_again_when_it_is_forced_after_later_ones(self, shop):
        assert self._run(shop, day=date(2026, 1, 2))[1] == 48
        scope, rows = self._run(shop, day=date(2026, 1, 3))
        assert (scope.mode, rows) == (ExtractionMode.INCREMENTAL, 24)
        assert self._run(shop, day=date(2026, 1, 2), is_forced=True)[1] == 48

    def test_a_changed_window_configuration_changes_the_extracted_rows(self, shop):
        self._run(shop, day=date(2026, 1, 2))
        assert self._run(shop, day=date(2026, 1, 3))[1] == 24
        longer = {**INCREMENTAL, "lookback": "24h"}
        scope, rows = self._run(shop, longer, day=date(2026, 1, 3))
        assert rows == 48
        assert scope.window.start.isoformat().startswith("2026-01-02T00:00")
        assert self._run(shop, {**INCREMENTAL, "is_full_extract": True}, day=date(2026, 1, 3))[1] == ROWS
        assert self._run(shop, {"table_name": "orders"}, day=date(2026, 1, 3))[1] == ROWS

    def test_a_changed_window_does_not_reduce_the_first_extraction_to_one_day(self, shop):
        self._run(shop, day=date(2026, 1, 2))
        self._run(shop, day=date(2026, 1, 3))
        scope, rows = self._run(shop, {**INCREMENTAL, "lookback": "1h"}, day=date(2026, 1, 2))
        assert (scope.mode, rows) == (ExtractionMode.FULL, 48)

    def test_an_extraction_whose_state_was_lost_repeats_its_published_scope(self, shop):
        self._run(shop, day=date(2026, 1, 2))
        self._run(shop, day=date(2026, 1, 3))
        shop.layout(day=date(2026, 1, 2)).state.unlink()
        scope, rows = self._run(shop, day=date(2026, 1, 2))
        assert (scope.mode, rows) == (ExtractionMode.FULL, 48)

    def test_a_window_takes_the_days_that_were_left_out(self, shop):
        self._run(shop, day=date(2026, 1, 2))
        scope, rows = self._run(shop, day=date(2026, 1, 4))
        assert (scope.window.end - scope.window.start, rows) == (timedelta(days=2), 48)

    def test_a_day_that_was_left_out_is_refused_once_a_later_window_has_taken_it(self, shop):
        self._run(shop, day=date(2026, 1, 2))
        self._run(shop, day=date(2026, 1, 4))
        report = shop.run(INCREMENTAL, day=date(2026, 1, 3))["orders"]
        assert report.failure.kind is FailureKind.PLAN
        assert "2026-01-04" in report.failure.message

    def test_a_window_that_was_planned_and_not_completed_is_taken_by_nobody_else(self, shop, monkeypatch):
        self._run(shop, day=date(2026, 1, 2))
        broken = {**INCREMENTAL, "columns": {"id": {"type": "int", "le": -1}, "at": {"type": "datetime"}}}
        assert shop.run(broken, day=date(2026, 1, 3))["orders"].outcome is Outcome.FAILED
        assert self._run(shop, day=date(2026, 1, 4))[1] == 24
        assert self._run(shop, day=date(2026, 1, 3))[1] == 24

    def test_a_forced_day_takes_a_hole_before_it(self, shop):
        self._run(shop, day=date(2026, 1, 1))
        self._run(shop, day=date(2026, 1, 2))
        self._run(shop, day=date(2026, 1, 3))
        shutil.rmtree(shop.layout(day=date(2026, 1, 2)).folder)
        shop.layout(day=date(2026, 1, 3)).windows.unlink()
        assert self._run(shop, day=date(2026, 1, 3), is_forced=True)[1] == 48

    @pytest.mark.parametrize("harm", ["missing", "damaged", "of an older state"])
    def test_windows_are_read_from_the_records_again_if_their_document_is_of_no_use(self, shop, harm):
        self._run(shop, day=date(2026, 1, 1))
        path = shop.layout(day=date(2026, 1, 1)).windows
        older = path.read_bytes()
        self._run(shop, day=date(2026, 1, 2))
        match harm:
            case "missing":
                path.unlink()
            case "damaged":
                path.write_bytes(b"{")
            case _:
                path.write_bytes(older)
        scope, rows = self._run(shop, day=date(2026, 1, 3))
        assert (scope.window.start.day, rows) == (3, 24)

    def test_what_version_0_1_took_at_a_first_extraction_counts_up_to_its_watermark(self, shop):
        self._run(shop, day=date(2026, 1, 2))
        layout = shop.layout(day=date(2026, 1, 2))
        metadata = json.loads(layout.metadata.read_bytes())
        scope = metadata["table_config"]["scope"]
        scope["window"] = scope["covered_from"] = None
        layout.metadata.write_text(json.dumps(metadata))
        layout.windows.unlink()
        assert self._run(shop, day=date(2026, 1, 3))[1] == 24

    def test_foreign_files_among_the_dates_are_ignored(self, shop):
        self._run(shop, day=date(2026, 1, 2))
        folder = shop.layout(day=date(2026, 1, 2)).folder.parent.parent
        (folder / ".DS_Store").touch()
        (folder / "202601" / "notes.txt").touch()
        assert self._run(shop, day=date(2026, 1, 3))[1] == 24


def test_nothing_is_logged_of_a_run_without_trouble(shop, caplog):
    with caplog.at_level(logging.WARNING):
        shop.run("orders", "customers")
    assert caplog.records == []
