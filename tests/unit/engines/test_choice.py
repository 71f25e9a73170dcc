from __future__ import annotations

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.config.sections.oracle import OracleSource
from statekeeper.engines.choice import LOCAL, can_be_shared, on_driver, on_executors
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import EngineSetup

ORACLE = {"type": "oracle", "host": "h", "service": "s", "user": "u", "password": "p"}


def duckdb(**keys):
    return DuckDBSource.model_validate({"type": "duckdb", "path": "x.duckdb", **keys})


@pytest.mark.parametrize("most", range(2, 40))
@pytest.mark.parametrize("workers", [1, 4, 16])
def test_driver_and_executors_together_keep_to_the_budget_and_each_has_a_session(most, workers):
    source = duckdb(max_sessions=most)
    driver, executors = on_driver(source, workers=workers), on_executors(source)
    assert driver >= 1
    assert executors >= 1
    assert driver + executors <= most


def test_a_source_without_a_budget_has_none_on_executors():
    assert on_executors(duckdb()) is None
    assert on_driver(duckdb(), workers=3) == 3


def test_a_source_of_one_session_stays_on_the_driver():
    transaction = OracleSource.model_validate({**ORACLE, "snapshot": "transaction"})
    for source in (duckdb(max_sessions=1), transaction):
        assert not can_be_shared(source)
        assert on_driver(source, workers=4) == 1


def test_the_local_engine_needs_no_spark():
    pipeline = pipeline_of({"sources": {"shop": {"type": "duckdb", "path": "x"}}, "tables": [{"table_name": "t"}]})
    assert isinstance(LOCAL.start(EngineSetup(pipeline, "r")), LocalEngine)
