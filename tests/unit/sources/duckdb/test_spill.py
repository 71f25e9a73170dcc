from __future__ import annotations

import os
import stat
import subprocess
import sys

import duckdb
import pytest

from statekeeper.sources.duckdb import spill as duckdb_spill
from statekeeper.sources.duckdb.session import DuckdbSession
from statekeeper.sources.duckdb.spill import SpillFolder
from tests.messages import raises_message


@pytest.fixture
def temp(tmp_path, monkeypatch):
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    duckdb_spill._sweep.cache_clear()
    return folder


@pytest.fixture
def gone():
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return child.pid


def _leave(folder):
    folder.mkdir(exist_ok=True)
    (folder / "duckdb_temp_block-1.block").write_bytes(b"x" * 100)


def _of(folder, pid):
    return folder.path.with_name(folder.path.name.replace(f"-{os.getpid()}-", f"-{pid}-"))


def test_folder_is_made_for_this_user_alone_and_its_name_cannot_be_guessed(temp):
    folders = [SpillFolder() for _ in range(3)]
    assert len({folder.path for folder in folders}) == 3
    for folder in folders:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert not folder.path.name.rsplit("-", 1)[1].isdigit()


def test_session_spills_to_its_own_folder_and_removes_it(temp, tmp_path):
    path = tmp_path / "shop.duckdb"
    duckdb.connect(path).close()
    session = DuckdbSession(str(path), memory_limit="64MiB")
    (folder,) = temp.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert session._connection.instance.execute("SELECT current_setting('temp_directory')").fetchone() == (str(folder),)
    session.close()
    assert list(temp.iterdir()) == []


def test_session_that_cannot_be_opened_leaves_no_folder(temp, tmp_path):
    (tmp_path / "shop.duckdb").write_text("no database")
    with raises_message(Exception, "duckdb.cannot_be_opened"):
        DuckdbSession(str(tmp_path / "shop.duckdb"), memory_limit="64MiB")
    assert list(temp.iterdir()) == []


def test_folders_of_killed_processes_are_removed_and_those_of_living_ones_are_not(temp, gone):
    own = SpillFolder()
    dead = _of(own, gone)
    elsewhere = temp / f"statekeeper-spill-1-{gone}-0"  # another container's
    strange = temp / "statekeeper-spill-of-mine"
    for folder in (own.path, dead, elsewhere, strange):
        _leave(folder)
    duckdb_spill._sweep.cache_clear()
    with SpillFolder():
        pass
    assert {path.name for path in temp.iterdir()} == {own.path.name, elsewhere.name, strange.name}


def test_folder_of_an_earlier_version_is_removed_too(temp, gone):
    left = temp / f"statekeeper-spill-{duckdb_spill._namespace()}-{gone}-0"
    _leave(left)
    with SpillFolder():
        assert not left.exists()


def test_sweep_does_not_follow_a_link_with_the_name_of_a_spill_folder(temp, tmp_path, gone):
    with SpillFolder() as folder:
        planted = _of(folder, gone)
    precious = tmp_path / "precious"
    _leave(precious)
    planted.symlink_to(precious)
    duckdb_spill._sweep.cache_clear()
    with SpillFolder():
        pass
    assert len(list(precious.iterdir())) == 1
    assert planted.is_symlink()


def test_temporary_folder_that_is_not_writable_is_named(temp):
    temp.rmdir()
    with pytest.raises(FileNotFoundError, match=str(temp)):
        SpillFolder()
