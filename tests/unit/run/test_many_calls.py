"""A program that extracts table after table: nothing of a call is left when it is over."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from datetime import timedelta

import duckdb
import psutil
import pytest

from statekeeper.api import DataExtractor
from statekeeper.runtime.progress import NullReporter
from tests.unit.small_shop import DAY

CALLS = 12
CACHED = {"Pattern"}
"""Python itself keeps some hundreds of regular expressions."""


@pytest.fixture
def extract(tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table orders as select i as id from range(10) r(i)")
    extractor = DataExtractor(
        sources={"shop": {"type": "duckdb", "path": str(tmp_path / "shop.duckdb")}},
        output_base_path=tmp_path / "data",
        reporter=NullReporter(),
        execution={"workers": 1},
    )

    def extract(first, last):
        for number in range(first, last):
            day = DAY + timedelta(days=number)
            assert extractor.extract_table(source_name="shop", table_name="orders", extraction_date=day)

    return extract


def _objects():
    gc.collect()
    return Counter(type(each).__qualname__ for each in gc.get_objects())


def test_calls_leave_no_object_no_open_file_no_thread_and_no_process(extract):
    process = psutil.Process()
    extract(0, 3)
    objects, files, threads = _objects(), process.num_fds(), threading.active_count()
    processes = {child.pid for child in process.children()}
    extract(3, 3 + CALLS)
    grown = {name: more for name, more in (_objects() - objects).items() if more >= CALLS and name not in CACHED}
    assert grown == {}
    assert process.num_fds() <= files
    assert threading.active_count() <= threads
    assert {child.pid for child in process.children()} <= processes
