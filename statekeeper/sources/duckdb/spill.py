"""The folder for data of a DuckDB session that does not fit in memory: one per session, in the temporary folder.

It contains rows, so it is private to the user (0700). It is always newly created, with a name that cannot be guessed.
`SpillFolder.remove` removes it when the session is closed. A killed process leaves it behind; the next process of this
user that opens a session on this machine removes it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import weakref
from functools import cache
from pathlib import Path
from typing import Self

_NAME = re.compile(r"statekeeper-spill-(\d+)-(\d+)-\w+")
_NAMESPACE = Path("/proc/self/ns/pid")


class SpillFolder:
    """A new private folder. Without a call of `remove` it is removed with the object."""

    def __init__(self) -> None:
        """Raises OSError, with the folder's name, if it cannot be made in the system's temporary folder."""
        temp = tempfile.gettempdir()
        _sweep(temp)
        self.path = Path(tempfile.mkdtemp(prefix=f"statekeeper-spill-{_namespace()}-{os.getpid()}-", dir=temp))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def remove(self) -> None:
        """Remove the folder. Never raises; what cannot be removed is removed by a later process."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


@cache
def _sweep(temp: str) -> None:
    """Remove the folders that dead processes of this user left. Done once in a process."""
    for path in Path(temp).glob("statekeeper-spill-*"):
        found = _NAME.fullmatch(path.name)
        # Containers may share the folder, but do not see each other's processes.
        if found and int(found[1]) == _namespace() and _is_own_folder(path) and _is_gone(int(found[2])):
            shutil.rmtree(path, ignore_errors=True)  # it follows no links


def _is_own_folder(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


@cache
def _namespace() -> int:
    """The pid namespace of this process; 0 if the system has none."""
    try:
        return _NAMESPACE.stat().st_ino
    except OSError:
        return 0


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
