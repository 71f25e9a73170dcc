"""What readers meet at every moment of a run, in either layout: published rows alone.

Some look for `*.parquet` under base_path; in the layout `hive` others are given the table's folder.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from contextlib import suppress
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from statekeeper.model.table import Layout
from statekeeper.run.report import Outcome
from statekeeper.store.files import failpoints
from statekeeper.store.files.disk import LocalDisk
from tests.unit.small_shop import DAY, Shop
from tests.unit.store.files.dying_disk import Died

ROWS, BAD = 100, 5
SHAPES = {"file": ROWS, "folder": ROWS // 2}


class MountPoint(LocalDisk):
    """A disk on which base_path has a file system of its own, so that nothing can be moved beside it."""

    def rename(self, source, dest, *, role):
        if role == "ready":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        super().rename(source, dest, role=role)


class NoExchange(LocalDisk):
    def exchange(self, first, second, *, role):
        del first, second, role
        return False


@pytest.fixture(params=list(Layout))
def shop(tmp_path, request):
    return Shop(tmp_path, request.param)


def _fill(shop, version):
    shop.execute(
        f"create or replace table orders as select i as id, i - {BAD} as amount, {version} as version "
        f"from range({ROWS}) r(i)"
    )


def _table(shape, **keys):
    return {
        "table_name": "orders",
        "columns": {"id": {"type": "int"}, "amount": {"type": "int", "ge": 0}, "version": {"type": "int"}},
        "on_violation": "quarantine",
        "keep_violating_rows": True,
        "chunking": {"strategy": "rowid", "target_rows": SHAPES[shape]},
        **keys,
    }


def _matched(base_path: Path) -> list[str]:
    walked = (Path(folder) / name for folder, _, names in os.walk(base_path) for name in names)
    return sorted(str(path) for path in walked if path.name.endswith(".parquet"))


def _by_duckdb(base_path):
    if not _matched(base_path):
        return Counter()
    query = f"select version, count(*) from read_parquet('{base_path}/**/*.parquet') group by 1"
    with duckdb.connect() as connection:
        return Counter(dict(connection.execute(query).fetchall()))


def _by_pyarrow(base_path):
    """A dataset over the whole folder: whatever is Parquet, by any name, but what begins with `_` or `.`."""
    if not base_path.exists():
        return Counter()
    found = ds.dataset(base_path, format="parquet", exclude_invalid_files=True)
    return Counter(found.to_table(columns=["version"]).column(0).to_pylist()) if found.files else Counter()


def _by_pandas(base_path):
    return Counter(version for file in _matched(base_path) for version in pd.read_parquet(file)["version"])


def _by_polars(base_path):
    if not _matched(base_path):
        return Counter()
    return Counter(pl.scan_parquet(f"{base_path}/**/*.parquet").select("version").collect()["version"].to_list())


def _folder_by_pandas(folder):
    return Counter(pd.read_parquet(folder)["version"].to_list())


def _folder_by_pyarrow(folder):
    return Counter(ds.dataset(folder, format="parquet", partitioning="hive").to_table()["version"].to_pylist())


def _folder_by_duckdb(folder):
    query = f"select version, count(*), max(extraction_date) from read_parquet('{folder}/**/*.parquet') group by 1"
    with duckdb.connect() as connection:
        rows = connection.execute(query).fetchall()
    assert {day for _, _, day in rows} <= {DAY}
    return Counter({version: number for version, number, _ in rows})


def _folder_by_polars(folder):
    rows = pl.read_parquet(folder)
    assert set(rows["extraction_date"]) <= {DAY}
    return Counter(rows["version"].to_list())


_FOLDER_READERS = (_folder_by_pandas, _folder_by_pyarrow, _folder_by_duckdb, _folder_by_polars)


def _by_folder(shop, read):
    """What a reader meets that is given the table's folder; there is none before there is something to read."""
    folder = shop.layout().table_folder
    return read(folder) if folder.exists() and any(folder.iterdir()) else Counter()


def _rows_of_files(base_path: Path) -> frozenset[tuple[str, int, int]]:
    """Every file that may hold rows, as it is now."""
    walked = [Path(folder) / name for folder, _, names in os.walk(base_path) for name in names]
    found = [path for path in walked if path.suffix not in {".json", ".lock", ".tmp"}]
    files = set()
    for path in found:
        with suppress(FileNotFoundError):  # removed by another thread just now
            files.add((str(path), path.stat().st_ino, path.stat().st_size))
    return frozenset(files)


_READERS = (_by_duckdb, _by_pyarrow, _by_pandas, _by_polars)


def _watched(shop, run):
    """What each reader met, whenever there were other files than at an earlier step of a run."""
    base_path, seen, met = shop.folder / "data", set(), []

    def look(*point):
        files = _rows_of_files(base_path)
        if files not in seen:
            seen.add(files)
            met.extend((point, read(base_path)) for read in _READERS)
            if shop.kind is Layout.HIVE:
                met.extend((point, _by_folder(shop, read)) for read in _FOLDER_READERS)

    failpoints.install(look)
    try:
        report = run()
    finally:
        failpoints.install(None)
    return report["orders"], met


GOOD = ROWS - BAD


