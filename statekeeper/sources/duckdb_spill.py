"""Where a DuckDB session puts what does not fit in memory: a folder of its own, under the system's temporary folder.

DuckDB removes it when the session is closed. A process that was killed leaves it, full; the next one to open a session
on this machine removes it.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

_NUMBERS = itertools.count()
_NAME = re.compile(r"statekeeper-spill-(\d+)-(\d+)-\d+")
_NAMESPACE = Path("/proc/self/ns/pid")


def new_spill_folder() -> Path:
    """The name of a folder that no other session has; it is not made yet."""
    temp = tempfile.gettempdir()
    _sweep(temp)
    return Path(temp) / f"statekeeper-spill-{_namespace()}-{os.getpid()}-{next(_NUMBERS)}"


@cache
def _sweep(temp: str) -> None:
    """Remove, once in a process, the folders of processes that are gone."""
    for path in Path(temp).glob("statekeeper-spill-*"):
        found = _NAME.fullmatch(path.name)
        # Containers may share the folder and not see each other's processes.
        if found and int(found[1]) == _namespace() and _is_gone(int(found[2])):
            shutil.rmtree(path, ignore_errors=True)


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
