"""Rows per second of `statekeeper run`, all checks on, beside the bare loop, round by round in turns.

    python -m benchmarks.local.throughput [--rows 10000000] [--rounds 5]

Both are whole commands, timed from start to exit, and both have two processes. The phases come from the state file.
"""

import argparse
import json
import shutil
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from benchmarks.local.dataset import CHUNK_ROWS, FOLDER, lineitem
from benchmarks.local.pipeline import statekeeper_run, write_config
from benchmarks.shared.measured import Measured, compile_as_pip_does, measure

WORKERS = 2
PHASES = ("start and exit", "plan", "extract", "validate, publish", "close")


def bare_round(database: Path, rows: int) -> Measured:
    folder = FOLDER / "bare"
    shutil.rmtree(folder, ignore_errors=True)
    return measure(sys.executable, "-m", "benchmarks.local.bare", str(database), str(rows), str(folder), str(WORKERS))


def our_round(config: Path) -> Measured:
    shutil.rmtree(FOLDER / config.stem, ignore_errors=True)
    return statekeeper_run(config)


def phases(config: Path, seconds: float) -> list[float]:
    """Seconds outside of the run, in each state, and behind them: from the state file's history and the manifest."""
    (state_file,) = (FOLDER / config.stem).glob("duck/lineitem/*/*/*_state.json")
    (manifest_file,) = (FOLDER / config.stem / "_runs").glob("*.json")
    history = json.loads(state_file.read_text())["history"]
    manifest = json.loads(manifest_file.read_text())
    moments = [manifest["started_at"], *(step["at"] for step in history), manifest["ended_at"]]
    times = [datetime.fromisoformat(moment) for moment in moments]
    inside = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    return [seconds - sum(inside), *inside]


def require_same(config: Path, rows: int) -> None:
    """That both wrote the same chunks."""
    (output,) = (FOLDER / config.stem).glob("duck/lineitem/*/*/*.parquet")
    ours = sorted(output.glob("*.parquet")) if output.is_dir() else [output]
    theirs = sorted((FOLDER / "bare").glob("*.parquet"))
    counts = [[pq.read_metadata(path).num_rows for path in paths] for paths in (ours, theirs)]
    if counts[0] != counts[1] or sum(counts[0]) != rows:
        raise SystemExit(f"the two did not write the same chunks of {CHUNK_ROWS}: {counts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows = arguments.rows
    compile_as_pip_does()
    database = lineitem(rows)
    config = write_config("throughput", database, ["lineitem"])
    bare: list[Measured] = []
    ours: list[Measured] = []
    parts = []
    print(f"{rows:,} rows, 16 columns, {WORKERS} processes; whole commands, cpu = processor seconds of all processes")
    head = f"{'seconds':>9}{'rows/s':>11}{'cpu':>8}"
    print(f"{'':8}{'bare:':>9}{'':19}{'ours:':>9}")
    print(f"{'':8}{head}{head}{'ratio':>8}{'cpu ratio':>11}")
    for number in range(1, arguments.rounds + 1):
        bare.append(bare_round(database, rows))
        ours.append(our_round(config))
        parts.append(phases(config, ours[-1].seconds))
        require_same(config, rows)
        _line(f"round {number}", bare[-1:], ours[-1:], rows)
    _line("median", bare, ours, rows)
    print("phases of ours, medians in seconds:")
    for name, values in zip(PHASES, zip(*parts, strict=True), strict=True):
        print(
            f"  {name:<22} {median(values):7.2f}  {100 * median(values) / median(one.seconds for one in ours):5.1f} %"
        )
    for leftover in ("bare", config.stem):
        shutil.rmtree(FOLDER / leftover)


def _line(name: str, bare: list[Measured], ours: list[Measured], rows: int) -> None:
    """Medians; the ratios are of rows/s, so that 1.00 means as fast as the bare loop."""
    cells = [name.rjust(8)]
    medians = [(median(one.seconds for one in runs), median(one.processor for one in runs)) for runs in (bare, ours)]
    for seconds, processor in medians:
        cells.append(f"{seconds:9.2f}{rows / seconds:11,.0f}{processor:8.2f}")
    (bare_seconds, bare_processor), (our_seconds, our_processor) = medians
    cells.append(f"{bare_seconds / our_seconds:8.2f}{bare_processor / our_processor:11.2f}")
    print("".join(cells), flush=True)


if __name__ == "__main__":
    main()
