"""The second slot of a document: how it is replaced and read on a file system without rename.

`.{name}.next` is in the same folder as the document `name`. It holds the whole next content after a line with its
digest, so that its bytes alone show whether it was written to the end. The order of a replacement is

1. finish what an earlier one left (`settle`);
2. write the next content to the second slot, durably: from here on, this is the document;
3. write it over the document itself;
4. remove the second slot.

Whenever a process dies, one of the two is whole: before the end of step 2 the document, after it the second slot. A
reader takes the second slot if it is whole, so it need not know whether the file system has rename.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from statekeeper.errors import StateDamaged
from statekeeper.store.files.disk import Access, Disk, Writes
from statekeeper.store.files.no_follow import NO_FILE

_MAGIC = b"statekeeper.next "
_LOOKS = 10
_END = b"\n}\n"
"""How every JSON document ends, and no part of one: braces inside are indented."""


def second_slot(path: Path) -> Path:
    """The path of a document's next content while it is replaced."""
    return path.with_name(_slot_name(path))


def _slot_name(path: Path) -> str:
    return f".{path.name}.next"


def read_document(disk: Disk, path: Path) -> bytes:
    """The content of a document as it was last saved, also while it is being replaced.

    Raises:
        FileNotFoundError: there is none.
        StateDamaged: it is a link, a folder, a pipe or a device; it was not followed or read.
    """
    with damage_where_no_file_is(path):
        return disk.read(path) if disk.writes is Writes.OBJECTS else _content(disk, path)


def read_listed(disk: Disk, path: Path, names: Container[str]) -> bytes:
    """The same at the cost of opening one file, for a JSON document in a folder whose names were just listed.

    A document that is being replaced has a second slot among these names, or is found without its end.

    Raises:
        FileNotFoundError, StateDamaged: as `read_document`.
    """
    if _slot_name(path) not in names:
        if path.name not in names:
            raise FileNotFoundError(f"{path} does not exist")
        with damage_where_no_file_is(path):
            data = disk.read(path)
        if data.endswith(_END):
            return data
    return read_document(disk, path)


@contextmanager
def damage_where_no_file_is(path: Path) -> Iterator[None]:
    """Turn the error for a document's path that is not a file into StateDamaged."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise StateDamaged(
            f"{path} is not a file: {error.strerror}",
            hint=f"look at it (ls -l {path}), and move it away; then run again",
        ) from error


def _content(disk: Disk, path: Path) -> bytes:
    for _ in range(_LOOKS):
        data = _read(disk, path)
        following = _following(disk, path)
        if following is not None:
            return following
        if data is None:
            raise FileNotFoundError(f"{path} does not exist")
        # If it was being overwritten while it was read, it has grown since.
        with suppress(FileNotFoundError):
            if disk.size(path) == len(data):
                return data
    return disk.read(path)


def write_through_slots(disk: Disk, path: Path, data: bytes, *, role: str, access: Access = Access.PRIVATE) -> None:
    """Replace a document on a disk without rename. The caller has called `settle`, and checked its fence."""
    slot = second_slot(path)
    disk.write_over(slot, io.BytesIO(_framed(data)), role=role)
    disk.sync_folder(path.parent, role=role)
    _finish(disk, path, data, role=role, access=access)


def settle(disk: Disk, path: Path, *, role: str, access: Access = Access.PRIVATE) -> None:
    """Finish or undo an interrupted replacement, if there is one."""
    found = _read(disk, second_slot(path)) if disk.writes is not Writes.OBJECTS else None
    if found is None:
        return
    following = _unframed(found)
    if following is not None:
        _finish(disk, path, following, role=role, access=access)
    else:
        disk.unlink(second_slot(path), role=role)


def _finish(disk: Disk, path: Path, data: bytes, *, role: str, access: Access) -> None:
    disk.write_over(path, io.BytesIO(data), role=role, access=access)
    disk.sync_folder(path.parent, role=role)
    disk.unlink(second_slot(path), role=role)


def _following(disk: Disk, path: Path) -> bytes | None:
    """The content of the second slot; None if there is none, or if it was not written to its end."""
    return _unframed(_read(disk, second_slot(path)) or b"")


def _read(disk: Disk, path: Path) -> bytes | None:
    try:
        return disk.read(path)
    except FileNotFoundError:
        return None


def _framed(data: bytes) -> bytes:
    return _header(data) + b"\n" + data


def _unframed(content: bytes) -> bytes | None:
    header, _, data = content.partition(b"\n")
    return data if header == _header(data) else None


def _header(data: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(data).hexdigest().encode()
