"""Windows and backfills on Spark: each date has the rows that the local engine publishes, for each snapshot_scope.

With `snapshot_scope: run` the windows have a lookback, whose rows are marked as taken before.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.spark.modes import mode_named

DATES = ("06", "07", "08")
TABLES = {("ora", "ORDERS"): "AT", ("shop", "large"): "at"}


def _configure(world, name, mode, scope):
    sections = {
        "tables": [
            {"source_name": "shop", "table_name": "large", "incremental_column": "at", "incremental_timezone": "UTC"},
            {
                "source_name": "ora",
                "schema_name": "SALES",
                "table_name": "ORDERS",
                "incremental_column": "AT",
                "incremental_timezone": "UTC",
                "chunking": {"target_rows": 400},
            },
        ]
    }
    if scope == "run":
        for table, key in zip(sections["tables"], ("id", "ID"), strict=True):
            table |= {"lookback": "2h", "unique": [key], "mark_taken_before": True}
    path = world.configure(name, mode=mode, **sections)
    if scope == "run":
        text = path.read_text().replace("password: reader-secret", "password: reader-secret\n    snapshot_scope: run")
        path.write_text(text.replace("path: shop.duckdb", "path: shop.duckdb\n    snapshot_scope: run"))


def _rows(world, name, source, table, day):
    folder = world.folder / name / source / table / f"202601/{day}"
    metadata = json.loads((folder / f"mix-202601{day}_metadata.json").read_text())
    found: pa.Table = pq.read_table(folder / f"mix-202601{day}.parquet")
    return found.sort_by(found.schema.names[0]).replace_schema_metadata(None), metadata


def _new(rows):
    """How many rows are not marked."""
    is_marked = "taken_before" in rows.schema.names
    return len(rows) - (pc.sum(rows.column("taken_before")).as_py() or 0 if is_marked else 0)


@pytest.mark.parametrize("scope", ["table", "run"])
def test_a_backfill_on_spark_equals_one_of_the_local_engine(world, scope):
    backfill = ("--from", "2026-01-06", "--to", "2026-01-08")
    local, spark = f"windows-{scope}", f"windows-{scope}-spark"
    _configure(world, local, None, scope)
    assert world.run("backfill", f"{local}.yml", *backfill) == 0, world.said
    with mode_named("local-cluster", world.folder, world.environment) as mode:
        _configure(world, spark, mode, scope)
        assert world.run("backfill", f"{spark}.yml", *backfill) == 0, world.said
    total = dict.fromkeys(TABLES, 0)
    for source, table in TABLES:
        for day in DATES:
            (ours, theirs) = (_rows(world, name, source, table, day) for name in (spark, local))
            assert ours[0].equals(theirs[0]), (table, day)
            assert ours[1]["window"] == theirs[1]["window"]
            assert ours[1]["covered_through"] == theirs[1]["covered_through"]
            total[source, table] += _new(ours[0])
            if table == "ORDERS":
                has_lookback = scope == "run" and day != DATES[0]
                assert (_new(ours[0]) < len(ours[0])) == has_lookback, "rows of the day before are marked"
    assert total == {("ora", "ORDERS"): 3000, ("shop", "large"): 16384}
    assert world.run("resume") == 0, world.said
    assert "6 skipped" in world.said
    world.assert_nothing_left(spark)
