"""How the catalog and the files of an Iceberg table are reached, and what is said where they are not."""

from __future__ import annotations

import gc
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from statekeeper.config.sections.storage import StorageConfig
from statekeeper.errors import ConfigError, StorageError
from statekeeper.table_formats.iceberg import catalog as catalogs
from statekeeper.table_formats.iceberg.catalog import open_catalog
from statekeeper.table_formats.iceberg.options import address_of, file_options
from statekeeper.table_formats.protocol import Definition
from tests.messages import raises_message
from tests.unit.table_formats.iceberg.places import ICEBERG, SCHEMA, LocalTable

BUCKET = Path("/s3:/lake/orders")
AZURE = Path("/az:/lake/orders")


def storage(**keys):
    return StorageConfig.model_validate(keys)


@pytest.mark.parametrize(
    ("place", "keys", "address"),
    [
        ("/data/my orders", {}, "file:///data/my orders"),
        ("/s3:/lake/shop/orders", {}, "s3://lake/shop/orders"),
        ("/gs:/lake/shop/orders", {}, "gs://lake/shop/orders"),
        ("/az:/lake/shop/orders", {"account_name": "acme"}, "abfss://lake@acme.dfs.core.windows.net/shop/orders"),
        ("/abfss:/lake@acme.dfs.core.windows.net/orders", {}, "abfss://lake@acme.dfs.core.windows.net/orders"),
    ],
)
def test_a_folder_has_the_address_that_engines_know(place, keys, address):
    assert address_of(Path(place), storage(**keys)) == address


def test_pyiceberg_gets_the_login_of_the_store():
    keys = {"access_key_id": "AKIA", "secret_access_key": "s3cret", "session_token": "t", "request_timeout": "5s"}
    assert file_options(BUCKET, StorageConfig.model_validate_json(_json(endpoint="http://h:1", **keys))) == {
        "s3.endpoint": "http://h:1",
        "s3.region": "us-east-1",
        "s3.access-key-id": "AKIA",
        "s3.secret-access-key": "s3cret",
        "s3.session-token": "t",
        "s3.connect-timeout": "5",
        "s3.request-timeout": "5",
    }
    encrypted = StorageConfig.model_validate_json(_json(encryption="sse-kms", kms_key="k", region="eu-central-1"))
    found = file_options(BUCKET, encrypted)
    assert found.pop("py-io-impl") == "pyiceberg.io.fsspec.FsspecFileIO"
    assert (found["s3.server-side-encryption"], found["s3.sse-kms-key-id"]) == ("aws:kms", "k")
    assert file_options(AZURE, storage(account_name="acme", account_key="k")) == {
        "adls.account-name": "acme",
        "adls.account-key": "k",
    }
    assert file_options(Path("/data"), storage()) == {}


def _json(**keys):
    return json.dumps(keys)


def test_the_keys_of_a_profile_are_those_of_the_moment(tmp_path, monkeypatch):
    written = tmp_path / "credentials"
    written.write_text("[lake]\naws_access_key_id = AKIA\naws_secret_access_key = s3cret\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(written))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    found = file_options(BUCKET, storage(profile="lake"))
    assert (found["s3.access-key-id"], found["s3.secret-access-key"]) == ("AKIA", "s3cret")


@pytest.mark.parametrize(
    ("place", "keys", "name"),
    [
        (AZURE, {}, "table_formats.iceberg_needs_the_account"),
        (AZURE, {"account_name": "acme", "endpoint": "http://h"}, "table_formats.iceberg_no_endpoint_in_azure"),
        (Path("/gs:/lake/orders"), {"service_account_key": "{}"}, "table_formats.iceberg_no_service_account"),
        (Path("/data/EMP#/x"), {}, "table_formats.iceberg_not_in_an_address"),
    ],
)
def test_what_pyiceberg_cannot_reach_is_a_mistake_of_the_configuration(place, keys, name):
    with raises_message(ConfigError, name):
        address_of(place, storage(**keys)), file_options(place, storage(**keys))


def test_without_a_catalog_it_is_said_what_to_write(tmp_path):
    place = replace(LocalTable(tmp_path).place, catalog={})
    with raises_message(ConfigError, "table_formats.iceberg_needs_a_catalog", table="shop.orders") as refused:
        ICEBERG.find(place)
    assert refused.value.hint == "write in `output`: `catalog: {type: sql, uri: 'sqlite:///catalog.db'}`"


def test_a_package_that_a_catalog_needs_and_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog.hive", None)
    place = LocalTable(tmp_path).with_catalog(type="hive", uri="thrift://127.0.0.1:1").place
    with raises_message(ConfigError, "table_formats.iceberg_needs_a_package", table="shop.orders"):
        ICEBERG.find(place)


def test_a_catalog_that_does_not_answer_is_an_error_of_storage(tmp_path):
    place = LocalTable(tmp_path).with_catalog(uri=f"sqlite:///{tmp_path / 'missing' / 'catalog.db'}").place
    with raises_message(StorageError, "table_formats.iceberg_cannot_be", action="open the catalog of"):
        ICEBERG.find(place)
    refused = LocalTable(tmp_path).with_catalog(type="rest", uri="http://127.0.0.1:1").place
    with raises_message(StorageError, "table_formats.iceberg_cannot_be"):
        ICEBERG.create(refused, Definition(SCHEMA, is_by_date=False))


def test_a_namespace_has_levels_and_each_is_made(tmp_path):
    orders = LocalTable(tmp_path)
    orders.place = replace(orders.place, namespace="sales.emea")
    orders.create()
    catalog = open_catalog(orders.place)
    assert catalog.list_namespaces() == [("sales",)]
    assert catalog.table_exists(("sales", "emea", "orders"))


def test_runners_that_begin_at_once_share_one_catalog_namespace_and_table(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: LocalTable(tmp_path).create(), range(4)))
    assert len({version.table.metadata.table_uuid for version in found}) == 1


def test_what_another_program_creates_at_this_moment_is_used(tmp_path, monkeypatch):
    orders = LocalTable(tmp_path)
    load, create, times = catalogs.load_catalog, SqlCatalog.create_namespace, []

    def load_late(**properties):
        times.append("load")
        if len(times) == 1:
            raise ValueError("table iceberg_tables already exists")
        return load(**properties)

    def create_late(catalog, *arguments):
        create(catalog, *arguments)
        times.append("create")
        raise ValueError("UNIQUE constraint failed")

    monkeypatch.setattr(catalogs, "load_catalog", load_late)
    monkeypatch.setattr(SqlCatalog, "create_namespace", create_late)
    assert orders.create().version == "empty"
    assert times == ["load", "load", "create"]


def test_a_catalog_that_nothing_uses_closes_its_connections(tmp_path):
    orders = LocalTable(tmp_path)
    orders.create()
    pool = orders.find().table.catalog.engine.pool
    gc.collect()
    assert pool.checkedin() == 0
