"""A system that refuses one call on a file below a folder, in this process: the n-th of those that a run makes.

Calls of `os`, reads and writes of open files, and what Arrow opens by name are counted. So a test can let each of them
fail once, wherever in the program it is made.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from statekeeper.store.files import disk

_NAMED = ("open", "stat", "lstat", "link", "rename", "replace", "unlink", "rmdir", "mkdir", "listdir", "utime")
_OF_DESCRIPTORS = ("fsync", "fstat", "write", "read")
_PARQUET = ("ParquetFile", "read_metadata", "read_schema")


class RefusingSystem:
    """Counts calls below `folder` while it is active; the one whose number is `refused` fails with `code`."""

    def __init__(self, folder: Path, monkeypatch: Any, *, refused: int | None = None, code: int = errno.EIO) -> None:
        self._folder = str(folder)
        self._refused, self._code = refused, code
        self._lock = threading.Lock()
        self.calls: list[tuple[str, str]] = []
        """Every call: its name, and its path below the folder with what differs from run to run left out."""
        for name in _NAMED:
            monkeypatch.setattr(os, name, self._by_name(name, getattr(os, name)))
        for name in _OF_DESCRIPTORS:
            monkeypatch.setattr(os, name, self._by_descriptor(name, getattr(os, name)))
        for name in _PARQUET:
            monkeypatch.setattr(pq, name, self._by_name(name, getattr(pq, name)))
        monkeypatch.setattr(disk, "exchange_names", self._by_name("exchange", disk.exchange_names))
        opened = self._opening(io.open)
        monkeypatch.setattr(io, "open", opened)
        monkeypatch.setattr(builtins, "open", opened)

    def step(self, name: str, path: str | None) -> None:
        """Count a call, and refuse it if it is its turn."""
        if path is None or not path.startswith(f"{self._folder}/"):
            return
        with self._lock:
            self.calls.append((name, _kind(path.removeprefix(self._folder))))
            is_refused = len(self.calls) - 1 == self._refused
        if is_refused:
            without_name = name in {"fsync", "write", "read", "fstat"}  # the system's calls on descriptors know none
            raise OSError(self._code, os.strerror(self._code), *([] if without_name else [path]))

    def _by_name(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            self.step(name, _full_name(path, options.get("dir_fd", options.get("src_dir_fd"))))
            return real(path, *arguments, **options)

        return call

    def _by_descriptor(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: Any, *arguments: Any) -> Any:
            self.step(name, _full_name(descriptor, None))
            return (
                None if name == "fsync" else real(descriptor, *arguments)
            )  # nothing crashes here, so nothing is synced

        return call

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        system = self

        def call(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            name = _full_name(file, None)
            if name is None or not name.startswith(f"{system._folder}/") or "b" not in mode or "+" in mode:
                return real(file, mode, *arguments, **options)
            if not isinstance(file, int):
                system.step("open", name)
            raw = _Watched(system, name, file, mode.replace("b", ""))
            return io.BufferedReader(raw) if mode.startswith("r") else io.BufferedWriter(raw)

        return call


class _Watched(io.FileIO):
    """An open file whose reads and writes are counted."""

    def __init__(self, system: RefusingSystem, path: str, file: Any, mode: str) -> None:
        self._system, self._path = system, path
        super().__init__(file, mode)

    def write(self, data: Any) -> int:
        self._system.step("write", self._path)
        return super().write(data)

    def readinto(self, buffer: Any) -> int:
        self._system.step("read", self._path)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self._system.step("read", self._path)
        return super().readall()


def _full_name(path: Any, folder: int | None) -> str | None:
    if isinstance(path, int):
        return _link_of(path)
    if not isinstance(path, str | os.PathLike):
        return None
    name = os.fspath(path)
    if folder is not None and not Path(name).is_absolute():
        return f"{_link_of(folder)}/{name}"
    return name


def _link_of(descriptor: int) -> str | None:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return None


def _kind(path: str) -> str:
    return re.sub(r"[0-9a-f]{8,}|\d+", "#", path)
