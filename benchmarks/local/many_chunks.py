"""Extracts a table of many chunks: for how long is the parent's event loop blocked?

    python -m benchmarks.local.many_chunks [chunks]

A tick every few milliseconds records its delay. A busy machine delays it, too. So the processor time since the last
tick is shown as well: of the loop's own thread, and of all threads of the process, any of which may hold Python's lock
and block the loop. The latter is the most that an idle machine would show.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb

from statekeeper.config.loader import pipeline_of
from statekeeper.config.resolved import Pipeline
from statekeeper.engines.choice import LOCAL
from statekeeper.engines.protocol import Engine, EngineSetup
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter

CHUNKS = 16_000
TICK_SECONDS = 0.005
MOST_SECONDS = 0.1


class Ticks:
    """The longest time between two ticks of an event loop: by the clock, and in processor time of its own thread, and
    of all threads while it was late.
    """

    def __init__(self) -> None:
        self.longest = self.busiest = self.held = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """On the running event loop."""
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        clock, used, used_by_all = time.monotonic(), time.thread_time(), time.process_time()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now, used_now, all_now = time.monotonic(), time.thread_time(), time.process_time()
            late = now - clock - TICK_SECONDS
            self.longest = max(self.longest, late)
            self.busiest = max(self.busiest, used_now - used)
            self.held = max(self.held, min(late, all_now - used_by_all))
            clock, used, used_by_all = now, used_now, all_now


def main(chunks: int) -> int:
    ticks = Ticks()

    def make_engine(pipeline: Pipeline) -> Engine:
        ticks.start()
        return LOCAL.start(EngineSetup(pipeline, "chunks-20260106"))

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute(f"create table orders as select i as id from range({chunks}) r(i)")
        pipeline = pipeline_of(
            {
                "pipeline": "chunks",
                "sources": {"shop": {"type": "duckdb", "path": str(Path(folder) / "shop.duckdb")}},
                "output": {"base_path": str(Path(folder) / "data")},
                "execution": {"workers": os.cpu_count() or 2},
                "tables": [{"table_name": "orders", "chunking": {"strategy": "key", "column": "ID", "target_rows": 1}}],
            }
        )
        runner = Runner(
            pipeline=pipeline,
            identity=RunIdentity("chunks-20260106", date(2026, 1, 6)),
            reporter=NullReporter(),
            make_engine=make_engine,
        )
        began = time.monotonic()
        report = runner.run(pipeline.tables)
        seconds = time.monotonic() - began
    table = report.tables[0]
    print(f"{table.outcome}: {table.records or 0:,} rows in {seconds:.0f} s ({table.reason})")
    print(f"the event loop heard nothing for {1000 * ticks.longest:.0f} ms at most; by processor time for "
          f"{1000 * ticks.held:.0f} ms, {1000 * ticks.busiest:.0f} ms of it its own")  # fmt: skip
    return 0 if max(ticks.held, ticks.busiest) < MOST_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS))
