"""kill -9, Ctrl-C and dying workers during a run: `resume` continues, and finished work is not done again."""

from __future__ import annotations

import json
import os
import signal

import psutil
import pytest

from statekeeper.model.table import Layout

from .pipeline import CHUNKS, Workplace, go_on, group_of, no_process_left, stopped_in_mid_run


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Workplace.make(tmp_path_factory.mktemp("template") / "work")


@pytest.fixture
def work(tmp_path):
    return Workplace.make(tmp_path / "work")


def _assert_resumed_without_reading_again(work, done):
    """`done` are the receipts that there were before; a bare resume completes the run and leaves them as they were."""
    before = {path.name: path.read_bytes() for path in done}
    bounds = {json.loads(content)["chunk_id"] for content in before.values()}
    assert bounds
    (work.folder / "queries.jsonl").unlink()
    resumed = work.run("resume")
    assert resumed.returncode == 0, resumed.stderr
    assert len(work.chunk_reads()) == CHUNKS - len(bounds)
    metadata = json.loads((work.day() / f"{work.run_id}_metadata.json").read_text())
    md5s = {file["md5"] for file in metadata["files"]}
    assert {json.loads(content)["md5"] for content in before.values()} <= md5s
    work.assert_equals_source()
    work.assert_no_staging()
    assert {table["state"] for table in work.tables().values()} == {"complete"}


@pytest.mark.parametrize("layout", Layout)
def test_kill_9_of_the_whole_group_loses_only_running_chunks(tmp_path, layout):
    work = Workplace.make(tmp_path / "work", layout=layout)
    process = stopped_in_mid_run(work, after=4)
    with no_process_left(process):
        os.killpg(process.pid, signal.SIGKILL)
    assert work.status()["state"] == "incomplete"
    _assert_resumed_without_reading_again(work, work.receipts())


def test_kill_9_of_the_parent_alone_ends_its_workers_too(work):
    process = stopped_in_mid_run(work, after=4)
    assert len(group_of(process)) > 2
    with no_process_left(process):
        process.kill()
        go_on(process)
    _assert_resumed_without_reading_again(work, work.receipts())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_cleanly_with_its_exit_code(work, number, code):
    process = stopped_in_mid_run(work, after=4)
    with no_process_left(process):
        process.send_signal(number)
        go_on(process)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert "statekeeper resume" in output
    _assert_resumed_without_reading_again(work, work.receipts())


def test_ctrl_c_in_a_terminal_reaches_every_process_and_still_ends_cleanly(work):
    process = stopped_in_mid_run(work, after=4)
    with no_process_left(process):
        os.killpg(process.pid, signal.SIGINT)
        go_on(process)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    _assert_resumed_without_reading_again(work, work.receipts())


def test_a_second_signal_stops_at_once(work):
    process = stopped_in_mid_run(work, after=4)
    with no_process_left(process):
        process.send_signal(signal.SIGINT)
        workers = _workers_of(process)  # they stay stopped: they would hold a clean end up for seconds
        for other in set(group_of(process)) - set(workers):
            other.resume()
        assert any("repeat the signal to stop at once" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=3)
    assert process.returncode == 130
    _assert_resumed_without_reading_again(work, work.receipts())


def test_a_worker_killed_by_the_system_costs_one_retry_of_its_chunk(tmp_path):
    for attempt in range(5):
        work = Workplace.make(tmp_path / f"work{attempt}")
        process = stopped_in_mid_run(work, after=4)
        _workers_of(process)[0].kill()
        with no_process_left(process):
            go_on(process)
            _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        work.assert_equals_source()
        work.assert_no_staging()
        if "signal 9" in errors:
            assert CHUNKS <= len(work.chunk_reads()) <= CHUNKS + 1
            return
        # It was stopped between two chunks, so its death cost nothing.
        assert len(work.chunk_reads()) == CHUNKS
    pytest.fail("five workers were stopped between two chunks")


def _workers_of(process):
    """The processes that have the database open."""
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [each for each in children if any("shop.duckdb" in file.path for file in each.open_files())]
    assert workers
    return workers
