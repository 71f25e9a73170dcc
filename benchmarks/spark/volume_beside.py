"""A wide table is published into a slow volume beside another table's chunks: does anything die, do signs of life stop?

    python -m benchmarks.spark.volume_beside [--parts 90] [--chunks 300] [--megabytes 2] [--slots 4] [--delay 0.04]

The volume and Spark are those of `benchmarks.spark.volume`. The rows are small, so that a slot is not given all of
both tables at once.
"""

import argparse
import os
import tempfile
from itertools import pairwise
from pathlib import Path

from benchmarks.local.dataset import FOLDER
from benchmarks.shared.measured import REPOSITORY
from benchmarks.spark.volume import noise, rows_of, start, write_config
from tests.volume.requests import Requests, mounted

ROW_BYTES = 64
OF_PARTS = r"\.staging/.*/chunk-\d+-\w+\.unpublished$"
DEATHS = ("attempt ", "died", "lost", "no heartbeat")
"""What is said in a line when work is tried again, or somebody is taken for dead."""


def gap(times: list[float], begin: float, end: float) -> float:
    """The longest time without any, from the last before `begin` to the first after `end`."""
    before = max((each for each in times if each <= begin), default=begin)
    after = min((each for each in times if each >= end), default=end)
    within = [before, *(each for each in times if begin < each < end), after]
    return max(later - earlier for earlier, later in pairwise(within))


def tell(requests: Requests, said: str) -> None:
    """What happened while the wide table was published."""
    made = requests.times("create", r"^/duck/wide/.*\.parquet/part-")
    begin, end = made[0], made[-1]
    chunks = [each for each in requests.times("create", f"^/duck/other/.*{OF_PARTS}") if begin < each < end]
    pulses = requests.times("send", r"/_runs/.*\.spark-.*/pulse$")
    leases = {name: requests.times("send", rf"^/duck/{name}/.*\.lock\.\d+$") for name in ("wide", "other")}
    print(f"{len(made)} parts published in {end - begin:.1f} s, {len(chunks)} chunks of the other table read meanwhile")
    print(f"longest time between two signs of life of the driver: {gap(pulses, begin, end):.1f} s")
    for name, beats in leases.items():
        print(f"of the lease of {name}: {gap(beats, begin, end):.1f} s")
    deaths = [line for line in said.splitlines() if any(word in line for word in DEATHS)]
    print("\n".join(deaths) or "nothing died, nothing was tried again", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=90)
    parser.add_argument("--chunks", type=int, default=300, help="of the other table")
    parser.add_argument("--megabytes", type=int, default=2)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--delay", type=float, default=0.04, help="seconds that a round trip takes")
    asked = parser.parse_args()
    os.chdir(REPOSITORY)
    tables = {"wide": asked.parts, "other": asked.chunks}
    database = noise(tables, asked.megabytes, row_bytes=ROW_BYTES)
    with tempfile.TemporaryDirectory(dir=FOLDER) as place:
        folder = Path(place)
        config = write_config(folder, database, tables, rows=rows_of(asked.megabytes, ROW_BYTES), slots=asked.slots)
        with mounted(folder / "volume", folder / "files", delay=asked.delay) as volume:
            run = start(config)
            _, said = run.communicate()
            requests = volume.requests()
        if run.returncode:
            raise SystemExit(said)
        tell(requests, said)


if __name__ == "__main__":
    main()
