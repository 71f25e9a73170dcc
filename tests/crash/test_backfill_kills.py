"""A backfill that is killed again and again: what was complete is never read again, and in the end all is there."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

PROGRAM = (sys.executable, "-m", "statekeeper")
KILLS = 5
ROWS_A_DAY = 40


@pytest.mark.parametrize(("days", "tables"), [(6, 3), pytest.param(30, 10, marks=pytest.mark.sweep)])
def test_a_backfill_that_is_killed_five_times_is_resumed_without_reading_a_finished_day_again(tmp_path, days, tables):
    _make_shop(tmp_path, days=days, tables=tables)
    chance, complete = random.Random(6), dict[Path, str]()
    command = ("backfill", "shop.yml", "--from", "2026-01-01", "--to", f"2026-01-{days:02}")
    for _ in range(KILLS):
        before = len(complete)
        process = _begin(tmp_path, *command)
        until = before + chance.randrange(1, max(2, days * tables // (2 * KILLS)))
        _wait(process, lambda until=until: len(_complete(tmp_path)) >= until)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        complete |= _complete(tmp_path)
        command = ("resume",)
    assert 0 < len(complete) < days * tables, "it was killed in the middle"
    assert _begin(tmp_path, "resume").wait(600) == 0, (tmp_path / "said.txt").read_text()
    ended = _complete(tmp_path)
    assert len(ended) == days * tables
    assert {path: ended[path] for path in complete} == complete
    with duckdb.connect(tmp_path / "shop.duckdb", read_only=True) as connection:
        for table in range(tables):
            source, files = f"t{table}", f"{tmp_path}/data/shop/t{table}/**/*.parquet"
            count = connection.execute("select count(*), count(distinct id) from read_parquet(?)", [files]).fetchone()
            assert count == (days * ROWS_A_DAY, days * ROWS_A_DAY)
            missing = f"select * from {source} except select * from read_parquet(?)"
            assert connection.execute(missing, [files]).fetchall() == []
    assert [path for path in (tmp_path / "data/shop").rglob(".*") if path.is_dir()] == []


def _make_shop(folder, *, days, tables):
    with duckdb.connect(folder / "shop.duckdb") as connection:
        for number in range(tables):
            connection.execute(
                f"create table t{number} as select i as id, timestamp '2026-01-01' + to_days(i // {ROWS_A_DAY}) as at "
                f"from range({days * ROWS_A_DAY}) r(i)"
            )
    entries = ", ".join(
        f"{{table_name: t{number}, incremental_column: at, incremental_timezone: UTC}}" for number in range(tables)
    )
    (folder / "shop.yml").write_text(
        "pipeline: shop\nsources: {shop: {type: duckdb, path: shop.duckdb}}\noutput: {base_path: data}\n"
        f"execution: {{workers: 2}}\ntables: [{entries}]\n"
    )


def _begin(folder, *words):
    with (folder / "said.txt").open("w") as said:
        return subprocess.Popen([*PROGRAM, *words], cwd=folder, stdout=said, stderr=said, start_new_session=True)


def _wait(process, is_reached):
    deadline = time.monotonic() + 600
    while process.poll() is None and not is_reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _complete(folder):
    """The plan of each extraction that is complete, by its state file."""
    found = {}
    for path in (folder / "data/shop").glob("*/*/*/*_state.json"):
        with suppress(ValueError, FileNotFoundError):
            state = json.loads(path.read_text())
            if state["state"] == "complete":
                found[path] = state["published"]["plan_id"]
    return found
