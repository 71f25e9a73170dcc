"""What differs on Databricks: where output may lie, where chunks are read, and by how many processes of the driver."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from statekeeper.config.resolved import EngineKind
from statekeeper.databricks.api import DatabricksDataExtractor, StatefulDatabricksDataExtractor
from statekeeper.errors import UsageError
from tests.messages import message, raises_message, says

CLUSTER = {"DATABRICKS_RUNTIME_VERSION": "17.3"}
OLD = {"DATABRICKS_RUNTIME_VERSION": "16.4"}
SERVERLESS = {"DATABRICKS_RUNTIME_VERSION": "client.4.9", "IS_SERVERLESS": "TRUE"}
SOURCES = {"shop": {"type": "duckdb", "path": "shop.duckdb"}}
VOLUME = "/Volumes/main/raw/erp"
CONFIG = """\
pipeline: shop
sources: {shop: {type: duckdb, path: shop.duckdb}}
OUTPUT
execution: {EXECUTION}
tables: [{table_name: orders}]
"""


def _pipeline_of(extractor):
    return extractor._runner_of([{"source_name": "shop", "table_name": "orders"}], "2026-01-06", None).pipeline


def _plain(environ=CLUSTER, **choices):
    return _pipeline_of(DatabricksDataExtractor(sources=SOURCES, environ=environ, **choices))


@pytest.fixture
def stateful(tmp_path):
    """The pipeline of a configuration with this `output:` and `execution:`."""

    def make(output="", execution="", *, environ=CLUSTER, **choices):
        path = tmp_path / "shop.yml"
        path.write_text(CONFIG.replace("OUTPUT", output and f"output: {{{output}}}").replace("EXECUTION", execution))
        return StatefulDatabricksDataExtractor.from_config(path, environ=environ, **choices).pipeline

    return make


class TestOutput:
    @pytest.mark.parametrize(
        ("choices", "folder"),
        [
            ({"unity_catalog_volume": "main/raw/erp"}, VOLUME),
            ({"unity_catalog_volume": "main.raw.erp", "output_base_path": "landing/data"}, f"{VOLUME}/landing/data"),
            ({"unity_catalog_volume": "main.raw.erp", "output_base_path": f"{VOLUME}/data"}, f"{VOLUME}/data"),
            ({"output_base_path": f"dbfs:{VOLUME}/data"}, f"{VOLUME}/data"),
            ({"output_base_path": "dbfs:/mnt/lake"}, "/dbfs/mnt/lake"),
            ({"output_base_path": "s3://bucket/data"}, "/s3:/bucket/data"),
        ],
    )
    def test_output_goes_to_the_volume_or_to_the_path(self, choices, folder):
        assert _plain(**choices).output.base_path == folder

    @pytest.mark.parametrize(
        ("choices", "reason"),
        [
            ({}, message("databricks.expected_a_volume_or_a_path")),
            ({"output_base_path": "data"}, message("config.relative_path", path="data")),
            ({"output_base_path": "/Workspace/Users/me/data"}, message("config.workspace_path")),
            ({"output_base_path": "s3a://bucket/data"}, message("config.object_store_address")),
            ({"output_base_path": "abfss://bucket/data"}, message("databricks.expected_an_address")),
            ({"output_base_path": "az://container/data"}, message("objects.not_on_databricks")),
            (
                {"unity_catalog_volume": "main.raw.erp", "output_base_path": "s3://bucket/data"},
                message("databricks.path_is_not_in_the_volume"),
            ),
            ({"output_base_path": "/Volumes/main/raw"}, message("config.not_in_a_volume")),
            ({"unity_catalog_volume": "main.raw"}, message("config.expected_a_volume")),
            (
                {"unity_catalog_volume": "main.raw.erp", "output_base_path": "/Volumes/main/raw/other"},
                message("databricks.path_is_not_in_the_volume"),
            ),
            (
                {"unity_catalog_volume": "main.raw.erp", "environ": OLD},
                message("config.old_runtime", version="16.4", why="...NumPy 1..."),
            ),
        ],
    )
    def test_an_impossible_path_is_refused_with_the_reason(self, choices, reason):
        with raises_message(UsageError, reason) as caught:
            _plain(**choices)
        assert caught.value.hint

    def test_outside_databricks_a_relative_path_is_on_this_machine(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert _plain({}, output_base_path="data").output.base_path == str(tmp_path / "data")

    @pytest.mark.parametrize(
        ("output", "volume", "folder"),
        [
            ("base_path: 'dbfs:/Volumes/main/raw/erp/data'", None, f"{VOLUME}/data"),
            ("", "main.raw.erp", VOLUME),
            ("compression: snappy", "main.raw.erp", VOLUME),
            ("base_path: landing", "main.raw.erp", f"{VOLUME}/landing"),
            ("base_path: 's3://lake/team'", None, "/s3:/lake/team"),
        ],
    )
    def test_the_output_of_a_configuration_is_adapted(self, stateful, output, volume, folder):
        assert stateful(output, unity_catalog_volume=volume).output.base_path == folder

    def test_the_keys_of_the_store_come_from_a_secret_scope(self, stateful):
        storage = "storage: {access_key_id: key, secret_access_key: '${databricks:lake/secret}'"
        found = stateful(
            "base_path: 's3://lake/team'}\n" + storage,
            secrets=lambda scope, key: f"{scope}-{key}",
        )
        assert found.storage.secret_access_key.get_secret_value() == "lake-secret"
        assert "lake-secret" in found.secrets

    def test_a_configuration_without_output_path_or_volume_is_refused(self, stateful):
        with raises_message(UsageError, "config.relative_path", path="data"):
            stateful()

    def test_output_on_dbfs_gives_a_warning(self, caplog):
        with caplog.at_level(logging.WARNING, "statekeeper.databricks"):
            _plain(output_base_path="/dbfs/mnt/lake")
        assert says(caplog.text, "databricks.dbfs_is_deprecated")


class TestEngine:
    @pytest.mark.parametrize(
        ("environ", "choices", "engine"),
        [
            (CLUSTER, {}, EngineKind.SPARK),
            (CLUSTER, {"use_existing_spark": False}, EngineKind.LOCAL),
            (CLUSTER, {"execution": {"engine": "local"}}, EngineKind.LOCAL),
            (SERVERLESS, {}, EngineKind.LOCAL),
            (SERVERLESS, {"execution": {"engine": "spark"}}, EngineKind.LOCAL),
            ({}, {}, EngineKind.LOCAL),
            ({}, {"spark": object()}, EngineKind.SPARK),
        ],
    )
    def test_the_engine_is_what_the_compute_allows(self, environ, choices, engine):
        assert _plain(environ, output_base_path=f"{VOLUME}/data", **choices).execution.engine is engine

    @pytest.mark.parametrize(
        ("environ", "execution", "choices", "engine"),
        [
            (CLUSTER, "", {}, EngineKind.SPARK),
            (CLUSTER, "engine: local", {}, EngineKind.LOCAL),
            (CLUSTER, "engine: local", {"engine": "spark"}, EngineKind.SPARK),
            (SERVERLESS, "engine: spark", {}, EngineKind.LOCAL),
        ],
    )
    def test_the_engine_of_a_configuration_is_kept_if_possible(self, stateful, environ, execution, choices, engine):
        found = stateful(f"base_path: {VOLUME}", execution, environ=environ, **choices)
        assert found.execution.engine is engine

    def test_serverless_warns_that_it_reads_on_the_driver(self, caplog):
        with caplog.at_level(logging.WARNING, "statekeeper.databricks"):
            _plain(SERVERLESS, unity_catalog_volume="main.raw.erp")
        assert says(caplog.text, "databricks.executors_have_no_network")

    def test_a_session_contradicts_use_existing_spark_false(self):
        with raises_message(UsageError, "databricks.session_or_none"):
            _plain(spark=object(), use_existing_spark=False, unity_catalog_volume="main.raw.erp")

    def test_the_given_session_is_the_one_that_is_used(self):
        session = object()
        extractor = DatabricksDataExtractor(
            sources=SOURCES, environ=CLUSTER, unity_catalog_volume="main.raw.erp", spark=session
        )
        assert extractor._runner_of([{"source_name": "shop", "table_name": "t"}], "2026-01-06", None).spark is session


class TestWorkers:
    @pytest.fixture(autouse=True)
    def _cores(self, monkeypatch):
        monkeypatch.setattr("os.cpu_count", lambda: 6)

    @pytest.mark.parametrize(("environ", "workers"), [(CLUSTER, 3), ({}, 4)])
    def test_default_workers_use_half_of_the_cores_of_a_driver(self, environ, workers):
        assert _plain(environ, output_base_path=VOLUME).execution.workers == workers

    def test_configured_workers_are_kept(self, stateful):
        assert _plain(output_base_path=VOLUME, execution={"workers": 7}).execution.workers == 7
        assert stateful(f"base_path: {VOLUME}", "workers: 7").execution.workers == 7
        assert stateful(f"base_path: {VOLUME}", workers=5).execution.workers == 5
        assert stateful(f"base_path: {VOLUME}").execution.workers == 3


def test_everything_else_in_a_configuration_is_unchanged(stateful):
    found = stateful("compression: snappy, writes: whole", "memory_limit: 1GiB", unity_catalog_volume="main.raw.erp")
    assert (found.output.compression.value, found.output.writes.value) == ("snappy", "whole")
    assert found.execution.memory_limit == 2**30
    assert dataclasses.replace(found, path=None).tables[0].table.table_name == "orders"
