"""Which kind of lock a folder gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from statekeeper.config.sections.output import LockKind
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.locks import lock
from statekeeper.store.locks.lock import choose_kind, filesystem_type

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:40 / /data rw,relatime - nfs4 server:/export rw,vers=4.2
24 23 0:41 / /data/local rw,relatime master:3 propagate_from:1 - xfs /dev/vdb rw
25 22 0:42 / /Volumes rw - fuse.goofys bucket rw
26 22 0:43 / /my\\040share rw - cifs //server/share rw
27 22 0:44 / /over rw - nfs server:/x rw
28 22 0:45 / /over rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/someone", "ext4"),
        ("/data", "nfs4"),
        ("/data/shop/orders", "nfs4"),
        ("/data/local/shop", "xfs"),
        ("/database", "ext4"),
        ("/Volumes/a", "fuse.goofys"),
        ("/my share/x", "cifs"),
        ("/over/x", "tmpfs"),
    ],
)
def test_longest_mount_point_decides(folder, kind):
    assert filesystem_type(Path(folder), MOUNTS) == kind


def test_nothing_readable_is_no_type():
    assert filesystem_type(Path("/x"), "garbage\n\n") == ""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ext4", "flock"),
        ("nfs", "lease"),
        ("fuse", "lease"),
        ("fuse.s3fs", "lease"),
        ("cifs", "lease"),
        ("9p", "lease"),
    ],
)
def test_auto_takes_a_lease_on_shared_file_systems(tmp_path, monkeypatch, kind, expected):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 254:0 / / rw - {kind} /dev/vda rw\n")
    monkeypatch.setattr(lock, "_MOUNTS", mounts)
    assert choose_kind(LocalDisk(), tmp_path / "not" / "yet", LockKind.AUTO) == expected


def test_configured_kind_wins():
    assert choose_kind(LocalDisk(), Path("/"), LockKind.LEASE) is LockKind.LEASE
    assert choose_kind(LocalDisk(), Path("/"), LockKind.FLOCK) is LockKind.FLOCK


def test_system_without_mountinfo_gets_flock(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_MOUNTS", tmp_path / "absent")
    assert choose_kind(LocalDisk(), tmp_path, LockKind.AUTO) is LockKind.FLOCK
