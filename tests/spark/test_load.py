"""Loading published rows into managed tables: every row once, whatever happens, in Delta's own transactions."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from statekeeper.config.loader import load_pipeline
from statekeeper.config.reading.references import Unset
from statekeeper.databricks.job import JobParameters, LoadIncomplete, load_job
from statekeeper.databricks.load import LoadOutcome, load_tables
from statekeeper.databricks.managed_table import Origin
from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import UsageError
from statekeeper.model.metadata import parse_metadata
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from tests.messages import raises_message, says
from tests.spark.delta import DeltaServer

pytestmark = pytest.mark.spark

CONFIG = """\
pipeline: shop
sources:
  shop: {type: duckdb, path: shop.duckdb}
  erp: {type: oracle, host: db, service: ERP, user: extractor, password: "${ERP_PASSWORD}"}
output: {base_path: data}
defaults: {source_name: shop, on_drift: evolve, chunking: {strategy: rowid, target_rows: 40}}
tables: [{table_name: orders}, {table_name: kinds}, {table_name: nobody}]
"""
IN_DELTA = CONFIG.replace("base_path: data", "base_path: lake, format: delta").replace("{table_name: kinds}, ", "")
DAY, NEXT = date(2026, 1, 6), date(2026, 1, 7)
KINDS = r"""
create table kinds as select 1::bigint as id, 12345678901234567.89::decimal(38,2) as amount, 'it''s' as name,
    timestamp '2026-01-06 01:02:03.000004' as at, timestamptz '2026-01-06 01:02:03+00' as moment,
    date '2026-01-06' as day, 1.5::double as ratio, true as is_open, '\x00\xFF'::blob as bytes,
    null::varchar as nothing, 7 as "two words; one name"
