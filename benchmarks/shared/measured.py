"""Runs a command and measures it: wall time, processor time, and the peak memory of each of its processes."""

import compileall
import ctypes
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_SAMPLE_SECONDS = 0.02
_PR_SET_CHILD_SUBREAPER = 36


def compile_as_pip_does() -> None:
    """Compile what is not installed by pip, which compiles all that it installs: this package and the benchmarks.

    Where PYTHONDONTWRITEBYTECODE is set, every one of their processes would begin with it.
    """
    for name in ("statekeeper", "benchmarks"):
        compileall.compile_dir(REPOSITORY / name, quiet=1)


@dataclass(frozen=True)
class Measured:
    """`seconds` from start to exit; `processor` the seconds of user and system time of all the command's processes
    together; `peaks` the largest resident size in KiB (VmHWM) of each of them, largest first.
    """

    seconds: float
    processor: float
    peaks: tuple[int, ...]
    output: str


def measure(
    *command: str, environment: Mapping[str, str] | None = None, spared: frozenset[int] = frozenset()
) -> Measured:
    """Run the command to its end; a failure ends the benchmark with what it printed.

    Args:
        command: the words of the command.
        environment: what is added to this process's own.
        spared: children of this process that are not the command's, by process id.

    VmHWM only grows, so frequent samples miss only the last instants of a process. Processor time is what the
    kernel has booked for the children that have ended, orphans among them: they are adopted and waited for.
    """
    _adopt_orphans()
    used = _children()
    started = time.perf_counter()
    # To a file: nobody empties a pipe while the processes are looked at, and a full one stops the command.
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | dict(environment or {}),
            stdout=printed,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        peaks: dict[int, int] = {}
        while process.poll() is None:
            for pid in _family(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), _peak(pid))
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        printed.seek(0)
        output = printed.read()
    _reap_orphans(spared)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return Measured(seconds, _children() - used, tuple(sorted(peaks.values(), reverse=True)), output)


def processor_seconds(pid: int) -> float:
    """User and system time so far of a process that runs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _adopt_orphans() -> None:
    """Make this process the parent of its commands' orphans: a worker's time counts when its parent waits for it, and
    nobody else waits for the fork server of multiprocessing, and so for its workers.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap_orphans(spared: frozenset[int]) -> None:
    """Wait for whatever a command left behind."""
    while True:
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        left = [int(pid) for pid in listed if int(pid) not in spared]
        if not left:
            return
        os.waitpid(left[0], 0)


def _children() -> float:
    """Processor seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(root: int) -> list[int]:
    """The process and all its descendants."""
    family = [root]
    for pid in family:
        with suppress(OSError):  # it, or a thread of it, may end while it is looked at
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                family += map(int, children.read_text().split())
    return family


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
