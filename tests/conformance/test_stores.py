"""What every state store must do, run against each of them."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime

import pytest

from statekeeper.errors import LockLost, NewerVersion, StateDamaged, StorageError
from statekeeper.model.record import StateRecord
from statekeeper.model.state import Owner, State
from statekeeper.model.table import TableRef
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.state import LocalStateStore
from tests.memory_state_store import MemoryStateStore
from tests.messages import message, raises_message

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OWNER = Owner(host="h", boot_id="b", pid=1, started=1.5)


class Memory:
    """A store in memory, and its bytes."""

    def __init__(self, _folder):
        self.store = MemoryStateStore()

    def content(self):
        return self.store.content

    def put(self, data):
        self.store.content = data

    def reopened(self):
        return MemoryStateStore(self.store.content)


class Local:
    """A store on a real disk, and its bytes."""

    def __init__(self, folder):
        self.path = folder / "r_state.json"
        self.store = LocalStateStore(LocalDisk(), self.path, NO_FENCE)

    def content(self):
        return self.path.read_bytes() if self.path.exists() else None

    def put(self, data):
        self.path.write_bytes(data)

    def reopened(self):
        return LocalStateStore(LocalDisk(), self.path, NO_FENCE)


@pytest.fixture(params=[Memory, Local])
def kept(request, tmp_path):
    return request.param(tmp_path)


def a_record() -> StateRecord:
    return StateRecord(
        run_id="r",
        pipeline="p",
        extraction_date="2026-01-02",
        table=TableRef(source_name="s", table_name="größe", path_name="größe"),
        fingerprint="f",
    )


def test_nothing_saved_is_none(kept):
    assert kept.store.load() is None


def test_saved_record_is_loaded_by_another_store(kept):
    saved = kept.store.save(a_record())
    assert saved == a_record().with_revision(1)
    loaded = kept.reopened().load()
    assert loaded.model_copy(update={"checksum": ""}) == saved


def test_revision_grows_with_every_save_and_history_is_kept(kept):
    record = kept.store.save(a_record())
    for trigger, dest in (("start", State.EXTRACTING), ("extracted", State.VALIDATING)):
        entered = record.entered(dest, trigger=trigger, at=NOW, owner=OWNER, reason=None)
        record = kept.store.save(entered)
    loaded = kept.reopened().load()
    assert loaded.revision == 3
    assert [entry.trigger for entry in loaded.history] == ["start", "extracted"]
    assert loaded.state is State.VALIDATING


def test_loaded_record_can_be_saved_again(kept):
    kept.store.save(a_record())
    assert kept.store.save(kept.store.load()).revision == 2
    assert kept.reopened().load().revision == 2


def damage(data: bytes, **changes) -> bytes:
    return json.dumps({**json.loads(data), **changes}).encode()


@pytest.mark.parametrize(
    ("ruin", "words"),
    [
        (lambda _data: b"", message("model.not_whole_json")),
        (lambda data: data[: len(data) // 2], message("model.not_whole_json")),
        (lambda data: b"\x00" * len(data), message("model.not_whole_json")),
        (lambda _data: b"\xff\xfe", message("model.not_whole_json")),
        (lambda _data: b"[]", message("model.not_a_document", format="statekeeper.state")),
        (
            lambda data: damage(data, format="statekeeper.plan"),
            message("model.not_a_document", format="statekeeper.state"),
        ),
        (lambda data: damage(data, state="complete"), message("model.other_checksum")),
    ],
)
def test_damaged_state_is_an_error_and_the_file_is_kept(kept, ruin, words):
    kept.store.save(a_record())
    ruined = ruin(kept.content())
    kept.put(ruined)
    with raises_message(StateDamaged, words) as caught:
        kept.reopened().load()
    assert caught.value.hint
    assert kept.content() == ruined


def test_state_of_a_newer_version_is_not_damage_and_is_kept(kept):
    kept.store.save(a_record())
    newer = damage(kept.content(), version=99)
    kept.put(newer)
    with raises_message(NewerVersion, "model.newer_version", version=99):
        kept.reopened().load()
    assert kept.content() == newer


def test_damage_names_the_file(tmp_path):
    kept = Local(tmp_path)
    kept.put(b"")
    with pytest.raises(StateDamaged, match=str(kept.path)):
        kept.store.load()


def test_failed_save_keeps_the_last_record(tmp_path):
    class Full(LocalDisk):
        is_full = False

        def _fsync(self, descriptor):
            if self.is_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super()._fsync(descriptor)

    disk = Full()
    store = LocalStateStore(disk, tmp_path / "r_state.json", NO_FENCE)
    record = store.save(a_record())
    disk.is_full = True
    with pytest.raises(StorageError) as caught:
        store.save(record)
    assert caught.value.code == "ENOSPC"
    assert store.load().revision == 1
    disk.is_full = False
    assert store.save(record).revision == 2


def test_save_under_a_lost_lock_changes_nothing(tmp_path):
    class Fence:
        epoch = 1
        is_lost = False

        def check(self):
            if self.is_lost:
                raise LockLost("lost")

    fence = Fence()
    store = LocalStateStore(LocalDisk(), tmp_path / "r_state.json", fence)
    record = store.save(a_record())
    fence.is_lost = True
    with pytest.raises(LockLost):
        store.save(record)
    assert store.load().revision == 1


def test_unreadable_state_is_a_storage_error_not_an_absent_one(tmp_path):
    class Unreadable(LocalDisk):
        def read(self, path):
            raise OSError(errno.EIO, "the device reports an error", str(path))

    with pytest.raises(StorageError) as caught:
        LocalStateStore(Unreadable(), tmp_path / "r_state.json", NO_FENCE).load()
    assert caught.value.code == "EIO"
