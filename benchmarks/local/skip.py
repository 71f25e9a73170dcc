"""How long `statekeeper run` takes when there is nothing to do: every table complete, every byte verified.

    python -m benchmarks.local.skip [--tables 1000] [--rounds 5]

The tables have 100 rows and the columns of lineitem; the first run, which extracts them, is timed too.
"""

import argparse
import shutil
from statistics import median

from benchmarks.local.dataset import FOLDER, small_tables
from benchmarks.local.pipeline import statekeeper_run, write_config
from benchmarks.shared.measured import Measured, compile_as_pip_does

ROWS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    count = arguments.tables
    compile_as_pip_does()
    config = write_config("skip", small_tables(count, rows=ROWS), [f"t{number:04d}" for number in range(count)])
    shutil.rmtree(FOLDER / config.stem, ignore_errors=True)
    _line("extract", statekeeper_run(config), count, "completed")
    rounds = []
    for number in range(1, arguments.rounds + 1):
        rounds.append(statekeeper_run(config))
        _line(f"skip {number}", rounds[-1], count, "skipped")
    print(f"median: {median(one.seconds for one in rounds):.2f} s to skip {count:,} tables")
    shutil.rmtree(FOLDER / config.stem)


def _line(name: str, run: Measured, count: int, outcome: str) -> None:
    if f"{count:,} {outcome}" not in run.output and f"{count} {outcome}" not in run.output:
        raise SystemExit(f"not all tables were {outcome}:\n{run.output[-2000:]}")
    each = 1000 * run.seconds / count
    print(
        f"{name:>10} {run.seconds:8.2f} s {each:8.2f} ms a table {run.processor:8.2f} s of processor time", flush=True
    )


if __name__ == "__main__":
    main()
