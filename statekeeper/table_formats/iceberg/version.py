"""One version of an Iceberg table: what it has, and commits on it.

A commit requires that the table's current snapshot is still the one of this version; the catalog checks that and
changes the table in one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import pyarrow as pa
from pyiceberg.io.pyarrow import DataFileStatistics
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Table, Transaction
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record

from statekeeper.errors import DataError
from statekeeper.table_formats.iceberg import sequences
from statekeeper.table_formats.iceberg.catalog import errors, load_table, text_of, with_one_attempt
from statekeeper.table_formats.iceberg.names import Names
from statekeeper.table_formats.iceberg.options import address_of
from statekeeper.table_formats.iceberg.statistics import statistics_of
from statekeeper.table_formats.iceberg.types import arrow_type, iceberg_type
from statekeeper.table_formats.protocol import PARTITION, Change, LakeTable, NewFile, TableFile, TablePlace

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class IcebergVersion(LakeTable):
    """A version of an Iceberg table. `table` is as `catalog.load_table` gives it."""

    log_folder = "metadata"  # pyiceberg syncs nothing; a catalog that decides on the place has it elsewhere

    place: TablePlace
    table: Table

    @property
    def version(self) -> str:
        snapshot = self.table.current_snapshot()
        return "empty" if snapshot is None else str(snapshot.snapshot_id)

    @cached_property
    def columns(self) -> pa.Schema:
        fields = (field for field in self.table.schema().fields if field.name != PARTITION or not self.is_by_date)
        return pa.schema([pa.field(field.name, arrow_type(field)) for field in fields])

    @cached_property
    def is_by_date(self) -> bool:
        spec = self.table.spec()
        if spec.is_unpartitioned():
            return False
        if _date_position(self.table, spec) is not None and len(spec.fields) == 1:
            return True
        found = ", ".join(field.name for field in spec.fields)
        raise DataError(
            f"{self.place.name}: {text_of(self.place)} is partitioned by {found}",
            hint=f"statekeeper writes tables without partitions, or by {PARTITION}: choose another namespace",
        )

    def files(self) -> tuple[TableFile, ...]:
        return tuple(self._file(path, found) for path, found in self._data_files.items())

    def sequence(self, application_id: str) -> int:
        return sequences.number_of(self.table, application_id)

    def add_columns(self, columns: pa.Schema) -> LakeTable:
        with self._transaction("add columns to") as transaction:
            transaction.set_properties(Names.of(self.table).properties)
            with transaction.update_schema() as update:
                for column in columns:
                    kind = iceberg_type(column.type)
                    assert kind is not None, "the plan has asked `why_unsupported`"
                    update.add_column((column.name,), kind)
        with errors(self.place, "read"):
            return IcebergVersion(self.place, load_table(self.place, self.table.catalog))

    def widened(self, columns: pa.Schema) -> LakeTable:
        with self._transaction("widen columns of") as transaction, transaction.update_schema() as update:
            for column in columns:
                update.update_column((column.name,), iceberg_type(column.type))
        with errors(self.place, "read"):
            return IcebergVersion(self.place, load_table(self.place, self.table.catalog))

    def commit(self, change: Change) -> None:
        assert self.is_by_date == (change.date is not None), "the caller has asked `is_by_date`"
        names = Names.of(self.table)
        with self._transaction("commit to") as transaction:
            added = [self._data_file(file, names, change.date) for file in change.added]
            removed = [self._data_files[file.path] for file in change.removed]
            for name in sequences.outdated(self.table, change.sequences):
                transaction.remove_properties(name)
            transaction.set_properties(names.properties | sequences.as_properties(self.table, change.sequences))
            summary = dict(change.properties) | sequences.as_summary(change.sequences)
            update = transaction.update_snapshot(snapshot_properties=summary)
            with update.overwrite() if removed else update.merge_append() as snapshot:
                for file in added:
                    snapshot.append_data_file(file)
                for file in removed:
                    snapshot.delete_data_file(file)

    @contextmanager
    def _transaction(self, action: str) -> Iterator[Transaction]:
        """A transaction on this version, committed at the end. The version itself does not change."""
        with errors(self.place, action):
            transaction = with_one_attempt(self.place, self.table).transaction()
            yield transaction
            transaction.commit_transaction()

    @cached_property
    def _folder(self) -> str:
        return address_of(self.place.folder, self.place.storage) + "/"

    @cached_property
    def _data_files(self) -> Mapping[str, DataFile]:
        """The files of this version by their paths."""
        snapshot = self.table.current_snapshot()
        if snapshot is None:
            return {}
        with errors(self.place, "read"):
            found = [
                entry.data_file
                for manifest in snapshot.manifests(self.table.io)
                if manifest.content == ManifestContent.DATA
                for entry in manifest.fetch_manifest_entry(self.table.io, discard_deleted=True)
            ]
        return {file.file_path.removeprefix(self._folder): file for file in found}

    @cached_property
    def _has_deletions(self) -> bool:
        """Whether other programs have deleted rows by delete files, of whichever data files."""
        snapshot = self.table.current_snapshot()
        manifests = snapshot.manifests(self.table.io) if snapshot is not None else []
        return any(
            manifest.content == ManifestContent.DELETES
            and (manifest.has_added_files() or manifest.has_existing_files())
            for manifest in manifests
        )

    def _file(self, path: str, found: DataFile) -> TableFile:
        position = _date_position(self.table, self.table.specs()[found.spec_id])
        day = None if position is None else _as_date(found.partition[position])
        return TableFile(path, found.file_size_in_bytes, found.record_count, day, self._has_deletions)

    def _data_file(self, file: NewFile, names: Names, day: date | None) -> DataFile:
        names.check(file.footer.schema.to_arrow_schema(), f"{self.place.name}: {file.path}")
        statistics = statistics_of(file.footer, self.table, names.ids)
        partition = Record((day - _EPOCH).days) if day else Record()
        return _data_file(self._folder + file.path, file.bytes, partition, self.table.spec().spec_id, statistics)


def _data_file(path: str, size: int, partition: Record, spec_id: int, statistics: DataFileStatistics) -> DataFile:
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=partition,
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _date_position(table: Table, spec: PartitionSpec) -> int | None:
    """At which place a partition of this spec has the extraction date; None if it does not."""
    for position, field in enumerate(spec.fields):
        source = table.schema().find_column_name(field.source_id)
        if source == PARTITION and isinstance(field.transform, IdentityTransform):
            return position
    return None


def _as_date(value: object) -> date | None:
    """A date of a partition, which Iceberg has as days since 1970."""
    if isinstance(value, int):
        return _EPOCH + timedelta(days=value)
    return value if isinstance(value, date) else None
