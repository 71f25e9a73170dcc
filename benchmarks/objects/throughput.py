"""Rows per second of `statekeeper run` into an object store, beside the same into a local folder, in turns; and memory.

    python -m benchmarks.objects.throughput [--rows 1000000,10000000] [--rounds 5]

Both are whole commands, all checks on, timed from start to exit, with two workers. The store is SeaweedFS on this
machine, so it takes processor time from the runs that write to it: its share is shown. The last size of the table is
the one that is timed; the largest process of every run is shown for all sizes.
"""

import argparse
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import obstore

from benchmarks.local.dataset import DATE, MODEL, lineitem
from benchmarks.local.pipeline import STATEKEEPER
from benchmarks.shared.measured import REPOSITORY, Measured, compile_as_pip_does, measure, processor_seconds
from tests.seaweedfs import SeaweedFS, seaweedfs

FOLDER = REPOSITORY / "build" / "bench-objects"
WORKERS, FLAT = 2, 1.2


@dataclass
class Runs:
    """The runs into one place; `server` has the processor seconds of the store meanwhile."""

    config: Path
    measured: list[Measured] = field(default_factory=list)
    server: list[float] = field(default_factory=list)

    def run(self, server: SeaweedFS) -> None:
        pid = server.process.pid
        used = processor_seconds(pid)
        spared = frozenset({pid})
        self.measured.append(
            measure(STATEKEEPER, "run", str(self.config), "--date", DATE, "--no-progress", spared=spared)
        )
        self.server.append(processor_seconds(pid) - used)

    @property
    def seconds(self) -> float:
        return median(one.seconds for one in self.measured)

    @property
    def processor(self) -> float:
        return median(one.processor for one in self.measured)

    @property
    def peak(self) -> int:
        """MiB of the largest process of all runs."""
        return max(one.peaks[0] for one in self.measured) // 1024


def write_config(name: str, base_path: str, database: Path, storage: dict[str, str] | None = None) -> Path:
    config = {
        "pipeline": name,
        "sources": {"duck": {"type": "duckdb", "path": str(database)}},
        "output": {"base_path": base_path},
        "execution": {"workers": WORKERS},
        "tables": [{"table_name": "lineitem", "schema": MODEL}],
        **({"storage": storage} if storage else {}),
    }
    path = FOLDER / f"{name}.yml"
    path.write_text(json.dumps(config))
    return path


def clear(server: SeaweedFS) -> None:
    """Remove what earlier rounds have written."""
    shutil.rmtree(FOLDER / "local", ignore_errors=True)
    bucket = server.bucket
    for page in obstore.list(bucket):
        obstore.delete(bucket, [each["path"] for each in page])


def require_all_rows(server: SeaweedFS, rows: int) -> None:
    """That both commit records have them all."""
    (local,) = (FOLDER / "local").glob("duck/lineitem/*/*/*_metadata.json")
    bucket = server.bucket
    keys = [each["path"] for page in obstore.list(bucket) for each in page]
    (key,) = [key for key in keys if key.endswith("_metadata.json")]
    records = json.loads(local.read_text()), json.loads(bytes(obstore.get(bucket, key).bytes()))
    counts = [record["record_count"] for record in records]
    if counts != [rows, rows]:
        raise SystemExit(f"the two did not write the same {rows:,} rows: {counts}")


def compared(server: SeaweedFS, rows: int, rounds: int) -> tuple[Runs, Runs]:
    """The runs into a folder and into the store, in turns, with a line for each round."""
    database = lineitem(rows)
    local = Runs(write_config("local", str(FOLDER / "local"), database))
    objects = Runs(write_config("objects", f"{server.url}/bench", database, server.storage))
    print(f"{rows:,} rows, {WORKERS} workers; cpu: processor seconds of all processes of the run")
    print(f"{'':8}{'folder: s':>10}{'cpu':>7}{'store: s':>10}{'cpu':>7}{'server cpu':>12}{'ratio':>7}{'cpu ratio':>11}")
    for number in range(1, rounds + 1):
        clear(server)
        for runs in (local, objects):
            runs.run(server)
        require_all_rows(server, rows)
        last = [Runs(runs.config, runs.measured[-1:], runs.server[-1:]) for runs in (local, objects)]
        _line(f"round {number}", *last)
    _line("median", local, objects)
    return local, objects


def _line(name: str, local: Runs, objects: Runs) -> None:
    """Medians; the ratios are of rows/s, so that 1.00 means as fast as into a folder."""
    print(
        f"{name:>8}{local.seconds:10.2f}{local.processor:7.2f}{objects.seconds:10.2f}{objects.processor:7.2f}"
        f"{median(objects.server):12.2f}{local.seconds / objects.seconds:7.2f}"
        f"{local.processor / objects.processor:11.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1000000,10000000", help="sizes of the table, by commas")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.rows.split(",")]
    compile_as_pip_does()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with seaweedfs(FOLDER / "server") as server:
        found = {size: compared(server, size, arguments.rounds) for size in sizes}
        clear(server)
    print("largest process, MiB:")
    for size, (local, objects) in found.items():
        print(f"{size:12,} rows: folder {local.peak}, store {objects.peak}")
    growth = found[sizes[-1]][1].peak / found[sizes[0]][1].peak
    print(
        f"store, from {sizes[0]:,} to {sizes[-1]:,} rows: x {growth:.2f} ({'flat' if growth <= FLAT else 'not flat'})"
    )
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
