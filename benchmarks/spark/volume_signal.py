"""SIGTERM while a table is published into a slow volume by copies: when is it heard, and when is the last copy begun?

    python -m benchmarks.spark.volume_signal [--chunks 120] [--megabytes 2] [--slots 4] [--delay 0.04] [--engine spark]

The volume and Spark are those of `benchmarks.spark.volume`. Afterwards the run is resumed, and must publish every row.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.local.dataset import FOLDER
from benchmarks.shared.measured import REPOSITORY
from benchmarks.spark.volume import RUN_ID, noise, rows_of, start, write_config
from tests.volume.requests import Mounted, mounted

COPIES_BEFORE = 20
"""So many files are published before the signal."""
_PUBLISHED = r"\.parquet/part-"
_HEARD = "SIGTERM: ending cleanly"


def heard_at(run: subprocess.Popen[str], said: list[str], times: list[float]) -> None:
    """Note each line that a run says, and when it says that it has heard the signal."""
    assert run.stderr is not None, "it is a pipe"
    for line in run.stderr:
        said.append(line)
        if _HEARD in line:
            times.append(time.monotonic())


def interrupted(config: Path, volume: Mounted, *, engine: str) -> None:
    """Interrupt a run in the middle of its publication, and tell what came of it."""
    run, said, heard = start(config, "--engine", engine), [], []
    listening = threading.Thread(target=heard_at, args=(run, said, heard))
    listening.start()
    while len(volume.requests().times("create", _PUBLISHED)) < COPIES_BEFORE:
        if run.poll() is not None:
            raise SystemExit("".join(said))
        time.sleep(0.05)
    at = time.monotonic()
    run.send_signal(signal.SIGTERM)
    code = run.wait()
    ended = time.monotonic()
    listening.join()
    if not heard or code != 128 + signal.SIGTERM:
        raise SystemExit(f"exit code {code}: {''.join(said)}")
    made = [each - at for each in volume.requests().times("create", _PUBLISHED)]
    after = [each for each in made if each > 0]
    late = sum(each > 0.5 for each in after)
    print(f"engine {engine}: heard after {heard[0] - at:.2f} s; {len(made) - len(after)} files were made before it, ")
    print(f"{len(after)} after it, {late} of them later than 0.5 s, the last after {max(after, default=0):.2f} s;")
    print(f"the process ended after {ended - at:.1f} s with exit code {code}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=120)
    parser.add_argument("--megabytes", type=int, default=2)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--delay", type=float, default=0.04, help="seconds that a round trip takes")
    parser.add_argument("--engine", choices=["local", "spark"], default="spark")
    asked = parser.parse_args()
    os.chdir(REPOSITORY)
    database = noise({"noise": asked.chunks}, asked.megabytes)
    with tempfile.TemporaryDirectory(dir=FOLDER) as place:
        folder = Path(place)
        config = write_config(folder, database, ["noise"], rows=rows_of(asked.megabytes), slots=asked.slots)
        with mounted(folder / "volume", folder / "files", delay=asked.delay) as volume:
            interrupted(config, volume, engine=asked.engine)
            resumed = start(config, "--engine", "local")
            _, said = resumed.communicate()
        if resumed.returncode:
            raise SystemExit(said)
        (metadata,) = (folder / "files").rglob(f"{RUN_ID}_metadata.json")
        records = json.loads(metadata.read_text())["record_count"]
        expected = asked.chunks * rows_of(asked.megabytes)
        print(f"resumed: {records:,} of {expected:,} rows are published")


if __name__ == "__main__":
    main()