"""


class Published:
    """A database, its configuration, and what runs have published of it."""

    def __init__(self, folder):
        self.folder = folder
        self.execute("create table orders as select i::bigint as id, i * 2 as amount from range(100) r(i)")
        self.execute(KINDS)
        self.execute("create table nobody (id bigint)")
        (folder / "shop.yml").write_text(CONFIG)

    def execute(self, statement):
        with duckdb.connect(self.folder / "shop.duckdb") as connection:
            connection.execute(statement)

    def run(self, day=DAY, *, is_forced=False):
        pipeline = load_pipeline(self.folder / "shop.yml", environ={}, unset=Unset.LEAVE)
        runner = Runner(
            pipeline=pipeline,
            identity=RunIdentity(f"shop-{day:%Y%m%d}", day),
            reporter=NullReporter(),
            make_engine=lambda _pipeline: InlineEngine(memory_limit="100MB"),
            clock=lambda: datetime.now(UTC),
        )
        report = runner.run(pipeline.tables, reprocess=Reprocess.ALL if is_forced else Reprocess.STALE)
        assert report.exit_code == 0, report

    def load(self, spark, day=DAY, *, into="main.raw", **choices):
        """The result for each table, by name; no environment variable is set, and so no secret."""
        report = load_tables(self.folder / "shop.yml", into=into, date=day, spark=spark, environ={}, **choices)
        return {each.table.table_name: each for each in report.tables}

    def metadata(self, table, day=DAY):
        folder = self.folder / "data/shop" / table / f"{day:%Y%m/%d}"
        return parse_metadata((folder / f"shop-{day:%Y%m%d}_metadata.json").read_bytes())


class Killed(BaseException):
    """Stands for the death of the process."""


class DyingSession:
    """A session whose process dies before or after its nth statement."""

    def __init__(self, spark, *, at, when):
        self._spark, self._left, self._when = spark, at, when

    def __getattr__(self, name):
        return getattr(self._spark, name)

    def sql(self, statement):
        self._left -= 1
        if self._left == 0 and self._when == "before":
            raise Killed
        frame = self._spark.sql(statement)
        if self._left == 0:
            frame.collect()
            raise Killed
        return frame


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = DeltaServer(tmp_path_factory.mktemp("delta"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def spark(server):
    session = server.session()
    yield session
    session.stop()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """One published run; tests that use it publish no other."""
    published = Published(tmp_path_factory.mktemp("first"))
    published.run()
    return published


@pytest.fixture
def published(tmp_path):
    published = Published(tmp_path)
    published.run()
    return published


def _rows(spark, table="orders", schema="raw"):
    return spark.sql(f"select * from main.{schema}.{table}").collect()


def test_every_table_of_a_run_becomes_a_managed_table_whose_rows_say_where_they_come_from(spark, first):
    done = first.load(spark)
    assert {name: (each.outcome, each.rows) for name, each in done.items()} == {
        "orders": (LoadOutcome.LOADED, 100),
        "kinds": (LoadOutcome.LOADED, 1),
        "nobody": (LoadOutcome.LOADED, 0),
    }
    assert done["orders"].into == "main.raw.orders"
    metadata, rows = first.metadata("orders"), _rows(spark)
    assert metadata.is_folder
    assert sorted(row["id"] for row in rows) == list(range(100))
    origins = {tuple(row[name] for name in Origin.TYPES) for row in rows}
    assert origins == {("shop", DAY, "shop-20260106", metadata.snapshot.token, metadata.plan_id)}


def test_values_and_names_of_every_kind_arrive_as_they_were_published(spark, first):
    first.load(spark)
    row = _rows(spark, "kinds")[0].asDict()
    assert {name: row[name] for name in row if name not in Origin.TYPES} == {
        "id": 1,
        "amount": Decimal("12345678901234567.89"),
        "name": "it's",
        "at": datetime(2026, 1, 6, 1, 2, 3, 4),  # noqa: DTZ001 - a TIMESTAMP has no zone
        "moment": row["moment"],
        "day": DAY,
        "ratio": 1.5,
        "is_open": True,
        "bytes": bytearray(b"\x00\xff"),
        "nothing": None,
        "two words; one name": 7,
    }
    (moment,) = spark.sql("select cast(moment as long) from main.raw.kinds").collect()[0]
    assert moment == datetime(2026, 1, 6, 1, 2, 3, tzinfo=UTC).timestamp()


def test_a_second_load_finds_every_row_and_commits_nothing(spark, server, first):
    first.load(spark)
    commits = server.commits()
    assert {each.outcome for each in first.load(spark).values()} == {LoadOutcome.PRESENT}
    assert len(_rows(spark)) == 100
    assert server.commits() == commits


def test_the_next_day_is_added_to_the_day_before(spark, published):
    published.load(spark)
    published.run(NEXT)
    assert published.load(spark, NEXT)["orders"].outcome is LoadOutcome.LOADED
    assert sorted(row["_extraction_date"] for row in _rows(spark)) == [DAY] * 100 + [NEXT] * 100


def test_rows_of_a_forced_extraction_replace_those_before(spark, published):
    published.load(spark)
    published.execute("delete from orders where id >= 30")
    published.run(is_forced=True)
    done = published.load(spark)["orders"]
    assert (done.outcome, done.rows) == (LoadOutcome.LOADED, 30)
    assert {row["_plan_id"] for row in _rows(spark)} == {published.metadata("orders").plan_id}
    published.execute("delete from orders")
    published.run(is_forced=True)
    assert published.load(spark)["orders"].outcome is LoadOutcome.LOADED
    assert _rows(spark) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_load_that_is_killed_at_any_statement_and_called_again_has_every_row_once(spark, first, when):
    for at in range(1, 20):
        schema = f"killed_{when}_{at}"
        spark.sql(f"create schema main.{schema}").collect()
        try:
            first.load(DyingSession(spark, at=at, when=when), into=f"main.{schema}", tables=["orders"])
        except Killed:
            done = first.load(spark, into=f"main.{schema}", tables=["orders"])
            assert done["orders"].rows == 100
        assert sorted(row["id"] for row in _rows(spark, schema=schema)) == list(range(100))
        if at > 3:  # create, insert, count
            return
    pytest.fail("the load never came to its end")


def test_a_server_that_dies_during_an_insert_has_inserted_all_or_none(tmp_path, published):
    server = DeltaServer(tmp_path)
    place, columns = tmp_path / "kept", "id bigint, amount bigint"
    origin = ", ".join(f"{name} {kind}" for name, kind in Origin.TYPES.items())
    made = f"create table main.raw.orders ({origin}, {columns}) using delta location '{place}'"
    counts, outcomes = set(), set()
    for delay in (0.0, 0.1):
        server.start()
        spark = _session_without_retries(server)
        spark.sql(made).collect()
        killing = threading.Timer(delay, server.kill)
        killing.start()
        outcomes.add(published.load(spark, tables=["orders"])["orders"].outcome)
        killing.join()
        server.start()
        spark = _session_without_retries(server)
        spark.sql(made).collect()
        counts.add(len(_rows(spark)))
        assert published.load(spark, tables=["orders"])["orders"].rows == 100
        assert sorted(row["id"] for row in _rows(spark)) == list(range(100))
        spark.sql("insert into main.raw.orders replace where true select * from main.raw.orders where false").collect()
        server.kill()
    assert counts <= {0, 100}
    assert LoadOutcome.FAILED in outcomes


def _session_without_retries(server):
    """A session that does not ask a dead server for ten minutes to release what it answered."""
    spark = server.session()
    spark.client.set_retry_policies([])
    return spark


def test_a_table_that_has_published_nothing_fails_alone(spark, published):
    (published.folder / "shop.yml").write_text(CONFIG.replace("{table_name: orders}", "{table_name: later}"))
    report = load_tables(published.folder / "shop.yml", into="main.raw", date=DAY, spark=spark, environ={})
    assert report.exit_code == 1
    assert [each.outcome for each in report.tables] == [LoadOutcome.FAILED, LoadOutcome.LOADED, LoadOutcome.LOADED]
    assert says(report.tables[0].reason, "databricks.nothing_is_published", table="shop.later", run="shop-20260106")


def test_a_table_that_statekeeper_did_not_create_is_left_alone(spark, first):
    spark.sql("create table main.raw.orders (id bigint) using delta").collect()
    done = first.load(spark)
    assert done["orders"].outcome is LoadOutcome.FAILED
    assert says(done["orders"].reason, "databricks.not_a_table_of_a_load")
    assert done["kinds"].outcome is LoadOutcome.LOADED
    assert _rows(spark) == []


def test_a_column_of_another_type_is_refused_by_name(spark, published):
    published.load(spark)
    published.execute("alter table orders alter column amount type varchar")
    published.run(NEXT)
    done = published.load(spark, NEXT)["orders"]
    assert (done.outcome, len(_rows(spark))) == (LoadOutcome.FAILED, 100)
    assert says(done.reason, "databricks.other_type_in_the_table", column="amount", found="bigint", published="string")


def test_a_column_that_is_gone_is_null_for_the_new_rows(spark, published):
    published.load(spark)
    published.execute("alter table orders drop column amount")
    published.run(NEXT)
    assert published.load(spark, NEXT)["orders"].outcome is LoadOutcome.LOADED
    assert {row["amount"] is None for row in _rows(spark) if row["_extraction_date"] == NEXT} == {True}


def test_files_without_the_number_of_rows_in_the_metadata_are_not_inserted(spark, published):
    part = next((published.folder / "data/shop/orders").glob("**/part-00001-*.parquet"))
    part.unlink()
    done = published.load(spark)["orders"]
    assert done.outcome is LoadOutcome.FAILED
    assert says(done.reason, "databricks.spark_finds_other_rows", recorded=100)
    assert not spark.catalog.tableExists("main.raw.orders")


def test_a_job_loads_what_its_run_has_published_and_fails_where_a_table_is_not_loaded(spark, published):
    parameters = JobParameters(config="shop.yml", folder=str(published.folder), date="2026-01-06", into="main.raw")
    assert [each.rows for each in load_job(parameters, spark=spark).tables] == [100, 1, 0]
    with pytest.raises(LoadIncomplete, match=r"3 of 3 tables are not loaded\nshop\.orders: .*published nothing"):
        load_job(replace(parameters, date="2026-01-07"), spark=spark)


@pytest.mark.parametrize("into", ["a.b.c", "", "main.", "."])
def test_a_malformed_schema_name_is_refused_before_anything_is_loaded(spark, first, into):
    with raises_message(UsageError, "databricks.expected_a_schema"):
        first.load(spark, into=into)


def test_two_tables_with_the_same_target_are_refused(spark, tmp_path):
    config = tmp_path / "two.yml"
    config.write_text(CONFIG.replace("{table_name: nobody}", "{source_name: erp, table_name: ORDERS}"))
    with raises_message(
        UsageError, "databricks.two_tables_of_one_name", keys="shop.orders, erp.ORDERS", table="main.raw.orders"
    ):
        load_tables(config, into="main.raw", date=DAY, spark=spark, environ={})


class Recording:
    """A session that remembers its statements."""

    def __init__(self, spark):
        self._spark, self.statements = spark, []

    def __getattr__(self, name):
        return getattr(self._spark, name)

    def sql(self, statement):
        self.statements.append(statement)
        return self._spark.sql(statement)


@pytest.fixture(scope="module")
def classic(tmp_path_factory):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse"))).getOrCreate()
    yield session
    session.stop()


def test_sparks_own_parser_takes_every_statement(classic, spark, first):
    recording = Recording(spark)
    first.load(recording)
    parser = classic._jsparkSession.sessionState().sqlParser()
    kinds = {statement.split()[0] for statement in recording.statements if parser.parsePlan(statement) is not None}
    assert kinds == {"CREATE", "INSERT", "SELECT"}


def test_a_new_column_is_added_to_the_table(classic, published):
    # Sail alters no table; Spark does, and its own tables refuse only the statement that Delta's alone take.
    origin = ", ".join(f"{name} {kind}" for name, kind in Origin.TYPES.items())
    classic.sql(f"create table orders ({origin}, id bigint) using parquet")
    published.execute("alter table orders add column changed timestamp")
    published.run(is_forced=True)
    done = published.load(classic, into="default", tables=["orders"])["orders"]
    assert done.outcome is LoadOutcome.FAILED
    refusals = ("REPLACE WHERE", "overwrite", "v1 table")  # by newer and older versions of Spark
    assert any(words.lower() in done.reason.lower() for words in refusals), done.reason
    columns = [field.simpleString() for field in classic.table("orders").schema][len(Origin.TYPES) :]
    assert columns == ["id:bigint", "amount:bigint", "changed:timestamp_ntz"]
    properties = {row["key"]: row["value"] for row in classic.sql("show tblproperties orders").collect()}
    assert properties["delta.feature.timestampNtz"] == "supported"


def test_the_documented_queries_read_what_is_published(spark, first):
    document = (Path(__file__).parents[2] / "docs/databricks.md").read_text()
    cell = next(each for each in re.findall(r"```python\n(.*?)```", document, re.DOTALL) if 'record["' in each)
    folder = first.folder / "data/shop/orders/202601/06"
    typed = re.sub(r"/Volumes/[^\"]*", str(folder), cell).replace("erp-20260106", "shop-20260106")
    cells = {"spark": spark}
    exec(typed, cells)
    assert cells["employees"].count() == cells["record"]["record_count"] == 100
    (query,) = re.findall(r"```sql\n(.*?)```", document, re.DOTALL)
    first.load(spark)
    assert spark.sql(query.replace("main.erp.employees", "main.raw.orders")).count() == 100


def test_a_partition_of_the_layout_hive_is_loaded_without_the_column_of_its_name(tmp_path, spark):
    published = Published(tmp_path)
    (tmp_path / "shop.yml").write_text(CONFIG.replace("base_path: data", "base_path: data, layout: hive"))
    published.run()
    assert list((tmp_path / "data/shop/orders").iterdir()) == [tmp_path / "data/shop/orders/extraction_date=2026-01-06"]
    loaded = published.load(spark, into="main.raw", tables=["orders"])["orders"]
    assert (loaded.outcome, loaded.rows) == (LoadOutcome.LOADED, 100), loaded.reason
    assert [name for name in spark.table("main.raw.orders").columns if not name.startswith("_")] == ["id", "amount"]
    assert published.load(spark, tables=["orders"])["orders"].outcome is LoadOutcome.PRESENT


def test_a_delta_table_is_registered_at_its_address_and_not_copied(published, spark):
    config = published.folder / "shop.yml"
    config.write_text(
        CONFIG.replace("base_path: data", "base_path: lake, format: delta").replace("{table_name: kinds}, ", "")
    )
    published.run()
    assert {each.outcome for each in published.load(spark).values()} == {LoadOutcome.REGISTERED}
    assert {each.outcome for each in published.load(spark).values()} == {LoadOutcome.PRESENT}
    published.run(NEXT)
    dates = spark.sql("select extraction_date, count(*) from main.raw.orders group by 1 order by 1").collect()
    assert [tuple(row) for row in dates] == [(DAY, 100), (NEXT, 100)], "later commits need no load"


def test_a_table_with_other_data_is_not_taken_for_the_published_one(published, spark):
    published.load(spark)
    config = published.folder / "shop.yml"
    config.write_text(
        CONFIG.replace("base_path: data", "base_path: lake, format: delta").replace("{table_name: kinds}, ", "")
    )
    published.run()
    failed = published.load(spark)["orders"]
    assert failed.outcome is LoadOutcome.FAILED
    assert says(failed.reason, "databricks.has_other_data")
