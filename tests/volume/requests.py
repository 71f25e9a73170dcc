"""Mounts `tests.volume.mount` for a while, and counts the requests to it."""

from __future__ import annotations

import ctypes.util
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
IS_POSSIBLE = os.access("/dev/fuse", os.R_OK | os.W_OK) and any(map(ctypes.util.find_library, ("fuse", "fuse3")))
"""Whether the machine has the programs; whether it lets us mount is known only after an attempt."""
_SECONDS = 60
_OF_BYTES = frozenset({"read", "write"})


_AREAS = (
    ("exchange", re.compile(r"/_runs/\..*\.spark-")),
    ("run", re.compile(r"/_runs(/|$)")),
    ("staged parts", re.compile(r"\.staging/[^/]+/parts(/|$)")),
    ("receipts", re.compile(r"\.staging/[^/]+/receipts(/|$)")),
    ("staging", re.compile(r"\.staging(/|$)")),
    ("lease", re.compile(r"\.lock(\.\d+)?(\.\w+)*$")),
    ("state", re.compile(r"_state\.json")),
    ("published", re.compile(r"\.parquet(/|$)|_metadata\.json")),
)


def area_of(path: str) -> str:
    """The part of the layout to which a path below the mount belongs; none for the folders at the top."""
    return next((area for area, pattern in _AREAS if pattern.search(path)), "folders")


class NotAllowed(Exception):
    """This machine does not let us mount."""


class Request(NamedTuple):
    """A round trip: its kind, the path below the mount, and when it was asked for, by `time.monotonic` of whichever
    process.
    """

    kind: str
    path: str
    at: float


@dataclass(frozen=True)
class Requests:
    """The requested round trips, in order."""

    asked: tuple[Request, ...]

    @property
    def kinds(self) -> Counter[str]:
        return Counter(each.kind for each in self.asked)

    def by(self, name: Callable[[str], str]) -> Counter[tuple[str, str]]:
        """How many there are of each kind for the paths that `name` gives one name."""
        return Counter((name(each.path), each.kind) for each in self.asked)

    def times(self, kind: str, paths: str) -> list[float]:
        """The times of the requests of a kind for paths that match the pattern `paths`."""
        return [each.at for each in self.asked if each.kind == kind and re.search(paths, each.path)]


@dataclass(frozen=True)
class Mounted:
    """A mounted volume."""

    folder: Path
    log: Path

    def requests(self) -> Requests:
        """Every round trip so far."""
        lines = (line.split(" ", 2) for line in self.log.read_text().splitlines())
        return Requests(tuple(Request(kind, path, float(at)) for at, kind, path in lines if kind not in _OF_BYTES))


@contextmanager
def mounted(mountpoint: Path, files: Path, *options: str, delay: float = 0.0) -> Iterator[Mounted]:
    """The volume at `mountpoint`, whose files lie in `files`. Both folders are made; `options` are the mount's.

    Raises:
        NotAllowed: the machine refuses.
    """
    mountpoint.mkdir(parents=True, exist_ok=True)
    files.mkdir(parents=True, exist_ok=True)
    log = files.with_name(f"{files.name}.requests")
    log.write_text("")
    command = [sys.executable, "-W", "ignore", "-m", "tests.volume.mount", str(files), str(mountpoint)]
    server = subprocess.Popen([*command, "--delay", str(delay), "--log", str(log), *options], cwd=ROOT)
    try:
        deadline = time.monotonic() + _SECONDS
        while not os.path.ismount(mountpoint):
            if server.poll() is not None or time.monotonic() > deadline:
                raise NotAllowed
            time.sleep(0.02)
        yield Mounted(mountpoint, log)
    finally:
        subprocess.run(["fusermount", "-u", "-z", str(mountpoint)], check=False)
        server.terminate()
        server.wait()
