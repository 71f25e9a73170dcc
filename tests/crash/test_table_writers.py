"""Many programs commit to one Delta table at once, runs of ours and others: every commit is kept, none is doubled."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import deltalake
import duckdb
import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from statekeeper.run.report import Outcome

from .delta_log import DeltaLog
from .table_world import Story, TableWorld
from .world import DAY, ROWS, Killing

OURS, FOREIGN = 8, 8


def test_sixteen_writers_at_once_lose_no_commit(fast_disk):
    _write(fast_disk, rounds=1, commits=1)


@pytest.mark.sweep
def test_sixteen_writers_lose_no_commit_of_hundreds(fast_disk):
    _write(fast_disk, rounds=12, commits=12)


def _write(folder, *, rounds, commits):
    """In each round each of ours extracts another date; the foreign ones add as many rows, one in a commit."""
    world = TableWorld.of(folder / "world", Story("append", "first"))
    for number in range(rounds):
        days = [DAY + timedelta(days=number * OURS + each) for each in range(OURS)]
        # All of them stop where the table is created, or else just before they commit to it, and go on together.
        step = ("create", "table", "before") if number == 0 else ("commit", "table", "before")
        runs = [world.start(Killing(write="append", day=day, stop_at=step)) for day in days]
        for run in runs:
            run.wait_until_stopped()
        if number == 0:
            assert not (world.table / "_delta_log").exists()
        with ThreadPoolExecutor(OURS + FOREIGN) as pool:
            ours = [pool.submit(run.wake_up) for run in runs]
            foreign = [pool.submit(_add_rows, world.table, number * FOREIGN + each, commits) for each in range(FOREIGN)]
            assert [each.result().outcome for each in ours] == [Outcome.COMPLETED] * OURS
            for each in foreign:
                each.result()
    _assert_every_commit_is_kept(world, days=rounds * OURS, foreign=rounds * FOREIGN * commits)


def _assert_every_commit_is_kept(world, *, days, foreign):
    log = DeltaLog(world.table)
    assert len(log.versions) == 1 + days + foreign
    assert [len(numbers) for numbers in log.numbers.values()] == [1] * days
    paths = [str(world.table / path) for path in log.files(len(log.versions) - 1)]
    query = "select count(*), count(distinct id) from read_parquet(?, union_by_name = true) where id {} 0"
    assert duckdb.execute(query.format(">="), [paths]).fetchone() == (days * ROWS, ROWS)
    assert duckdb.execute(query.format("<"), [paths]).fetchone() == (foreign, foreign)
    assert {path.relative_to(world.table).as_posix() for path in world.table.rglob("*.parquet")} == log.ever_added


def _add_rows(folder, writer, commits):
    """Another program adds rows with numbers that no other one has, each in a commit of its own."""
    while not deltalake.DeltaTable.is_deltatable(str(folder)):
        time.sleep(0.001)
    for number in range(commits):
        table = deltalake.DeltaTable(folder)
        row = {"id": -1 - writer * commits - number, "extraction_date": DAY}
        rows = pa.Table.from_pylist([row], pa.schema(table.schema()))
        while True:
            try:
                deltalake.write_deltalake(table, rows, mode="append")
                break
            except CommitFailedError:
                table = deltalake.DeltaTable(folder)
