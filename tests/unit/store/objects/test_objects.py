"""Object stores: conditions, names and errors of real servers; and what a conditional write means for a document."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore
from pydantic import SecretStr

from statekeeper.config.loader import pipeline_of
from statekeeper.config.resolved import Verify
from statekeeper.config.sections.output import LockKind, WritesKind
from statekeeper.config.sections.storage import StorageConfig, remember_storage
from statekeeper.config.sections.stores import place_of
from statekeeper.errors import ConfigError, LockLost, StorageError, UsageError
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.record import Owner
from statekeeper.parquet.integrity import find_damage
from statekeeper.store import registry
from statekeeper.store.files.durable import (
    create_once,
    replace,
    replace_version,
    storage_errors,
)
from statekeeper.store.locks.lease import acquire_lease
from statekeeper.store.locks.lock import choose_kind
from statekeeper.store.objects import disk as disk_module
from statekeeper.store.objects.client import bucket_of, client_kind_of, client_of, key_of
from statekeeper.store.objects.disk import ObjectStoreDisk
from statekeeper.store.process import host_name
from statekeeper.store.registry import writing_disk
from statekeeper.store.versions import ABSENT, VersionConflict
from tests.messages import raises_message, says
from tests.object_servers import ALL_RULES, SECRET, Moto, running

BASE = Path("/s3:/lake/team")
"""Of the stores in memory."""
TTL = timedelta(minutes=1)


@pytest.fixture(scope="module", params=ALL_RULES)
def server(request):
    with running(request.param) as server:
        yield server


def storage_of(server, **other):
    return StorageConfig.model_validate_json(json.dumps({**server.storage, "retry_timeout": "1s", **other}))


@pytest.fixture
def base_path(server, request):
    """A base path on the server that no other test has."""
    return place_of(f"{server.url}/team/{request.function.__name__}")


@pytest.fixture
def disk(server, base_path):
    return ObjectStoreDisk(base_path, storage_of(server))


@pytest.fixture
def memory(monkeypatch):
    """A disk in memory."""
    bucket = MemoryStore()
    monkeypatch.setattr(disk_module, "client_of", lambda _bucket, _storage: bucket)
    return ObjectStoreDisk(BASE, StorageConfig())


def test_of_many_writers_the_server_lets_one_create_and_one_replace(disk):
    path = disk.base_path / "a.json"
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda n: create_once(disk, path, b"new %d" % n, role="t", unique=f"{n}"), range(8)))
        assert created.count(True) == 1
        assert disk.read(path) == b"new %d" % created.index(True)
        version = disk.version(path)

        def replaced(number):
            try:
                return disk.replace(path, b"next %d" % number, version, role="t")
            except VersionConflict:
                return None

        winners = [number for number, won in enumerate(pool.map(replaced, range(8))) if won]
    assert len(winners) == 1
    assert disk.read(path) == b"next %d" % winners[0]


def test_names_are_kept_and_listed_as_they_are_and_folders_need_not_be_made(disk):
    names = ["a b%2Fc=1", "ü+.json", "_q", ".hidden"]
    for name in names:
        disk.write_new(disk.base_path / name / "x", b"x", role="t")
    disk.write_new(disk.base_path / "file", b"12345", role="t")
    assert disk.names(disk.base_path) == sorted([*names, "file"])
    assert disk.names(disk.base_path / "nowhere") == []
    assert disk.is_folder(disk.base_path / names[0])
    assert disk.exists(disk.base_path / names[0])
    assert not disk.is_folder(disk.base_path / "fil")  # only the beginning of a name
    assert (disk.size(disk.base_path / "file"), disk.file_size(disk.base_path / "_q")) == (5, None)
    disk.remove_folder(disk.base_path / names[0], role="t")
    disk.unlink(disk.base_path / "file", role="t")
    disk.unlink(disk.base_path / "file", role="t")
    assert disk.names(disk.base_path) == sorted(names[1:])


def test_a_folder_is_removed_also_while_another_runner_removes_it(disk, monkeypatch):
    kept, here, gone = (disk.base_path / name for name in ("kept/x", "folder/a/here", "folder/b/gone"))
    for path in (kept, here):
        disk.write_new(path, b"x", role="t")
    keys = [[key_of(gone), key_of(here)]]
    monkeypatch.setattr(ObjectStoreDisk, "_pages", lambda _disk, _path: keys)
    disk.remove_folder(disk.base_path / "folder", role="t")
    assert disk.names(disk.base_path) == ["kept"]


def test_a_copy_is_awaited_where_the_store_makes_it_after_its_answer(disk, monkeypatch):
    """Azure's answer to a copy of a large object comes first, and the copy is empty until it is there."""
    if not client_kind_of(disk.base_path).copies_later:
        pytest.skip("this store copies before it answers")
    part, dest, sizes = disk.base_path / "part", disk.base_path / "copy", [0, 0, 5]
    disk.write_new(part, b"12345", role="t")
    real = ObjectStoreDisk.size
    monkeypatch.setattr(disk_module, "_COPY_SECONDS", 0)
    monkeypatch.setattr(ObjectStoreDisk, "size", lambda self, path: sizes.pop(0) if path == dest else real(self, path))
    disk.copy(part, dest, size=5, role="t")
    assert not sizes
    monkeypatch.setattr(ObjectStoreDisk, "size", lambda self, path: 0 if path == dest else real(self, path))
    with raises_message(OSError, "objects.copy_not_ended"):
        disk.copy_over(part, dest, size=5, role="t")


