"""A cluster whose executors cannot connect to the database that the driver reads, as in Databricks' standard mode.

Executors are threads of this process, in which every connection is refused; the driver plans in worker processes.
"""

from __future__ import annotations

import errno
import os
import socket

import duckdb
import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.runtime.progress import NullReporter
from tests.oracle.pipelines import DAY, serving
from tests.unit.engines.spark.thread_spark import ThreadSpark


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        server.create_table("SALES", "ORDERS", [("ID", "NUMBER(9)")], [(number,) for number in range(100)])
        yield server


def test_a_table_fails_at_once_with_what_to_do_and_another_source_is_extracted(lake, server, monkeypatch):
    with duckdb.connect(lake.cwd / "shop.duckdb") as connection:
        connection.execute("create table customers as select i as id from range(3) as r(i)")
    login = {"host": server.host, "port": server.port, "service": server.service}
    path = lake.configure(
        {"source_name": "ora", "schema_name": "SALES", "table_name": "ORDERS"},
        {"source_name": "shop", "table_name": "customers"},
        sources={
            "ora": {"type": "oracle", **login, "user": "READER", "password": "reader-secret"},
            "shop": {"type": "duckdb", "path": str(lake.cwd / "shop.duckdb")},
        },
        execution={"engine": "spark", "workers": 1},
    )

    def unreachable(*_arguments):
        raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    monkeypatch.setattr(socket, "create_connection", unreachable)
    heard = _Warnings()
    extractor = StatefulDataExtractor.from_config(path, date=DAY, spark=ThreadSpark(), reporter=heard)
    orders, customers = sorted(extractor.run().tables, key=lambda table: table.table.key)
    assert (orders.outcome, customers.outcome) == ("failed", "completed")
    assert f"cannot connect to the source ora ({server.host}:{server.port}: " in orders.reason
    assert "No route to host" in orders.reason
    assert "engine: local" in orders.failure.hint
    assert not any("attempt" in text for text in heard.texts), "what no attempt can cure was tried again"
    monkeypatch.undo()
    report = StatefulDataExtractor.from_config(path, date=DAY, engine="local", reporter=NullReporter()).resume()
    assert report.exit_code == 0


class _Warnings(NullReporter):
    def __init__(self):
        self.texts = []

    def warning(self, table, message):
        self.texts.append(message)
