"""Which files in a table's folder belong to one extraction: only those are replaced, moved aside or removed.

A Parquet file belongs to the extraction if its footer names the run and table. If the footer names another run, it does
not. If there is no such footer (the file is damaged, or another program overwrote it), the file belongs to the
extraction if its state or commit record names it, so that a damaged published file can be replaced.
"""

from __future__ import annotations

import json
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from statekeeper.errors import StateDamaged, StorageError
from statekeeper.model.metadata import Metadata, TableConfigRecord
from statekeeper.model.record import StateRecord, Trigger
from statekeeper.model.table import TableRef, safe_name
from statekeeper.store.documents import load_metadata
from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.files.links import refuse_links_to
from statekeeper.store.files.slots import read_document
from statekeeper.store.layout import PART_NAME, ExtractionLayout
from statekeeper.store.staging import UNPUBLISHED


@dataclass(frozen=True)
class Ownership:
    """Decides which files belong to this extraction, by its state, `record`, and the files in its folder."""

    disk: Disk
    layout: ExtractionLayout
    record: StateRecord

    def check(self, *paths: Path) -> None:
        """Return if each of `paths`, and the commit record, is missing or belongs to this extraction.

        Raises:
            StorageError: one does not, or cannot be read, or is a symbolic link; the message names it.
        """
        refuse_links_to(self.layout)
        with storage_errors(self.layout.folder, "look at"):
            foreign_files = [path for path in paths if self.disk.exists(path) and not self.owns(path)]
            if not self._owns_metadata:
                foreign_files.append(self.layout.metadata)
        if foreign_files:
            raise self._foreign_file(foreign_files[0])

    def check_findings(self) -> None:
        """Return if the file of violations is missing or belongs to this run.

        Raises:
            StorageError: another file has its name, or it cannot be read; the message names it.
        """
        path = self.layout.violations
        with storage_errors(path, "look at"):
            try:
                found = json.loads(read_document(self.disk, path))
            except FileNotFoundError:
                return
            except (ValueError, RecursionError):
                found = None
        if not isinstance(found, dict) or found.get("run_id") != self.record.run_id:
            raise self._foreign_file(path)

    def owns(self, path: Path) -> bool:
        """Whether the file or folder at `path` belongs to this extraction. Raises OSError, FileNotFoundError too."""
        if self.disk.writes is Writes.OBJECTS:
            if self.disk.file_size(path) is not None:
                return self._owns_file(path)
            return not self.disk.is_folder(path) or self._owns_folder(path)  # some stores list folders without objects
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            return self._owns_folder(path)
        return stat.S_ISREG(mode) and self._owns_file(path)

    def _foreign_file(self, path: Path) -> StorageError:
        run = f"run {self.record.run_id} of {self.record.table.key}"
        return StorageError(
            f"{path} is in the way, and nothing proves that it belongs to {run}: it was not touched",
            hint=f"move {path} away, or choose another --run-id; then run again",
        )

    def _owns_file(self, path: Path) -> bool:
        if path.parent in {self.layout.quarantine_folder, self.layout.violating_rows_folder}:
            return path.name.endswith(UNPUBLISHED)  # no other run has a folder of this name
        sizes = self._claims.get(path, set())
        if self.disk.size(path) in sizes:
            return True
        by_footer = self._is_ours_by_footer(path)
        return by_footer if by_footer is not None else bool(sizes) or self._can_only_be_ours(path)

    def _owns_folder(self, path: Path) -> bool:
        names = self.disk.names(path)
        generations = [path / name for name in names if self.layout.is_inner_generation(name)]
        if not all(map(self.owns, generations)):
            return False
        parts = [match for match in map(PART_NAME.match, names) if match]
        unknown = [match.string for match in parts if match["plan8"] not in self._plans]
        by_footer = {self._is_ours_by_footer(path / name) for name in unknown}
        if False in by_footer:
            return False
        is_proven = bool(generations) or len(unknown) < len(parts) or True in by_footer
        return is_proven or path in self._claims or self._can_only_be_ours(path)

    def _is_ours_by_footer(self, path: Path) -> bool | None:
        """Whether the footer names this run and table; None if there is no footer of statekeeper."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self.disk.open(path) as source, pq.ParquetFile(source) as file:
                entries = file.metadata.metadata or {}
        except (pa.ArrowException, OSError):
            return None
        run_id, table = (entries.get(b"statekeeper." + key) for key in (b"run_id", b"table"))
        if run_id is None or table is None:
            return None
        is_same_run = safe_name(run_id.decode(errors="replace")) == self.layout.run_id
        return is_same_run and table.decode(errors="replace") == self.record.table.key

    def _can_only_be_ours(self, path: Path) -> bool:
        """Whether an unreadable file is a leftover of this extraction, by its name.

        No other run has generations with this name. A file with the dataset's name is ours on a disk without rename if
        this extraction could already have published: when it started, that name was free.
        """
        if path == self.layout.output:
            has_published = any(entry.trigger == Trigger.EXTRACTED for entry in self.record.history)
            return self.disk.writes is Writes.WHOLE and has_published
        return self.layout.is_generation(path)

    @cached_property
    def _claims(self) -> Mapping[Path, set[int]]:
        """The paths that state and commit record name, with the sizes in bytes that they have or had."""
        claims: defaultdict[Path, set[int]] = defaultdict(set)
        if published := self.record.published:
            self._claim(claims, published.output_path, published.bytes)
        for metadata in self._known_metadata():
            self._claim(claims, metadata.output_path, metadata.file_size_bytes)
            if quarantine := metadata.validation.quarantine:
                claims[self.layout.folder / quarantine.name].add(quarantine.bytes)
        return claims

    def _claim(self, claims: defaultdict[Path, set[int]], output_path: str, size: int) -> None:
        dataset = self.layout.dataset_named(output_path)
        if dataset is not None:
            for path in (dataset, *self.layout.folders_around(dataset)):
                claims[path].add(size)

    @cached_property
    def _plans(self) -> frozenset[str]:
        """The known plans of this extraction, in the short form of part names."""
        known = [self.record.plan_id, self.record.published.plan_id if self.record.published else None]
        known += [metadata.plan_id for metadata in self._known_metadata()]
        return frozenset(plan_id[:8] for plan_id in known if plan_id)

    def _known_metadata(self) -> Iterator[Metadata]:
        if self.record.intent:
            yield self.record.intent.metadata
        metadata = self._metadata
        if metadata is not None and self._is_of_this_extraction(metadata):
            yield metadata

    @property
    def _owns_metadata(self) -> bool:
        """Whether the commit record may be replaced; a damaged one may, if the state has something published."""
        if not self.disk.exists(self.layout.metadata):
            return True
        if self._metadata is None:
            return self.record.published is not None or self.record.intent is not None
        return self._is_of_this_extraction(self._metadata)

    @cached_property
    def _metadata(self) -> Metadata | None:
        try:
            return load_metadata(self.disk, self.layout.metadata)
        except StateDamaged:
            return None

    def _is_of_this_extraction(self, metadata: Metadata) -> bool:
        return (metadata.run_id, _key(metadata.table_config)) == (self.record.run_id, self.record.table.key)


def _key(config: TableConfigRecord) -> str:
    return TableRef(
        source_name=config.source_name,
        schema_name=config.schema_name,
        table_name=config.table_name,
        path_name=config.path_name,
    ).key
