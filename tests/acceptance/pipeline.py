"""A working directory with a database and a pipeline, in which tests run, watch and kill the real command line."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import psutil

from statekeeper.model.table import Layout, TableRef
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.layouts import layout_of

STATEKEEPER = str(Path(sys.executable).parent / "statekeeper")
RUN_ID = "nightly-20260106"
CONFIG = """\
pipeline: nightly
extraction_date: 2026-01-06
sources:
  shop: {type: duckdb, path: shop.duckdb}
output: {base_path: data}
execution: {workers: 2, memory_limit: 256MiB}
defaults:
  chunking: {strategy: rowid, target_rows: 100000}
  retry: {attempts: 3, initial_delay: 50ms, max_delay: 200ms}
tables:
  - {table_name: large}
  - {table_name: small}
  - {table_name: empty}
"""
QUICK_ROWS = 8_000
QUICK_CONFIG = CONFIG.replace("target_rows: 100000", "target_rows: 2048")
"""For tests that need several chunks, but no time in which to stop them."""
LARGE_ROWS = 2_000_000
CHUNKS = LARGE_ROWS // 100_000


@dataclass(frozen=True)
class Workplace:
    """A folder to run `statekeeper` in."""

    folder: Path
    run_id: str = RUN_ID
    layout: Layout = Layout.DATED

    @classmethod
    def make(
        cls, folder: Path, *, rows: int = LARGE_ROWS, config: str = CONFIG, layout: Layout = Layout.DATED
    ) -> Workplace:
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(folder / "shop.duckdb") as connection:
            connection.execute(
                "create table large as select i as id, (i * 7919 % 1000003)::decimal(18, 2) as amount, "
                "md5(i::varchar) as digest, md5((i + 1)::varchar) as other, "
                f"timestamp '2026-01-01' + to_seconds(i) as at from range({rows}) as r(i)"
            )
            connection.execute("create table small as select i as id, 'name ' || i as name from range(100) as r(i)")
            connection.execute("create table empty (id integer, note varchar)")
        if layout is not Layout.DATED:
            config = config.replace("base_path: data", f"base_path: data, layout: {layout}")
        (folder / "nightly.yml").write_text(config)
        return cls(folder, layout=layout)

    def copy_to(self, folder: Path) -> Workplace:
        """A copy, for commands that name their config: the file about the last run would lead to the original."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(".statekeeper", "queries.jsonl"))
        return replace(self, folder=folder)

    def configure(self, config: str) -> None:
        (self.folder / "nightly.yml").write_text(config)

    def sql(self, *statements: str) -> None:
        """Change the source."""
        with duckdb.connect(self.folder / "shop.duckdb") as connection:
            for statement in statements:
                connection.execute(statement)

    def start(
        self, *arguments: str, env: dict[str, str] | None = None, program: tuple[str, ...] = (STATEKEEPER,)
    ) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [*program, *arguments],
            cwd=self.folder,
            env={**os.environ, "STATEKEEPER_QUERY_LOG": str(self.folder / "queries.jsonl"), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, program: tuple[str, ...] = (STATEKEEPER,)
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*arguments, env=env, program=program)
        output, errors = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json").stdout)

    def tables(self) -> dict[str, dict[str, Any]]:
        return {table["table_name"]: table for table in self.status()["tables"]}

    def files(self, table: str = "large") -> ExtractionLayout:
        ref = TableRef(source_name="shop", table_name=table, path_name=table)
        day, base_path = date(2026, 1, 6), self.folder / "data"
        return layout_of(self.layout, base_path=base_path, table=ref, extraction_date=day, run_id=self.run_id)

    def day(self, table: str = "large") -> Path:
        """The folder of the table's documents."""
        return self.files(table).folder

    def dataset(self, table: str = "large") -> Path:
        return self.files(table).output

    def state(self, table: str = "large") -> dict[str, Any]:
        return json.loads((self.day(table) / f"{self.run_id}_state.json").read_text())

    def metadata(self, table: str = "large") -> dict[str, Any]:
        return json.loads((self.day(table) / f"{self.run_id}_metadata.json").read_text())

    def fingerprint(self, *tables: str) -> dict[str, tuple[int, int, str]]:
        """Time, inode and content of every file of some tables except locks, by path: equal if nothing was touched."""
        found = {}
        folders = {folder for table in tables for folder in (self.files(table).table_folder, self.day(table))}
        for path in {path for folder in folders for path in folder.rglob("*")}:
            if path.is_file() and ".lock" not in path.name:
                stat = path.stat()
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                found[str(path)] = (stat.st_mtime_ns, stat.st_ino, content)
        return found

    def tables_read(self) -> set[str]:
        """The tables that the query log names."""
        names = ("large", "small", "empty", "missing")
        return {name for query in self.queries() for name in names if f'"{name}"' in query["sql"]}

    def receipts(self, table: str = "large") -> list[Path]:
        return paths_matching(self.day(table), f".{self.run_id}.staging/*/receipts/chunk-*.json")

    def queries(self) -> list[dict[str, Any]]:
        log = self.folder / "queries.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def chunk_reads(self, table: str = "large") -> list[str]:
        """The bounds of every chunk query that was sent for a table."""
        return [
            json.dumps([query["sql"], query["params"]])
            for query in self.queries()
            if f'"{table}"' in query["sql"] and query["sql"].startswith("SELECT CAST(")
        ]

    def assert_equals_source(self, *tables: str) -> None:
        """Every table's dataset is the source table, by EXCEPT ALL both ways."""
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.folder / 'shop.duckdb'}' as source (read_only)")
            for table in tables or ("large", "small", "empty"):
                dataset = self.dataset(table)
                files = f"{dataset}/**/*.parquet" if dataset.is_dir() else str(dataset)
                published = f"read_parquet('{files}', hive_partitioning = false)"
                for one, other in ((published, f"source.{table}"), (f"source.{table}", published)):
                    query = f"select count(*) from (select * from {one} except all select * from {other})"
                    assert connection.execute(query).fetchone() == (0,), (table, one)

    def assert_no_staging(self) -> None:
        assert list((self.folder / "data").rglob("*.staging")) == []
        assert [path for path in (self.folder / "data/shop").rglob(".*") if path.is_file()] == []


