"""kill -9, Ctrl-C and dying workers in mid-run: `resume` goes on, and what was done is not done again."""

from __future__ import annotations

import json
import os
import signal

import psutil
import pytest

from .pipeline import CHUNKS, Workplace, group_of, no_process_left, wait_until


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Workplace.make(tmp_path_factory.mktemp("template") / "work")


@pytest.fixture
def work(tmp_path):
    return Workplace.make(tmp_path / "work")


def _start_until_some_chunks_are_done(work, *, chunks=4, arguments=("run", "nightly.yml")):
    process = work.start(*arguments)
    wait_until(lambda: len(work.receipts()) >= chunks or process.poll() is not None, what="receipts")
    assert process.poll() is None, process.communicate()
    return process


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


def test_kill_9_of_the_whole_group_loses_only_the_chunks_under_way(work):
    process = _start_until_some_chunks_are_done(work)
    with no_process_left(process):
        os.killpg(process.pid, signal.SIGKILL)
    assert work.status()["state"] == "incomplete"
    _assert_resumed_without_reading_again(work, work.receipts())


def test_kill_9_of_the_parent_alone_ends_its_workers_too(work):
    process = _start_until_some_chunks_are_done(work)
    assert len(group_of(process)) > 2
    with no_process_left(process):
        process.kill()
    _assert_resumed_without_reading_again(work, work.receipts())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_cleanly_with_its_exit_code(work, number, code):
    process = _start_until_some_chunks_are_done(work)
    with no_process_left(process):
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert "statekeeper resume" in output
    _assert_resumed_without_reading_again(work, work.receipts())


def test_ctrl_c_in_a_terminal_reaches_every_process_and_still_ends_cleanly(work):
    process = _start_until_some_chunks_are_done(work)
    with no_process_left(process):
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    _assert_resumed_without_reading_again(work, work.receipts())


def test_a_second_signal_stops_at_once(work):
    process = _start_until_some_chunks_are_done(work)
    with no_process_left(process):
        for worker in _workers_of(process):
            worker.suspend()  # a worker that hears nothing would hold a clean end up for seconds
        process.send_signal(signal.SIGINT)
        assert any("once more to stop at once" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=3)
    assert process.returncode == 130
    _assert_resumed_without_reading_again(work, work.receipts())


def test_a_worker_killed_by_the_system_costs_one_retry_of_its_chunk(work):
    process = _start_until_some_chunks_are_done(work)
    workers = _workers_of(process)
    workers[0].kill()
    with no_process_left(process):
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "signal 9" in errors
    work.assert_equals_source()
    work.assert_no_staging()
    assert CHUNKS <= len(work.chunk_reads()) <= CHUNKS + 2


def _workers_of(process):
    """The processes that have the database open."""
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [each for each in children if any("shop.duckdb" in file.path for file in each.open_files())]
    assert workers
    return workers
