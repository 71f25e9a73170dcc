"""A publication by copies on a real Spark: killing a Python worker during a copy costs a retry."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from statekeeper.engines.choice import SPARK
from statekeeper.engines.protocol import EngineSetup
from statekeeper.run.report import Outcome
from tests.spark.modes import ENVIRONMENT, LOCAL
from tests.unit.publish.test_part_copy import DeadlyCopy
from tests.unit.small_shop import Heard, Shop

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parent.parent.parent


def test_a_python_worker_killed_during_a_copy_costs_a_retry(tmp_path, monkeypatch):
    for name, value in (ENVIRONMENT | {"PYTHONPATH": str(ROOT)}).items():
        monkeypatch.setenv(name, value)
    shop, heard, marker = Shop(tmp_path), Heard(), tmp_path / "killed"
    shop.execute("create table orders as select i as id from range(10000) r(i)")
    reports = shop.run(
        {
            "table_name": "orders",
            "chunking": {"strategy": "rowid", "target_rows": 2048},
            "retry": {"initial_delay": "10ms"},
        },
        disk=DeadlyCopy(marker),
        reporter=heard,
        make_engine=lambda pipeline: SPARK.start(EngineSetup(pipeline, "copies")),
        execution={"engine": "spark", "workers": 1, "spark": LOCAL.section},
    )
    assert reports["orders"].outcome is Outcome.COMPLETED, reports
    assert int(marker.read_text()) != os.getpid()
    assert [text for text in heard.warnings if re.match(r"attempt 1 at the (copy|\d+ copies) to part-.*worker", text)]
    assert shop.rows() == 10000