def paths_matching(folder: Path, pattern: str) -> list[Path]:
    """The paths under `folder` that match, sorted, while a run makes and removes folders: `Path.glob` raises then."""
    return sorted(folder / name for name in glob.glob(pattern, root_dir=folder, recursive=True, include_hidden=True))  # noqa: PTH207


def wait_until(condition: Callable[[], object], *, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def stopped_in_mid_run(work: Workplace, *tables: str, after: int = 2) -> subprocess.Popen[str]:
    """A run with `after` finished chunks of its large table and as many unfinished ones, stopped with all its workers.

    So it cannot end before the test acts: the test sends its signals, then lets the group `go_on`. On a fast machine
    the run may end before it is stopped: then it is started again from the beginning.
    """
    for _ in range(10):
        process = work.start("run", "nightly.yml", *(word for table in tables for word in ("--table", table)))
        wait_until(lambda p=process: len(work.receipts()) >= after or p.poll() is not None, what="receipts")
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGSTOP)
            if after <= len(work.receipts()) <= CHUNKS - after:
                return process
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(work.folder / "data")
        (work.folder / "queries.jsonl").unlink()
    raise AssertionError("ten runs were through before they could be stopped")


def go_on(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGCONT)


def group_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The living processes of a command that was started in its own group."""
    found = []
    for each in psutil.process_iter():
        try:
            if os.getpgid(each.pid) == process.pid and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@contextmanager
def no_process_left(process: subprocess.Popen[str], *, seconds: float = 15) -> Iterator[None]:
    """Check that no process of the command's group is alive `seconds` after the block."""
    try:
        yield
        wait_until(lambda: not group_of(process), what="all processes to end", seconds=seconds)
    finally:
        if group_of(process):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
