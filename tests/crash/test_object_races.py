"""Several runners on one bucket: each table is extracted once, and one that was stopped too long changes nothing."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import Any

import duckdb
import obstore
import psutil
import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.engines.inline import InlineEngine
from statekeeper.model.record import StateRecord, Trigger
from statekeeper.run.report import Outcome
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.registry import writing_disk

from .lake import ROWS, Look, Story
from .proxy import LATE, Disturbance, proxy
from .served_lake import make_lake, start

WAIT_SECONDS = 120.0


@pytest.mark.parametrize(("runners", "tables"), [(4, 6), pytest.param(8, 100, marks=pytest.mark.sweep)])
def test_runners_that_race_extract_each_table_once(tmp_path, seaweed, runners, tables, record_property):
    prefix = f"race-{os.getpid()}-{tmp_path.name}"
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        for number in range(tables):
            connection.execute(f"create table t{number} as select i as id from range({10 + number}) r(i)")
    settings = {
        "pipeline": "race",
        "sources": {"shop": {"type": "duckdb", "path": "shop.duckdb"}},
        "output": {"base_path": f"{seaweed.url}/{prefix}"},
        "storage": seaweed.storage,
        "tables": [{"table_name": f"t{number}"} for number in range(tables)],
    }
    context = multiprocessing.get_context("forkserver")
    begin, said = context.Event(), context.Queue()
    processes = [context.Process(target=_run, args=(settings, tmp_path, begin, said)) for _ in range(runners)]
    for process in processes:
        process.start()
    begin.set()
    outcomes = [said.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()

    completed = Counter(table for each in outcomes for table, outcome in each.items() if outcome is Outcome.COMPLETED)
    assert completed == {f"shop.t{number}": 1 for number in range(tables)}
    assert {outcome for each in outcomes for outcome in each.values()} <= {
        Outcome.COMPLETED,
        Outcome.SKIPPED,
        Outcome.HELD,
    }
    look = Look(seaweed.bucket, f"{prefix}/", f"{seaweed.url}/", tmp_path)
    content = look.content()
    states = [StateRecord.from_bytes(data, where=key) for key, data in content.items() if key.endswith("_state.json")]
    assert len(states) == tables
    for state in states:
        assert [each.trigger for each in state.history] == [Trigger.START, Trigger.EXTRACTED, Trigger.PASSED]
    assert sorted(len(content[key]) > 0 for key in content if key.endswith(".parquet")) == [True] * tables
    assert not [key for key in content if ".staging/" in key]
    held = sum(outcome is Outcome.HELD for each in outcomes for outcome in each.values())
    record_property("sweep", f"{runners} runners, {tables} tables: each extracted once, {held} times held by another")
    print(f"\n{runners} runners, {tables} tables: each extracted once, {held} times held by another")


def _run(settings: dict[str, Any], root: Any, begin: Any, said: Any) -> None:
    pipeline = pipeline_of(settings, root=root)
    begin.wait()
    runner = Runner(
        pipeline=pipeline,
        identity=RunIdentity("race-20260106", date(2026, 1, 6)),
        reporter=NullReporter(),
        disk=writing_disk(pipeline.base_path, pipeline.output.writes),
        make_engine=lambda _pipeline: InlineEngine(memory_limit="256MiB"),
    )
    said.put({table.table.key: table.outcome for table in runner.run(pipeline.tables).tables})


STOPS = {
    "while it reads": r"PUT \S*/parts/\S*chunk-",
    "before it copies": r"(PUT|POST) \S*generation-",
    "before its commit record": r"PUT \S*_metadata\.json",
    "before its last state": r"PUT \S*_state\.json",
}


@pytest.mark.parametrize(
    ("where", "layout", "ttl"),
    [
        ("before its commit record", "hive", "3s"),
        *(
            pytest.param(where, layout, "5s", marks=pytest.mark.sweep)
            for where in STOPS
            for layout in ("dated", "hive")
        ),
    ],
)
def test_a_runner_that_was_stopped_longer_than_its_lease_changes_nothing(tmp_path, seaweed, where, layout, ttl):
    """The request under way when it is stopped arrives only after its successor has published: the worst moment."""
    story = Story(f"forced, {layout}", "force", layout, has_old_dataset=True)
    with proxy(seaweed.port) as between:
        served = make_lake(tmp_path, seaweed, between, story)
        lake = replace(served.lake, lease_ttl=ttl)
        lake.write_source(1)
        assert served.do("run") == [Outcome.COMPLETED]
        lake.write_source(2)
        at = 3 if where == "before its last state" else 0  # restart, start, extracted, passed: the last is the fourth
        is_stopped, may_go_on = threading.Event(), threading.Event()

        def stop() -> None:
            os.kill(running.process.pid, signal.SIGSTOP)
            is_stopped.set()
            may_go_on.wait(WAIT_SECONDS)

        between.disturbance = Disturbance(at, LATE, re.compile(STOPS[where]), stop)
        running = start(lake, "force")
        try:
            while not is_stopped.wait(0.05):
                assert running.process.is_alive(), "it ended without coming there"
            direct = replace(lake, storage=seaweed.storage)
            deadline = time.monotonic() + WAIT_SECONDS
            while (outcomes := start(direct, "run").end()) != [Outcome.COMPLETED]:
                assert outcomes in ([Outcome.HELD], []), outcomes
                assert time.monotonic() < deadline
            published = _published(served.look)
            assert psutil.Process(running.process.pid).status() == psutil.STATUS_STOPPED
        finally:
            may_go_on.set()
            with suppress(ProcessLookupError):
                os.kill(running.process.pid, signal.SIGCONT)
        late = running.end()
        assert Outcome.COMPLETED not in late
        assert _published(served.look) == published
        assert start(direct, "run").end() == [Outcome.SKIPPED]
        assert served.look.check(story, is_ended=True) == {2}
        assert sum(len(rows) for rows in served.look.rows().values()) == ROWS - 1


def _published(look: Look) -> dict[str, bytes]:
    """What the successor has published, and its state."""
    data = {key for keys in look.published().values() for key in keys}
    kept = {key for key in look.all_keys() if key.endswith(("_metadata.json", "_state.json"))}
    return {key: bytes(obstore.get(look.bucket, key).bytes()) for key in data | kept}
