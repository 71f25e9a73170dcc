"""On a real session: a chunk that kills its worker repeatedly fails no other table; jobs inherit their settings."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.engines.spark.engine import SparkEngine, SparkSettings
from statekeeper.engines.spark.jobs import submit
from statekeeper.engines.spark.pace import Pace
from statekeeper.engines.spark.partition import TaskContext
from statekeeper.engines.spark.session import Flavour, HeldSession, Ownership, inheriting_thread
from statekeeper.engines.threads import BlockingPool
from statekeeper.errors import WorkerDied
from tests.spark.modes import COLLECTS, ENVIRONMENT, LOCAL
from tests.spark.world import LIMIT, ROOT

pytestmark = [pytest.mark.spark, *COLLECTS]

DEATHS = 6
"""More than the four failures of one task after which Spark gives up a job."""


@pytest.fixture(scope="module")
def spark():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}.items():
            patch.setenv(name, value)
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master(LOCAL.section["master"]).appName("slots")
        for name, value in LOCAL.section["conf"].items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        yield spark
        spark.stop()


def die(_spec, _context):
    os.kill(os.getpid(), signal.SIGKILL)


def hold(spec, _context):
    """Begin, and end when the test says so."""
    with Path(f"{spec}.begun").open("a") as begun:
        begun.write("once\n")
    while not Path(spec).exists():
        time.sleep(0.01)
    return 7


def _job(work, spec, table):
    return Job(table, work, spec, urgency=Urgency.CHUNK, remote_result_type=int, size=10_000_000)


def test_a_chunk_that_kills_its_worker_again_and_again_fails_no_other_table(spark, tmp_path):
    gate = tmp_path / "gate"
    settings = SparkSettings(tmp_path / "_runs" / ".run.spark-t", {}, {}, "100MB", timedelta(seconds=60), parallelism=2)

    async def main():
        control = LocalEngine(workers=1, budgets={}, memory_limit="100MB")
        engine = SparkEngine(settings, control=control, open_session=lambda: HeldSession.of(spark, Ownership.GIVEN))
        try:
            held = asyncio.create_task(engine.run(_job(hold, str(gate), "shop.large")))
            for _ in range(DEATHS):
                with pytest.raises(WorkerDied):
                    await asyncio.wait_for(engine.run(_job(die, None, "shop.deadly")), LIMIT)
                assert not held.done()
            gate.touch()
            return await asyncio.wait_for(held, LIMIT)
        finally:
            await engine.close()

    assert asyncio.run(main()) == 7
    assert Path(f"{gate}.begun").read_text() == "once\n"


def test_jobs_are_submitted_with_the_spark_settings_of_the_callers_thread(spark, tmp_path):
    spark.sparkContext.setLocalProperty("statekeeper.test", "the caller's")
    seen = []

    def look(*_arguments):
        seen.append(spark.sparkContext.getLocalProperty("statekeeper.test"))
        raise RuntimeError("no job is wanted")

    fake = SimpleNamespace(sparkContext=spark.sparkContext, range=look)
    context = TaskContext(tmp_path, (1,), b"", {}, (), 60.0, "100MB", may_run_twice=False, pace=Pace.of(0.0))

    async def main():
        pool, ended = BlockingPool(1, "spark", make_thread=inheriting_thread), asyncio.Event()
        loop = asyncio.get_running_loop()
        held = HeldSession(fake, Flavour.CLASSIC, Ownership.GIVEN)
        await pool.do(submit, held, context, tag="t", on_end=lambda _: loop.call_soon_threadsafe(ended.set))
        await asyncio.wait_for(ended.wait(), 60)
        await asyncio.to_thread(pool.close)

    asyncio.run(main())
    assert seen == ["the caller's"]
