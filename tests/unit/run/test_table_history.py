from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from statekeeper.cli.app import run_command
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.table import Layout, TableRef
from statekeeper.run.report import Outcome
from statekeeper.run.table_history import read_history
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.slots import second_slot
from tests.messages import text_of
from tests.unit.small_shop import WINDOWS_CONFIG, Heard, Shop

FIRST = date(2026, 1, 1)
ORDERS = {"table_name": "orders", "incremental_column": "at", "incremental_timezone": "UTC"}


@pytest.fixture
def shop(tmp_path):
    """Ten rows on each of the first ten days of 2026."""
    made = Shop(tmp_path)
    made.execute(
        "create table orders as select range as id, "
        "timestamp '2026-01-01' + interval (range // 10) day + interval (range % 10) hour as at from range(100)",
        "create table customers as select 1 as id",
    )
    return made


def _day(number):
    return FIRST + timedelta(days=number - 1)


def _at(number):
    return datetime(2026, 1, number, tzinfo=UTC)


def _history(shop, table="orders"):
    commands = RunCommands(config="shop.yml", tables_file=None, extraction_date=FIRST, run_id=None)
    ref = TableRef(source_name="shop", table_name=table, path_name=table)
    return read_history(shop.folder / "data", ref, layout=Layout.DATED, pipeline="shop", commands=commands)


def _rows(history):
    return [(each.extraction_date[-2:], each.state, each.records) for each in history.extractions]


def test_each_date_has_its_state_rows_and_window(shop):
    for number in (1, 2, 3):
        shop.run(ORDERS, day=_day(number))
    history = _history(shop)
    assert _rows(history) == [("01", "complete", 10), ("02", "complete", 10), ("03", "complete", 10)]
    assert [(each.start, each.end) for each in history.extractions] == [
        (None, _at(2)),
        (_at(2), _at(3)),
        (_at(3), _at(4)),
    ]
    assert (history.covered_through, history.holes, history.overlaps, history.remarks) == (_at(4), (), (), ())


def test_a_date_whose_files_are_gone_leaves_a_hole_that_the_typed_command_takes(shop):
    for number in (1, 2, 3):
        shop.run(ORDERS, day=_day(number))
    shutil.rmtree(shop.layout(day=_day(2)).folder)
    history = _history(shop)
    assert _rows(history) == [("01", "complete", 10), ("02", "missing", None), ("03", "complete", 10)]
    assert [(hole.start, hole.end) for hole in history.holes] == [(_at(2), _at(3))]
    assert history.covered_through == _at(2)
    (remark,) = history.remarks
    assert "`statekeeper run shop.yml --date 2026-01-02 --table shop.orders`" in remark
    shop.run(ORDERS, day=_day(2))
    assert (_history(shop).holes, _history(shop).covered_through) == ((), _at(4))


def test_dates_that_retention_removed_are_no_hole_and_nothing_is_typed_that_extracts_them_again(shop):
    for number in range(1, 6):
        shop.run(ORDERS, day=_day(number))
    for number in (1, 2):
        shutil.rmtree(shop.layout(day=_day(number)).folder)
    history = _history(shop)
    assert [state for _, state, _ in _rows(history)] == ["removed", "removed", "complete", "complete", "complete"]
    assert (history.holes, history.remarks, history.covered_through) == ((), (), _at(6))
    heard = Heard()
    shop.run(ORDERS, day=_day(6), reporter=heard)
    assert heard.warnings == []
    assert shop.run(ORDERS, day=_day(2))["orders"].outcome is Outcome.COMPLETED
    assert (_history(shop).holes, shop.rows(day=_day(2))) == ((), 10), "on purpose, with its own rows"


def test_rows_before_the_oldest_date_are_a_hole_if_nobody_knows_whether_they_were_extracted(shop):
    for number in (1, 2, 3):
        shop.run(ORDERS, day=_day(number))
    shutil.rmtree(shop.layout(day=_day(1)).folder)
    shop.layout(day=_day(1)).windows.unlink()
    history = _history(shop)
    assert [(hole.start, hole.end) for hole in history.holes] == [(None, _at(2))]
    (remark,) = history.remarks
    command = "`statekeeper run shop.yml --date 2026-01-01 --table shop.orders`"
    rows = "the rows from the beginning to before 2026-01-02T00:00:00+00:00"
    assert remark == text_of("run.rows_were_removed_or_never_extracted", rows=rows, command=command)
    shop.run(ORDERS, day=_day(1))
    assert (_history(shop).holes, _history(shop).covered_through) == ((), _at(4))


def test_several_holes_are_mended_by_one_backfill(shop):
    for number in range(1, 8):
        shop.run(ORDERS, day=_day(number))
    for number in (2, 4, 5):
        shutil.rmtree(shop.layout(day=_day(number)).folder)
    shop.layout(day=_day(1)).windows.unlink()
    history = _history(shop)
    assert [(hole.start, hole.end) for hole in history.holes] == [(_at(2), _at(3)), (_at(4), _at(6))]
    assert history.remarks[-1] == (
        "2 of these holes at once: "
        "`statekeeper backfill shop.yml --from 2026-01-02 --to 2026-01-05 --table shop.orders`"
    )


