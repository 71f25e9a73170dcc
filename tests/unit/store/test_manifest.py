"""The one way in which a run's manifest changes: several processes lose nothing of each other's."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from statekeeper.config.sections.output import LockKind, OutputConfig
from statekeeper.errors import FailureKind, LockHeld, StateDamaged
from statekeeper.model.manifest import FoundBy, RunManifest, TableFailure
from statekeeper.model.state import Failure, Owner, State
from statekeeper.model.table import TableRef
from statekeeper.store import locked_change
from statekeeper.store.files.disk import LocalDisk, WholeFileDisk
from statekeeper.store.layout import manifest_file, manifest_lock
from statekeeper.store.locks.holder import Holder
from statekeeper.store.locks.lock import acquire_lock
from statekeeper.store.manifest import load_manifest, update_manifest
from statekeeper.store.process import this_process

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
RUN_ID = "shop-20260102"
DISKS = [(LocalDisk(), LockKind.FLOCK), (LocalDisk(), LockKind.LEASE), (WholeFileDisk(), LockKind.AUTO)]
DISK_IDS = ["flock", "lease", "without rename"]


def _output(tmp_path: Path, kind: LockKind = LockKind.FLOCK) -> OutputConfig:
    return OutputConfig(base_path=str(tmp_path / "data"), lock=kind, lease_ttl=timedelta(seconds=0.4))


def _table(name: str) -> TableRef:
    return TableRef(source_name="shop", table_name=name, path_name=name)


def _with_table(found: RunManifest | None, name: str) -> RunManifest:
    tables = found.tables if found else ()
    return RunManifest(
        run_id=RUN_ID,
        pipeline="shop",
        extraction_date="2026-01-02",
        config_path="/shop.yml",
        config_fingerprint="f",
        base_path="data",
        engine="local",
        statekeeper_version="0.1.0",
        tables=(*tables, _table(name)),
        started_at=NOW,
    )


def _failure(name: str, message: str = "the model is broken") -> TableFailure:
    failure = Failure(kind=FailureKind.CONFIG, message=message, failed_in=State.COMPLETE)
    return TableFailure(table=_table(name), found_by=FoundBy.RUN, at=NOW, failure=failure)


def _names(manifest: RunManifest) -> list[str]:
    return sorted(table.table_name for table in manifest.tables)


@pytest.mark.parametrize(("disk", "kind"), DISKS, ids=DISK_IDS)
def test_changes_made_at_once_are_all_kept(tmp_path, disk, kind):
    output = _output(tmp_path, kind)
    start = threading.Barrier(6)

    def add(name: str) -> None:
        start.wait()
        update_manifest(disk, output, RUN_ID, lambda found: _with_table(found, name))

    threads = [threading.Thread(target=add, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _names(load_manifest(disk, tmp_path / "data", RUN_ID)) == [f"t{number}" for number in range(6)]


@pytest.mark.parametrize(("disk", "kind"), DISKS, ids=DISK_IDS)
def test_change_waits_for_one_that_has_read_and_not_yet_written(tmp_path, disk, kind):
    output = _output(tmp_path, kind)
    second = threading.Thread(
        target=lambda: update_manifest(disk, output, RUN_ID, lambda found: _with_table(found, "b"))
    )

    def first(found: RunManifest | None) -> RunManifest:
        second.start()
        second.join(0.2)
        assert second.is_alive()
        return _with_table(found, "a")

    update_manifest(disk, output, RUN_ID, first)
    second.join()
    assert _names(load_manifest(disk, tmp_path / "data", RUN_ID)) == ["a", "b"]


def test_change_is_made_again_where_the_lease_was_lost_before_the_write(tmp_path):
    output, path = _output(tmp_path, LockKind.LEASE), manifest_lock(tmp_path / "data", RUN_ID)
    update_manifest(LocalDisk(), output, RUN_ID, lambda found: _with_table(found, "a"))
    seen = []

    def slow(found: RunManifest) -> RunManifest:
        seen.append(_names(found))
        if len(seen) == 1:  # stopped for so long that another has taken over, changed the manifest, and is done
            epoch = max(int(name.rpartition(".")[2]) for name in LocalDisk().names(path.parent) if ".lock." in name)
            successor = Holder.of(this_process(), epoch=epoch + 1, ttl=timedelta(seconds=1)).released()
            path.with_name(f"{path.name}.{epoch + 1}").write_bytes(successor.to_bytes())
            manifest_file(tmp_path / "data", RUN_ID).write_bytes(_with_table(found, "b").to_bytes())
        return _with_table(found, "c")

    update_manifest(LocalDisk(), output, RUN_ID, slow)
    assert seen == [["a"], ["a", "b"]]
    assert _names(load_manifest(LocalDisk(), tmp_path / "data", RUN_ID)) == ["a", "b", "c"]


def test_change_that_changes_nothing_writes_nothing(tmp_path):
    output, path = _output(tmp_path), manifest_file(tmp_path / "data", RUN_ID)
    assert update_manifest(LocalDisk(), output, RUN_ID, lambda found: found) is None
    assert not path.exists()
    update_manifest(LocalDisk(), output, RUN_ID, lambda found: _with_table(found, "a"))
    before = path.stat()
    kept = update_manifest(LocalDisk(), output, RUN_ID, lambda found: found.without_failure(_table("a")))
    assert (_names(kept), path.stat().st_ino, path.stat().st_mtime_ns) == (["a"], before.st_ino, before.st_mtime_ns)


def test_damaged_manifest_is_left_as_it_is(tmp_path):
    output, path = _output(tmp_path), manifest_file(tmp_path / "data", RUN_ID)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")
    with pytest.raises(StateDamaged):
        update_manifest(LocalDisk(), output, RUN_ID, lambda found: _with_table(found, "a"))
    assert path.read_bytes() == b"{"


def test_holder_that_does_not_let_go_is_named(tmp_path, monkeypatch):
    output, path = _output(tmp_path), manifest_lock(tmp_path / "data", RUN_ID)
    monkeypatch.setattr(locked_change, "_WAIT_SECONDS", 0.1)
    taken = {"kind": LockKind.FLOCK, "owner": this_process(), "ttl": timedelta(seconds=1), "take_over": lambda _: None}
    with (
        acquire_lock(LocalDisk(), path, **taken),
        pytest.raises(LockHeld, match=f"process {this_process().pid}"),
    ):
        update_manifest(LocalDisk(), output, RUN_ID, lambda found: _with_table(found, "a"))


@pytest.mark.parametrize("kind", [LockKind.FLOCK, LockKind.LEASE])
def test_what_a_dead_holder_left_is_cleared_away(tmp_path, kind):
    output, path = _output(tmp_path, kind), manifest_file(tmp_path / "data", RUN_ID)
    path.parent.mkdir(parents=True)
    dead = Owner(host=this_process().host, boot_id="another boot", pid=1, started=1.0)
    if kind is LockKind.LEASE:
        holder = Holder.of(dead, epoch=1, ttl=timedelta(minutes=5))
        manifest_lock(tmp_path / "data", RUN_ID).with_suffix(".lock.1").write_bytes(holder.to_bytes())
    temp = path.with_name(f".{path.name}.{0 if kind is LockKind.FLOCK else 1}.tmp")
    temp.write_bytes(b"half")
    update_manifest(LocalDisk(), output, RUN_ID, lambda found: _with_table(found, "a"))
    assert not temp.exists()


def test_manifest_of_an_earlier_version_has_no_failures():
    body = json.loads(_with_table(None, "a").to_bytes())
    earlier = {key: value for key, value in body.items() if key not in {"failures", "checksum"}}
    text = json.dumps(earlier, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    earlier["checksum"] = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert RunManifest.from_bytes(json.dumps(earlier).encode(), where="x").failures == ()


def test_failure_of_a_table_is_replaced_and_taken_back(tmp_path):
    manifest = _with_table(_with_table(None, "a"), "b").with_failure(_failure("a")).with_failure(_failure("b"))
    manifest = manifest.with_failure(_failure("a", "the disk is full"))
    assert len(manifest.failures) == 2
    assert manifest.failure_of(_table("a")).failure.message == "the disk is full"
    read = RunManifest.from_bytes(manifest.to_bytes(), where="x")
    assert read.failures == manifest.failures
    assert manifest.without_failure(_table("a")).failure_of(_table("a")) is None
    assert manifest.without_failure(_table("a")).failure_of(_table("b")) is not None
