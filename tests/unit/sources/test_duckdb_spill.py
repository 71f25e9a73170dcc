from __future__ import annotations

import os
import subprocess
import sys

import pytest

from statekeeper.sources import duckdb_spill
from statekeeper.sources.duckdb_spill import new_spill_folder


@pytest.fixture
def temp(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    duckdb_spill._sweep.cache_clear()
    return tmp_path


def _leave(folder):
    folder.mkdir()
    (folder / "duckdb_temp_block-1.block").write_bytes(b"x" * 100)


def test_every_session_has_another_folder(temp):
    assert len({new_spill_folder() for _ in range(3)}) == 3


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(temp):
    own = new_spill_folder()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    dead = own.with_name(own.name.replace(f"-{os.getpid()}-", f"-{child.pid}-"))
    elsewhere = temp / f"statekeeper-spill-1-{child.pid}-0"  # another container's
    strange = temp / "statekeeper-spill-of-mine"
    for folder in (own, dead, elsewhere, strange):
        _leave(folder)
    duckdb_spill._sweep.cache_clear()
    new_spill_folder()
    assert {path.name for path in temp.iterdir()} == {own.name, elsewhere.name, strange.name}
