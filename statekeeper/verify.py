"""Verifies that published data is still what was committed: `complete` is not trusted.

Finds damage and describes it; repairs nothing. Workers check the files of a large dataset, many at once and on any
machine; the parent process starts them (`damage_of_published`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.config.resolved import ExtractionConfig, Verify
from statekeeper.engines.context import WorkContext
from statekeeper.engines.protocol import FILE_ROWS, Job, Result, Urgency
from statekeeper.errors import StateDamaged
from statekeeper.model.metadata import Metadata, PublishedFile, dataset_checksum, parse_metadata
from statekeeper.model.record import Published
from statekeeper.parquet.integrity import find_damage
from statekeeper.store.documents import load_metadata
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.links import refuse_links_to
from statekeeper.store.files.slots import read_document
from statekeeper.store.layout import ExtractionLayout

if TYPE_CHECKING:
    from statekeeper.runtime.context import Run

_SHARE_BYTES = 256 << 20
"""The bytes for one worker, about a second of reading, so that a small table is not split over workers."""
_OPEN_BYTES = 16 << 20
"""The cost of opening a file on a slow file system, in bytes that could be read in the same time."""


@dataclass(frozen=True)
class VerifySpec:
    """A published extraction. `published` is its entry in the state; with None, only files and metadata must agree.

    `in_table` are the files of its dataset that its table's version has; None for a dataset that is no table's.
    """

    layout: ExtractionLayout
    published: Published | None
    verify: Verify
    disk: Disk
    in_table: frozenset[str] | None = None


@dataclass(frozen=True)
class FilesSpec:
    """Published files of one plan: absolute paths, and what the metadata say about each."""

    files: tuple[tuple[Path, PublishedFile], ...]
    plan_id: str
    verify: Verify
    disk: Disk

    @property
    def rows(self) -> int:
        return sum(file.rows for _, file in self.files)

    @property
    def cost(self) -> int:
        """The cost of checking the files, in bytes."""
        return sum(map(self._cost_of, self.files))

    @property
    def shares(self) -> tuple[FilesSpec, ...]:
        """The files in shares, each large enough for a job of its own."""
        shares: list[list[tuple[Path, PublishedFile]]] = []
        room = 0
        for each in self.files:
            if room <= 0:
                shares.append([])
                room = _SHARE_BYTES
            shares[-1].append(each)
            room -= self._cost_of(each)
        return tuple(replace(self, files=tuple(share)) for share in shares)

    def _cost_of(self, each: tuple[Path, PublishedFile]) -> int:
        return _OPEN_BYTES + (each[1].bytes if self.verify is Verify.FULL else 0)


@dataclass(frozen=True)
class FilesVerdict:
    """The damage of files in words; None if there is none."""

    damage: str | None


@dataclass(frozen=True)
class Verified:
    """The damage that one worker has found, in words; `left` are shares of files for other workers."""

    damage: str | None
    left: tuple[FilesSpec, ...] = ()


def verify_published(spec: VerifySpec, context: WorkContext) -> Verified:
    """Compare published files with their metadata and state. For a large dataset, the files are left to other workers.

    Raises:
        StorageError: a path of the extraction is a symbolic link, or the system refuses to read a file.
    """
    refuse_links_to(spec.layout)
    try:
        data = read_document(spec.disk, spec.layout.metadata)
    except FileNotFoundError:
        return Verified(f"{spec.layout.metadata.name} is missing")
    if spec.published and hashlib.md5(data, usedforsecurity=False).hexdigest() != spec.published.metadata_md5:
        return Verified(f"{spec.layout.metadata.name} is not what was written at completion")
    try:
        metadata = parse_metadata(data, where=spec.layout.metadata.name)
    except StateDamaged as error:
        return Verified(error.message)
    if damage := _wrong_with_metadata(spec.layout, metadata) or _wrong_with_names(spec, metadata):
        return Verified(damage)
    files = _files(spec, metadata)
    if files.cost > _SHARE_BYTES:
        return Verified(None, left=files.shares)
    return Verified(check_files(files, context).damage)


def check_files(spec: FilesSpec, context: WorkContext) -> FilesVerdict:
    """The damage of the first damaged file of a share. Raises StorageError, Interrupted."""
    for path, file in spec.files:
        context.check_stop()
        if damage := find_damage(spec.disk, path, file, plan_id=spec.plan_id, verify=spec.verify):
            return FilesVerdict(damage)
    return FilesVerdict(None)


def _dataset(layout: ExtractionLayout, metadata: Metadata) -> Path:
    dataset = layout.dataset_named(metadata.output_path)
    assert dataset is not None, "metadata that name no dataset of the extraction were refused before"
    return dataset


def _files(spec: VerifySpec, metadata: Metadata) -> FilesSpec:
    layout = spec.layout
    output = _dataset(layout, metadata).absolute()
    # Files that later commits have removed from a table may be gone: that is for the table's owner to decide.
    kept = [file for file in metadata.files if spec.in_table is None or file.name in spec.in_table]
    files = [(output / file.name if metadata.is_folder else output, file) for file in kept]
    files.sort(key=lambda pair: pair[0])
    if quarantine := metadata.validation.quarantine:
        files.append(((layout.folder / quarantine.name).absolute(), quarantine))
    return FilesSpec(tuple(files), metadata.plan_id, spec.verify, spec.disk)


def _wrong_with_metadata(layout: ExtractionLayout, metadata: Metadata) -> str | None:
    name = layout.metadata.name
    if not metadata.extraction_complete:
        return f"{name} does not say that the extraction is complete"
    if layout.dataset_named(metadata.output_path) is None:
        return f"{name} names {metadata.output_name}, which is not a dataset of this extraction"
    if (quarantine := metadata.validation.quarantine) and not layout.is_quarantine_name(quarantine.name):
        return f"{name} names {quarantine.name}, which is not a quarantine of this extraction"
    if dataset_checksum(metadata.files, is_folder=metadata.is_folder) != metadata.checksum:
        return f"the files listed in {metadata.output_name}'s metadata do not add up to its checksum"
    if sum(file.rows for file in metadata.files) != metadata.record_count:
        return f"the files listed in {metadata.output_name}'s metadata do not add up to its record_count"
    return None


def _wrong_with_names(spec: VerifySpec, metadata: Metadata) -> str | None:
    disk, layout, output = spec.disk, spec.layout, _dataset(spec.layout, metadata)
    if spec.in_table == frozenset():
        return None
    if not disk.exists(output):
        return f"{output.name} is missing"
    if disk.is_folder(output) != metadata.is_folder:
        was, is_now = ("folder", "file") if metadata.is_folder else ("file", "folder")
        return f"{output.name} is a {is_now}, but a {was} was published"
    folders = {folder: {output.name} for folder in layout.folders_around(output)}
    if metadata.is_folder:
        folders[output] = {file.name for file in metadata.files}
    for folder, names in folders.items():
        found = {name for name in disk.names(folder) if name[0] not in "._" and not layout.is_rest(name)}
        if foreign_files := {name for name in found - names if disk.exists(folder / name)}:
            return f"{folder.name} has a file that is not of this extraction: {min(foreign_files)}"
    present = {f"{layout.quarantine_folder.name}/{name}" for name in disk.names(layout.quarantine_folder)}
    expected = metadata.validation.quarantine
    if extra := {name for name in present if layout.is_quarantine_name(name)} - {expected.name if expected else ""}:
        return f"{min(extra)} is not what this extraction has quarantined"
    return None


def _in_table(config: ExtractionConfig, run: Run, spec: VerifySpec) -> frozenset[str] | str:
    """The names of the dataset's files that its table has; or the damage."""
    from statekeeper.runtime.published_table import PublishedTable, files_in_table, why_not_in_table

    metadata = load_metadata(spec.disk, spec.layout.metadata)
    if metadata is None:
        return f"{spec.layout.metadata.name} is missing"
    if metadata.table is None:
        return f"{spec.layout.metadata.name} names no commit to a {config.format} table"
    table = PublishedTable.of(config, run).find()
    if damage := why_not_in_table(table, metadata.table):
        return damage
    assert table is not None, "a table that is gone is damage"
    return files_in_table(table, spec.layout, metadata)


async def damage_of_published(config: ExtractionConfig, run: Run, spec: VerifySpec) -> str | None:
    """The damage of an extraction's published data, in words; None if there is none.

    Raises:
        StorageError: a path of the extraction is a symbolic link, or the system refuses to read a file.
    """
    from statekeeper.engines.in_flight import all_done  # imported here, because workers do not need asyncio

    async def retried(job: Job[Result]) -> Result:
        return await run.jobs.run(config, job, "at verification")

    async def checked(share: FilesSpec) -> FilesVerdict:
        size = share.rows // FILE_ROWS
        result_type = FilesVerdict if share.verify is Verify.FULL else None  # only footers: read on this machine
        return await retried(
            Job(config.table.key, check_files, share, urgency=Urgency.CHUNK, size=size, remote_result_type=result_type)
        )

    if config.is_in_table:
        found = await run.threads.disk.do(_in_table, config, run, spec)
        if isinstance(found, str):
            return found
        spec = replace(spec, in_table=found)
    verified = await retried(Job(config.table.key, verify_published, spec))
    if verified.damage:
        return verified.damage
    verdicts = await all_done(verified.left, checked, at_once=run.engine.in_flight)
    return next((verdict.damage for verdict in verdicts if verdict.damage), None)
