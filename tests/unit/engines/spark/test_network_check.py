"""Whether executors can connect to sources, by real sockets; executors are threads of this process."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from datetime import timedelta

import pytest
from pydantic import SecretStr

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.config.sections.oracle import OracleSource
from statekeeper.engines.context import JobSource
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job
from statekeeper.engines.spark import network_check
from statekeeper.engines.spark.engine import SparkEngine, SparkSettings
from statekeeper.engines.spark.exchange import Exchange
from statekeeper.engines.spark.network_check import NetworkCheck
from statekeeper.engines.spark.preflight import inspect
from statekeeper.engines.spark.session import HeldSession, Ownership
from statekeeper.errors import ConfigError
from statekeeper.sources.protocol import Address
from statekeeper.store.process import this_process
from tests.messages import says

from .thread_spark import ThreadSpark


@pytest.fixture
def listener():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port():
    """A local port without a listener: bound, so that no other process gets it."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def oracle(name, **keys):
    return JobSource(name, OracleSource(type="oracle", user="u", password=SecretStr("p"), **keys))


def inspected(tmp_path, *sources):
    exchange = Exchange(tmp_path / "_runs" / ".run.spark-1")
    exchange.make(this_process())
    held = HeldSession.of(ThreadSpark(slots=2), Ownership.GIVEN)
    return inspect(held, exchange.folder, parallelism=2, sources={each.name: each for each in sources})


def test_source_that_no_executor_can_connect_to_is_named_with_address_and_reason(tmp_path, listener, closed_port):
    near = oracle("near", host="127.0.0.1", port=listener, service="S")
    far = oracle("far", host="127.0.0.1", port=closed_port, service="S")
    found = inspected(tmp_path, near, far).unreachable
    assert set(found) == {"far"}
    start = f"executors on {socket.gethostname()} cannot connect to the source far (127.0.0.1:{closed_port}: "
    assert found["far"].startswith(start)
    assert "refused" in found["far"]


def test_one_address_of_several_is_enough(tmp_path, listener, closed_port):
    both = oracle("both", dsn=f"127.0.0.1:{closed_port},127.0.0.1:{listener}/S")
    assert inspected(tmp_path, both).unreachable == {}


def test_a_name_that_cannot_be_resolved_is_a_reason(tmp_path):
    (why,) = inspected(tmp_path, oracle("erp", dsn="no-such-host.invalid:1521/S")).unreachable.values()
    assert "no-such-host.invalid:1521: " in why


def test_a_file_has_no_address(tmp_path):
    shop = JobSource("shop", DuckDBSource(type="duckdb", path="shop.duckdb"))
    assert inspected(tmp_path, shop).unreachable == {}


def test_an_address_that_never_answers_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(network_check, "CONNECT_SECONDS", 0.05)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:  # a full queue: further connections are left unanswered, as behind a firewall
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        (why,) = inspected(tmp_path, oracle("erp", dsn=f"127.0.0.1:{port}/S")).unreachable.values()
        for each in waiting:
            each.close()
    assert "timed out" in why


def test_executors_that_cannot_connect_are_counted_and_those_that_can_are_left_out():
    check = NetworkCheck({"erp": (Address("db", 1521),)})
    answers = [("node-0", {"erp": [None]})]
    answers += [(f"node-{number}", {"erp": ["timed out"]}) for number in (5, 1, 2, 3, 4, 1)]
    assert check.unreachable(answers) == {
        "erp": "executors on node-1, node-2, node-3 and 2 more cannot connect to the source erp (db:1521: timed out)"
    }


def test_jobs_of_an_unreachable_source_fail_before_they_start_and_the_others_run(tmp_path, closed_port):
    sources = {
        "erp": oracle("erp", dsn=f"127.0.0.1:{closed_port}/S"),
        "shop": JobSource("shop", DuckDBSource(type="duckdb", path="shop.duckdb")),
    }
    spark = ThreadSpark()
    begun = []

    async def main():
        engine = SparkEngine(
            SparkSettings(
                tmp_path / "_runs" / ".run.spark-t", sources, dict.fromkeys(sources), "100MB", timedelta(seconds=60),
                secrets=("127.0.0.1",),
            ),
            control=LocalEngine(workers=1, budgets={}, memory_limit="100MB"),
            open_session=lambda: HeldSession.of(spark, Ownership.GIVEN),
        )  # fmt: skip
        try:
            return await asyncio.gather(
                engine.run(
                    Job(
                        "far",
                        double,
                        1,
                        source=sources["erp"],
                        remote_result_type=int,
                        on_start=lambda: begun.append(1),
                    )
                ),
                engine.run(Job("near", double, 2, source=sources["shop"], remote_result_type=int)),
                return_exceptions=True,
            )
        finally:
            await engine.close()

    refused, done = asyncio.run(asyncio.wait_for(main(), 60))
    assert done == 4
    assert isinstance(refused, ConfigError)
    assert "cannot connect to the source erp (***" in str(refused)
    assert "engine: local" in refused.hint
    assert says(refused.hint, "spark.read_on_the_driver")
    assert begun == []


def double(spec, _context):
    return 2 * spec
