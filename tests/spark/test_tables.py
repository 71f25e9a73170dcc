"""The same pipeline into Delta tables, by the local engine and by executors of Spark; in a folder and a begun run."""

from __future__ import annotations

import deltalake
import pytest

from tests.spark.modes import mode_named
from tests.spark.world import TABLES

pytestmark = pytest.mark.spark


def _tables(world, name):
    """The rows of every table, in an order of their own."""
    found = {}
    for source, tables in TABLES.items():
        for table in tables:
            rows = deltalake.DeltaTable(world.folder / name / source / table).to_pyarrow_table()
            found[table] = rows.schema, sorted(rows.to_pylist(), key=repr)
    return found


def test_tables_that_executors_have_read_are_those_of_the_local_engine(world):
    output = {"lease_ttl": "20s", "format": "delta"}
    world.configure("tables-local", mode=None, output={"base_path": "tables-local", **output})
    assert world.run("run", "tables-local.yml") == 0, world.said
    with mode_named("connect", world.folder, world.environment) as mode:
        world.configure("tables-spark", mode=mode, output={"base_path": "tables-spark", **output})
        assert world.run("run", "tables-spark.yml") == 0, world.said
        assert world.run("run", "tables-spark.yml", "--force-reprocess") == 0, world.said
    expected = _tables(world, "tables-local")
    assert _tables(world, "tables-spark") == expected
    assert {name: len(rows) for name, (_, rows) in expected.items()}["large"] == 16384
