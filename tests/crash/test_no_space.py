"""A full disk fails the extraction with a clear message and damages nothing; with space, `resume` completes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from statekeeper.model.record import StateRecord
from tests.acceptance.pipeline import QUICK_CONFIG, STATEKEEPER, Workplace
from tests.messages import says

from .full_cli import fill_disk

_ROWS = 40_000
_CONFIG = QUICK_CONFIG.replace("target_rows: 2048", "target_rows: 10240")
_LIMITED = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))
os.execv(sys.argv[1], sys.argv[1:])
"""
_FULL_CLI = (sys.executable, str(Path(__file__).with_name("full_cli.py")))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return Workplace.make(tmp_path_factory.mktemp("no-space") / "work", rows=_ROWS, config=_CONFIG)


@pytest.fixture
def work(template, tmp_path):
    """A pipeline whose output has a small disk of its own."""
    work = template.copy_to(tmp_path / "work")
    data = work.folder / "data"
    data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", data], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"this user cannot mount a small disk: {mounted.stderr.strip()}")
    yield work
    subprocess.run(["umount", "--lazy", data], check=True)


def _state(work):
    """The state on disk, which must be valid in any case."""
    path = work.day() / f"{work.run_id}_state.json"
    return StateRecord.from_bytes(path.read_bytes(), where=str(path)) if path.exists() else None


def _failure(run):
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    report = next(table for table in json.loads(run.stdout)["tables"] if table["table"]["table_name"] == "large")
    assert report["outcome"] == "failed"
    return report["failure"]


def _assert_space_again_completes_it(work):
    resumed = work.run("resume", "--table", "large")
    assert resumed.returncode == 0, resumed.stderr
    work.assert_equals_source("large")
    work.assert_no_staging()
    assert _state(work).state == "complete"


def test_no_space_for_a_part(work):
    ballast = work.folder / "data/ballast"
    fill_disk(ballast)
    with ballast.open("r+b") as file:  # room for every document and the first part, but not for all of them
        file.truncate(ballast.stat().st_size - (1 << 20))
    run = work.run("run", "nightly.yml", "--table", "large", "--json")
    failure = _failure(run)
    assert (failure["kind"], failure["code"]) == ("storage", "ENOSPC")
    assert "cannot write" in failure["message"]
    assert "No space left on device" in failure["message"]
    assert says(failure["hint"], "system.free_some_space")
    assert not work.dataset().exists()
    state = _state(work)
    assert state is not None
    assert state.published is None
    done = work.receipts()
    ballast.unlink()
    (work.folder / "queries.jsonl").unlink()
    _assert_space_again_completes_it(work)
    assert len(work.chunk_reads()) == state.chunks_total - len(done)


@pytest.mark.parametrize(
    ("point", "left"),
    [
        ("write state before", None),  # not even the first state
        ("transition start before", "pending"),
        ("transition extracted before", "extracting"),
        ("write intent before", "validating"),
        ("write metadata before", "validating"),  # the data is in place already
        ("transition passed before", "validating"),
    ],
)
def test_no_space_for_a_document(work, point, left):
    ballast = work.folder / "data/ballast"
    arguments = ("run", "nightly.yml", "--table", "large", "--json")
    run = work.run(str(ballast), *point.split(), *arguments, program=_FULL_CLI)
    failure = _failure(run)
    assert (failure["kind"], failure["code"]) == ("storage", "ENOSPC")
    assert f"{work.run_id}_" in failure["message"]
    assert says(failure["hint"], "system.free_some_space")
    state = _state(work)
    assert (state.state.value if state else None) == left
    assert not [path for path in work.day().iterdir() if ".tmp" in path.name]
    ballast.unlink()
    _assert_space_again_completes_it(work)


def test_a_limit_of_the_file_size_is_told_as_what_it_is(template, tmp_path):
    work = template.copy_to(tmp_path / "work")
    limited = work.run(
        "-c",
        _LIMITED,
        STATEKEEPER,
        *("run", "nightly.yml", "--table", "large", "--json"),
        program=(sys.executable,),
    )
    failure = _failure(limited)
    assert (failure["kind"], failure["code"]) == ("storage", "EFBIG")
    assert "ulimit -f" in failure["hint"]
    assert _state(work).state == "failed"
    _assert_space_again_completes_it(work)
