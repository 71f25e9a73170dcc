"""Random histories of a table and of the runs over it: no row is lost or doubled unsaid, and what is told mends.

The default suite plays 600 of them on the model, and a few through the real program on each source, always the same.
`make soak-windows` plays 10,000, and 100 on each source, from a new seed. It prints the seed, and `HISTORIES_SEED`
repeats it.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.oracle.pipelines import serving

from .histories import Clock, Column, History, OldRun, Settings, Version, history
from .model import ModelLake
from .play import HAZARDS, Play
from .program import ComparedLakes, Database, DuckDB, Oracle, ProgramLake

_SEED = os.environ.get("HISTORIES_SEED") or "1"
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


def test_a_hole_is_taken_by_an_extraction_whose_window_ends_before_its_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole days, extracted at noon: the window of a date ends where the date begins, and the next goes on there."""
    june = [datetime(2026, 6, number, tzinfo=UTC) for number in range(8)[1:]]
    noons = [at + timedelta(hours=12) for at in june]
    windows = ((0, None, june[0]), (2, june[1], june[2]), (3, june[2], june[3]))
    made = History(
        seed="",
        column=Column.DAYS,
        is_updated=False,
        zone="UTC",
        clock=Clock(),
        settings=Settings("UTC", allow_open_window=True),
        versions=tuple(Version(number, 1, at, at, at) for number, at in enumerate(noons)),
        commands=tuple(OldRun(noons[at], noons[at].date(), start, end) for at, start, end in windows),
        ended=noons[-1] + timedelta(hours=1),
    )
    database = DuckDB(tmp_path, monkeypatch)
    _compare(made, 0, database, tmp_path, monkeypatch)


@pytest.mark.parametrize("number", range(_REAL))
def test_program_on_duckdb_does_what_the_model_does(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = DuckDB(tmp_path, monkeypatch)
    _compare(_random(number, _DUCKDB), number, database, tmp_path, monkeypatch)


@pytest.mark.parametrize("number", range(_REAL))
def test_program_leaves_each_version_unmarked_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the model: with marks, an extraction is read again where another one has taken its rows meanwhile."""
    monkeypatch.chdir(tmp_path)
    made = history(f"{_SEED}-marks-{number}", is_short=True).with_marks
    database = DuckDB(tmp_path, monkeypatch)
    database.create(made.column)
    _play(Play(made, ProgramLake(made, database, monkeypatch)), number)


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        yield server


@pytest.mark.parametrize("number", range(_REAL))
def test_program_on_oracle_does_what_the_model_does(number, tmp_path, monkeypatch, server):
    _compare(_random(number, _ORACLE), number, Oracle(server, f"T{number}"), tmp_path, monkeypatch)


def _random(number: int, columns: tuple[Column, ...]) -> History:
    return history(f"{_SEED}-real-{number}", is_short=True, columns=columns)


def _compare(made: History, number: int, database: Database, folder: Path, patches: pytest.MonkeyPatch) -> None:
    patches.chdir(folder)
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
