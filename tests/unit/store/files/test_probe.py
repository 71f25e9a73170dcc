"""What a folder's file system offers is found out by trying, and nothing of the trial is left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from statekeeper.config.sections.output import WritesKind
from statekeeper.errors import StorageError
from statekeeper.store.files.disk import LocalDisk, WholeFileDisk, Writes
from statekeeper.store.files.probe import disk_under, writes_in
from statekeeper.store.files.temps import process_token
from tests.crash.nameless_disk import NamelessDisk


class Refusing(LocalDisk):
    """Refuses one step, with one error."""

    def __init__(self, step, code):
        self.step, self.code = step, code

    def link(self, source, dest, *, role):
        self._maybe("link")
        super().link(source, dest, role=role)

    def rename(self, source, dest, *, role):
        self._maybe("rename folder" if source.is_dir() else "rename")
        super().rename(source, dest, role=role)

    def _maybe(self, step):
        if step == self.step:
            raise OSError(self.code, os.strerror(self.code))


class LinkingOverOthers(LocalDisk):
    """A link takes a name that is taken: the first does not win."""

    def link(self, source, dest, *, role):
        dest.unlink(missing_ok=True)
        super().link(source, dest, role=role)


class CopyingLinks(LocalDisk):
    """A rename that leaves the file as it was."""

    def rename(self, source, dest, *, role):
        if source.is_dir():
            super().rename(source, dest, role=role)
        else:
            source.unlink()


def test_a_local_folder_has_rename_and_link(tmp_path):
    assert type(disk_under(tmp_path / "data", WritesKind.AUTO)) is LocalDisk
    assert list((tmp_path / "data").rglob("*")) == [tmp_path / "data" / "_runs"]


@pytest.mark.parametrize("step", ["link", "rename", "rename folder"])
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM, errno.ENOTSUP])
def test_one_step_that_is_not_offered_is_enough(tmp_path, step, code):
    assert writes_in(Refusing(step, code), tmp_path / "trial") is Writes.WHOLE


@pytest.mark.parametrize("disk", [LinkingOverOthers(), CopyingLinks(), NamelessDisk()])
def test_a_step_that_does_another_thing_is_not_offered(tmp_path, disk):
    assert writes_in(disk, tmp_path / "trial") is Writes.WHOLE


def test_a_full_disk_is_no_answer(tmp_path):
    with pytest.raises(OSError, match="No space"):
        writes_in(Refusing("rename", errno.ENOSPC), tmp_path / "trial")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write to"):
        disk_under(tmp_path / "file", WritesKind.AUTO)


@pytest.mark.parametrize(("configured", "kind"), [(WritesKind.RENAME, LocalDisk), (WritesKind.WHOLE, WholeFileDisk)])
def test_what_is_configured_is_not_tried(tmp_path, configured, kind):
    assert type(disk_under(tmp_path / "data", configured)) is kind
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("path", ["/Volumes/main/raw/erp/data", "/dbfs/data"])
def test_object_stores_of_databricks_are_known_by_their_path(path):
    assert type(disk_under(Path(path), WritesKind.AUTO)) is WholeFileDisk


def _closed(monkeypatch, folder, code):
    """Have the system refuse to open `folder`, as it does for the catalog and the schema above a volume."""
    real = os.open

    def opened(path, flags, *arguments, **options):
        if Path(os.fspath(path)) == folder:
            raise OSError(code, os.strerror(code), os.fspath(path))
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOTSUP, errno.EIO, errno.ENOENT])
@pytest.mark.parametrize("kind", list(WritesKind))
@pytest.mark.parametrize("is_new", [True, False])
def test_the_folder_above_base_path_needs_not_be_opened(tmp_path, monkeypatch, code, kind, is_new):
    base_path = tmp_path / "schema" / "volume"
    (base_path.parent if is_new else base_path).mkdir(parents=True)
    _closed(monkeypatch, base_path.parent, code)
    disk = disk_under(base_path, kind)
    disk.make_folder(base_path / "shop" / "orders", role="lock")
    disk.make_folder(base_path / "shop" / "orders", role="lock")
    assert (base_path / "shop" / "orders").is_dir()


def test_a_folder_in_base_path_that_cannot_be_opened_is_an_error(tmp_path, monkeypatch):
    disk = disk_under(tmp_path, WritesKind.AUTO)
    (tmp_path / "shop").mkdir()
    _closed(monkeypatch, tmp_path / "shop", errno.EIO)
    with pytest.raises(OSError, match="error"):
        disk.make_folder(tmp_path / "shop" / "orders", role="lock")


def test_what_a_dead_process_left_of_its_trial_is_removed(tmp_path):
    dead = process_token().rsplit("-", 2)[0] + "-4194303-1"
    left = tmp_path / "_runs" / f".probe-{dead}"
    left.mkdir(parents=True)
    (left / "first").touch()
    disk_under(tmp_path, WritesKind.AUTO)
    assert not left.exists()
