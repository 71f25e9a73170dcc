"""Whether what is published still is what was published: `complete` is re-verified, not believed.

Finds damage and says it in words; it repairs nothing.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from statekeeper.config.extraction import Verify
from statekeeper.errors import NewerVersion, StateDamaged
from statekeeper.layout import ExtractionLayout
from statekeeper.model.metadata import Metadata, PublishedFile, dataset_checksum, parse_metadata
from statekeeper.model.record import Published
from statekeeper.store.disk import LocalDisk
from statekeeper.store.durable import storage_errors
from statekeeper.store.links import refuse_links_to
from statekeeper.store.slots import read_document
from statekeeper.system_errors import storage_error
from statekeeper.work import WorkContext

_BLOCK = 1 << 20


@dataclass(frozen=True)
class VerifySpec:
    """A published extraction. `published` is what its state says; None where only files and metadata are to agree."""

    layout: ExtractionLayout
    published: Published | None
    verify: Verify


def verify_published(spec: VerifySpec, context: WorkContext) -> str | None:
    """What is wrong with the published files, in words; None where they are as their metadata and state say.

    Raises:
        StorageError: a name of the extraction is a symbolic link, or the system does not let a file be read.
    """
    refuse_links_to(spec.layout)
    try:
        data = read_document(LocalDisk(), spec.layout.metadata)
    except FileNotFoundError:
        return f"{spec.layout.metadata.name} is missing"
    if spec.published and hashlib.md5(data, usedforsecurity=False).hexdigest() != spec.published.metadata_md5:
        return f"{spec.layout.metadata.name} is not what was written at completion"
    try:
        metadata = parse_metadata(data, where=spec.layout.metadata.name)
    except NewerVersion:
        raise
    except StateDamaged as error:
        return error.message
    if not metadata.extraction_complete:
        return f"{spec.layout.metadata.name} does not say that the extraction is complete"
    if not spec.layout.is_dataset_name(metadata.output_name):
        return f"{spec.layout.metadata.name} names {metadata.output_name}, which is no dataset of this extraction"
    return _wrong_with_files(spec.layout, metadata, spec.verify, context)


def wrong_with_part(path: Path, expected: PublishedFile, *, plan_id: str, verify: Verify) -> str | None:
    """What is wrong with one Parquet part, in words. Raises StorageError where the system does not let it be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    try:
        with pq.ParquetFile(path) as file:
            footer = file.metadata
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # else it is Arrow's word on what it has read
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


def _wrong_with_files(layout: ExtractionLayout, metadata: Metadata, verify: Verify, context: WorkContext) -> str | None:
    output = layout.folder / metadata.output_name
    if not output.exists():
        return f"{output.name} is missing"
    if output.is_dir() != metadata.is_folder:
        was, is_now = ("folder", "file") if metadata.is_folder else ("file", "folder")
        return f"{output.name} is a {is_now}, and a {was} was published"
    expected = {file.name: file for file in metadata.files}
    if metadata.is_folder:
        found = {entry.name for entry in output.iterdir() if entry.name[0] not in "._"}
        if strangers := found - expected.keys():
            return f"{output.name} has a file that is not of this extraction: {min(strangers)}"
    paths = {name: output / name if metadata.is_folder else output for name in expected}
    for name, file in sorted(expected.items()):
        context.check_stop()
        wrong = wrong_with_part(paths[name], file, plan_id=metadata.plan_id, verify=verify)
        if wrong:
            return wrong
    if wrong := _wrong_with_quarantine(layout, metadata, verify):
        return wrong
    if dataset_checksum(metadata.files, is_folder=metadata.is_folder) != metadata.checksum:
        return f"the files listed in {output.name}'s metadata do not add up to its checksum"
    if sum(file.rows for file in metadata.files) != metadata.record_count:
        return f"the files listed in {output.name}'s metadata do not add up to its record_count"
    return None


def _wrong_with_quarantine(layout: ExtractionLayout, metadata: Metadata, verify: Verify) -> str | None:
    expected = metadata.validation.quarantine
    try:
        found = {f"{layout.quarantine_folder.name}/{entry.name}" for entry in layout.quarantine_folder.iterdir()}
    except FileNotFoundError:
        found = set()
    if extra := {name for name in found if layout.is_quarantine_name(name)} - {expected.name if expected else ""}:
        return f"{min(extra)} is not what this extraction has quarantined"
    if expected is None:
        return None
    if not layout.is_quarantine_name(expected.name):
        return f"{layout.metadata.name} names {expected.name}, which is no quarantine of this extraction"
    return wrong_with_part(layout.folder / expected.name, expected, plan_id=metadata.plan_id, verify=verify)
