"""Unfinished uploads are found and aborted, those of one extraction alone, and nothing else is touched."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from statekeeper.config.sections.storage import StorageConfig
from statekeeper.model.table import Layout, TableRef
from statekeeper.publish.sweep import sweep_uploads
from statekeeper.store.layouts import layout_of
from statekeeper.store.objects.disk import ObjectStoreDisk
from tests.object_servers import SECRET, running


@pytest.fixture(scope="module")
def moto():
    with running("moto") as server:
        yield server


@pytest.fixture(params=["moto", "seaweed"])
def storage(request):
    return storage_of(request.getfixturevalue(request.param))


def storage_of(server, **more):
    return StorageConfig.model_validate(server.storage | more, strict=False)


class Bucket:
    """The bucket by another client, which can begin uploads and leave them."""

    def __init__(self, storage):
        self.client = boto3.client(
            "s3",
            endpoint_url=storage.endpoint,
            region_name=storage.region,
            aws_access_key_id=storage.access_key_id,
            aws_secret_access_key=storage.secret_access_key.get_secret_value(),
            config=Config(s3={"addressing_style": "path"}),
        )

    def begin(self, key):
        upload = self.client.create_multipart_upload(Bucket="lake", Key=key)["UploadId"]
        self.client.upload_part(Bucket="lake", Key=key, UploadId=upload, PartNumber=1, Body=b"piece")

    def unfinished(self):
        return {each["Key"] for each in self.client.list_multipart_uploads(Bucket="lake").get("Uploads", [])}


@pytest.mark.parametrize("layout", Layout)
def test_only_the_unfinished_uploads_of_an_extraction_are_aborted(storage, layout, request):
    base_path = Path("/s3:/lake") / f"üplo ads {layout.value}"
    disk, bucket = ObjectStoreDisk(base_path, storage), Bucket(storage)

    def files(name, run_id="n-20260106"):
        table = TableRef(source_name="shop", table_name=name, path_name=name)
        return layout_of(layout, base_path=base_path, table=table, extraction_date=date(2026, 1, 6), run_id=run_id)

    def keys(layout):
        plan = "80564ac5" * 4
        paths = (
            layout.staging(plan).parts / "part-00000.unpublished",
            layout.generation(plan) / "part-00000.parquet",
            layout.quarantine(plan),
        )
        return {str(path.relative_to("/s3:/lake")) for path in paths}

    own, others = files("orders"), [files("orders", "n-20260106b"), files("orders2")]
    if layout is Layout.HIVE:
        others.pop(0)  # a date of a table belongs to one run
    kept = {key for other in others for key in keys(other)}
    for key in (*keys(own), *kept):
        bucket.begin(key)
    disk.write_new(own.state, b"{}", role="t")
    sweep_uploads(disk, own)
    assert bucket.unfinished() == kept
    assert disk.exists(own.state)
    for other in others:
        sweep_uploads(disk, other)
    assert bucket.unfinished() == set()


def test_more_uploads_than_a_page_has_are_all_aborted(seaweed, monkeypatch):
    storage = storage_of(seaweed)
    disk, bucket = ObjectStoreDisk(Path("/s3:/lake/pages"), storage), Bucket(storage)
    for number in range(7):
        bucket.begin(f"pages/x/{number}")
    whole = ObjectStoreDisk.abort_uploads
    monkeypatch.setattr("statekeeper.store.objects.unfinished.PAGE", 3)
    whole(disk, Path("/s3:/lake/pages/x"), lambda _path: True)
    assert bucket.unfinished() == set()


def test_a_store_that_does_not_tell_of_uploads_is_left_alone(moto):
    disk = ObjectStoreDisk(Path("/s3:/nowhere/x"), storage_of(moto))
    disk.abort_uploads(Path("/s3:/nowhere/x"), lambda _path: True)


def test_a_store_that_does_not_answer_is_an_error_without_the_signature(moto):
    disk = ObjectStoreDisk(Path("/s3:/lake/x"), storage_of(moto, endpoint="http://127.0.0.1:1", request_timeout="1s"))
    with pytest.raises(OSError, match="the store does not answer") as error:
        disk.abort_uploads(Path("/s3:/lake/x"), lambda _path: True)
    assert SECRET not in str(error.value)
    assert "Signature" not in str(error.value)
