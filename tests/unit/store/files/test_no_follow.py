"""Files and folders by their own names: what is opened is a file, and what is removed takes nothing else with it."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from statekeeper.store.files import no_follow
from statekeeper.store.files.disk import WholeFileDisk
from statekeeper.store.files.no_follow import NO_FILE, open_file, remove_tree
from tests.messages import raises_message

WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def _a_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


@pytest.mark.parametrize(
    "put",
    [os.mkfifo, os.mkdir, _a_socket, lambda path: path.symlink_to(path.with_name("elsewhere"))],
    ids=["pipe", "folder", "socket", "link"],
)
@pytest.mark.parametrize("flags", [os.O_RDONLY, WRITING], ids=["reading", "writing"])
def test_what_is_no_file_is_neither_opened_nor_waited_for(tmp_path, put, flags):
    (tmp_path / "elsewhere").write_text("precious")
    put(tmp_path / "name")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(OSError, match="it is a") as caught:
        open_file(tmp_path / "name", flags)
    assert caught.value.errno in NO_FILE
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_a_pipe_that_somebody_reads_is_no_file_to_be_written(tmp_path):
    os.mkfifo(tmp_path / "name")
    reader = os.open(tmp_path / "name", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with raises_message(OSError, "store.not_a_file"):
            open_file(tmp_path / "name", WRITING)
    finally:
        os.close(reader)


def _tree(folder, folders=4, files=6):
    for number in range(folders):
        (folder / "parts" / f"{number:02}").mkdir(parents=True)
        for name in range(files):
            (folder / "parts" / f"{number:02}" / f"{name}").touch()
    (folder / "plan.json").touch()


def test_many_folders_are_emptied_at_once(tmp_path):
    """A system takes one name out of a folder at a time, and on a volume each is two requests."""
    _tree(tmp_path / "plan")
    together, depths = threading.Barrier(4, timeout=20), []

    def on_middle():
        depths.append(threading.current_thread().name)
        if len(depths) > 2:  # of the folders in parts/, each of which waits until all are half empty
            together.wait()

    remove_tree(tmp_path / "plan", on_middle=on_middle, at_once=16)
    assert not (tmp_path / "plan").exists()
    assert len(depths) == 6


@pytest.mark.parametrize("at_once", [1, 16])
def test_a_failure_in_one_of_many_folders_is_raised(tmp_path, monkeypatch, at_once):
    _tree(tmp_path / "plan")
    unlink = os.unlink

    def refuse(name, *, dir_fd):
        if name == "5":
            raise PermissionError(1, "Operation not permitted", name)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(no_follow.os, "unlink", refuse)
    with pytest.raises(PermissionError):
        remove_tree(tmp_path / "plan", on_middle=lambda: None, at_once=at_once)
    monkeypatch.undo()
    remove_tree(tmp_path / "plan", on_middle=lambda: None, at_once=at_once)
    assert not (tmp_path / "plan").exists()


def test_a_name_is_removed_by_one_request(tmp_path, monkeypatch):
    _tree(tmp_path / "plan")
    asked = []
    for name in ("stat", "lstat", "scandir", "listdir", "unlink", "rmdir"):
        real = getattr(os, name)

        def noted(*arguments, _real=real, _name=name, **options):
            asked.append(_name)
            return _real(*arguments, **options)

        monkeypatch.setattr(no_follow.os, name, noted)
    WholeFileDisk().remove_folder(tmp_path / "plan", role="sweep")
    folders, files = 6, 25
    tries = folders - 1  # to unlink what turns out to be a folder
    assert {name: asked.count(name) for name in asked} == {
        "listdir": folders,
        "unlink": files + tries,
        "rmdir": folders,
    }
