"""One Oracle server and one folder for the tests of a module, and the local engine's run, used for comparison."""

from __future__ import annotations

import pytest

from tests.oracle_server import OracleServer
from tests.spark.world import World


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
