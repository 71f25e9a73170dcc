"""Rows per second of validating staged lineitem, SF1: statekeeper, pydantic row by row, and three libraries.

    python -m benchmarks.validation.throughput [--rounds 5]

First every contestant must accept 1,000 good rows, and refuse each of 16 files in which one value of one column is bad.
Then all validate the same parts in turns, round by round, each in a process and on one core. pydantic takes the
first 100,000 rows only: its rows/s do not depend on how many there are.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.shared.measured import REPOSITORY
from benchmarks.validation.dataset import FOLDER, SF1_ROWS, parts_of, sample_part, spoilt_parts

OURS, PYDANTIC = "statekeeper", "pydantic_rows"
VERSIONS = {"pandera": "0.35.0", "patito": "0.8.6", "dataframely": "3.1.2"}
SUPPORT = ("polars==2.1.0", "pyarrow>=26", "pydantic>=2.14")
NAMES = (OURS, PYDANTIC, *VERSIONS)


@dataclass(frozen=True)
class Checked:
    """What one process took: seconds by the clock and of the processor, rows, and its largest resident size in MiB."""

    seconds: float
    processor: float
    rows: tuple[int | None, ...]
    peak: int

    @property
    def speed(self) -> float:
        """Rows per second."""
        return sum(rows or 0 for rows in self.rows) / self.seconds

    @property
    def processor_speed(self) -> float:
        """Rows per second of processor time, which other work on the machine does not slow down as much."""
        return sum(rows or 0 for rows in self.rows) / self.processor


def check(name: str, parts: list[Path]) -> Checked:
    """Run one contestant over the parts."""
    python = str(FOLDER / "environment" / "bin" / "python") if name in VERSIONS else sys.executable
    environment = {"POLARS_MAX_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [python, "-m", "benchmarks.validation.check", name, str(spoilt_parts()[""]), *map(str, parts)],
        cwd=REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Checked(told["seconds"], told["processor"], tuple(told["rows"]), told["peak"])


def install_libraries() -> None:
    """The libraries, from PyPI, in an environment of their own, where they are not there yet."""
    wanted = [f"{name}=={version}" for name, version in VERSIONS.items()] + [*SUPPORT]
    environment, stamp = FOLDER / "environment", FOLDER / "environment" / "installed"
    if stamp.exists() and stamp.read_text() == "\n".join(wanted):
        return
    print(f"installing {', '.join(wanted)}", flush=True)
    venv.create(environment, with_pip=True, clear=True)
    subprocess.run([str(environment / "bin" / "python"), "-m", "pip", "install", "-qq", *wanted], check=True)
    stamp.write_text("\n".join(wanted))


def require_all_find() -> None:
    """That every contestant accepts the good rows and finds each bad value."""
    spoilt = spoilt_parts()
    for name in NAMES:
        verdicts = dict(zip(spoilt, check(name, list(spoilt.values())).rows, strict=True))
        missed = [column for column, rows in verdicts.items() if column and rows is not None]
        if verdicts[""] != 1000 or missed:
            raise SystemExit(f"{name} takes {verdicts['']} good rows of 1000, and does not find bad {missed}")
    print(f"each finds all {len(spoilt) - 1} bad values, and accepts the good rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    install_libraries()
    parts = parts_of(SF1_ROWS)
    require_all_find()
    runs = _compete({name: [sample_part()] if name == PYDANTIC else parts for name in NAMES}, rounds)
    small = {name: check(name, parts[:1]).peak for name in NAMES if name != PYDANTIC}
    print(
        f"\n{SF1_ROWS:,} rows, 16 columns, one core each, medians of {rounds} rounds; load {os.getloadavg()[0]:.1f}\n"
    )
    print(
        "| | rows/s | times pydantic | rows/s of processor time | times pydantic | MiB at 1,000,000 rows | at all |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    for name in NAMES:
        _line(name, runs, small.get(name))


def _compete(parts: dict[str, list[Path]], rounds: int) -> dict[str, list[Checked]]:
    runs: dict[str, list[Checked]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for name in NAMES[number % len(NAMES) :] + NAMES[: number % len(NAMES)]:  # nobody always comes first
            runs[name].append(check(name, parts[name]))
            if None in runs[name][-1].rows:
                raise SystemExit(f"{name} refuses rows that are good")
        told = ", ".join(f"{name} {runs[name][-1].speed:,.0f}" for name in NAMES)
        print(f"round {number + 1}, rows/s: {told}", flush=True)
    return runs


def _line(name: str, runs: dict[str, list[Checked]], small: int | None) -> None:
    cells = [name if name not in VERSIONS else f"{name} {VERSIONS[name]}"]
    for speed in ("speed", "processor_speed"):
        own, theirs = (median(getattr(run, speed) for run in runs[each]) for each in (name, PYDANTIC))
        cells += [f"{own:,.0f}", f"{own / theirs:.1f}"]
    largest = max(run.peak for run in runs[name])
    cells += ["", ""] if small is None else [str(small), f"{largest} (x {largest / small:.2f})"]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
