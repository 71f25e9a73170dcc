"""Runs a command and measures it: wall time, and the processor time of its processes and of the server's."""

import ctypes
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from dataset import REPOSITORY


@dataclass(frozen=True)
class Measured:
    """Seconds from start to exit; `processor` is user and system time of all its processes together, and `server` that
    of the database meanwhile.
    """

    seconds: float
    processor: float
    server: float
    output: str


def measure(*command: str, server: int, secrets: dict[str, str] | None = None) -> Measured:
    """Run the command to its end; a failure ends the benchmark with what it printed. `server` is a process id."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | (secrets or {})
    used, served = _children(), _ticks(server)
    started = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    _reap_orphans(server)
    output = done.stdout + done.stderr
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{output}")
    return Measured(seconds, _children() - used, _ticks(server) - served, output)


_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process the parent of its commands' orphans: a worker's time counts when its parent waits for it, and
    nobody else waits for the fork server of multiprocessing, and so for its workers.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap_orphans(server: int) -> None:
    """Wait for whatever a command left behind."""
    while True:
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        left = [int(pid) for pid in listed if int(pid) != server]
        if not left:
            return
        os.waitpid(left[0], 0)


def _children() -> float:
    """Processor seconds of all processes that were started and have ended; the server still runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ticks(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
