"""An engine on a Spark of threads, and the work that its partitions do: threads of this process."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.config.sections.storage import StorageConfig
from statekeeper.engines.context import JobSource
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.engines.spark.engine import SparkEngine, SparkSettings
from statekeeper.engines.spark.exchange import Exchange
from statekeeper.engines.spark.session import HeldSession, Ownership
from statekeeper.errors import DataError
from tests.unit.engines.spark.thread_spark import ThreadSpark


class Hall:
    """State that the partitions' threads share with the test."""

    doing = 0
    most = 0
    lock = threading.Lock()
    gate = threading.Event()
    begun = threading.Event()
    done: list[int]

    @classmethod
    def clear(cls):
        cls.doing = cls.most = 0
        cls.gate, cls.begun, cls.done = threading.Event(), threading.Event(), []


def square(spec, _context):
    return spec * spec


def count_those_inside(_spec, context):
    """Hold a session, and count how many are held."""
    if "shop" not in context._sessions.names:
        context.session()
        with Hall.lock:
            Hall.doing += 1
            Hall.most = max(Hall.most, Hall.doing)
        real = context._sessions.close_all

        def close_all():
            with Hall.lock:
                Hall.doing -= 1
            real()

        context._sessions.close_all = close_all
    Hall.gate.wait(0.02)
    return 1


def read_until_stopped(_spec, context):
    Hall.begun.set()
    while not Hall.gate.wait(0.01):
        context.progress(10)
        context.check_stop()
    return 1


def hear_nothing(_spec, _context):
    Hall.begun.set()
    Hall.gate.wait(60)
    return 1


def refuse(spec, _context):
    raise DataError(f"column {spec}", hint="look")


def wait_for_gate(spec, _context):
    Hall.begun.set()
    assert Hall.gate.wait(60)
    Hall.done.append(spec)
    return spec


def of_another_type(_spec, _context):
    return "text"


@dataclass
class Room:
    """An engine on a `ThreadSpark`, and its settings."""

    folder: Path
    spark: ThreadSpark = field(default_factory=ThreadSpark)
    budgets: dict[str, int | None] = field(default_factory=dict)
    ownership: Ownership = Ownership.OURS
    heartbeat_timeout: float = 60
    parallelism: int | None = None
    base_path: Path | None = None
    storage: StorageConfig = field(default_factory=StorageConfig)

    @property
    def exchange(self):
        return (self.base_path or self.folder) / "_runs" / ".run.spark-t"

    def run(self, main):
        async def supervised():
            engine = SparkEngine(
                SparkSettings(
                    self.exchange,
                    {name: JobSource(name, self.source) for name in self.budgets},
                    self.budgets,
                    "100MB",
                    timedelta(seconds=self.heartbeat_timeout),
                    parallelism=self.parallelism,
                    secrets=("tiger-1234",),
                    storage=self.storage,
                ),
                control=LocalEngine(workers=1, budgets={"shop": 1}, memory_limit="100MB"),
                open_session=self.open,
            )
            try:
                return await asyncio.wait_for(main(engine), 60)
            finally:
                await engine.close()
                assert not self.exchange.exists()
                assert not Exchange(self.exchange).files.names(self.exchange)

        return asyncio.run(supervised())

    @property
    def source(self):
        """A new database."""
        path = self.folder / "shop.duckdb"
        with duckdb.connect(path) as connection:
            connection.execute("create table if not exists t (i integer)")
        return DuckDBSource(type="duckdb", path=str(path))

    def open(self):
        return HeldSession.of(self.spark, self.ownership)

    @property
    def sizes(self):
        """How many partitions each job had, without the preflight."""
        return [partitions for tag, partitions in self.spark.jobs if not tag.startswith("preflight")]


def chunk(work, spec=None, *, source=None, size=0, result_type=int, **more):
    choices = {"source": source, "size": size, "remote_result_type": result_type, **more}
    return Job("shop.t", work, spec, urgency=Urgency.CHUNK, **choices)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
        await asyncio.sleep(0.01)
