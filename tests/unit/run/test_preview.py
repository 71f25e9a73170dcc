"""Preview, verification and reset: what is done to tables beside running them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from statekeeper.config.sections.output import LockKind
from statekeeper.errors import FailureKind, LockHeld
from statekeeper.model.preview import PreviewAction
from statekeeper.model.state import State
from statekeeper.model.table import ExtractionMode
from statekeeper.run.preview import look_at_tables, preview_tables
from statekeeper.run.report import Outcome
from statekeeper.run.reset import reset_tables
from statekeeper.run.verify import verify_tables
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.locks.lock import acquire
from statekeeper.store.process import this_process
from tests.messages import text_of
from tests.unit.small_shop import Shop

ROWS = 100


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(
        f"create table orders as select i as id, timestamp '2026-01-01' + to_hours(i) as at from range({ROWS}) r(i)",
        "create table customers as select 1 as id",
    )
    return shop


def _preview(shop, *tables, **choices):
    runner = shop.runner(*tables, **choices)
    return {plan.table.table_name: plan for plan in preview_tables(runner, runner.pipeline.tables).tables}


def _reset(shop, *tables, only=None):
    runner = shop.runner(*tables)
    return reset_tables(runner, runner.pipeline.tables, only=only)


def _lock(shop, table="orders"):
    return acquire(
        LocalDisk(), shop.layout(table), kind=LockKind.FLOCK, owner=this_process(), ttl=timedelta(seconds=60)
    )


class TestPreview:
    def test_shows_what_a_run_would_do_with_each_table_and_changes_nothing(self, shop):
        shop.run("orders", "customers", {"table_name": "absent"})
        query = {"table_name": "customers", "custom_query": "select 2 as id"}
        before = {path: path.stat().st_mtime_ns for path in shop.folder.rglob("*")}
        plans = _preview(shop, "orders", query, "absent")
        assert {name: plan.verdict for name, plan in plans.items()} == {
            "orders": PreviewAction.SKIP,
            "customers": PreviewAction.RESTART,
            "absent": PreviewAction.REFUSE,
        }
        assert plans["customers"].reason == text_of("run.configuration_changed", keys="query")
        assert plans["absent"].failure.kind is FailureKind.SOURCE
        assert {path: path.stat().st_mtime_ns for path in shop.folder.rglob("*")} == before

    def test_of_tables_that_never_ran_leaves_no_files(self, shop):
        plans = _preview(shop, {"table_name": "orders", "chunking": {"strategy": "rowid", "target_rows": 30}})
        assert (plans["orders"].verdict, plans["orders"].estimated_rows) == (PreviewAction.START, ROWS)
        assert plans["orders"].chunks > 1
        assert not (shop.folder / "data").exists()

    def test_names_the_runner_that_holds_a_table(self, shop):
        shop.run("orders")
        with _lock(shop):
            assert _preview(shop, "orders")["orders"].verdict is PreviewAction.HELD

    def test_shows_the_window_that_the_run_will_take(self, shop):
        table = {
            "table_name": "orders",
            "incremental_column": "at",
            "incremental_timezone": "UTC",
            "is_full_extract": False,
        }
        assert _preview(shop, table)["orders"].scope.mode is ExtractionMode.FULL
        shop.run(table, day=date(2026, 1, 2))
        longer = {**table, "lookback": "24h"}
        for config, hours in ((table, 24), (longer, 48)):
            window = _preview(shop, config, day=date(2026, 1, 3))["orders"].scope.window
            assert window.end - window.start == timedelta(hours=hours)
        shop.run(table, day=date(2026, 1, 3))
        window = _preview(shop, longer, day=date(2026, 1, 3))["orders"].scope.window
        assert window.end - window.start == timedelta(hours=48)

    def test_shows_a_restart_for_damage_that_verify_found_and_a_quick_check_does_not_see(self, shop):
        table = {"table_name": "orders", "verify": "quick"}
        shop.run(table)
        output = shop.layout().output
        data = output.read_bytes()
        output.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
        assert _preview(shop, table)["orders"].verdict is PreviewAction.SKIP
        runner = shop.runner(table)
        assert verify_tables(runner, runner.pipeline.tables).exit_code == 1
        plan = _preview(shop, table)["orders"]
        assert (plan.verdict, "md5" in plan.reason) == (PreviewAction.RESTART, True)
        assert shop.run(table)["orders"].outcome is Outcome.COMPLETED

    def test_refuses_a_state_file_of_another_table_like_a_run(self, shop):
        shop.run("orders", "customers")
        shop.layout("orders").state.write_bytes(shop.layout("customers").state.read_bytes())
        plan = _preview(shop, "orders")["orders"]
        failure = shop.run("orders")["orders"].failure
        assert (plan.verdict, plan.failure.kind) == (PreviewAction.REFUSE, FailureKind.STATE_DAMAGED)
        assert plan.failure.message == failure.message

    def test_check_of_connections_describes_tables_and_counts_no_rows(self, shop):
        runner = shop.runner("orders", "absent")
        found = {plan.table.table_name: plan for plan in look_at_tables(runner, runner.pipeline.tables).tables}
        assert (found["orders"].verdict, found["absent"].verdict) == (PreviewAction.READABLE, PreviewAction.REFUSE)
        assert [column.name for column in found["orders"].columns] == ["id", "at"]


class TestVerification:
    def test_fails_damaged_and_incomplete_tables(self, shop):
        shop.run("orders", "customers")
        shop.layout("orders").output.write_bytes(b"")
        runner = shop.runner("orders", "customers", "absent")
        report = verify_tables(runner, runner.pipeline.tables)
        assert {table.table.table_name: table.outcome for table in report.tables} == {
            "orders": Outcome.FAILED,
            "customers": Outcome.SKIPPED,
            "absent": Outcome.FAILED,
        }
        assert report.exit_code == 1
        assert shop.state("orders").state is State.COMPLETE


class TestReset:
    def test_keeps_published_data_until_the_next_run_replaces_it(self, shop):
        shop.run("orders")
        assert _reset(shop, "orders", "customers") == ("shop.orders",)
        assert (shop.state().state, shop.rows()) == (State.PENDING, ROWS)
        assert shop.run("orders")["orders"].outcome is Outcome.COMPLETED

    def test_of_failed_tables_leaves_other_tables(self, shop):
        shop.run("orders", "absent")
        assert _reset(shop, "orders", "absent", only=State.FAILED) == ("shop.absent",)
        assert (shop.state("orders").state, shop.state("absent").state) == (State.COMPLETE, State.PENDING)
        assert _reset(shop, "orders", "absent", only=State.FAILED) == ()

    def test_is_refused_while_a_runner_is_at_work(self, shop):
        shop.run("orders")
        with _lock(shop), pytest.raises(LockHeld):
            _reset(shop, "orders")
        assert shop.state().state is State.COMPLETE

    def test_moves_an_unreadable_state_aside_only_if_the_table_was_named(self, shop):
        shop.run("orders")
        shop.layout().state.write_bytes(b"torn")
        assert _reset(shop, "orders", only=State.FAILED) == ()
        assert _reset(shop, "orders") == ("shop.orders",)
        assert [path.read_bytes() for path in shop.layout().folder.glob("*.damaged-*")] == [b"torn"]
        assert shop.run("orders")["orders"].outcome is Outcome.COMPLETED

    def test_repeats_the_first_full_extraction_even_after_its_state_was_torn(self, shop):
        table = {
            "table_name": "orders",
            "incremental_column": "at",
            "incremental_timezone": "UTC",
            "is_full_extract": False,
        }
        for day in (date(2026, 1, 2), date(2026, 1, 3)):
            shop.run(table, day=day)
        first = date(2026, 1, 2)
        shop.layout(day=first).state.write_bytes(b"torn")
        runner = shop.runner(table, day=first)
        reset_tables(runner, runner.pipeline.tables, only=None)
        shop.run(table, day=first)
        assert shop.rows(day=first) == 48
