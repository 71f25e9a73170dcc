"""Runs of the real command line are killed repeatedly at random instants (kill -9 of the whole group).

After each kill every document on disk is whole, and readers see one whole version or, before the first, none. A story
is a table's way to its next version through as many kills as it takes; the seed that is printed repeats its delays,
though not the instants that they hit.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

import duckdb
import pyarrow.parquet as pq
import pytest

from statekeeper.model.plan import Plan
from statekeeper.model.receipt import CountReceipt, Receipt
from statekeeper.model.record import StateRecord
from statekeeper.model.state import State
from statekeeper.model.table import Layout
from tests.acceptance.pipeline import Workplace, no_process_left

ROUNDS = 20
_ROWS = 100_000
_CHUNKS = 10
_MOST_KILLS_OF_A_STORY = 12
_LONGEST_COMMAND = 120.0
_CONFIG = """\
pipeline: nightly
extraction_date: 2026-01-06
sources:
  shop: {type: duckdb, path: shop.duckdb}
output: {base_path: data, lock: LOCK}
execution: {workers: 2, memory_limit: 256MiB}
tables:
  - {table_name: large, chunking: {strategy: rowid, target_rows: 10240}}
"""


@dataclass
class _Loop:
    """The command that is killed, and what was seen so far."""

    work: Workplace
    random: random.Random
    longest: float = 2.0
    kills: int = 0
    stories: int = 0
    killed_in: Counter[str] = field(default_factory=Counter)

    def story(self, version: int) -> None:
        """Bring the next version to readers, through kills."""
        work = self.work
        work.sql(
            "create or replace table large as select i as id, md5(i::varchar) as digest, "
            f"'version {version}' as version from range({_ROWS}) as r(i)"
        )
        has_ended, kills_before = False, self.kills
        # The end is a command that came to its own end: one killed after `complete` leaves its sweep to the next.
        while not (has_ended and self._version() == version):
            # Until the state says that a forced run began, a resume finds complete data and leaves it as it is.
            is_begun = self._version() == version or not self._is_complete()
            options = ("resume",) if is_begun and self._state() else ("run", "nightly.yml", "--force-reprocess")
            is_spared = self.kills - kills_before >= _MOST_KILLS_OF_A_STORY
            # Before 0.3 s the interpreter has not begun to do anything that could be killed.
            delay = _LONGEST_COMMAND if is_spared else self.random.uniform(0.3, self.longest)
            has_ended = self._kill_or_end(*options, delay=delay)
            self._check_what_is_left({version - 1, version} if version > 1 else {None, version})
        self.stories += 1
        self._check_the_end()

    def _kill_or_end(self, *arguments: str, delay: float) -> bool:
        """Whether the command ended by itself before it was killed."""
        started = time.monotonic()
        process = self.work.start(*arguments)
        with no_process_left(process):
            try:
                _, errors = process.communicate(timeout=delay)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            else:
                assert process.returncode == 0, errors
                self.longest = max(self.longest, time.monotonic() - started)
                return True
        self.kills += 1
        state = self._state()
        self.killed_in[state.state.value if state else "nothing"] += 1
        return False

    def _state(self) -> StateRecord | None:
        path = self.work.day() / f"{self.work.run_id}_state.json"
        return StateRecord.from_bytes(path.read_bytes(), where=str(path)) if path.exists() else None

    def _is_complete(self) -> bool:
        state = self._state()
        return state is not None and state.state is State.COMPLETE

    def _version(self) -> int | None:
        """The complete version that readers see; None if there is no dataset."""
        dataset = self.work.dataset()
        if not dataset.exists():
            return None
        with duckdb.connect() as connection:
            found = connection.execute(
                "select version, count(*), count(distinct id), min(id), max(id) from read_parquet(?) group by version",
                [f"{dataset}/*.parquet"],
            ).fetchall()
        assert len(found) == 1, f"readers see {found} at once"
        assert found[0][1:] == (_ROWS, _ROWS, 0, _ROWS - 1), found
        return int(found[0][0].removeprefix("version "))

    def _check_what_is_left(self, versions: set[int | None]) -> None:
        """Check that every document is intact, and that readers see one of `versions`."""
        assert self._version() in versions
        self._state()
        for staging in self.work.day().glob(f".{self.work.run_id}.staging/*"):
            kinds = (("plan.json", Plan), ("receipts/count.json", CountReceipt), ("receipts/chunk-*.json", Receipt))
            for pattern, kind in kinds:
                for path in staging.glob(pattern):
                    kind.from_bytes(path.read_bytes(), where=str(path))

    def _check_the_end(self) -> None:
        """Check that all is complete, equal to the source, with each chunk once and no leftovers."""
        work = self.work
        work.assert_equals_source("large")
        footers = [pq.read_metadata(path).metadata for path in work.dataset().iterdir()]
        chunks = [json.loads(footer[b"statekeeper.chunk"])["chunk_id"] for footer in footers]
        assert sorted(chunks) == list(range(_CHUNKS))
        state = self._state()
        assert {footer[b"statekeeper.plan_id"].decode() for footer in footers} == {state.published.plan_id}
        work.assert_no_staging()
        names = {path.name for path in work.day().iterdir() if ".lock" not in path.name}
        documents = {f"{work.run_id}_state.json", f"{work.run_id}_metadata.json"}
        assert names == documents | ({work.dataset().name} if work.layout is Layout.DATED else set())


def _loop(folder, *, seed, lock, layout=Layout.DATED):
    work = Workplace.make(folder, rows=0, config=_CONFIG.replace("LOCK", lock), layout=layout)
    return _Loop(work, random.Random(seed))


def test_twenty_kills_at_random(fast_disk, capsys):
    seed = int(os.environ.get("SOAK_SEED") or time.time_ns() % 1_000_000)
    print(f"repeat with SOAK_SEED={seed}")
    loop = _loop(fast_disk / "work", seed=seed, lock="auto")
    while loop.kills < ROUNDS:
        loop.story(loop.stories + 1)
    with capsys.disabled():
        print(f"\n{loop.kills} kills (seed {seed}) in {dict(loop.killed_in)}; {loop.stories} versions published")


@pytest.mark.soak
@pytest.mark.parametrize(("lock", "layout"), [("flock", Layout.DATED), ("lease", Layout.DATED), ("lease", Layout.HIVE)])
def test_kills_at_random_for_a_long_time(tmp_path, lock, layout):
    seconds = float(os.environ["SOAK_SECONDS"]) / 4  # these and the faults of databases share it
    seed = int(os.environ.get("SOAK_SEED") or time.time_ns() % 1_000_000)
    print(f"repeat with SOAK_SEED={seed}")
    loop = _loop(tmp_path / "work", seed=seed, lock=lock, layout=layout)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        loop.story(loop.stories + 1)
        print(f"{loop.kills} kills in {dict(loop.killed_in)}; {loop.stories} versions published", flush=True)
    assert loop.kills > 0
