"""Where a DuckDB session puts what does not fit in memory: a folder of its own, under the system's temporary folder.

Rows lie in it, so it is private to the user (0700), and its name cannot be guessed: it is made here, never found.
`SpillFolder.remove` takes it away when the session is closed. A process that was killed leaves it, full; the next one
of this user to open a session on this machine removes it.
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
        """Raises OSError, with the folder's name, where the system's temporary folder takes none."""
        temp = tempfile.gettempdir()
        _sweep(temp)
        self.path = Path(tempfile.mkdtemp(prefix=f"statekeeper-spill-{_namespace()}-{os.getpid()}-", dir=temp))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def remove(self) -> None:
        """Never raises; what cannot be removed is swept later."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


@cache
def _sweep(temp: str) -> None:
    """Remove, once in a process, the folders of this user's processes that are gone."""
    for path in Path(temp).glob("statekeeper-spill-*"):
        found = _NAME.fullmatch(path.name)
        # Containers may share the folder and not see each other's processes.
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
    """The namespace of this process's id; 0 where there are none."""
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
