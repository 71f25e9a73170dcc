"""The program where the system allows it little: a sentence, no traceback, and the next run completes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import duckdb
import pytest

from tests.messages import says

_CONFIG = """
pipeline: shop
extraction_date: 2026-01-06
sources: {shop: {type: duckdb, path: shop.duckdb}}
output: {base_path: data}
execution: {workers: 2}
defaults: {retry: {attempts: 2, initial_delay: 10ms, max_delay: 10ms}}
tables: [{table_name: orders}, {table_name: customers}]
"""
_FEW_THREADS = """
import sys, threading
left, start = int(sys.argv.pop(1)), threading.Thread.start

def start_if_allowed(thread):
    global left
    left -= 1
    if left < 0:
        raise RuntimeError("can't start new thread")
    start(thread)

threading.Thread.start = start_if_allowed
from statekeeper.cli.entry import main
main()
"""


@pytest.fixture
def shop(tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table orders as select i as id from range(1000) t(i)")
        connection.execute("create table customers as select 1 as id")
    (tmp_path / "shop.yml").write_text(_CONFIG)
    return tmp_path


def _run(shop, *program, limits=()):
    def limit():
        for which, most in limits:
            resource.setrlimit(which, (most, most))

    return subprocess.run(
        [sys.executable, *program, "run", "shop.yml"],
        cwd=shop,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _check(ended, shop):
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "defect" not in ended.stderr
    assert ended.returncode in {0, 1}
    if ended.returncode:
        assert "hint: " in ended.stderr + ended.stdout
    following = _run(shop, "-m", "statekeeper")
    assert following.returncode == 0, following.stderr


@pytest.mark.parametrize(
    "limit",
    [(resource.RLIMIT_NOFILE, 6), (resource.RLIMIT_AS, 400_000_000)],
    ids=["6 files", "400 MB"],
)
def test_few_files_and_little_memory_end_in_a_sentence(shop, limit):
    _check(_run(shop, "-m", "statekeeper", limits=[limit]), shop)


@pytest.mark.parametrize("number", [0, 2])
def test_few_threads_end_in_a_sentence(shop, number):
    ended = _run(shop, "-c", _FEW_THREADS, str(number))
    _check(ended, shop)
    if number == 0:
        assert says(ended.stderr, "engines.thread_cannot_be_started")