def test_a_published_object_is_checked_without_a_copy_of_it(disk):
    content = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2]}).replace_schema_metadata({"statekeeper.plan_id": "p"}), content)
    data, path = content.getvalue(), disk.base_path / "part.parquet"
    disk.write_new(path, data, role="t")
    file = PublishedFile(name=path.name, rows=2, bytes=len(data), md5=hashlib.md5(data).hexdigest())
    for verify in (Verify.FULL, Verify.QUICK):
        assert find_damage(disk, path, file, plan_id="p", verify=verify) is None
        assert "plan q" in find_damage(disk, path, file, plan_id="q", verify=verify)
    disk.write_over(path, io.BytesIO(b"x" + data[1:]), role="t")
    assert "md5" in find_damage(disk, path, file, plan_id="p", verify=Verify.FULL)
    disk.write_over(path, io.BytesIO(data[1:]), role="t")
    assert f"{len(data) - 1} bytes" in find_damage(disk, path, file, plan_id="p", verify=Verify.QUICK)
    disk.unlink(path, role="t")
    assert "missing" in find_damage(disk, path, file, plan_id="p", verify=Verify.QUICK)


def test_a_store_that_keeps_conditions_is_taken_and_each_trial_is_on_the_same_object(server, base_path):
    remember_storage(base_path, storage_of(server))
    for _ in range(2):
        disk = writing_disk(base_path, WritesKind.AUTO)
        assert disk.names(base_path / "_runs") == [".conditions"]


def test_a_missing_bucket_and_a_store_that_does_not_answer_are_named(server):
    scheme = server.url.partition("://")[0]
    no_bucket = "objects.no_container" if scheme == "az" else "objects.no_bucket"
    for address, storage, name in (
        (f"{scheme}://nowhere/x", storage_of(server), no_bucket),
        (f"{scheme}://lake/x", storage_of(server, endpoint="http://127.0.0.1:1"), "objects.no_answer"),
    ):
        base_path = place_of(address)
        remember_storage(base_path, storage)
        with pytest.raises(StorageError) as error:
            writing_disk(base_path, WritesKind.AUTO)
        assert says(error.value.message, name)
        assert f"{scheme}://" in error.value.message
        assert SECRET not in f"{error.value.message} {error.value.hint} {error.value.__cause__!r}"


@pytest.mark.parametrize("is_ignored", [lambda _: True, lambda over: not over, lambda over: over])
def test_a_store_that_ignores_conditions_is_refused(memory, monkeypatch, is_ignored):
    kept = ObjectStoreDisk.replace

    def replace(self, path, data, over, *, role):
        if not is_ignored(over):
            return kept(self, path, data, over, role=role)
        self.write_over(path, io.BytesIO(data), role=role)
        return self.version(path)

    monkeypatch.setattr(ObjectStoreDisk, "replace", replace)
    with raises_message(StorageError, "objects.ignores_conditions"):
        writing_disk(BASE, WritesKind.AUTO)