def test_an_unfinished_date_is_named_with_the_command_that_goes_on(shop):
    shop.run(ORDERS, day=_day(1))
    shop.execute("create or replace table orders as select 'text' as id, timestamp '2026-01-02' as at")
    shop.run({**ORDERS, "columns": {"id": {"type": "str", "max_length": 2}, "at": {"type": "datetime"}}}, day=_day(2))
    history = _history(shop)
    assert [each.state for each in history.extractions] == ["complete", "failed"]
    assert history.covered_through == _at(2)
    (remark,) = history.remarks
    assert "belong to shop-20260102 of 2026-01-02, which is not complete" in remark


def test_windows_of_old_versions_that_overlap_are_marked(shop):
    shop.run(ORDERS, day=_day(1))
    shop.run(ORDERS, day=_day(2))
    path = shop.layout(day=_day(2)).metadata
    metadata = json.loads(path.read_text())
    metadata["table_config"]["scope"]["covered_from"] = "2026-01-01T12:00:00+00:00"
    path.write_text(json.dumps(metadata))
    (overlap,) = _history(shop).overlaps
    assert overlap.run_ids == ("shop-20260101", "shop-20260102")
    assert (overlap.start, overlap.end) == (datetime(2026, 1, 1, 12, tzinfo=UTC), _at(2))


def test_a_damaged_commit_record_is_said_and_its_rows_are_not_called_covered(shop):
    for number in (1, 2):
        shop.run(ORDERS, day=_day(number))
    shop.layout(day=_day(2)).metadata.write_text('{"record_count": 10}')
    history = _history(shop)
    assert _rows(history) == [("01", "complete", 10), ("02", "damaged", None)]
    assert history.covered_through == _at(2)


def test_a_damaged_state_is_said_and_a_table_without_windows_has_none(shop):
    shop.run("customers", day=_day(1))
    shop.run("customers", day=_day(2))
    shop.layout("customers", day=_day(2)).state.write_text("not a state")
    history = _history(shop, "customers")
    assert _rows(history) == [("01", "complete", 1), ("02", "damaged", 1)]
    assert (history.incremental_column, history.covered_through) == (None, None)


def test_each_document_is_opened_once_and_no_other_file(shop, monkeypatch):
    """A thousand dates are shown in half a second: a third opening for each would cost a tenth of one."""
    for number in range(1, 6):
        shop.run(ORDERS, day=_day(number))
    opened = []
    monkeypatch.setattr(
        LocalDisk, "read", lambda disk, path, read=LocalDisk.read: opened.append(path) or read(disk, path)
    )
    assert len(_history(shop).extractions) == 5
    documents = [
        path
        for number in range(1, 6)
        for path in (shop.layout(day=_day(number)).metadata, shop.layout(day=_day(number)).state)
    ]
    index = shop.layout(day=_day(1)).windows
    assert sorted(opened) == sorted([*documents, index, second_slot(index)])


@pytest.fixture
def project(shop, monkeypatch):
    monkeypatch.chdir(shop.folder)
    Path("shop.yml").write_text(WINDOWS_CONFIG)
    for number in (1, 2, 3):
        shop.run(ORDERS, "customers", day=_day(number))
    assert run_command(["run", "shop.yml", "--date", "2026-01-03", "-q"]) == 0
    return shop


@pytest.mark.parametrize("config", [(), ("shop.yml",)])
def test_the_command_shows_dates_and_holes(project, capsys, config):
    shutil.rmtree(project.layout(day=_day(2)).folder)
    assert run_command(["history", "orders", *config]) == 0
    shown = [line.split("  ")[0:2] for line in capsys.readouterr().out.splitlines()[1:5]]
    assert [" ".join(words).strip() for words in shown] == [
        "2026-01-01 complete",
        "2026-01-02 missing",
        "",
        "2026-01-03 complete",
    ]
    assert run_command(["history", "orders", *config, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["holes"] == [{"start": "2026-01-02T00:00:00+00:00", "end": "2026-01-03T00:00:00+00:00"}]


def test_the_command_shows_removed_dates_in_one_row(project, capsys):
    for number in (1, 2):
        shutil.rmtree(project.layout(day=_day(number)).folder)
    assert run_command(["history", "orders"]) == 0
    _, removed, kept, _, last = capsys.readouterr().out.splitlines()
    assert re.split(r" {2,}", removed) == [
        "to 2026-01-02",
        "removed",
        "the beginning",
        "2026-01-03 00:00+00:00",
        "2 extractions",
    ]
    assert kept.startswith("2026-01-03")
    assert last.startswith("shop.orders: 1 extraction; every value of at before 2026-01-04")


@pytest.mark.usefixtures("project")
def test_a_table_is_named_exactly(capsys):
    assert run_command(["history", "ordes"]) == 2
    assert "shop.orders" in capsys.readouterr().err
    assert run_command(["history", "*"]) == 2
    assert "names 2 tables" in capsys.readouterr().err
