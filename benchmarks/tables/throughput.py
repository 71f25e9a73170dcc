"""Seconds of `statekeeper run` into tables of each format, beside plain Parquet files, in turns; and of the commit.

    python -m benchmarks.tables.throughput [--rows 10000000] [--rounds 5] [--formats delta,iceberg]

All are whole commands into a local folder, all checks on, timed from start to exit, with two workers. What a format
adds is the import of its library, the search for the table, and the commit, whose statistics come from the footers.
"""

import argparse
import json
import shutil
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.local.dataset import DATE, MODEL, lineitem
from benchmarks.local.pipeline import STATEKEEPER
from benchmarks.shared.measured import REPOSITORY, Measured, compile_as_pip_does, measure

FOLDER = REPOSITORY / "build" / "bench-tables"
WORKERS = 2
PARQUET = "parquet"


def write_config(format_name: str, database: Path) -> Path:
    """The configuration of the same table in a format; plain files have the same layout."""
    output: dict[str, Any] = {"base_path": str(FOLDER / format_name), "format": format_name, "layout": "hive"}
    if format_name == "iceberg":
        output["catalog"] = {"type": "sql", "uri": f"sqlite:///{FOLDER}/catalog.db"}
    config = {
        "pipeline": format_name,
        "sources": {"duck": {"type": "duckdb", "path": str(database)}},
        "output": output,
        "execution": {"workers": WORKERS},
        "tables": [{"table_name": "lineitem", "schema": MODEL}],
    }
    path = FOLDER / f"{format_name}.yml"
    path.write_text(json.dumps(config))
    return path


def timed(config: Path, rows: int) -> Measured:
    """One run from scratch, which must have written all rows."""
    folder = FOLDER / config.stem
    shutil.rmtree(folder, ignore_errors=True)
    (FOLDER / "catalog.db").unlink(missing_ok=True)
    found = measure(STATEKEEPER, "run", str(config), "--date", DATE, "--no-progress")
    (record,) = folder.glob("_statekeeper/duck/lineitem/*/*_metadata.json")
    if (written := json.loads(record.read_text())["record_count"]) != rows:
        raise SystemExit(f"{config.stem} has {written:,} rows, not {rows:,}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--formats", default="delta,iceberg", help="the table formats, by commas")
    arguments = parser.parse_args()
    names = [PARQUET, *arguments.formats.split(",")]
    compile_as_pip_does()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    database = lineitem(arguments.rows)
    configs = [write_config(name, database) for name in names]
    print(f"{arguments.rows:,} rows, {WORKERS} workers; cpu: processor seconds of all processes of the run")
    print(f"{'':8}" + "".join(f"{name + ': s':>12}{'cpu':>8}" for name in names))
    rounds: list[list[Measured]] = []
    for number in range(1, arguments.rounds + 1):
        rounds.append([timed(config, arguments.rows) for config in configs])
        cells = "".join(f"{one.seconds:12.2f}{one.processor:8.2f}" for one in rounds[-1])
        print(f"{f'round {number}':>8}{cells}", flush=True)
    for index, name in enumerate(names[1:], 1):
        clock = median(each[index].seconds / each[0].seconds for each in rounds)
        processor = median(each[index].processor / each[0].processor for each in rounds)
        print(f"{name}: x {clock:.3f} by the clock, x {processor:.3f} of processor time (medians of the ratios)")
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
