"""An exchange in an object store: nothing secret is in it, nothing is left of it, and polls are paid for."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore
from pydantic import SecretStr

from statekeeper.config.sections import storage as storage_section
from statekeeper.config.sections.storage import StorageConfig, remember_storage
from statekeeper.engines.spark.exchange import DriverSign, ErrorRecord, Exchange, SlotReport
from statekeeper.engines.spark.pace import Pace, round_trip
from statekeeper.engines.spark.place_check import PlaceCheck
from statekeeper.engines.spark.preflight import inspect
from statekeeper.engines.spark.session import HeldSession, Ownership
from statekeeper.errors import ConfigError, FailureKind
from statekeeper.store.files.disk import Disk
from statekeeper.store.objects import disk as objects_disk
from statekeeper.store.objects.disk import ObjectStoreDisk
from statekeeper.store.process import this_process
from tests.messages import raises_message
from tests.unit.engines.spark.room import chunk
from tests.unit.engines.spark.thread_spark import ThreadSpark

BASE = Path("/s3:/lake/team")
SECRET = "the-secret-of-the-lake"
STORAGE = StorageConfig(region="r", access_key_id="key", secret_access_key=SecretStr(SECRET))


@pytest.fixture
def written(monkeypatch):
    """Everything that is written to the bucket, by key."""
    bucket, written, put = MemoryStore(), [], obstore.put
    monkeypatch.setattr(objects_disk, "client_of", lambda _bucket, _storage: bucket)
    monkeypatch.setattr(storage_section, "_KNOWN", {})

    def noted_put(store, key, content, **options):
        data = bytes(content)
        written.append((key, data))
        return put(store, key, data, **options)

    monkeypatch.setattr(obstore, "put", noted_put)
    remember_storage(BASE, STORAGE)
    return written


@pytest.fixture
def exchange(written):
    exchange = Exchange(BASE / "_runs" / ".run.spark-1")
    exchange.make(this_process())
    return exchange


@dataclass(frozen=True)
class Spec:
    disk: Disk
    number: int


def write_part(spec, _context):
    assert spec.disk.storage == STORAGE
    spec.disk.write_new(BASE / f"part-{spec.number}", b"rows", role="part")
    return spec.number


def test_workers_write_with_the_keys_of_the_driver_which_are_in_no_object(room, written, monkeypatch):
    monkeypatch.setattr(Pace, "of", classmethod(lambda cls, _trip: cls(0.05, 0.1, 0.1, 0.1, 0.5)))
    room.base_path, room.storage = BASE, STORAGE
    disk = ObjectStoreDisk(BASE, STORAGE)

    async def main(engine):
        return [await engine.run(chunk(write_part, Spec(disk, number))) for number in range(3)]

    assert room.run(main) == [0, 1, 2]
    assert disk.names(BASE) == ["part-0", "part-1", "part-2"]
    batches = [data for key, data in written if "/batch-" in key]
    assert len(batches) >= 3
    assert not [key for key, data in written if SECRET.encode() in data]


def test_a_late_worker_writes_nothing_once_the_exchange_was_removed(exchange):
    exchange.write_sign(DriverSign(beat=1))
    exchange.write_report(SlotReport(slot=1), attempt="a")
    assert exchange.report_names([1]) == ["slot-1-a.json"]
    exchange.remove()
    reason = ErrorRecord(kind=FailureKind.LOGIN_REFUSED, message="no")
    with pytest.raises(FileNotFoundError):
        exchange.write_report(SlotReport(slot=1), attempt="a")
    with pytest.raises(FileNotFoundError):
        exchange.write_refusal("shop", reason)
    assert exchange.files.names(exchange.folder) == []


def test_each_poll_of_a_store_is_paid_for_so_they_are_as_rare_as_in_the_slowest_folder(exchange):
    pace = Pace.of(round_trip(exchange.folder))
    assert (pace.poll, pace.max_poll, pace.is_quick) == (1.0, 2.0, False)


def test_executors_that_the_store_refuses_are_named_with_what_they_get(exchange, monkeypatch):
    held = HeldSession.of(ThreadSpark(slots=1), Ownership.GIVEN)
    assert inspect(held, exchange.folder, parallelism=None, sources={}, storage=STORAGE).parallelism == 1
    assert PlaceCheck(exchange.folder, STORAGE).modules == ("obstore", "fsspec")
    for step, name in (("read", "spark.folder_is_not_shared"), ("write_over", "spark.executors_cannot_write")):
        with monkeypatch.context() as patch:
            check = PlaceCheck.tried

            def refused(place, token, *, step=step, check=check):
                with monkeypatch.context() as inner:
                    inner.setattr(ObjectStoreDisk, step, _refuse)
                    return check(place, token)

            patch.setattr(PlaceCheck, "tried", refused)
            with raises_message(ConfigError, name, why="[Errno 13] HTTP 403") as caught:
                inspect(held, exchange.folder, parallelism=None, sources={}, storage=STORAGE)
            assert "environment variables" in caught.value.hint


def _refuse(*_arguments, **_options):
    raise OSError(errno.EACCES, "HTTP 403")
