"""How temporary files are named, and which of them are left over from dead processes.

`.{name}.{token}.tmp` is in the same folder as the document `name`. The token is the lock's epoch if a lock guards the
document; otherwise it identifies the writing process. The documents in one folder belong to several runs, so a sweep
names its documents exactly: a prefix could match those of another, live run whose id begins in the same way.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.process import boot_id, host_name

_TEMP = re.compile(r"^\.(?P<name>.+)\.(?P<token>[0-9A-Za-z_-]+)\.tmp$", re.DOTALL)
_TOKEN = re.compile(r"^[0-9A-Za-z_-]+$")


def temp_file(path: Path, token: str) -> Path:
    """The temporary file of a document. Raises ValueError for a token that a sweep would not recognise."""
    if not _TOKEN.match(token):
        raise ValueError(f"a temporary file's token is letters, digits, - and _; found {token!r}")
    return path.with_name(f".{path.name}.{token}.tmp")


def temps_in(disk: Disk, folder: Path) -> list[tuple[str, str]]:
    """The document's name and the token of every temporary file in a folder."""
    if disk.writes is Writes.OBJECTS:  # they are not needed there
        return []
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
    """Remove every temporary file in a folder that belongs to one extraction."""
    sweep_temps(disk, folder, {name for name, _ in temps_in(disk, folder)})


def older_than(epoch: int) -> Callable[[str], bool]:
    """A predicate: whether a token is an epoch of a lock below `epoch`."""
    return lambda token: token.isdecimal() and int(token) < epoch


def left_before(epoch: int) -> Callable[[str], bool]:
    """A predicate: whether a token belongs to a holder before `epoch`; with 0, a flock, every token does."""
    return older_than(epoch) if epoch else lambda _token: True


def process_token() -> str:
    """A token for this thread, which no other living thread has."""
    return f"{_machine()}-{os.getpid()}-{threading.get_ident()}"


def is_abandoned(token: str) -> bool:
    """Whether a token belongs to a process of this machine that has ended."""
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
