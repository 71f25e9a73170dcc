"""`--force-reprocess`: concurrent readers see all old data or all new data, and the old data if the run fails."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from .pipeline import Workplace, wait_until

_ROWS = 40_000
_TABLE = (
    "create or replace table large as "
    f"select {{version}} as version, i as id, md5(i::varchar) as digest from range({_ROWS}) as r(i)"
)
_NOTHING = pa.table({"version": pa.array([], pa.int64()), "id": pa.array([], pa.int64())})
_CONFIG = """\
pipeline: nightly
extraction_date: 2026-01-06
sources:
  shop: {type: duckdb, path: shop.duckdb}
output: {base_path: data}
execution: {workers: 2, memory_limit: 256MiB}
tables:
  - table_name: large
    chunking: {strategy: rowid, target_rows: CHUNK}
    columns:
      version: {type: int, lt: 3}
      id: {type: int, ge: 0, nullable: true}
      digest: {type: str, nullable: true}
"""


def _versions(dataset):
    """The rows that a careful reader finds, which opens every file before it reads the first; None to try again."""
    try:
        paths = sorted(dataset.glob("*.parquet")) if dataset.is_dir() else [dataset]
        files = []
        try:
            files.extend(path.open("rb") for path in paths)
            tables = [pq.read_table(file, columns=["version", "id"]) for file in files]
        finally:
            for file in files:
                file.close()
    except (FileNotFoundError, NotADirectoryError):
        return None
    rows = pa.concat_tables(tables) if tables else _NOTHING
    ids = rows["id"]
    is_whole = (len(ids), len(ids.unique()), pc.sum(ids).as_py()) == (_ROWS, _ROWS, _ROWS * (_ROWS - 1) // 2)
    return is_whole, set(rows["version"].unique().to_pylist())


@contextmanager
def _reader(dataset):
    """Reads the dataset repeatedly while the block runs; gives everything that it found."""
    found, is_over = [], threading.Event()

    def read():
        while not is_over.is_set():
            seen = _versions(dataset)
            if seen is not None:
                found.append(seen)
            is_over.wait(0.005)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()


@pytest.fixture(scope="module", params=[4_096, _ROWS * 2], ids=["folder", "file"])
def complete(request, tmp_path_factory):
    """The old data, published as a folder of parts or as a single file; tests take copies."""
    config = _CONFIG.replace("CHUNK", str(request.param))
    work = Workplace.make(tmp_path_factory.mktemp("complete") / "work", rows=0, config=config)
    work.sql(_TABLE.format(version=1))
    assert work.run("run", "nightly.yml").returncode == 0
    assert work.dataset().is_dir() == (request.param < _ROWS)
    return work


@pytest.fixture
def work(complete, tmp_path):
    return complete.copy_to(tmp_path / "work")


def test_readers_see_all_old_data_until_all_new_data_is_published(work):
    work.sql(_TABLE.format(version=2))
    with _reader(work.dataset()) as found:
        forced = work.run("run", "nightly.yml", "--force-reprocess")
        seen_so_far = len(found)
        wait_until(lambda: len(found) > seen_so_far + 1, what="a read that began after the run")
    assert forced.returncode == 0, forced.stderr
    seen = [next(iter(versions)) for is_whole, versions in found if is_whole and len(versions) == 1]
    assert len(seen) == len(found), [each for each in found if not each[0] or len(each[1]) != 1]
    assert seen == sorted(seen), "old data came back"
    assert (seen[0], seen[-1]) == (1, 2)
    assert seen.count(1) > 3, "nobody read while it was replaced"
    work.assert_equals_source("large")
    work.assert_no_staging()


def test_if_rows_break_the_schema_readers_keep_the_old_data(work):
    work.sql(_TABLE.format(version=2), f"update large set version = 3 where id = {_ROWS - 1}")
    before = work.metadata()
    with _reader(work.dataset()) as found:
        forced = work.run("run", "nightly.yml", "--force-reprocess")
    assert forced.returncode == 1
    assert "Traceback" not in forced.stderr
    assert found
    assert all(each == (True, {1}) for each in [*found, _versions(work.dataset())])
    assert work.metadata() == before
    status = work.tables()["large"]
    assert (status["state"], status["failure"]["kind"]) == ("failed", "validation")
    assert "violations.json" in status["failure"]["message"]
    work.sql(_TABLE.format(version=2))
    assert work.run("run", "nightly.yml", "--force-reprocess").returncode == 0
    assert _versions(work.dataset()) == (True, {2})
    work.assert_no_staging()


def test_if_the_table_is_gone_readers_keep_the_old_data(work):
    work.sql("drop table large")
    before = work.fingerprint("large")
    forced = work.run("run", "nightly.yml", "--force-reprocess")
    assert forced.returncode == 1
    assert _versions(work.dataset()) == (True, {1})
    changed = {path for path, was in work.fingerprint("large").items() if before.get(path) != was}
    assert {path.rpartition("/")[2] for path in changed} == {"nightly-20260106_state.json"}
    status = work.tables()["large"]
    assert (status["state"], status["failure"]["kind"]) == ("failed", "source")
    assert status["failure"]["hint"]
