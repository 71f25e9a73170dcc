"""Who this process is, and whether the process that an `Owner` names still lives.

Decides from this machine's own process table; of a process elsewhere it says `unknown`. What follows from an answer
is up to the locks.
"""

from __future__ import annotations

import os
import socket
from enum import StrEnum
from functools import cache
from pathlib import Path

from statekeeper.model.record import Owner

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_START_TOLERANCE_SECONDS = 2.0


class Liveness(StrEnum):
    """What is known of a process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


def this_process() -> Owner:
    """This process."""
    pid = os.getpid()
    started = _started(pid)
    return Owner(host=host_name(), boot_id=boot_id(), pid=pid, started=0.0 if started is None else started)


def liveness(owner: Owner) -> Liveness:
    """Whether the process of `owner` lives; a stopped process does, a zombie does not.

    It is dead, too, if its machine (by host name) has been booted since, or if its pid now belongs to a process of
    another start. It is unknown on another host, in another container of this machine (whose processes cannot be
    seen), and where no boot can be told from another.
    """
    if owner.host != host_name():
        return Liveness.UNKNOWN
    boot, _, namespace = owner.boot_id.partition("/")
    here_boot, _, here_namespace = boot_id().partition("/")
    if not boot or not here_boot:
        return Liveness.UNKNOWN
    if boot != here_boot:
        return Liveness.DEAD
    if namespace != here_namespace:
        return Liveness.UNKNOWN
    started = _started(owner.pid)
    if started is None or abs(started - owner.started) > _START_TOLERANCE_SECONDS:
        return Liveness.DEAD
    return Liveness.ALIVE


def host_name() -> str:
    """The name of this machine or container."""
    return socket.gethostname()


@cache
def boot_id() -> str:
    """This boot of the machine, then `/` and the namespace of its process ids if any; empty if unreadable."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        return _boot_time()
    try:
        return f"{boot}/{_PID_NAMESPACE.readlink()}"
    except OSError:
        return boot


def _boot_time() -> str:
    import psutil  # only systems without /proc pay for it

    try:
        return f"{psutil.boot_time():.0f}"
    except (psutil.Error, OSError, RuntimeError):
        return ""


def _started(pid: int) -> float | None:
    """When a process started, in seconds after boot; None if there is no such process, or only its zombie.

    Not in epoch seconds: psutil adds the boot time to it, which moves whenever the wall clock is set. The boot time is
    asked for first: up to psutil 7.0, `create_time` adds what the last call of `boot_time` found.
    """
    import psutil  # status and workers mostly do without

    boot = psutil.boot_time()
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return max(0.0, process.create_time() - boot)
    except psutil.NoSuchProcess:
        return None
