"""Many `extract_table` calls in one process: does anything of it grow?

    python -m benchmarks.local.many_calls [calls]

Each call extracts a table of another day, so that each plans, reads, checks and publishes. The first tenth is for what
a process fills once (imports, caches of the libraries); after it, nothing may grow but by `ALLOWED`.

Resident memory is measured with one arena of glibc's malloc. pathlib interns every name, so that Python makes its table
of interned strings (2 MB) anew every few hundred calls, in whichever thread needs it then; each arena in which that
happened keeps a hole of that size. With as many arenas as there are by default a process grows by 2 to 4 MB for each,
in steps that end; a script of ten lines that only makes paths in threads does so too.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import tempfile
import threading
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import duckdb
import psutil

from statekeeper.api import DataExtractor
from statekeeper.runtime.progress import NullReporter

CALLS = 2_000
ALLOWED = {
    "resident memory (MB)": 8,
    "objects": 2_000,
    "allocated blocks": 2_000,
    "open files": 0,
    "threads": 0,
    "child processes": 0,
}
_M_ARENA_MAX = -8
"""The number of that option in glibc's malloc.h."""


def measured() -> dict[str, int]:
    """What a process could leak."""
    gc.collect()
    process = psutil.Process()
    return {
        "resident memory (MB)": process.memory_info().rss // 1_000_000,
        "objects": len(gc.get_objects()),
        "allocated blocks": sys.getallocatedblocks(),
        "open files": process.num_fds(),
        "threads": threading.active_count(),
        "child processes": len(process.children(recursive=True)),
    }


def main(calls: int) -> int:
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute("create table orders as select i as id from range(100) r(i)")
        extractor = DataExtractor(
            sources={"shop": {"type": "duckdb", "path": str(Path(folder) / "shop.duckdb")}},
            reporter=NullReporter(),
            execution={"workers": 1},
        )
        settled: dict[str, int] = {}
        now: dict[str, int] = {}
        for number in range(calls):
            day = date(2000, 1, 1) + timedelta(days=number)
            assert extractor.extract_table(source_name="shop", table_name="orders", extraction_date=day)
            if (number + 1) % max(1, calls // 10) == 0:
                now = measured()
                settled = settled or now
                print(f"{number + 1:6,} calls: " + ", ".join(f"{name} {value:,}" for name, value in now.items()))
    grown = {name: now[name] - settled[name] for name in ALLOWED if now[name] - settled[name] > ALLOWED[name]}
    print(f"grown: {grown}" if grown else "flat")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS))
