"""What a load of objects asks Spark for. Spark itself reads them, with a login of its own, which no test can have."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
import pytest
from obstore.store import MemoryStore

from statekeeper.config.loader import load_pipeline
from statekeeper.databricks.load import load_tables
from statekeeper.engines.inline import InlineEngine
from statekeeper.run.choices import RunIdentity
from statekeeper.run.runner import Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.objects import disk as objects_disk
from statekeeper.store.registry import writing_disk

CONFIG = """\
pipeline: shop
root: .
sources:
  shop: {type: duckdb, path: shop.duckdb}
  erp: {type: oracle, host: db, service: ERP, user: reader, password: "${databricks:erp/password}"}
defaults: {source_name: shop}
output: {base_path: 's3://lake/team'}
storage: {region: r, access_key_id: key, secret_access_key: "${databricks:lake/secret}"}
tables: [{table_name: orders}]
"""


@dataclass
class NoSpark:
    """A session that only notes what it is asked to read."""

    asked: list[str] = field(default_factory=list)

    @property
    def catalog(self):
        return self

    @property
    def read(self):
        return self

    def tableExists(self, _name):  # noqa: N802 - Spark's name
        return False

    def parquet(self, path):
        self.asked.append(path)
        return self

    def count(self):
        return -1


@pytest.fixture
def read(monkeypatch):
    """The secrets that were read."""
    read = []

    def secret(_scopes, scope, key):
        read.append((scope, key))
        return f"{scope}-{key}"

    monkeypatch.setattr("statekeeper.config.loader.SecretScopes.__call__", secret)
    return read


def test_spark_is_given_the_address_that_the_commit_record_names_and_only_the_stores_secret_is_read(
    tmp_path, monkeypatch, read
):
    bucket, keys = MemoryStore(), set()

    def client(_bucket, storage):
        keys.add(storage.secret_access_key.get_secret_value())
        return bucket

    monkeypatch.setattr(objects_disk, "client_of", client)
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table orders as select i as id from range(5) t(i)")
    config = tmp_path / "shop.yml"
    config.write_text(CONFIG)
    pipeline = load_pipeline(config, environ={})
    assert {("erp", "password"), ("lake", "secret")} <= set(read)
    runner = Runner(
        pipeline=pipeline,
        identity=RunIdentity.of(pipeline, day="2026-01-06", run_id=None),
        reporter=NullReporter(),
        disk=writing_disk(pipeline.base_path, pipeline.output.writes),
        make_engine=lambda _pipeline: InlineEngine(memory_limit="100MB"),
    )
    assert runner.run(pipeline.tables).exit_code == 0

    read.clear()
    spark = NoSpark()
    (table,) = load_tables(config, into="main.raw", date="2026-01-06", spark=spark, environ={}).tables
    (address,) = spark.asked
    assert address.startswith("s3://lake/team/shop/orders/202601/06/shop-20260106.generation-")
    assert address in table.reason, "Spark did not find the rows"
    assert set(read) == {("lake", "secret")}
    assert keys == {"lake-secret"}
