"""Two runs of one config: each table is extracted once, by one of them; a run that lost its lock changes nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from tests.messages import says

from .pipeline import (
    CHUNKS,
    CONFIG,
    QUICK_CONFIG,
    QUICK_ROWS,
    Workplace,
    go_on,
    no_process_left,
    stopped_in_mid_run,
    wait_until,
)

_ROWS = CHUNKS * 20_480
_BUSY_CONFIG = CONFIG.replace("target_rows: 100000", "target_rows: 20480")
_LEASE = "output: {base_path: data, lock: lease, lease_ttl: 500ms}"
_STOPPED_CLI = (sys.executable, str(Path(__file__).with_name("stopped_cli.py")))


def _assert_every_table_was_read_once(work, *, chunks):
    reads = {table: work.chunk_reads(table) for table in ("large", "small", "empty")}
    assert {table: len(each) for table, each in reads.items()} == {"large": chunks, "small": 1, "empty": 1}
    assert len(set(reads["large"])) == chunks
    starts = [[entry["trigger"] for entry in work.state(table)["history"]] for table in reads]
    assert starts == [["start", "extracted", "passed"]] * 3


def test_the_second_run_says_who_holds_the_table_and_ends_with_3(tmp_path):
    work = Workplace.make(tmp_path / "work", rows=_ROWS, config=_BUSY_CONFIG)
    first = stopped_in_mid_run(work)  # it holds its locks for as long as the second run takes
    with no_process_left(first):
        second = work.run("run", "nightly.yml")
        go_on(first)
        _, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    assert second.returncode == 3, second.stderr
    assert "Traceback" not in second.stderr
    held = f"is held by process {first.pid} on {socket.gethostname()}"
    assert held in second.stderr
    assert held in " ".join(second.stdout.split())
    watch = "next, to follow it: statekeeper status nightly.yml --date 2026-01-06 --watch"
    assert second.stdout.splitlines()[-1] == watch
    _assert_every_table_was_read_once(work, chunks=CHUNKS)
    work.assert_equals_source()
    work.assert_no_staging()
    assert work.status()["state"] == "complete"


def test_of_two_runs_started_together_only_one_extracts_each_table(tmp_path):
    work = Workplace.make(tmp_path / "work", rows=_ROWS, config=_BUSY_CONFIG)
    runs = [work.start("run", "nightly.yml", "--json") for _ in range(2)]
    with no_process_left(runs[0]), no_process_left(runs[1]):
        outputs = [run.communicate(timeout=120) for run in runs]
    outcomes = {}
    for run, (output, errors) in zip(runs, outputs, strict=True):
        report = json.loads(output)
        found = {table["outcome"] for table in report["tables"]}
        assert found <= {"completed", "skipped", "held"}, errors
        assert run.returncode == (3 if "held" in found else 0)
        for table in report["tables"]:
            outcomes.setdefault(table["table"]["table_name"], []).append(table["outcome"])
    assert {name: found.count("completed") for name, found in outcomes.items()} == {"large": 1, "small": 1, "empty": 1}
    _assert_every_table_was_read_once(work, chunks=CHUNKS)
    work.assert_equals_source()
    work.assert_no_staging()


@pytest.mark.parametrize("output", ["{base_path: data, lock: flock}", "{base_path: data, lock: lease}"])
def test_a_lock_whose_owner_is_dead_is_taken_over_at_once(tmp_path, output):
    work = Workplace.make(
        tmp_path / "work", rows=_ROWS, config=_BUSY_CONFIG.replace("output: {base_path: data}", f"output: {output}")
    )
    first = stopped_in_mid_run(work)
    with no_process_left(first):
        os.killpg(first.pid, signal.SIGKILL)
    assert work.state()["state"] == "extracting"
    run = work.run("run", "nightly.yml", "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert {table["outcome"] for table in report["tables"]} <= {"completed", "skipped"}
    assert report["duration_seconds"] < 30, "it waited for the lease of a dead process to run out"
    work.assert_equals_source()
    work.assert_no_staging()


@pytest.fixture(scope="module")
def leased(tmp_path_factory):
    """A pipeline under leases that end soon, nothing extracted yet; tests take copies."""
    config = QUICK_CONFIG.replace("output: {base_path: data}", _LEASE)
    return Workplace.make(tmp_path_factory.mktemp("leased") / "work", rows=QUICK_ROWS, config=config)


class TestAStoppedOwnerThatLostItsLease:
    """It wakes up after another runner has finished the work, says so, exits with 3 and changes nothing."""

    def _assert_it_loses(self, work, stopped):
        taken_over = work.run("run", "nightly.yml")
        assert taken_over.returncode == 0, taken_over.stderr
        before = work.fingerprint("large", "small", "empty")
        go_on(stopped)
        output, errors = stopped.communicate(timeout=60)
        assert stopped.returncode == 3, (output, errors)
        assert "Traceback" not in errors
        assert says(errors, "locks.taken_over", successor="process ...")
        assert says(" ".join(output.split()), "locks.taken_over", successor="process ...")
        assert work.fingerprint("large", "small", "empty") == before
        work.assert_equals_source()
        work.assert_no_staging()
        assert {table["state"] for table in work.tables().values()} == {"complete"}

    def test_stopped_while_extracting_with_all_its_workers(self, tmp_path):
        config = _BUSY_CONFIG.replace("output: {base_path: data}", _LEASE)
        work = Workplace.make(tmp_path / "work", rows=_ROWS, config=config)
        first = stopped_in_mid_run(work)
        with no_process_left(first):
            assert work.state()["state"] == "extracting"
            self._assert_it_loses(work, first)
        assert CHUNKS <= len(work.chunk_reads()) <= CHUNKS + 2, "a chunk that had a receipt was read again"

    @pytest.mark.parametrize(
        "point",
        [
            "transition extracted before",  # every receipt is there, and the state does not say so yet
            "rename intent before",  # the intent is written, and not in place
            "rename publish before",  # the very step that shows data to readers
            "rename metadata before",  # shown, without a commit record
            "transition passed before",  # published and committed, and not complete
        ],
    )
    def test_stopped_at_a_durable_step(self, leased, tmp_path, point):
        work = leased.copy_to(tmp_path / "work")
        arguments = ("run", "nightly.yml", "--table", "large")
        stopped = work.start(*point.split(), *arguments, program=_STOPPED_CLI)
        with no_process_left(stopped):
            wait_until(lambda: _is_stopped(stopped), what="the process to stop")
            assert not (work.day() / "nightly-20260106_metadata.json").exists() or "passed" in point
            self._assert_it_loses(work, stopped)

    def test_stopped_before_it_exchanges_old_data_for_new(self, leased, tmp_path):
        work = leased.copy_to(tmp_path / "work")
        assert work.run("run", "nightly.yml").returncode == 0
        arguments = ("run", "nightly.yml", "--table", "large", "--force-reprocess")
        stopped = work.start("exchange", "publish", "before", *arguments, program=_STOPPED_CLI)
        with no_process_left(stopped):
            wait_until(lambda: _is_stopped(stopped), what="the process to stop")
            self._assert_it_loses(work, stopped)


def _is_stopped(process):
    assert process.poll() is None, process.communicate()
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
