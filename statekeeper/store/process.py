"""Identifies this process, and says whether the process of an `Owner` still lives.

Decides by this machine's own process table; a process on another machine is `unknown`. The locks decide what follows.
"""

from __future__ import annotations

import os
import socket
from enum import StrEnum
from functools import cache
from pathlib import Path

from statekeeper.model.state import Owner

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_START_TOLERANCE_SECONDS = 2.0


class Liveness(StrEnum):
    """What is known about a process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


def this_process() -> Owner:
    """The Owner that identifies this process."""
    pid = os.getpid()
    started = _started(pid)
    return Owner(host=host_name(), boot_id=boot_id(), pid=pid, started=0.0 if started is None else started)


def liveness(owner: Owner) -> Liveness:
    """Whether the process of `owner` lives. A stopped process is alive, a zombie is dead.

    It is also dead if its machine (by host name) has been booted since, or if a process with another start time has its
    pid now. It is unknown on another host, in another container of this machine (whose processes cannot be seen), and
    if the current boot cannot be identified.
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
    """An id of the machine's current boot, then `/` and the namespace of process ids, if any; empty if unreadable."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        return _boot_time()
    try:
        return f"{boot}/{_PID_NAMESPACE.readlink()}"
    except OSError:
        return boot


def _boot_time() -> str:
    import psutil  # here, since only systems without /proc need it

    try:
        return f"{psutil.boot_time():.0f}"
    except (psutil.Error, OSError, RuntimeError):
        return ""


def _started(pid: int) -> float | None:
    """When a process started, in seconds after boot; None if there is no such process, or only its zombie.

    Not in epoch seconds: psutil adds the boot time to it, which moves whenever the wall clock is set. The boot time is
    asked for first: up to psutil 7.0, `create_time` adds what the last call of `boot_time` found.
    """
    import psutil  # here, since `status` and workers mostly do not need it

    boot = psutil.boot_time()
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return max(0.0, process.create_time() - boot)
    except psutil.NoSuchProcess:
        return None
