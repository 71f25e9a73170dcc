"""Which kind of lock a folder needs, how to take one, and who holds it. For extractions and for single documents.

The kinds are `store.locks.flock` (one machine) and `store.locks.lease` (several). All runners of an extraction must use
the same kind. If one uses a local disk and another its network export, the configuration must say `lease`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from statekeeper.config.sections.output import LockKind
from statekeeper.errors import UsageError
from statekeeper.model.state import Owner
from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.files.links import refuse_links_to
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.locks.fencing import fence_off
from statekeeper.store.locks.flock import acquire_flock, flock_holder
from statekeeper.store.locks.holder import ExtractionLock
from statekeeper.store.locks.lease import acquire_lease
from statekeeper.store.locks.lease_watch import LeaseWatch, lease_holder

_MOUNTS = Path("/proc/self/mountinfo")
_SHARED = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "gfs2"}
    | {"orangefs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs"}
)


def choose_kind(disk: Disk, folder: Path, configured: LockKind) -> LockKind:
    """The configured kind. For `auto`, a lease if `folder` is (or will be) on a network or FUSE file system.

    Also a lease on a disk without rename: that is an object store, which machines share.

    Raises:
        UsageError: an object store cannot have the configured kind.
    """
    if disk.writes is Writes.OBJECTS and configured is LockKind.FLOCK:
        raise UsageError("an object store has no flock", hint="leave `output.lock` out: there it is always a lease")
    if configured is not LockKind.AUTO:
        return configured
    if not disk.writes.has_rename:
        return LockKind.LEASE
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return LockKind.FLOCK
    kind = filesystem_type(folder.resolve(), mounts)
    return LockKind.LEASE if kind in _SHARED or kind.startswith("fuse") else LockKind.FLOCK


def filesystem_type(folder: Path, mounts: str) -> str:
    """The file system type of an absolute folder, from the text of mountinfo (proc(5)); empty if unknown."""
    best, kind = 0, ""
    for line in mounts.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4]))
        # Of two mounts on one point, the later hides the earlier.
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split(" ")[0]
    return kind


def watch_lease(disk: Disk, layout: ExtractionLayout, *, kind: LockKind, ttl: timedelta) -> LeaseWatch | None:
    """A watch that says when the lock of an extraction may be taken; None for a flock, which needs no waiting."""
    if choose_kind(disk, layout.folder, kind) is LockKind.LEASE:
        return LeaseWatch(disk, layout.lock, ttl=ttl)
    return None


def acquire(
    disk: Disk,
    layout: ExtractionLayout,
    *,
    kind: LockKind,
    owner: Owner,
    ttl: timedelta,
    watch: LeaseWatch | None = None,
) -> ExtractionLock:
    """Become the only runner of an extraction, and remove unfinished files of a dead one.

    `watch`, if given, comes from `watch_lease` for the same lock.

    Raises:
        StorageError: a path of the extraction is a symbolic link; otherwise as `acquire_lock`.
    """
    refuse_links_to(layout)

    def take_over(epoch: int) -> None:
        fence_off(disk, layout, epoch=epoch)

    if watch is not None:
        return acquire_lease(disk, layout.lock, owner=owner, ttl=ttl, take_over=take_over, watch=watch)
    return acquire_lock(disk, layout.lock, kind=kind, owner=owner, ttl=ttl, take_over=take_over)


def acquire_lock(
    disk: Disk, path: Path, *, kind: LockKind, owner: Owner, ttl: timedelta, take_over: Callable[[int], None]
) -> ExtractionLock:
    """Take the lock at `path`. `take_over` is called with its epoch, and fences off earlier holders.

    A flock is taken at once or not at all. For a lease it takes up to its ttl to know whether its holder is dead.

    Raises:
        LockHeld: another runner holds it; the message names that runner.
        StorageError: the file system refused.
    """
    if choose_kind(disk, path.parent, kind) is LockKind.LEASE:
        return acquire_lease(disk, path, owner=owner, ttl=ttl, take_over=take_over)
    return acquire_flock(disk, path, owner=owner, ttl=ttl, take_over=take_over)


def peek(disk: Disk, layout: ExtractionLayout) -> Owner | None:
    """The current runner of this extraction, by either kind of lock. Never waits, and never blocks others.

    Raises:
        StorageError: the lock file cannot be read.
    """
    with storage_errors(layout.lock, "look at"):
        return lease_holder(disk, layout.lock) or flock_holder(disk, layout.lock)
