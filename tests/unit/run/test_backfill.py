from __future__ import annotations

import json
import re
import shlex
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from statekeeper.cli.app import run_command
from statekeeper.errors import UsageError
from statekeeper.model.manifest import BackfillRange
from statekeeper.model.state import State
from statekeeper.run.backfill import Backfill
from statekeeper.run.find_run import last_run
from statekeeper.run.preview import preview_tables
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.store.layout import runs_folder
from tests.messages import raises_message, text_of
from tests.unit.small_shop import WINDOWS_CONFIG, Heard, Shop

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 5)
WINDOWS = {"incremental_column": "at", "incremental_timezone": "UTC"}
ORDERS = {"table_name": "orders", **WINDOWS}


@pytest.fixture
def shop(tmp_path):
    """Ten rows before 2026, then ten on each day until the tenth of January."""
    made = Shop(tmp_path)
    for table in ("orders", "returns"):
        made.execute(
            f"create table {table} as select range as id, "
            "timestamp '2025-12-31' + interval (range // 10) day + interval (range % 10) hour as at "
            "from range(110)"
        )
    made.execute("create table customers as select 1 as id")
    return made


def _backfill(shop, *tables, first=FIRST, last=LAST, reprocess=Reprocess.STALE, only=(), **choices):
    runner = shop.runner(*tables, **choices)
    asked = BackfillRange(first=first.isoformat(), last=last.isoformat(), tables=only)
    selected = tuple(each for each in runner.pipeline.tables if not only or each.table.table_name in only)
    return Backfill.of(runner, selected, asked).run(reprocess=reprocess)


def _outcomes(report, table="orders"):
    return [each.outcome for run in report.runs for each in run.tables if each.table.table_name == table]


def _published(shop, table="orders"):
    with duckdb.connect() as connection:
        files = f"{shop.folder}/data/shop/{table}/**/*.parquet"
        return sorted(row for (row,) in connection.execute("select id from read_parquet(?)", [files]).fetchall())


def test_each_date_of_the_range_is_an_extraction_of_its_own(shop):
    report = _backfill(shop, ORDERS, {"table_name": "returns", **WINDOWS})
    assert report.exit_code == 0
    assert [run.extraction_date for run in report.runs] == [f"2026-01-0{day}" for day in range(1, 6)]
    for table in ("orders", "returns"):
        assert _outcomes(report, table) == [Outcome.COMPLETED] * 5
        assert _published(shop, table) == list(range(60))
        assert [shop.rows(table, day=FIRST + timedelta(days=number)) for number in range(5)] == [20, 10, 10, 10, 10]


def test_the_same_backfill_again_reads_nothing(shop):
    _backfill(shop, ORDERS)
    plans = [shop.state(day=FIRST + timedelta(days=number)).published for number in range(5)]
    report = _backfill(shop, ORDERS, last=LAST + timedelta(days=1))
    assert _outcomes(report) == [*[Outcome.SKIPPED] * 5, Outcome.COMPLETED]
    assert [shop.state(day=FIRST + timedelta(days=number)).published for number in range(5)] == plans


def test_a_forced_backfill_reads_every_date_again_with_the_same_rows(shop):
    _backfill(shop, ORDERS)
    report = _backfill(shop, ORDERS, reprocess=Reprocess.ALL)
    assert _outcomes(report) == [Outcome.COMPLETED] * 5
    assert _published(shop) == list(range(60))


def test_a_date_whose_rows_another_extraction_has_is_skipped_and_named(shop):
    shop.run(ORDERS, day=date(2026, 1, 3))
    report = _backfill(shop, ORDERS)
    assert _outcomes(report) == [*[Outcome.SKIPPED] * 3, *[Outcome.COMPLETED] * 2]
    assert report.runs[0].tables[0].reason == "its rows are in shop-20260103 of 2026-01-03"
    assert _published(shop) == list(range(60))
    assert not shop.layout(day=FIRST).state.exists()


def test_dates_after_a_failed_one_go_on_if_its_window_is_its_own(shop):
    broken = {**ORDERS, "columns": {"id": {"type": "int"}, "at": {"type": "datetime"}}}
    shop.execute("update orders set id = -1 where id = 35")
    broken["columns"]["id"]["ge"] = 0
    report = _backfill(shop, broken)
    assert _outcomes(report) == [Outcome.COMPLETED, Outcome.COMPLETED, Outcome.FAILED, *[Outcome.COMPLETED] * 2]
    assert report.exit_code == 1
    assert len(report.next_steps) == 2
    shop.execute("update orders set id = 35 where id = -1")
    assert shop.run(broken, day=date(2026, 1, 3), is_forced=True)["orders"].outcome is Outcome.COMPLETED
    assert _outcomes(_backfill(shop, broken)) == [Outcome.SKIPPED] * 5
    assert _published(shop) == list(range(60))


