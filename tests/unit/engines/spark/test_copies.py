"""A publication by copies, and the verification of what it published, on executors; partitions are threads here."""

from __future__ import annotations

from statekeeper import verify as verification
from statekeeper.engines.choice import SPARK
from statekeeper.engines.protocol import EngineSetup
from statekeeper.run.report import Outcome
from statekeeper.store.files.disk import WholeFileDisk
from tests.unit.small_shop import Shop

from .thread_spark import ThreadSpark


def _noting(engine, on_driver):
    """An engine that records the jobs on the driver's machine."""
    control = engine._control.run

    async def run(job):
        on_driver.add(job.work.__name__)
        return await control(job)

    engine._control.run = run
    return engine


def test_parts_are_copied_split_and_hashed_only_on_executors(tmp_path, monkeypatch):
    shop, on_driver = Shop(tmp_path), set()
    shop.execute("create table orders as select i as id from range(10000) r(i)")

    def make_engine(pipeline):
        return _noting(SPARK.start(EngineSetup(pipeline, "copies", spark=ThreadSpark())), on_driver)

    choices = {
        "disk": WholeFileDisk(),
        "make_engine": make_engine,
        "execution": {"engine": "spark", "workers": 1},
    }
    table = {
        "table_name": "orders",
        "chunking": {"strategy": "rowid", "target_rows": 2048},
        "columns": {"id": {"type": "int", "ge": 10}},
        "on_violation": "quarantine",
    }
    assert shop.run(table, **choices)["orders"].outcome is Outcome.COMPLETED
    first = shop.metadata()
    assert len(first.files) > 2
    assert not {"copy_parts", "split_part", "gather_rejects"} & on_driver
    monkeypatch.setattr(verification, "_SHARE_BYTES", 0)  # as if it were large
    on_driver.clear()
    (shop.layout().output / first.files[1].name).write_bytes(b"damaged")
    assert shop.run(table, **choices)["orders"].outcome is Outcome.COMPLETED
    assert "check_files" not in on_driver
    assert shop.metadata().output_path != first.output_path
    assert shop.metadata().record_count == 9990
