"""Runs a command and measures it: wall time, processor time, and the peak memory of each of its processes."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dataset import DATE, FOLDER, MODEL, REPOSITORY

SAMPLE_SECONDS = 0.02
STATEKEEPER = str(Path(sys.executable).with_name("statekeeper"))


@dataclass(frozen=True)
class Measured:
    """`peaks` is the largest resident size in KiB (VmHWM) of each process of the command, largest first; `processor`
    the seconds of user and system time of all of them together.
    """

    seconds: float
    processor: float
    peaks: tuple[int, ...]
    output: str


def measure(*command: str) -> Measured:
    """Run the command to its end; a failure ends the benchmark with what it printed.

    VmHWM and processor time only grow, so looking often misses nothing but the last instants of a process.
    """
    started = time.perf_counter()
    # To a file: nobody empties a pipe while the processes are looked at, and a full one stops the command.
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(command, cwd=REPOSITORY, stdout=printed, stderr=subprocess.STDOUT) as process,
    ):
        peaks: dict[int, int] = {}
        ticks: dict[int, int] = {}
        while process.poll() is None:
            for pid in _family(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), _peak(pid))
                ticks[pid] = max(ticks.get(pid, 0), _ticks(pid))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        printed.seek(0)
        output = printed.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    processor = sum(ticks.values()) / os.sysconf("SC_CLK_TCK")
    return Measured(seconds, processor, tuple(sorted(peaks.values(), reverse=True)), output)


def write_config(name: str, database: Path, tables: list[str], *, memory_limit: str | None = None) -> Path:
    """A pipeline over the tables, with two workers; everything else is as statekeeper's defaults have it."""
    path = FOLDER / f"{name}.yml"
    limit = f", memory_limit: {memory_limit}" if memory_limit else ""
    lines = [
        f"pipeline: {name}",
        f"sources: {{duck: {{type: duckdb, path: '{database}'}}}}",
        f"output: {{base_path: '{FOLDER / name}'}}",
        f"execution: {{workers: 2{limit}}}",
        "tables:",
        *(f"  - {{table_name: {table}, schema: {MODEL}}}" for table in tables),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def statekeeper_run(config: Path) -> Measured:
    """`statekeeper run`, all checks on."""
    return measure(STATEKEEPER, "run", str(config), "--date", DATE, "--no-progress")


def _family(root: int) -> list[int]:
    """The process and all its descendants."""
    family = [root]
    for pid in family:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                family += map(int, children.read_text().split())
            except OSError:
                continue
    return family


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
