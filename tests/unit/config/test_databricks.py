"""Databricks' names for a folder, and which of them output cannot lie in."""

from __future__ import annotations

import pytest

from statekeeper.config.databricks import Compute, Runtime, file_path, refusal_on_databricks, volume_folder
from statekeeper.config.loader import pipeline_of
from statekeeper.config.outline import base_path_of
from statekeeper.errors import ConfigError, UsageError
from tests.messages import message, raises_message, says, text_of


@pytest.mark.parametrize(
    "name",
    ["main/raw/erp", "main.raw.erp", "/Volumes/main/raw/erp", "/Volumes/main/raw/erp/", "dbfs:/Volumes/main/raw/erp"],
)
def test_every_way_to_name_a_volume_is_its_folder(name):
    assert volume_folder(name) == "/Volumes/main/raw/erp"


@pytest.mark.parametrize("name", ["", "erp", "raw.erp", "main.raw.erp.x", "main//erp", "main/../erp", "/data"])
def test_what_names_no_volume_is_refused(name):
    with raises_message(UsageError, "config.expected_a_volume"):
        volume_folder(name)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("data", "data"),
        ("/data", "/data"),
        ("dbfs:/Volumes/main/raw/erp/data", "/Volumes/main/raw/erp/data"),
        ("/dbfs/Volumes/main/raw/erp", "/Volumes/main/raw/erp"),
        ("dbfs:/mnt/lake", "/dbfs/mnt/lake"),
        ("dbfs:///mnt/lake", "/dbfs/mnt/lake"),
        ("/dbfs/mnt/lake", "/dbfs/mnt/lake"),
        ("file:/local_disk0/data", "/local_disk0/data"),
        ("a:b", "a:b"),
    ],
)
def test_a_path_is_as_the_file_system_knows_it(written, path):
    assert file_path(written) == path
    assert pipeline_of({**_PIPELINE, "output": {"base_path": written}}).output.base_path == path


_PIPELINE = {"sources": {"shop": {"type": "duckdb", "path": "shop.duckdb"}}, "tables": [{"table_name": "orders"}]}


@pytest.mark.parametrize("scheme", ["s3a", "abfs", "gcs", "wasbs", "https"])
def test_an_object_store_is_no_folder_anywhere(scheme, tmp_path):
    written = f"{scheme}://bucket/data"
    with raises_message(ConfigError, "config.object_store_address") as caught:
        pipeline_of({**_PIPELINE, "output": {"base_path": written}})
    assert "output.base_path" in caught.value.message
    config = tmp_path / "shop.yml"
    config.write_text(f"output: {{base_path: '{written}'}}\n")
    with raises_message(ConfigError, "config.object_store_address"):
        base_path_of(config, environ={})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("data", message("config.relative_path", path="data")),
        ("/Workspace/Users/me/data", message("config.workspace_path", path="/Workspace/Users/me/data")),
        ("/Volumes/main/raw", message("config.not_in_a_volume", path="/Volumes/main/raw")),
        ("/az:/container/data", message("objects.not_on_databricks", path="/az:/container/data")),
        ("/s3:/bucket/data", None),
        ("/abfss:/container@account.dfs.core.windows.net/data", None),
        ("/Volumes/main/raw/erp", None),
        ("/Volumes/main/raw/erp/data", None),
        ("/dbfs/mnt/lake", None),
    ],
)
def test_on_databricks_some_folders_cannot_work(path, reason):
    refused = refusal_on_databricks(path)
    assert (refused is None) == (reason is None)
    if refused and reason:
        assert says(refused[0], reason)
        assert "/Volumes/<catalog>/<schema>/<volume>" in refused[1]


@pytest.mark.parametrize(
    ("environ", "compute", "refused"),
    [
        ({}, Compute.ELSEWHERE, None),
        ({"DATABRICKS_RUNTIME_VERSION": "17.3"}, Compute.CLUSTER, None),
        ({"DATABRICKS_RUNTIME_VERSION": "18.x"}, Compute.CLUSTER, None),
        ({"DATABRICKS_RUNTIME_VERSION": "19.0"}, Compute.CLUSTER, None),
        ({"DATABRICKS_RUNTIME_VERSION": "17.2"}, Compute.CLUSTER, message("config.old_runtime", version="17.2")),
        ({"DATABRICKS_RUNTIME_VERSION": "16.4"}, Compute.CLUSTER, message("config.old_runtime", version="16.4")),
        ({"DATABRICKS_RUNTIME_VERSION": "15.4"}, Compute.CLUSTER, message("config.old_runtime", version="15.4")),
        ({"DATABRICKS_RUNTIME_VERSION": "client.4.9"}, Compute.SERVERLESS, None),
        ({"DATABRICKS_RUNTIME_VERSION": "client.3.2"}, Compute.SERVERLESS, message("config.old_serverless", version=3)),
        ({"DATABRICKS_RUNTIME_VERSION": "", "IS_SERVERLESS": "TRUE"}, Compute.SERVERLESS, None),
    ],
)
def test_the_environment_tells_the_runtime_and_whether_it_is_too_old(environ, compute, refused):
    runtime = Runtime.of(environ)
    assert runtime.compute == compute
    assert (runtime.refusal is None) == (refused is None)
    if runtime.refusal and refused:
        reason, hint = runtime.refusal
        assert says(reason, refused)
        assert hint in {
            text_of("config.use_newer_runtime", major=17, minor=3),
            text_of("config.use_newer_serverless", oldest=4),
        }
