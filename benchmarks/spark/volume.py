"""Many chunks on Spark into a volume on which every round trip takes long: seconds by phase, and requests a chunk.

    python -m benchmarks.spark.volume [--chunks 240] [--megabytes 26] [--slots 4] [--delay 0.04]

The volume is that of `tests.volume.mount`. Spark is `local[slots]`. The rows are random bytes, so that a part is as
large as what was read.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.local.dataset import DATE, FOLDER
from benchmarks.local.pipeline import STATEKEEPER
from benchmarks.shared.measured import REPOSITORY
from tests.volume.requests import Requests, area_of, mounted

MEGABYTE = 1_000_000
ROW_BYTES = 2_000
RUN_ID = "volume-20260106"


def noise(tables: Mapping[str, int], megabytes: int, *, row_bytes: int = ROW_BYTES) -> Path:
    """A database with tables of random bytes, each of so many chunks."""
    names = "-".join(f"{name}-{chunks}x{megabytes}-{row_bytes}" for name, chunks in tables.items())
    path = FOLDER / f"{names}.duckdb"
    if path.exists():
        return path
    print(f"making {path.relative_to(REPOSITORY)}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_suffix(".making")
    temp.unlink(missing_ok=True)
    rows = rows_of(megabytes, row_bytes)
    values = pa.array([os.urandom(row_bytes) for _ in range(rows)], pa.binary())
    with duckdb.connect(temp) as connection:
        connection.execute("begin")
        for name, chunks in tables.items():
            connection.execute(f"create table {name} (id bigint, value blob)")
            for number in range(chunks):
                ids = pa.array(range(number * rows, (number + 1) * rows), pa.int64())
                batch = pa.table({"id": ids, "value": values})
                connection.register("batch", batch)
                connection.execute(f"insert into {name} select id, value from batch")
        connection.execute("commit")
    temp.rename(path)
    return path


def rows_of(megabytes: int, row_bytes: int = ROW_BYTES) -> int:
    """How many rows so many megabytes are."""
    return megabytes * MEGABYTE // row_bytes


def write_config(folder: Path, database: Path, tables: Iterable[str], *, rows: int, slots: int) -> Path:
    """A pipeline of tables that are cut into chunks of so many rows; local workers are as many as slots."""
    columns = "columns: {id: {type: int}, value: {type: bytes}}"
    path = folder / "volume.yml"
    path.write_text(
        "\n".join(
            (
                "pipeline: volume",
                f"sources: {{duck: {{type: duckdb, path: '{database}'}}}}",
                f"output: {{base_path: '{folder / 'volume'}'}}",
                f"execution: {{engine: spark, workers: {slots}, spark: {{master: 'local[{slots},4]'}}}}",
                f"defaults: {{chunking: {{strategy: key, column: id, target_rows: {rows}}}}}",
                "tables:",
                *(f"  - {{table_name: {name}, {columns}}}" for name in tables),
            )
        )
        + "\n"
    )
    return path


def start(config: Path, *options: str) -> subprocess.Popen[str]:
    """A run of the pipeline, under way; what it says is to be read from `stderr`."""
    command = [STATEKEEPER, "run", str(config), "--date", DATE, "--no-progress", *options]
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    return subprocess.Popen(command, env=environment, cwd=config.parent, stderr=subprocess.PIPE, text=True)


def phases(said: str) -> dict[str, float]:
    """Seconds between the lines of the log that tell when slots were there, all chunks done, all of it published."""
    at = {}
    for line in said.splitlines():
        for name in (" slots", ": validating", ": complete:"):
            if name in line:
                at[name] = datetime.fromisoformat(line[:25]).timestamp()
    slots, validating, complete = at[" slots"], at[": validating"], at[": complete:"]
    return {"chunks": validating - slots, "checks and publication": complete - validating}


def tell(requests: Requests, chunks: int) -> None:
    """How many requests there were a chunk, by area and kind."""
    counted = requests.by(area_of)
    kinds = sorted(requests.kinds)
    areas = sorted({area for area, _ in counted}, key=lambda area: -sum(counted[area, kind] for kind in kinds))
    print(f"{'requests a chunk':<22}" + "".join(f"{kind:>10}" for kind in kinds) + f"{'all':>10}")
    for area in areas:
        cells = [counted[area, kind] / chunks for kind in kinds]
        print(f"{area:<22}" + "".join(f"{cell:10.2f}" for cell in cells) + f"{sum(cells):10.2f}")
    cells = [requests.kinds[kind] / chunks for kind in kinds]
    print(f"{'all':<22}" + "".join(f"{cell:10.2f}" for cell in cells) + f"{sum(cells):10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=240)
    parser.add_argument("--megabytes", type=int, default=26)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--delay", type=float, default=0.04, help="seconds that a round trip takes")
    asked = parser.parse_args()
    os.chdir(REPOSITORY)
    database = noise({"noise": asked.chunks}, asked.megabytes)
    with tempfile.TemporaryDirectory(dir=FOLDER) as place:
        folder = Path(place)
        config = write_config(folder, database, ["noise"], rows=rows_of(asked.megabytes), slots=asked.slots)
        with mounted(folder / "volume", folder / "files", delay=asked.delay) as volume:
            started = time.perf_counter()
            run = start(config)
            _, said = run.communicate()
            seconds = time.perf_counter() - started
            requests = volume.requests()
            shutil.copy(volume.log, FOLDER / "volume.requests")
        if run.returncode:
            raise SystemExit(said)
        (state,) = (folder / "files").rglob(f"{RUN_ID}_state.json")
        metadata = json.loads(state.with_name(f"{RUN_ID}_metadata.json").read_text())
        if metadata["record_count"] != asked.chunks * rows_of(asked.megabytes):
            raise SystemExit(f"{metadata['record_count']} rows were published")
        size = metadata["file_size_bytes"] / MEGABYTE / asked.chunks
        took = ", ".join(f"{name} {taken:.0f} s" for name, taken in phases(said).items())
        print(
            f"{asked.chunks} chunks of {size:.0f} MB, {asked.slots} slots, {1000 * asked.delay:.0f} ms a round trip: "
            f"{seconds:.0f} s ({took})"
        )
        tell(requests, asked.chunks)


if __name__ == "__main__":
    main()
