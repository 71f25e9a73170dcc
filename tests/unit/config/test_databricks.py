"""Databricks' names for a folder, and which of them output cannot lie in."""

from __future__ import annotations

import pytest

from statekeeper.config.databricks import Compute, Runtime, file_path, refusal_on_databricks, volume_folder
from statekeeper.config.loader import pipeline_of
from statekeeper.config.outline import base_path_of
from statekeeper.errors import ConfigError, UsageError


@pytest.mark.parametrize(
    "name",
    ["main/raw/erp", "main.raw.erp", "/Volumes/main/raw/erp", "/Volumes/main/raw/erp/", "dbfs:/Volumes/main/raw/erp"],
)
def test_every_way_to_name_a_volume_is_its_folder(name):
    assert volume_folder(name) == "/Volumes/main/raw/erp"


@pytest.mark.parametrize("name", ["", "erp", "raw.erp", "main.raw.erp.x", "main//erp", "main/../erp", "/data"])
def test_what_names_no_volume_is_refused(name):
    with pytest.raises(UsageError, match="expected a volume"):
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


@pytest.mark.parametrize("scheme", ["s3", "s3a", "abfss", "gs", "wasbs", "https"])
def test_an_object_store_is_no_folder_anywhere(scheme, tmp_path):
    written = f"{scheme}://bucket/data"
    with pytest.raises(ConfigError, match=r"output\.base_path.*through the file system"):
        pipeline_of({**_PIPELINE, "output": {"base_path": written}})
    config = tmp_path / "shop.yml"
    config.write_text(f"output: {{base_path: '{written}'}}\n")
    with pytest.raises(ConfigError, match="through the file system"):
        base_path_of(config, environ={})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("data", "is relative"),
        ("/Workspace/Users/me/data", "executors cannot write"),
        ("/Volumes/main/raw", "is not in a volume"),
        ("/Volumes/main/raw/erp", None),
        ("/Volumes/main/raw/erp/data", None),
        ("/dbfs/mnt/lake", None),
    ],
)
def test_on_databricks_some_folders_cannot_work(path, reason):
    refused = refusal_on_databricks(path)
    assert (refused is None) == (reason is None)
    if refused and reason:
        assert reason in refused[0]
        assert "/Volumes/<catalog>/<schema>/<volume>" in refused[1]


@pytest.mark.parametrize(
    ("environ", "compute", "refused"),
    [
        ({}, Compute.ELSEWHERE, None),
        ({"DATABRICKS_RUNTIME_VERSION": "17.3"}, Compute.CLUSTER, None),
        ({"DATABRICKS_RUNTIME_VERSION": "18.x"}, Compute.CLUSTER, None),
        ({"DATABRICKS_RUNTIME_VERSION": "19.0"}, Compute.CLUSTER, None),
        ({"DATABRICKS_RUNTIME_VERSION": "17.2"}, Compute.CLUSTER, "Databricks Runtime 17.2 is not supported"),
        ({"DATABRICKS_RUNTIME_VERSION": "16.4"}, Compute.CLUSTER, "Databricks Runtime 16.4 is not supported"),
        ({"DATABRICKS_RUNTIME_VERSION": "15.4"}, Compute.CLUSTER, "Databricks Runtime 15.4 is not supported"),
        ({"DATABRICKS_RUNTIME_VERSION": "client.4.9"}, Compute.SERVERLESS, None),
        ({"DATABRICKS_RUNTIME_VERSION": "client.3.2"}, Compute.SERVERLESS, "serverless environment 3 is not"),
        ({"DATABRICKS_RUNTIME_VERSION": "", "IS_SERVERLESS": "TRUE"}, Compute.SERVERLESS, None),
    ],
)
def test_the_environment_tells_the_runtime_and_whether_it_is_too_old(environ, compute, refused):
    runtime = Runtime.of(environ)
    assert runtime.compute == compute
    assert (runtime.refusal is None) == (refused is None)
    if runtime.refusal and refused:
        reason, hint = runtime.refusal
        assert reason.startswith(refused)
        assert hint in {"use Databricks Runtime 17.3 LTS or newer", "use environment version 4 or newer"}
