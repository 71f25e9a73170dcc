"""One Oracle server and one folder for the tests of a module, and the local engine's run, used for comparison."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from tests.oracle_server import OracleServer
from tests.spark.world import World

_IS_UNTIDY = tuple(map(int, version("pyspark").split(".")[:2])) < (4, 1)
"""A stopped session leaves sockets and iterators to the collector, whose warnings a test would fail with."""


def pytest_configure(config):
    if _IS_UNTIDY:
        config.addinivalue_line("filterwarnings", "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"SALES": "sales-secret"}) as server:
        yield server


@pytest.fixture(scope="module")
def world(server, tmp_path_factory):
    return World.make(tmp_path_factory.mktemp("spark"), server)


@pytest.fixture(scope="module")
def reference(world):
    """The name of the local engine's run."""
    world.configure("reference", mode=None)
    assert world.run("run", "reference.yml") == 0, world.said
    return "reference"
