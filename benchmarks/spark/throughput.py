"""Rows per second of one table on Spark and on the local engine, beside Spark's own reader; and a hundred small tables.

    python -m benchmarks.spark.throughput [--rows 4000000] [--rounds 3]

Spark is a `local-cluster` of two executors with a core each, started once and warm; the local engine has two
processes. The runs alternate in this process, and only the run itself is timed.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow.parquet as pq

from benchmarks.local.dataset import CHUNK_ROWS, DATE, FOLDER, lineitem, small_tables
from benchmarks.local.pipeline import write_config
from benchmarks.shared.measured import REPOSITORY
from benchmarks.spark import reader
from statekeeper.api import StatefulDataExtractor
from statekeeper.runtime.progress import NullReporter

SLOTS = 2
MASTER = f"local-cluster[{SLOTS},1,1024]"
SMALL_TABLES = 100


@contextmanager
def spark_session() -> Iterator[Any]:
    """A session of two executors, and what it costs to have it."""
    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    from pyspark.sql import SparkSession

    started = time.perf_counter()
    builder = SparkSession.builder.master(MASTER).appName("bench")
    for name, value in {
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": "1g",
        "spark.executor.memory": "1g",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    print(f"session: {time.perf_counter() - started:.1f} s to start Spark", flush=True)
    try:
        yield spark
    finally:
        spark.stop()


def extract(config: Path, engine: str, spark: Any) -> float:
    """Seconds of a run from nothing to complete, all checks on."""
    shutil.rmtree(FOLDER / config.stem, ignore_errors=True)
    extractor = StatefulDataExtractor.from_config(
        config, date=DATE, engine=engine, spark=spark, reporter=NullReporter()
    )
    started = time.perf_counter()
    report = extractor.run()
    seconds = time.perf_counter() - started
    if report.exit_code:
        raise SystemExit(f"{engine}: {[table.reason for table in report.tables if not table.is_good][:3]}")
    return seconds


def own_reader(spark: Any, database: Path, rows: int) -> float:
    """Seconds of Spark's own way: a Python data source with a partition for each chunk, written to Parquet."""
    from pyspark import cloudpickle

    output = FOLDER / "own-reader"
    shutil.rmtree(output, ignore_errors=True)
    cloudpickle.register_pickle_by_value(reader)  # executors do not find it by its name
    spark.dataSource.register(reader.DuckDBRows)
    started = time.perf_counter()
    frame = spark.read.format("duckdb_rows").option("database", str(database)).option("rows", rows)
    frame.option("chunk", CHUNK_ROWS).load().write.option("compression", "zstd").parquet(str(output))
    seconds = time.perf_counter() - started
    written = sum(pq.read_metadata(path).num_rows for path in output.glob("*.parquet"))
    shutil.rmtree(output)
    if written != rows:
        raise SystemExit(f"Spark's own reader wrote {written} rows of {rows}")
    return seconds


def require_same(config: Path, rows: int) -> None:
    """That what was published last is the table."""
    (output,) = (FOLDER / config.stem).glob("duck/lineitem/*/*/*.parquet")
    files = f"{output}/*.parquet" if output.is_dir() else str(output)
    found = duckdb.sql(f"select count(*), count(distinct (l_orderkey, l_linenumber)) from read_parquet('{files}')")
    if found.fetchall() != [(rows, rows)]:
        raise SystemExit(f"{output} does not have the rows of the table")


def jobs_of(spark: Any) -> int:
    """How many jobs Spark has run."""
    return spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()  # noqa: SLF001 - its only counter


def compare(spark: Any, database: Path, *, rows: int, rounds: int) -> None:
    config = write_config("spark", database, ["lineitem"])
    print(f"cold: {extract(config, 'spark', spark):.1f} s for the first run: Python workers import what they need")
    require_same(config, rows)
    contestants: dict[str, Callable[[], float]] = {
        "local": lambda: extract(config, "local", None),
        "spark": lambda: extract(config, "spark", spark),
        "own reader": lambda: own_reader(spark, database, rows),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    print(f"{rows:,} rows, 16 columns, {SLOTS} processes or executors")
    print(f"{'':10}" + "".join(f"{name:>12}{'rows/s':>12}" for name in contestants) + f"{'spark/local':>14}")
    for number in range(1, rounds + 1):
        for name, contestant in contestants.items():
            seconds[name].append(contestant())
        _line(f"round {number}", {name: times[-1] for name, times in seconds.items()}, rows)
    _line("median", {name: median(times) for name, times in seconds.items()}, rows)
    shutil.rmtree(FOLDER / config.stem)


def many_small(spark: Any) -> None:
    database = small_tables(SMALL_TABLES, rows=1000)
    config = write_config("spark-small", database, [f"t{number:04d}" for number in range(SMALL_TABLES)])
    local = extract(config, "local", None)
    before = jobs_of(spark)
    seconds = extract(config, "spark", spark)
    jobs = jobs_of(spark) - before
    print(
        f"{SMALL_TABLES} tables of 1,000 rows: local {local:.1f} s, spark {seconds:.1f} s in {jobs} Spark jobs "
        "(the preflight among them)"
    )
    shutil.rmtree(FOLDER / config.stem)


def _line(name: str, seconds: dict[str, float], rows: int) -> None:
    cells = "".join(f"{taken:12.2f}{rows / taken:12,.0f}" for taken in seconds.values())
    print(f"{name:<10}{cells}{seconds['local'] / seconds['spark']:14.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.chdir(REPOSITORY)
    database = lineitem(arguments.rows)
    with spark_session() as spark:
        compare(spark, database, rows=arguments.rows, rounds=arguments.rounds)
        many_small(spark)


if __name__ == "__main__":
    main()
