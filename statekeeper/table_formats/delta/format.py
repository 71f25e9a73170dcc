"""Delta tables, read and committed by deltalake (delta-rs). Nothing of the log is written by hand.

A commit is one file of the table's log that is created if it does not exist, which a file system and every object
store of this package can do. `CommitProperties(max_commit_retries=0)` makes deltalake give up where another writer has
created it, instead of committing on a version that nobody has looked at.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import deltalake
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from statekeeper.errors import DataError, StorageError
from statekeeper.table_formats.delta.options import storage_options
from statekeeper.table_formats.delta.statistics import statistics_of
from statekeeper.table_formats.protocol import (
    PARTITION,
    Change,
    Definition,
    LakeTable,
    TableConflict,
    TableFile,
    TableFormat,
    TablePlace,
    refuse_deletions,
)
from statekeeper.text.places import with_addresses

_NOT_IN_A_NAME = re.compile(r"[ ,;{}()\n\t=]")
_DIGITS = 38


@dataclass(frozen=True)
class DeltaVersion(LakeTable):
    """A version of a Delta table."""

    log_folder = "_delta_log"  # deltalake syncs nothing

    place: TablePlace
    table: DeltaTable

    @property
    def version(self) -> str:
        return str(self.table.version())

    @cached_property
    def _schema(self) -> pa.Schema:
        return pa.schema(self.table.schema().to_arrow())

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([field for field in self._schema if field.name not in self._partition_columns])

    @property
    def _partition_columns(self) -> list[str]:
        return list(self.table.metadata().partition_columns)

    @property
    def is_by_date(self) -> bool:
        found = self._partition_columns
        if found in ([], [PARTITION]):
            return bool(found)
        raise DataError(
            f"{self.place.name}: the Delta table {_address(self.place)} is partitioned by {', '.join(found)}",
            hint=f"statekeeper writes tables without partitions, or by {PARTITION}: choose another base_path",
        )

    def files(self) -> tuple[TableFile, ...]:
        return self._files

    @cached_property
    def _files(self) -> tuple[TableFile, ...]:
        """A commit asks for them several times, and a version never changes."""
        with _errors(self.place, "read"):
            found = pa.table(self.table.get_add_actions()).to_pylist()
            partly_deleted = self._partly_deleted
        return tuple(
            TableFile(
                path=each["path"],
                bytes=each["size_bytes"],
                rows=each.get("num_records"),
                date=(each.get("partition") or {}).get(PARTITION),
                has_deletions=each["path"].rpartition("/")[2] in partly_deleted,
            )
            for each in found
        )

    @cached_property
    def _partly_deleted(self) -> frozenset[str]:
        """The names of files of which a deletion vector names rows."""
        if "deletionVectors" not in (self.table.protocol().reader_features or ()):
            return frozenset()
        found = self.table.deletion_vectors()
        paths = [path for batch in found for path in pa.record_batch(batch).column("filepath").to_pylist()]
        return frozenset(unquote(path).rstrip("/").rpartition("/")[2] for path in paths)

    def sequence(self, application_id: str) -> int:
        with _errors(self.place, "read"):
            return self.table.transaction_version(application_id) or 0

    def add_columns(self, columns: pa.Schema) -> LakeTable:
        fields = deltalake.Schema.from_arrow(columns).fields
        with _errors(self.place, "add columns to"):
            self.table.alter.add_columns(fields, commit_properties=CommitProperties(max_commit_retries=0))
        return _opened(self.place)

    def commit(self, change: Change) -> None:
        refuse_deletions(self.place.name, change.removed)
        now = int(time.time() * 1000)
        partition = {PARTITION: change.date.isoformat()} if change.date else {}
        added = [
            AddAction(file.path, file.bytes, partition, now, True, statistics_of(file.footer)) for file in change.added
        ]
        removed = [RemoveAction(file.path, True, now, file.bytes, _partition_of(file)) for file in change.removed]
        properties = CommitProperties(
            custom_metadata=dict(change.properties),
            max_commit_retries=0,
            app_transactions=[Transaction(name, number) for name, number in change.sequences.items()],
        )
        with _errors(self.place, "commit to"):
            self.table.create_write_transaction(
                [*removed, *added],
                "append",
                self.table.schema(),
                partition_by=self._partition_columns,
                commit_properties=properties,
            )


def _partition_of(file: TableFile) -> dict[str, str | None]:
    return {PARTITION: file.date.isoformat()} if file.date else {}


class DeltaFormat(TableFormat):
    """The format `delta`."""

    def why_unsupported(self, column: pa.Field) -> str | None:
        kind, types = column.type, pa.types
        if _NOT_IN_A_NAME.search(column.name):
            return "its name has one of the characters ' ,;{}()=', which a Delta table does not allow"
        if types.is_unsigned_integer(kind):
            return "Delta has no unsigned integers: declare it as decimal"
        if types.is_decimal(kind) and kind.precision > _DIGITS:
            return f"Delta has decimals of at most {_DIGITS} digits: declare a smaller precision, or str"
        if types.is_timestamp(kind) and kind.unit != "us":
            return "Delta has microseconds: cast it to timestamp in a custom_query"
        if types.is_time(kind):
            return "Delta has no time of day: cast it to text in a custom_query"
        return None

    def find(self, place: TablePlace) -> LakeTable | None:
        try:
            return _opened(place)
        except _MissingError:
            return None

    def create(self, place: TablePlace, definition: Definition) -> LakeTable:
        try:
            with _errors(place, "create"):
                DeltaTable.create(
                    _address(place),
                    _schema_of(definition),
                    partition_by=[PARTITION] if definition.is_by_date else None,
                    name=place.table or None,
                    description=definition.comment,
                    configuration=dict(definition.properties),
                    storage_options=storage_options(place.folder, place.storage),
                    raise_if_key_not_exists=False,
                    # Else of two that create it at once the second puts its columns in the place of the first one's.
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
        except StorageError:
            if (found := self.find(place)) is not None:  # another runner was first, or an answer was lost
                return found
            raise
        return _opened(place)


def _schema_of(definition: Definition) -> deltalake.Schema:
    columns = definition.columns
    if definition.is_by_date:
        columns = columns.append(pa.field(PARTITION, pa.date32()))
    fields = deltalake.Schema.from_arrow(columns).fields
    comments = definition.comments
    return deltalake.Schema(
        [
            deltalake.Field(
                field.name,
                field.type,
                nullable=True,
                metadata={"comment": comments[field.name]} if field.name in comments else None,
            )
            for field in fields
        ]
    )


class _MissingError(StorageError):
    """There is no table."""


def _opened(place: TablePlace) -> DeltaVersion:
    with _errors(place, "read"):
        return DeltaVersion(
            place, DeltaTable(_address(place), storage_options=storage_options(place.folder, place.storage))
        )


def _address(place: TablePlace) -> str:
    return with_addresses(str(place.folder.absolute()))


@contextmanager
def _errors(place: TablePlace, action: str) -> Iterator[None]:
    """Errors of deltalake as ours."""
    try:
        yield
    except TableNotFoundError as error:
        raise _MissingError(f"there is no Delta table {_address(place)}") from error
    except CommitFailedError as error:
        raise TableConflict(f"{place.name}: another writer has committed to {_address(place)} first") from error
    except StorageError:
        raise
    except Exception as error:  # the library raises this class itself, OSError and its own
        raise StorageError(
            f"{place.name}: cannot {action} the Delta table {_address(place)}: {_first_line(error)}",
            hint="run again; what was extracted is kept",
        ) from error


def _first_line(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


FORMAT = DeltaFormat()