@pytest.mark.parametrize(
    ("before", "after"), [(None, "file"), (None, "folder"), ("file", "file"), ("folder", "folder"), ("folder", "file")]
)
def test_at_every_step_of_a_run_readers_see_only_published_rows(shop, before, after):
    _fill(shop, version=1)
    allowed = [Counter()]
    if before is not None:
        shop.run(_table(before))
        _fill(shop, version=2)
        allowed = [Counter({1: GOOD})]
    allowed += [Counter({2 if before else 1: GOOD})]
    report, met = _watched(shop, lambda: shop.run(_table(after), is_forced=True))
    assert report.outcome is Outcome.COMPLETED
    assert len(met) > 20
    assert [(point, rows) for point, rows in met if rows not in allowed] == []


@pytest.mark.parametrize("policy", ["fail", "warn"])
def test_rows_that_break_the_schema_are_seen_only_if_the_policy_publishes_them(shop, policy):
    _fill(shop, version=1)
    _, met = _watched(shop, lambda: shop.run(_table("folder", on_violation=policy)))
    allowed = [Counter()] if policy == "fail" else [Counter(), Counter({1: ROWS})]
    assert [(point, rows) for point, rows in met if rows not in allowed] == []


@pytest.mark.parametrize("disk", [MountPoint(), NoExchange()], ids=["mount point", "no exchange"])
def test_with_renames_one_by_one_only_those_renames_expose_both_datasets(shop, disk):
    _fill(shop, version=1)
    shop.run(_table("folder"), disk=disk)
    _fill(shop, version=2)
    report, met = _watched(shop, lambda: shop.run(_table("folder"), disk=disk, is_forced=True))
    assert report.outcome is Outcome.COMPLETED
    outside = [
        (point, rows) for point, rows in met if point[:2] not in {("rename", "publish"), ("exchange", "publish")}
    ]
    outside = [(point, rows) for point, rows in outside if point != ("fsync_folder", "publish", "after")]
    assert [(point, rows) for point, rows in outside if rows not in [Counter({1: GOOD}), Counter({2: GOOD})]] == []
    assert _by_duckdb(shop.folder / "data") == Counter({2: GOOD})


def test_the_next_run_cleans_up_after_a_death_during_those_renames(shop):
    class Dying(MountPoint):
        def exchange(self, first, second, *, role):
            raise Died

    _fill(shop, version=1)
    shop.run(_table("folder"))
    with pytest.raises(Died):
        shop.run(_table("folder"), disk=Dying(), is_forced=True)
    assert _by_duckdb(shop.folder / "data") == Counter({1: 2 * GOOD})
    shop.run(_table("folder"))
    assert _by_duckdb(shop.folder / "data") == Counter({1: GOOD})


def test_with_renames_one_by_one_readers_of_folders_see_one_version(tmp_path):
    shop = Shop(tmp_path, Layout.HIVE)
    _fill(shop, version=1)
    shop.run(_table("folder"), disk=MountPoint())
    _fill(shop, version=2)
    met = []
    failpoints.install(lambda *_: met.extend(_by_folder(shop, read) for read in _FOLDER_READERS[:1]))
    try:
        shop.run(_table("folder"), disk=MountPoint(), is_forced=True)
    finally:
        failpoints.install(None)
    assert {1: GOOD} in met
    assert [rows for rows in met if rows not in [{1: GOOD}, {2: GOOD}]] == []


def test_two_dates_are_two_partitions_for_readers_of_folders(tmp_path):
    shop = Shop(tmp_path, Layout.HIVE)
    for version, day in enumerate((DAY, date(2026, 1, 7)), start=1):
        _fill(shop, version=version)
        shop.run(_table("folder"), day=day)
    folder = shop.layout().table_folder
    assert pd.read_parquet(folder).groupby("extraction_date", observed=True)["version"].unique().map(
        list
    ).to_dict() == {
        "2026-01-06": [1],
        "2026-01-07": [2],
    }
    assert pl.read_parquet(folder).filter(pl.col("extraction_date") == DAY)["version"].unique().to_list() == [1]
    query = f"select distinct version from read_parquet('{folder}/**/*.parquet', hive_partitioning = true)"
    with duckdb.connect() as connection:
        assert connection.execute(f"{query} where extraction_date = date '2026-01-07'").fetchall() == [(2,)]


def test_staging_of_version_0_1_is_resumed_and_gone_when_the_table_is_complete(tmp_path):
    shop = Shop(tmp_path)

    class Dying(LocalDisk):
        def rename(self, source, dest, *, role):
            if role == "intent":
                raise Died
            super().rename(source, dest, role=role)

    _fill(shop, version=1)
    with pytest.raises(Died):
        shop.run(_table("folder"), disk=Dying())
    parts = shop.layout().staging(shop.state().plan_id).parts
    for receipt in parts.with_name("receipts").glob("chunk-*.json"):
        _rename_in(receipt, parts)
    for part in parts.with_name("receipts").glob("sifted-*.json"):
        part.unlink()
    assert list(parts.glob("chunk-*.parquet"))
    assert shop.run(_table("folder"))["orders"].outcome is Outcome.COMPLETED
    assert _by_duckdb(shop.folder / "data") == Counter({1: GOOD})
    assert not shop.layout().staging_root.exists()


def _rename_in(receipt: Path, parts: Path):
    """Give the part of a receipt the ending that it had in version 0.1."""
    from statekeeper.model.receipt import Receipt

    found = Receipt.from_bytes(receipt.read_bytes(), where=str(receipt))
    name = found.part.replace(".unpublished", ".parquet")
    (parts / found.part).rename(parts / name)
    receipt.write_bytes(found.model_copy(update={"part": name}).to_bytes())
