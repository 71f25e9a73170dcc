"""How temporary files are named, and which of them are left-overs.

`.{name}.{token}.tmp` lies beside the document `name`. The token is the lock's epoch where a lock guards the document,
else it names the writing process. Documents of one folder belong to several runs, so a sweep names its documents
exactly: a prefix would reach those of a run whose id begins alike, whose owner is alive.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from statekeeper.store.files.disk import Disk
from statekeeper.store.process import boot_id, host_name

_TEMP = re.compile(r"^\.(?P<name>.+)\.(?P<token>[0-9A-Za-z_-]+)\.tmp$", re.DOTALL)
_TOKEN = re.compile(r"^[0-9A-Za-z_-]+$")


def temp_file(path: Path, token: str) -> Path:
    """The temporary file of a document. Raises ValueError for a token that a sweep could not recognise."""
    if not _TOKEN.match(token):
        raise ValueError(f"a temporary file's token is letters, digits, - and _; found {token!r}")
    return path.with_name(f".{path.name}.{token}.tmp")


def temps_in(disk: Disk, folder: Path) -> list[tuple[str, str]]:
    """Document name and token of every temporary file in a folder."""
    found = (_TEMP.match(name) for name in disk.names(folder))
    return [(match["name"], match["token"]) for match in found if match]


def sweep_temps(
    disk: Disk, folder: Path, names: Collection[str], is_left_over: Callable[[str], bool] = lambda _token: True
) -> None:
    """Remove the temporary files of the named documents whose token `is_left_over` accepts (by default, all)."""
    for name, token in temps_in(disk, folder):
        if name in names and is_left_over(token):
            disk.unlink(temp_file(folder / name, token), role="sweep")


def sweep_all_temps(disk: Disk, folder: Path) -> None:
    """Remove every temporary file in a folder that is one extraction's own."""
    sweep_temps(disk, folder, {name for name, _ in temps_in(disk, folder)})


def older_than(epoch: int) -> Callable[[str], bool]:
    """Whether a token is a lock's epoch below `epoch`."""
    return lambda token: token.isdecimal() and int(token) < epoch


def left_before(epoch: int) -> Callable[[str], bool]:
    """Whether a token is an earlier holder's of the lock that is held with `epoch`; with 0, a flock, every one is."""
    return older_than(epoch) if epoch else lambda _token: True


def process_token() -> str:
    """A token that no other living thread has."""
    return f"{_machine()}-{os.getpid()}-{threading.get_ident()}"


def is_abandoned(token: str) -> bool:
    """Whether a token is a process of this machine that is gone."""
    machine, _, rest = token.partition("-")
    pid, _, thread = rest.partition("-")
    if machine != _machine() or not (pid.isdecimal() and thread.isdecimal()):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    return hashlib.sha256(f"{host_name()}/{boot_id()}".encode()).hexdigest()[:8]
