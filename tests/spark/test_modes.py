"""The same pipeline in every mode of Spark: rows, checks and metadata equal those of the local engine."""

from __future__ import annotations

import shutil

import pytest

from tests.spark.modes import mode_named
from tests.spark.world import TABLES


@pytest.mark.parametrize("name", ["local", "local-cluster", "connect"])
def test_a_run_on_spark_equals_one_of_the_local_engine(world, reference, name):
    with mode_named(name, world.folder, world.environment) as mode:
        world.configure(name, mode=mode)
        assert world.run("run", f"{name}.yml") == 0, world.said
    world.assert_same(name, reference)
    world.assert_nothing_left(name)
    world.assert_no_secret(name)
    # Spark is gone, and what is complete needs none.
    inodes = {path: path.stat().st_ino for path in (world.folder / name).rglob("*.parquet")}
    assert world.run("run", f"{name}.yml", "--json") == 0, world.said
    assert "slots" not in world.said, "a session was opened"
    assert world.said.count('"skipped"') == sum(len(tables) for tables in TABLES.values())
    assert {path: path.stat().st_ino for path in inodes} == inodes
    shutil.rmtree(world.folder / name)
