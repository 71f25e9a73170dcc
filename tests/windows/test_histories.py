"""Random histories of a table and of the runs over it: no row is lost or doubled unsaid, and what is told mends.

The default suite plays 600 of them on the model, and a few through the real program on each source.
`make soak-windows` plays 10,000, and 100 on each source. The seed is printed: `HISTORIES_SEED` repeats it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.oracle.pipelines import serving

from .histories import Column, history
from .model import ModelLake
from .play import HAZARDS, Play
from .program import ComparedLakes, Database, DuckDB, Oracle, ProgramLake

_SEED = os.environ.get("HISTORIES_SEED") or str(time.time_ns() % 1_000_000)
_HISTORIES = int(os.environ.get("HISTORIES") or 600)
_REAL = int(os.environ.get("REAL_HISTORIES") or 3)
_EVERY_HAZARD_IN = 500
"""In so many histories every hazard is met."""
_DUCKDB = tuple(Column)
_ORACLE = (Column.ZONED, Column.WALL, Column.SECONDS)


def test_no_row_of_a_random_history_is_lost_or_doubled_unsaid() -> None:
    print(f"repeat with HISTORIES_SEED={_SEED}")
    met: Counter[str] = Counter()
    for number in range(_HISTORIES):
        made = history(f"{_SEED}-{number}")
        _play(Play(made, ModelLake(made, keeps_snapshots=number % 2 == 0), met), number)
    for hazard, times in sorted(met.items()):
        print(f"{times:9,}  {hazard}")
    if _HISTORIES >= _EVERY_HAZARD_IN:
        assert {hazard for hazard, times in met.items() if times} >= HAZARDS


@pytest.mark.parametrize("number", range(_REAL))
def test_program_on_duckdb_does_what_the_model_does(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = DuckDB(tmp_path, monkeypatch)
    _compare(number, database, _DUCKDB, tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        yield server


@pytest.mark.parametrize("number", range(_REAL))
def test_program_on_oracle_does_what_the_model_does(number, tmp_path, monkeypatch, server):
    _compare(number, Oracle(server, f"T{number}"), _ORACLE, tmp_path, monkeypatch)


def _compare(
    number: int, database: Database, columns: tuple[Column, ...], folder: Path, patches: pytest.MonkeyPatch
) -> None:
    patches.chdir(folder)
    made = history(f"{_SEED}-real-{number}", is_short=True, columns=columns)
    database.create(made.column)
    model = ModelLake(made, keeps_snapshots=database.keeps_snapshots)
    _play(Play(made, ComparedLakes(model, ProgramLake(made, database, patches))), number)


def _play(play: Play, number: int) -> None:
    try:
        play.to_the_end()
    except BaseException:
        made = play.history
        print(f"HISTORIES_SEED={_SEED}, history {number}: {made.column}, {made.zone}, {made.settings}, {made.clock}")
        print(*play.story[-40:], sep="\n  ")
        for day, dataset in sorted(play.lake.datasets.items()):
            print(f"{day}: from {dataset.scope.covered} to {dataset.scope.watermark}, read at {dataset.snapshot}")
        raise
