"""Whether one Parquet file is byte for byte the one that was written."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import BinaryIO

from statekeeper.config.resolved import Verify
from statekeeper.model.metadata import PublishedFile
from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.files.durable import storage_errors
from statekeeper.system_errors import storage_error

_BLOCK = 1 << 20


def find_damage(disk: Disk, path: Path, expected: PublishedFile, *, plan_id: str, verify: Verify) -> str | None:
    """Like `find_part_damage`, on any disk: with `Verify.QUICK`, an object's size and footer are all that is read."""
    if disk.writes is not Writes.OBJECTS:
        return find_part_damage(path, expected, plan_id=plan_id, verify=verify)
    with storage_errors(path, "read"):
        size = disk.file_size(path)
        if size is None:
            return f"{path.name} is missing"
        if size != expected.bytes:
            return f"{path.name} has {size} bytes and not {expected.bytes}"
        if verify is Verify.FULL:
            digest = hashlib.md5(usedforsecurity=False)
            for block in disk.blocks(path, _BLOCK):
                digest.update(block)
            if digest.hexdigest() != expected.md5:
                return f"{path.name} has md5 {digest.hexdigest()} and not {expected.md5}"
        with disk.open(path) as file:
            return _damage_by_footer(file, path, expected, plan_id=plan_id)


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
