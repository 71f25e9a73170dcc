"""Rows that a lookback reads again are marked; each version is unmarked in one extraction, whatever is run again."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import date

import duckdb
import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import FailureKind, PlanError, WorkerDied
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.record import State
from statekeeper.model.table import Layout
from statekeeper.plan.make_plan import _require_markable
from statekeeper.run.preview import preview_tables
from tests.messages import is_silent, raises_message, says, text_of
from tests.unit.small_shop import Heard, Shop

ORDERS = {
    "table_name": "orders",
    "incremental_column": "stamp",
    "incremental_timezone": "UTC",
    "lookback": "30h",
    "unique": ["id"],
    "mark_taken_before": True,
    "chunking": {"strategy": "none"},
}


def _day(number):
    return date(2026, 1, number)


def _run(shop, number, *, table=ORDERS, **choices):
    return shop.run(table, day=_day(number), **choices)["orders"]


def _rows(shop, *numbers, columns="id, strftime(stamp, '%d %H:%M'), taken_before"):
    """The rows of some dates, in order."""
    found = []
    with duckdb.connect() as connection:
        for number in numbers:
            output = shop.layout(day=_day(number)).output
            files = f"{output}/*.parquet" if output.is_dir() else str(output)
            found += connection.execute(
                f"select {columns} from read_parquet(?, hive_partitioning = false) order by all", [files]
            ).fetchall()
    return found


def _require_each_version_once(shop, *numbers):
    rows = _rows(shop, *numbers)
    versions = {(number, at) for number, at, _ in rows}
    unmarked = Counter((number, at) for number, at, is_marked in rows if not is_marked)
    assert unmarked == dict.fromkeys(versions, 1)


@pytest.fixture
def kind():
    return Layout.DATED


@pytest.fixture
def shop(tmp_path, kind):
    """Three days: on the 7th a row of the 6th comes late, and one changes; on the 8th, again one."""
    shop = Shop(tmp_path, kind)
    shop.execute(
        "create table orders (id integer, stamp timestamp, amount integer)",
        "insert into orders values (1, '2026-01-05 12:00', 1), (2, '2026-01-06 12:00', 1), (3, '2026-01-06 20:00', 1), "
        "(9, null, 1)",
    )
    assert _run(shop, 6).failure is None
    shop.execute(
        "insert into orders values (4, '2026-01-06 22:00', 1), (5, '2026-01-07 13:00', 1)",
        "update orders set stamp = '2026-01-07 08:00', amount = 2 where id = 2",
    )
    assert _run(shop, 7).failure is None
    return shop


@pytest.mark.parametrize("kind", Layout)
def test_three_windows_mark_what_was_taken_and_not_what_is_late_or_changed(shop):
    assert _rows(shop, 6) == [(1, "05 12:00", False), (2, "06 12:00", False), (3, "06 20:00", False), (9, None, False)]
    expected = [(2, "07 08:00", False), (3, "06 20:00", True), (4, "06 22:00", False), (5, "07 13:00", False)]
    assert _rows(shop, 7) == expected
    shop.execute("update orders set stamp = '2026-01-08 01:00' where id = 5")
    assert _run(shop, 8).failure is None
    assert _rows(shop, 8) == [
        (2, "07 08:00", True),
        (3, "06 20:00", True),
        (4, "06 22:00", True),
        (5, "08 01:00", False),
    ]
    _require_each_version_once(shop, 6, 7, 8)
    metadata = shop.metadata(day=_day(8))
    assert metadata.columns["taken_before"] == "bool"
    assert metadata.mark is not None
    compared = [(dataset.run_id, dataset.plan_id) for dataset in metadata.mark.compared]
    assert compared == [(f"shop-2026010{day}", shop.metadata(day=_day(day)).plan_id) for day in (6, 7)]
    assert _run(shop, 9).failure is None, "the mark is no column that the table has lost since"


def test_whatever_is_extracted_again_each_version_is_unmarked_once(shop):
    assert _run(shop, 8).failure is None
    heard = Heard()
    assert _run(shop, 6, is_forced=True, reporter=heard).failure is None
    assert (4, "06 22:00", True) in _rows(shop, 6), "the first load has the late row now, which the 7th has unmarked"
    told = [text for text in heard.warnings if not is_silent(text, "plan.marks_of_what_is_replaced")]
    assert len(told) == 2, "those of the 7th and the 8th"
    _require_each_version_once(shop, 6, 7, 8)
    for day in (7, 6, 8):
        assert _run(shop, day, is_forced=True).failure is None
        _require_each_version_once(shop, 6, 7, 8)


def test_a_dataset_that_is_damaged_or_gone_fails_the_table_until_it_is_extracted_again(shop):
    output = shop.layout(day=_day(7)).output
    content = bytearray(output.read_bytes())
    content[20] ^= 1
    output.write_bytes(content)
    failure = _run(shop, 8).failure
    assert failure.kind is FailureKind.DATA
    assert says(
        failure.message, "plan.compared_dataset_is_lost", table="shop.orders", extraction="shop-20260107 of 2026-01-07"
    )
    assert not shop.layout(day=_day(8)).output.exists()
    assert _run(shop, 7).failure is None, "it is extracted again"
    assert _run(shop, 8).failure is None
    shop.layout(day=_day(7)).metadata.unlink()
    failure = _run(shop, 9).failure
    assert says(failure.message, "plan.compared_dataset_is_lost", damage="its commit record is missing")
    assert shop.state(day=_day(9)).state is State.FAILED
    assert _run(shop, 7).failure is None
    assert _run(shop, 9).failure is None
    _require_each_version_once(shop, 6, 7, 8, 9)


def test_dates_that_somebody_removed_count_no_more(shop):
    assert _run(shop, 8).failure is None
    shutil.rmtree(shop.layout(day=_day(6)).folder)
    assert _run(shop, 8, is_forced=True).failure is None
    assert [dataset.date for dataset in shop.metadata(day=_day(8)).mark.compared] == [_day(7)]
    unmarked = [row for row in _rows(shop, 8) if not row[-1]]
    assert unmarked == [(3, "06 20:00", False)], "the one of the 7th is marked, and that of the 6th is gone"


class Stopped(InlineEngine):
    """An engine whose workers die when the first part is checked: every chunk has its receipt."""

    async def run(self, job):
        if job.work.__name__ == "check_part":
            raise WorkerDied("stopped")
        return await super().run(job)


def test_a_stopped_extraction_has_the_same_marks_unless_another_one_was_replaced_meanwhile(shop):
    table = {**ORDERS, "retry": {"attempts": 1}}

    def stopped(day):
        report = _run(shop, day, table=table, make_engine=lambda _: Stopped(memory_limit="100MB"))
        assert report.failure.kind is FailureKind.WORKER_DIED
        return shop.state(day=_day(day)).plan_id

    plan_id = stopped(8)
    assert _run(shop, 8, table=table).failure is None
    assert shop.metadata(day=_day(8)).plan_id == plan_id
    assert [row for row in _rows(shop, 8) if not row[-1]] == []
    _require_each_version_once(shop, 6, 7, 8)
    shop.execute("insert into orders values (6, '2026-01-08 23:00', 1)")
    plan_id = stopped(9)
    assert _run(shop, 8, table=table, is_forced=True).failure is None
    assert _run(shop, 9, table=table).failure is None
    assert shop.metadata(day=_day(9)).plan_id != plan_id
    reasons = [entry.reason for entry in shop.state(day=_day(9)).history if entry.trigger == "restart"]
    assert says(reasons[-1], "plan.compared_otherwise", extractions="shop-20260108 of 2026-01-08")
    assert (6, "08 23:00", True) in _rows(shop, 9)
    _require_each_version_once(shop, 6, 7, 8, 9)


def test_a_row_that_was_quarantined_was_not_taken_and_the_schema_need_not_know_the_mark(tmp_path):
    shop = Shop(tmp_path)
    rules = {"id": {"type": "int"}, "stamp": {"type": "datetime"}, "amount": {"type": "int", "ge": 0}}
    table = {**ORDERS, "columns": rules, "on_violation": "quarantine", "chunking": {"strategy": "none"}}
    shop.execute(
        "create table orders (id integer, stamp timestamp, amount integer)",
        "insert into orders values (1, '2026-01-06 12:00', 1), (2, '2026-01-06 13:00', -1)",
    )
    assert _run(shop, 6, table=table).failure is None
    assert _rows(shop, 6) == [(1, "06 12:00", False)]
    shop.execute("update orders set amount = 1 where id = 2", "insert into orders values (3, '2026-01-07 12:00', -1)")
    assert _run(shop, 7, table=table).failure is None
    assert _rows(shop, 7) == [(1, "06 12:00", True), (2, "06 13:00", False)]
    assert shop.quarantine(day=_day(7)) is not None


def test_a_column_of_the_name_of_the_mark_is_refused(tmp_path):
    shop = Shop(tmp_path)
    shop.execute("create table orders (id integer, stamp timestamp, Taken_Before boolean)")
    failure = _run(shop, 6).failure
    assert failure.kind is FailureKind.PLAN
    assert says(failure.message, "plan.mark_has_the_name_of_a_column", table="shop.orders", column="Taken_Before")


def test_decimals_that_duckdb_does_not_hold_are_refused_as_keys(tmp_path):
    config = Shop(tmp_path).runner(ORDERS).pipeline.tables[0]
    wide = PlannedColumn(name="id", database_type="NUMBER", read_type="string", arrow_type="decimal256(50, 2)")
    with raises_message(PlanError, "plan.mark_cannot_compare", column="id"):
        _require_markable(config, (), (wide,))


def test_the_plan_says_with_what_rows_are_compared(shop):
    def plan(table):
        runner = shop.runner(table, day=_day(8))
        (found,) = preview_tables(runner, runner.pipeline.tables).tables
        return found

    later = plan(ORDERS)
    assert [column.name for column in later.columns][-1] == "taken_before"
    both = "shop-20260106 of 2026-01-06, shop-20260107 of 2026-01-07"
    assert text_of("plan.mark_is_compared_with", column="taken_before", extractions=both) in later.notes
    shop.execute("create table others as from orders")
    first = plan({**ORDERS, "table_name": "others"})
    assert text_of("plan.mark_is_compared_with_none", column="taken_before") in first.notes
