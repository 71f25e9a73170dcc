"""The claims of `schemas.columns.readers` about Spark: Spark refuses each such file, and reads the others."""

from __future__ import annotations

import os
import sys
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from statekeeper.model.table import Layout
from statekeeper.store.files import failpoints
from tests.spark.modes import COLLECTS
from tests.unit.small_shop import DAY, Shop
from tests.unit.store.files.dying_disk import Died, DyingDisk

pytestmark = [pytest.mark.spark, *COLLECTS]

NEXT = date(2026, 1, 7)

REFUSED = {
    "time": (
        pa.table({"T": pa.array([1], pa.int64()).cast(pa.time64("us"))}),
        "TIME is not supported|Illegal Parquet type: INT64 .TIME",
    ),
    "nanoseconds": (pa.table({"T": pa.array([1], pa.int64()).cast(pa.timestamp("ns"))}), "NANOS"),
    "wide decimals": (pa.table({"N": pa.array([Decimal("1.5")], pa.decimal256(39, 1))}), "exceeds max precision 38"),
    "names in another case": (pa.Table.from_arrays([pa.array([1])] * 2, names=["ID", "Id"]), "already exists"),
    "letters beyond ASCII in another case": (
        pa.Table.from_arrays([pa.array([1])] * 2, names=["\u00c9", "\u00e9"]),
        "already exists",
    ),
}
READ = pa.table(
    {
        "uint64": pa.array([2**64 - 1], pa.uint64()),
        "us": pa.array([1], pa.int64()).cast(pa.timestamp("us")),
        "utc": pa.array([1], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "decimal": pa.array([Decimal("1.5")], pa.decimal256(38, 1)),
        "\u00df": [1],
        "SS": [1],
        " ,;{}()\n\t=.`": [1],
    }
)


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    yield session
    session.stop()


@pytest.mark.parametrize("name", REFUSED)
def test_spark_refuses_what_the_rules_say(spark, tmp_path, name):
    table, message = REFUSED[name]
    pq.write_table(table, tmp_path / "file.parquet")
    with pytest.raises(Exception, match=message):
        spark.read.parquet(str(tmp_path / "file.parquet")).collect()


def test_spark_reads_what_no_rule_names(spark, tmp_path):
    pq.write_table(READ, tmp_path / "file.parquet")
    (row,) = spark.read.parquet(str(tmp_path / "file.parquet")).collect()
    assert len(row) == READ.num_columns
    assert row["uint64"] == 2**64 - 1


def test_spark_reads_only_published_rows_and_quarantined_rows_by_their_folder(spark, tmp_path):
    shop = Shop(tmp_path)
    table = {
        "table_name": "orders",
        "columns": {"id": {"type": "int"}, "amount": {"type": "int", "ge": 0}},
        "on_violation": "quarantine",
        "chunking": {"strategy": "rowid", "target_rows": 50},
    }
    shop.execute("create table orders as select i as id, i - 5 as amount from range(100) r(i)")
    shop.run(table)
    with pytest.raises(Died):  # with everything staged
        shop.run(table, disk=DyingDisk("publish"), is_forced=True)
    everywhere = spark.read.option("recursiveFileLookup", "true").option("pathGlobFilter", "*.parquet")
    assert everywhere.parquet(str(shop.folder / "data")).count() == 95
    assert spark.read.parquet(f"{shop.layout().folder}/*.parquet").count() == 95
    quarantine = shop.metadata().validation.quarantine.name
    assert spark.read.parquet(str(shop.layout().folder / quarantine)).count() == 5
    assert spark.read.parquet(str(shop.layout().quarantine_folder)).select("statekeeper_row").count() >= 5


def test_spark_sees_one_version_of_a_tables_folder_at_every_kind_of_step(spark, tmp_path):
    shop, table = Shop(tmp_path, Layout.HIVE), {"table_name": "orders", "chunking": {"strategy": "rowid"}}

    def fill(version):
        shop.execute(f"create or replace table orders as select i as id, {version} as version from range(100) r(i)")

    def read():
        rows = spark.read.parquet(str(shop.layout().table_folder)).groupBy("extraction_date", "version").count()
        return sorted(map(tuple, rows.collect()))

    fill(1)
    shop.run(table)
    fill(2)
    shop.run(table, day=NEXT)
    first = (DAY, 1, 100)
    assert read() == [first, (NEXT, 2, 100)]
    fill(3)
    kinds, met = set(), []

    def look(step, role, _when):
        if (step, role) not in kinds:
            kinds.add((step, role))
            met.append(read())

    failpoints.install(look)
    try:
        shop.run(table, day=NEXT, is_forced=True)
    finally:
        failpoints.install(None)
    assert read() == [first, (NEXT, 3, 100)]
    assert len(met) > 10
    assert [rows for rows in met if rows not in ([first, (NEXT, 2, 100)], [first, (NEXT, 3, 100)])] == []