def test_dates_after_one_that_fails_without_a_window_are_left(shop):
    state = shop.layout(day=date(2026, 1, 3)).state
    state.parent.mkdir(parents=True)
    state.write_text("not a state")
    report = _backfill(shop, ORDERS)
    assert _outcomes(report) == [*[Outcome.COMPLETED] * 2, Outcome.FAILED, *[Outcome.PENDING] * 2]
    assert report.runs[3].tables[0].reason == "it comes after 2026-01-03, which is failed"
    assert report.exit_code == 1
    state.unlink()
    assert _backfill(shop, ORDERS).exit_code == 0
    assert _published(shop) == list(range(60))


def test_tables_that_are_extracted_whole_are_left_out_or_refused(shop):
    report = _backfill(shop, ORDERS, "customers")
    assert report.left_out == ("shop.customers",)
    with raises_message(UsageError, "run.backfill_needs_windows", tables="shop.customers"):
        _backfill(shop, ORDERS, "customers", only=("orders", "customers"))
    with raises_message(UsageError, "run.backfill_needs_windows", tables="shop.customers"):
        _backfill(shop, "customers")


def test_a_range_without_a_date_is_refused(shop):
    with raises_message(UsageError, "run.range_has_no_date", first=str(LAST), last=str(FIRST)):
        _backfill(shop, ORDERS, first=LAST, last=FIRST)


def test_what_is_reported_names_the_date(shop):
    heard = Heard()
    _backfill(shop, ORDERS, reporter=heard, last=FIRST)
    assert ("shop.orders 2026-01-01", State.COMPLETE.value, None) in heard.states


class TestOnGap:
    """`on_gap: backfill`: a run extracts the dates that were missed, each on its own, before its own date."""

    def test_missed_dates_are_extracted_first(self, shop):
        table = {**ORDERS, "on_gap": "backfill"}
        shop.run(table, day=FIRST)
        runner = shop.runner(table, day=LAST)
        report = runner.run(runner.pipeline.tables)
        assert [run.extraction_date for run in report.earlier] == ["2026-01-02", "2026-01-03", "2026-01-04"]
        assert report.exit_code == 0
        assert [shop.rows(day=FIRST + timedelta(days=number)) for number in range(5)] == [20, 10, 10, 10, 10]
        again = runner.run(runner.pipeline.tables)
        assert (again.earlier, [each.outcome for each in again.tables]) == ((), [Outcome.SKIPPED])

    def test_a_plan_says_which_dates_come_first(self, shop):
        table = {**ORDERS, "on_gap": "backfill"}
        shop.run(table, day=FIRST)
        runner = shop.runner(table, day=LAST)
        (plan,) = preview_tables(runner, runner.pipeline.tables).tables
        assert plan.notes[0] == (
            "the 3 dates from 2026-01-02 to 2026-01-04 are extracted first, each under its own path (on_gap: backfill)"
        )
        assert plan.scope.covered == datetime(2026, 1, 5, tzinfo=UTC)

    def test_a_first_load_takes_everything_before_it(self, shop):
        table = {**ORDERS, "on_gap": "backfill"}
        assert shop.run(table, day=LAST)["orders"].outcome is Outcome.COMPLETED
        assert _published(shop) == list(range(60))

    def test_a_missed_date_that_fails_before_it_has_a_window_stops_the_run_of_its_table(self, shop):
        table = {**ORDERS, "on_gap": "backfill"}
        shop.run(table, day=FIRST)
        state = shop.layout(day=date(2026, 1, 3)).state
        state.parent.mkdir(parents=True)
        state.write_text("not a state")
        runner = shop.runner(table, day=LAST)
        report = runner.run(runner.pipeline.tables)
        assert [each.outcome for each in report.tables] == [Outcome.PENDING]
        assert report.exit_code == 1
        assert _published(shop) == list(range(30))


@pytest.fixture
def project(shop, monkeypatch):
    monkeypatch.chdir(shop.folder)
    Path("shop.yml").write_text(WINDOWS_CONFIG)
    return shop


def test_a_stale_date_that_has_missed_nights_is_read_again_by_the_typed_command_although_gaps_are_refused(
    project, capsys
):
    """Its window stays its own: the dates that it has taken are no missing dates."""
    for day in ("2026-01-01", "2026-01-04"):
        assert run_command(["run", "shop.yml", "--date", day, "-q"]) == 0
    config = Path("shop.yml").read_text()
    Path("shop.yml").write_text(
        config.replace("incremental_column: at", "incremental_column: at, on_gap: fail, lookback: 1h")
    )
    assert run_command(["run", "shop.yml", "--date", "2026-01-05", "-q"]) == 0
    capsys.readouterr()
    assert run_command(["resume", "shop.yml", "--date", "2026-01-04"]) == 0
    (typed,) = re.findall(r"^next, to extract it again .*: statekeeper (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert run_command([*shlex.split(typed), "-q"]) == 0
    scope = project.metadata(day=date(2026, 1, 4)).table_config.scope
    assert (scope.covered_from, scope.watermark) == (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 5, tzinfo=UTC))
    assert run_command(["run", "shop.yml", "--date", "2026-01-07", "-q"]) == 1, "the 6th is missing, and refused"


