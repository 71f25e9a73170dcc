"""Whether one Parquet file is byte for byte the one that was written."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import BinaryIO, cast

from statekeeper.config.resolved import Verify
from statekeeper.model.metadata import PublishedFile
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.versions import ObjectFile, objects_disk, shows_bytes
from statekeeper.system_errors import storage_error

_BLOCK = 1 << 20


def find_damage(disk: Disk, path: Path, expected: PublishedFile, *, plan_id: str, verify: Verify) -> str | None:
    """Like `find_part_damage`, on any disk: with `Verify.QUICK`, an object's size and footer are all that is read."""
    objects = objects_disk(disk)
    if objects is None:
        return find_part_damage(path, expected, plan_id=plan_id, verify=verify)
    with storage_errors(path, "read"):
        wrong = _wrong_with_size(objects, path, expected)
        if wrong is None and verify is Verify.FULL:
            wrong = _wrong_with_bytes(objects, path, expected)
        if wrong is not None:
            return wrong
        with disk.open(path) as file:
            return _damage_by_footer(file, path, expected, plan_id=plan_id)


def find_object_damage(
    disk: Disk, path: Path, file: ObjectFile, expected: PublishedFile, *, plan_id: str, e_tag: str | None
) -> str | None:
    """Like `find_damage` with `Verify.FULL`, for an open object; but what the store's checksum proves is not read.

    `e_tag` is that of its receipt.
    """
    with storage_errors(path, "read"):
        wrong = _size_differs(path, file.size, expected)
        if wrong is None and not shows_bytes(file.version, md5=expected.md5, e_tag=e_tag):
            wrong = _wrong_with_bytes(disk, path, expected)
        return wrong or _damage_by_footer(cast("BinaryIO", file.again()), path, expected, plan_id=plan_id)


def _wrong_with_size(disk: Disk, path: Path, expected: PublishedFile) -> str | None:
    size = disk.file_size(path)
    return f"{path.name} is missing" if size is None else _size_differs(path, size, expected)


def _size_differs(path: Path, size: int, expected: PublishedFile) -> str | None:
    return f"{path.name} has {size} bytes and not {expected.bytes}" if size != expected.bytes else None


def _wrong_with_bytes(disk: Disk, path: Path, expected: PublishedFile) -> str | None:
    digest = hashlib.md5(usedforsecurity=False)
    for block in disk.blocks(path, _BLOCK):
        digest.update(block)
    found = digest.hexdigest()
    return f"{path.name} has md5 {found} and not {expected.md5}" if found != expected.md5 else None


def find_part_damage(path: Path, expected: PublishedFile, *, plan_id: str, verify: Verify) -> str | None:
    """What is wrong with one Parquet part, or None. Raises StorageError if the system cannot read it."""
    with storage_errors(path, "read"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return f"{path.name} is missing"
    if not stat.S_ISREG(found.st_mode):
        return f"{path.name} is not a regular file"
    if found.st_size != expected.bytes:
        return f"{path.name} has {found.st_size} bytes and not {expected.bytes}"
    if verify is Verify.FULL and (md5 := md5_of(path)) != expected.md5:
        return f"{path.name} has md5 {md5} and not {expected.md5}"
    return _damage_by_footer(path, path, expected, plan_id=plan_id)


def _damage_by_footer(source: Path | BinaryIO, path: Path, expected: PublishedFile, *, plan_id: str) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            footer = file.metadata
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # without errno, it is Arrow's own error
            raise storage_error(error, path, "read") from error
        return f"{path.name} has no readable Parquet footer: {error}"
    if footer.num_rows != expected.rows:
        return f"{path.name} has {footer.num_rows} rows and not {expected.rows}"
    if (footer.metadata or {}).get(b"statekeeper.plan_id", b"").decode() != plan_id:
        return f"{path.name} does not belong to plan {plan_id}"
    return None


def md5_of(path: Path) -> str:
    """A file's md5, in hexadecimal. Raises StorageError."""
    digest = hashlib.md5(usedforsecurity=False)
    with storage_errors(path, "read"), path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
