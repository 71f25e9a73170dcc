"""No run touches a file that is not proven its own, and what it is told to replace is only replaced when it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.errors import FailureKind, UsageError
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import RunIdentity
from statekeeper.run.verify import verify_tables
from statekeeper.store.layout import ExtractionLayout
from tests.crash.nameless_disk import NamelessDisk
from tests.messages import raises_message, says
from tests.unit.small_shop import DAY, Shop

ROWS, BAD = 100, 5
TABLE = {
    "table_name": "orders",
    "columns": {"id": {"type": "int"}, "amount": {"type": "int", "ge": 0}},
    "on_violation": "quarantine",
}
FOLDER = {**TABLE, "chunking": {"strategy": "rowid", "target_rows": 50}}


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(f"create table orders as select i as id, i - {BAD} as amount from range({ROWS}) r(i)")
    return shop


def _run(shop, run_id, *, table=TABLE, **choices):
    """The outcome of the table in a run of any id, also one that is refused where ids enter, as version 0.1 did not."""
    forced = choices.pop("is_forced", False)
    runner = replace(shop.runner(table, **choices), identity=RunIdentity(run_id, DAY))
    return runner.run(runner.pipeline.tables, reprocess=Reprocess.ALL if forced else Reprocess.STALE).tables[0]


def _verified(shop, run_id, *, table=TABLE):
    runner = replace(shop.runner(table), identity=RunIdentity(run_id, DAY))
    return verify_tables(runner, runner.pipeline.tables).tables[0].failure


def _layout(shop, run_id):
    return replace(shop.layout(), run_id=run_id)


def _content(path: Path):
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {file: (file.stat().st_ino, file.read_bytes()) for file in files if file.is_file()}


def _as_version_0_1_wrote_it(layout: ExtractionLayout, record, metadata):
    """Give the quarantined rows of a complete extraction the name that they had then."""
    quarantine = metadata.validation.quarantine
    name = f"{layout.run_id}_quarantine.parquet"
    (layout.folder / quarantine.name).rename(layout.folder / name)
    layout.quarantine_folder.rmdir()
    told = metadata.validation.model_copy(update={"quarantine": quarantine.model_copy(update={"name": name})})
    data = metadata.model_copy(update={"validation": told}).to_bytes()
    layout.metadata.write_bytes(data)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    published = record.published.model_copy(update={"metadata_md5": md5})
    layout.state.write_bytes(record.model_copy(update={"published": published}).to_bytes())


@pytest.mark.parametrize("end", ["_quarantine", "_violations"])
def test_a_run_id_that_could_collide_with_other_files_is_refused(shop, end):
    config = shop.folder / "p.yml"
    source = {"type": "duckdb", "path": "shop.duckdb"}
    config.write_text(json.dumps({"pipeline": "n", "sources": {"shop": source}, "tables": [TABLE]}))
    with raises_message(UsageError, "store.reserved_end", end=end):
        StatefulDataExtractor.from_config(config, run_id=f"n{end}")


@pytest.mark.parametrize("end", ["_quarantine", "_violations", ".0123abcd"])
@pytest.mark.parametrize("disk", [None, NamelessDisk()], ids=["rename", "whole"])
def test_a_dataset_of_another_run_is_never_removed_whatever_its_run_id(shop, end, disk):
    other = _layout(shop, f"n{end}").output
    table = {**TABLE, "keep_violating_rows": True}
    assert _run(shop, f"n{end}").outcome is Outcome.COMPLETED
    before = _content(other)
    for policy in ("quarantine", "warn"):
        mine = _run(shop, "n", table={**table, "on_violation": policy}, disk=disk, is_forced=True)
        assert mine.outcome is Outcome.COMPLETED, mine.failure
    assert _content(other) == before
    assert _verified(shop, f"n{end}") is None
    assert _verified(shop, "n", table={**table, "on_violation": "warn"}) is None


def test_quarantined_rows_of_another_run_are_never_overwritten_by_a_dataset(shop):
    _run(shop, "shop-20260106")
    layout = shop.layout()
    _as_version_0_1_wrote_it(layout, shop.state(), shop.metadata())
    theirs = layout.folder / f"{layout.run_id}_quarantine.parquet"
    before = _content(theirs)
    failed = _run(shop, f"{layout.run_id}_quarantine")
    assert (failed.outcome, failed.failure.kind) == (Outcome.FAILED, FailureKind.STORAGE)
    assert str(theirs) in failed.failure.message
    assert says(failed.failure.hint, "publish.move_it_away", path=theirs)
    assert _content(theirs) == before
    assert _verified(shop, layout.run_id) is None


def test_quarantined_rows_of_version_0_1_are_verified_and_removed_after_replacement(shop):
    _run(shop, "shop-20260106")
    layout = shop.layout()
    _as_version_0_1_wrote_it(layout, shop.state(), shop.metadata())
    assert _verified(shop, layout.run_id) is None
    assert _run(shop, layout.run_id).outcome is Outcome.SKIPPED
    assert _run(shop, layout.run_id, is_forced=True).outcome is Outcome.COMPLETED
    assert [path.name for path in layout.folder.rglob("*.parquet")] == [layout.output.name]
    assert pq.read_table(shop.quarantine()).num_rows == BAD
    assert _verified(shop, layout.run_id) is None


def _a_parquet_file_of_somebodys(path):
    pq.write_table(pa.table({"x": [1]}), path)


def _a_file_of_somebodys(path):
    path.write_bytes(b"not Parquet")


def _a_folder_of_somebodys(path):
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def _a_folder_of_parquet_files_of_somebodys(path):
    path.mkdir()
    pq.write_table(pa.table({"x": [1]}), path / "part-00000-0123abcd.parquet")


@pytest.mark.parametrize(
    "make",
    [
        _a_parquet_file_of_somebodys,
        _a_file_of_somebodys,
        _a_folder_of_somebodys,
        _a_folder_of_parquet_files_of_somebodys,
    ],
)
@pytest.mark.parametrize("table", [TABLE, FOLDER], ids=["file", "folder"])
def test_a_foreign_file_at_the_path_of_the_dataset_fails_the_table_and_stays(shop, make, table):
    output = shop.layout().output
    output.parent.mkdir(parents=True)
    make(output)
    before = _content(output)
    for is_forced in (False, True):
        failed = _run(shop, "shop-20260106", table=table, is_forced=is_forced)
        assert failed.outcome is Outcome.FAILED
        assert says(failed.failure.message, "publish.something_is_in_the_way", path=output)
        assert _content(output) == before
    output.rename(output.with_name("moved away"))
    assert _run(shop, "shop-20260106", table=table).outcome is Outcome.COMPLETED


TEXT, JSON = "somebody's notes", '{"run_id": "another"}'


@pytest.mark.parametrize(
    ("name", "content"),
    [("metadata", TEXT), ("metadata", JSON), ("violations", TEXT), ("violations", JSON), ("lock", TEXT)],
)
def test_a_foreign_document_fails_the_table_and_stays(shop, name, content):
    path = getattr(shop.layout(), name)
    path.parent.mkdir(parents=True)
    path.write_text(content)
    failed = _run(shop, "shop-20260106")
    assert failed.outcome is Outcome.FAILED
    assert str(path) in failed.failure.message
    assert path.read_text() == content
    path.unlink()
    assert _run(shop, "shop-20260106").outcome is Outcome.COMPLETED


@pytest.mark.parametrize("lost", [("state",), ("state", "metadata"), ("metadata",)], ids=" ".join)
@pytest.mark.parametrize("table", [TABLE, FOLDER], ids=["file", "folder"])
def test_own_files_are_replaced_although_documents_were_lost(shop, lost, table):
    _run(shop, "shop-20260106", table=table)
    for name in lost:
        getattr(shop.layout(), name).unlink()
    assert _run(shop, "shop-20260106", table=table).outcome is Outcome.COMPLETED
    assert shop.rows() == ROWS - BAD
    assert _verified(shop, "shop-20260106", table=table) is None


def test_a_dataset_overwritten_by_another_run_is_left_to_it(shop):
    _run(shop, "other")
    _run(shop, "shop-20260106")
    output = shop.layout().output
    output.write_bytes(_layout(shop, "other").output.read_bytes())
    before = _content(output)
    failed = _run(shop, "shop-20260106")
    assert failed.outcome is Outcome.FAILED
    assert str(output) in failed.failure.message
    assert _content(output) == before