@pytest.mark.parametrize("words", [("resume",), ("backfill", "shop.yml", "--from", "2026-01-01", "--to", "2026-01-05")])
def test_a_backfill_is_continued_by_itself_and_by_a_bare_resume(project, capsys, words):
    state = project.layout(day=date(2026, 1, 3)).state
    state.parent.mkdir(parents=True)
    state.write_text("not a state")
    assert run_command(["backfill", "shop.yml", "--from", "2026-01-01", "--to", "2026-01-05"]) == 1
    failed = capsys.readouterr().out
    assert last_run(Path.cwd()).backfill == BackfillRange(first="2026-01-01", last="2026-01-05")
    assert re.search(r"^shop.orders +2 completed, 2 pending, 1 failed ", failed, re.MULTILINE)
    assert "next, to go on; what is complete is verified and skipped: " in failed
    assert "statekeeper backfill shop.yml --from 2026-01-01 --to 2026-01-05" in failed
    state.unlink()
    assert run_command(words) == 0
    assert re.search(r"^shop.orders +3 completed, 2 skipped ", capsys.readouterr().out, re.MULTILINE)
    assert _published(project) == list(range(60))


def test_the_status_of_a_backfill_counts_its_own_tables_by_date(project, capsys):
    state = project.layout(day=date(2026, 1, 3)).state
    state.parent.mkdir(parents=True)
    state.write_text("not a state")
    assert run_command(["backfill", "shop.yml", "--from", "2026-01-01", "--to", "2026-01-04", "-q"]) == 1
    capsys.readouterr()
    assert run_command(["status", "--exit-code"]) == 1
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines()[1:5]]
    assert rows == [
        ["2026-01-01", "complete", "1", "complete", "20"],
        ["2026-01-02", "complete", "1", "complete", "10"],
        ["2026-01-03", "failed", "1", "damaged", "0"],
        ["2026-01-04", "not", "begun"],
    ]
    assert "next, to go on: statekeeper backfill shop.yml --from 2026-01-01 --to 2026-01-04" in shown
    state.unlink()
    assert run_command(["resume", "-q"]) == 0
    assert run_command(["status", "--exit-code", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["state"], document["not_begun"], len(document["runs"])) == ("complete", [], 4)


def test_bare_commands_after_a_killed_backfill_are_about_the_newest_date_that_it_has_begun(project, capsys):
    state = project.layout(day=date(2026, 1, 3)).state
    state.parent.mkdir(parents=True)
    state.write_text("not a state")
    assert run_command(["backfill", "shop.yml", "--from", "2026-01-01", "--to", "2026-01-05", "-q"]) == 1
    capsys.readouterr()
    assert run_command(["history", "orders"]) == 0
    assert run_command(["verify"]) == 1
    assert "shop-20260103" in capsys.readouterr().out
    assert run_command(["reset", "--table", "orders", "-q"]) == 0
    assert run_command(["resume", "-q"]) == 0
    assert run_command(["verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run_id"] == "shop-20260105"


def test_a_backfill_that_was_killed_before_its_first_date_is_begun_by_the_typed_command(project, capsys):
    command = ["backfill", "shop.yml", "--from", "2026-01-01", "--to", "2026-01-02"]
    assert run_command([*command, "-q"]) == 0
    shutil.rmtree(runs_folder(project.folder / "data"))
    shutil.rmtree(project.folder / "data/shop")
    for words in (["verify"], ["reset", "--failed"], ["history", "orders"]):
        assert run_command(words) == 2
        said = capsys.readouterr().err
        assert text_of("run.backfill_has_begun_no_date", first="2026-01-01", last="2026-01-02") in said
        assert "hint: `statekeeper resume` begins it" in said
    assert run_command(["status"]) == 0
    assert "next, to begin it: statekeeper resume" in capsys.readouterr().out
    assert run_command(["resume"]) == 0
    assert _published(project) == list(range(30))


def test_many_problems_are_counted_and_json_has_them(project, capsys):
    project.execute(*(f"update orders set id = {-1 - day} where id = {10 * day}" for day in range(11)))
    rule = "incremental_column: at, columns: {id: {type: int, ge: 0}, at: {type: datetime}}"
    Path("shop.yml").write_text(Path("shop.yml").read_text().replace("incremental_column: at", rule))
    command = ["backfill", "shop.yml", "--from", "2025-12-31", "--to", "2026-01-10"]
    assert run_command(command) == 1
    assert "and 1 further problem; --json has all of them" in capsys.readouterr().out
    assert run_command([*command, "--json"]) == 1
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["tables"][0]["outcome"] for run in runs] == ["failed"] * 11