class TestOwners:
    """A document on a disk in memory, and two runners."""

    PATH, LOCK = BASE / "t_state.json", BASE / "t.lock"

    def lease(self, disk, *, boot):
        owner = Owner(host=host_name(), boot_id=boot, pid=1, started=0.0)
        return acquire_lease(disk, self.LOCK, owner=owner, ttl=TTL, take_over=lambda _epoch: None)

    def test_an_owner_that_was_stopped_before_its_write_loses(self, memory):
        first = self.lease(memory, boot="first")
        try:
            version = replace_version(memory, self.PATH, b"1", role="state", fence=first, over=ABSENT)
            with self.lease(memory, boot="second") as second:
                assert second.epoch == first.epoch + 1
                replace_version(memory, self.PATH, b"2", role="state", fence=second, over=version)
                # Its check was before the takeover: only the condition can stop it.
                with pytest.raises(VersionConflict):
                    memory.replace(self.PATH, b"1, late", version, role="state")
                for fence_says in (version, None):
                    with pytest.raises(LockLost):
                        replace_version(memory, self.PATH, b"1", role="state", fence=first, over=fence_says)
                assert memory.read(self.PATH) == b"2"
        finally:
            first._heartbeat.stop()

    def test_a_holder_whose_document_was_changed_late_by_an_earlier_one_does_not_overwrite_it(self, memory):
        with self.lease(memory, boot="only") as lease:
            version = replace_version(memory, self.PATH, b"1", role="state", fence=lease, over=ABSENT)
            memory.replace(self.PATH, b"late", version, role="state")
            with raises_message(LockLost, "objects.changed_since"):
                replace_version(memory, self.PATH, b"2", role="state", fence=lease, over=version)
            replace(memory, self.PATH, b"2", role="metadata", fence=lease)  # what is not based on the old content may
            assert memory.read(self.PATH) == b"2"

    def test_the_lease_of_a_released_or_dead_owner_is_taken_at_once(self, memory):
        self.lease(memory, boot="first").release()
        with self.lease(memory, boot="second") as lease:
            assert lease.epoch == 2
            lease.check()


def test_what_an_object_store_cannot_do_is_refused(memory):
    with raises_message(UsageError, "objects.no_rename"):
        writing_disk(BASE, WritesKind.RENAME)
    with raises_message(UsageError, "objects.no_flock"):
        choose_kind(memory, BASE, LockKind.FLOCK)
    assert choose_kind(memory, BASE, LockKind.AUTO) is LockKind.LEASE


def shop(**sections):
    return pipeline_of(
        {
            "sources": {"shop": {"type": "duckdb", "path": "shop.duckdb"}},
            "output": {"base_path": "s3://lake/team"},
            "tables": [{"table_name": "t", "columns": {"id": {"type": "int"}}}],
            **sections,
        }
    )


def test_the_secret_of_the_store_is_redacted_like_those_of_sources():
    pipeline = shop(storage=Moto().storage)
    assert pipeline.base_path == BASE
    assert SECRET in pipeline.secrets
    assert SECRET not in repr(pipeline)
    assert pipeline.storage.secret_access_key == SecretStr(SECRET)


@pytest.mark.parametrize(
    ("base_path", "key", "named"),
    [
        ("s3://lake/team", "account_key", "Azure Blob Storage (az://) or Azure Data Lake Storage (abfss://)"),
        ("az://lake/team", "region", "Amazon S3 (s3://)"),
        ("abfss://lake@acc.dfs.core.windows.net/team", "account_name", "Azure Blob Storage (az://)"),
    ],
)
def test_a_key_of_another_store_is_refused_and_the_error_names_its_store(base_path, key, named):
    with raises_message(ConfigError, "objects.key_of_another_store", stores=named, path=base_path) as error:
        shop(output={"base_path": base_path}, storage={key: SECRET})
    assert f"storage.{key}" in error.value.message
    assert SECRET not in error.value.message


@pytest.mark.parametrize("address", ["az://", "s3:///", "abfss://lake/team", "abfss://lake@acc/team"])
def test_an_address_that_names_no_bucket_is_refused(address):
    with raises_message(ConfigError, "objects.address"):
        shop(output={"base_path": address})


def test_an_address_of_a_data_lake_names_container_account_and_cloud():
    for cloud, endpoint in (
        ("core.windows.net", None),
        ("core.chinacloudapi.cn", "https://acc.blob.core.chinacloudapi.cn"),
    ):
        place = place_of(f"abfss://lake@acc.dfs.{cloud}/team")
        found = client_of(bucket_of(place / "x"), StorageConfig(account_key=SECRET)).config
        assert (found["container_name"], found["account_name"], found.get("endpoint")) == ("lake", "acc", endpoint)


def test_without_its_libraries_the_store_says_what_to_install(memory, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with raises_message(ConfigError, "objects.not_installed", library="fsspec"):
        writing_disk(BASE, WritesKind.AUTO)  # at the beginning of a run, and not when it checks what it has read

    def load(_self, _name, _of):
        raise ModuleNotFoundError("No module named 'obstore'", name="obstore")

    monkeypatch.setattr(type(registry.STORES), "instance", load)
    with raises_message(ConfigError, "objects.not_installed", library="obstore") as error:
        registry.store_of(BASE)
    assert error.value.hint == "pip install 'statekeeper[objects]'"


def test_an_error_about_an_object_has_its_address():
    with pytest.raises(StorageError) as error, storage_errors(BASE / "x", "read"):
        raise OSError(5, "broken")
    assert "s3://lake/team/x" in error.value.message
