"""Peak memory of the largest process of `statekeeper run`, all checks on, by the size of the table.

    python -m benchmarks.local.memory [--rows 1000000,10000000] [--rounds 3] [--memory-limit 1GiB]

The peak is VmHWM, the largest resident size that the kernel has seen; the largest of all rounds is shown.
"""

import argparse
import shutil

from benchmarks.local.dataset import FOLDER, lineitem
from benchmarks.local.pipeline import statekeeper_run, write_config

FLAT = 1.2


def largest(rows: int, rounds: int, memory_limit: str | None) -> list[int]:
    """MiB of the largest process in each round."""
    config = write_config("memory", lineitem(rows), ["lineitem"], memory_limit=memory_limit)
    peaks = []
    for _ in range(rounds):
        shutil.rmtree(FOLDER / config.stem, ignore_errors=True)
        peaks.append(statekeeper_run(config).peaks[0] // 1024)
    shutil.rmtree(FOLDER / config.stem)
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1000000,10000000", help="sizes of the table, by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-limit", help="execution.memory_limit [default: statekeeper's]")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.rows.split(",")]
    peaks = {size: largest(size, arguments.rounds, arguments.memory_limit) for size in sizes}
    print(f"{'rows':>12} {'largest process, MiB, by round':>40} {'most':>6}")
    for size, found in peaks.items():
        print(f"{size:12,} {', '.join(map(str, found)):>40} {max(found):6}")
    growth = max(peaks[sizes[-1]]) / max(peaks[sizes[0]])
    print(f"from {sizes[0]:,} to {sizes[-1]:,} rows: x {growth:.2f} ({'flat' if growth <= FLAT else 'not flat'})")


if __name__ == "__main__":
    main()
