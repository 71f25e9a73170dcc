"""The interface of a table format: what statekeeper asks of Delta and Iceberg.

A table consists of Parquet files and of a log (or catalog) that says which of them are its current version. statekeeper
writes the files; a commit adds some of them to the table and removes others, all at once. The format's own library
reads and writes the log.

Every commit is made on the version that was read. If another commit has come between, it fails with `TableConflict`,
and the caller reads the table again: it may find that its own commit is there already, since an answer was lost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from statekeeper.config.sections.storage import StorageConfig
from statekeeper.errors import DataError, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

PARTITION = "extraction_date"
"""The partition column of tables to which each extraction adds its rows; the files themselves do not have it."""


class TableConflict(StorageError):
    """Another writer has committed first: nothing of this commit is in the table."""


@dataclass(frozen=True)
class TablePlace:
    """Where a table is.

    `folder` is the table's folder; files have their paths relative to it. `name` is the table's name in messages.
    `storage` and `catalog` are the configuration's, the latter as the library of the format takes it. `namespace` and
    `table` name the table in a catalog.
    """

    folder: Path
    name: str
    storage: StorageConfig = field(default_factory=StorageConfig)
    catalog: Mapping[str, str] = field(default_factory=dict, repr=False)
    namespace: str = ""
    table: str = ""


@dataclass(frozen=True)
class Definition:
    """A table that is to be created.

    `columns` are those of the files. With `is_by_date` the table has the partition column `PARTITION` as well, of the
    type date. `comments` are those of columns, by name; `properties` are the table's.
    """

    columns: pa.Schema
    is_by_date: bool
    comment: str | None = None
    comments: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableFile:
    """A file of a table's current version.

    `path` is relative to the table's folder, with slashes; that of a file elsewhere is as the table has it. `date` is
    its partition's; None in a table without that partition. `bytes` is its size. `has_deletions` says that the version
    has, beside the file, a list of rows of it that do not count.
    """

    path: str
    bytes: int
    rows: int | None = None
    date: date | None = None
    has_deletions: bool = False


def refuse_deletions(table: str, files: Iterable[TableFile]) -> None:
    """Refuse to replace files of which another list says that rows do not count. Raises DataError."""
    found = next((file for file in files if file.has_deletions), None)
    if found is not None:
        raise DataError(
            f"{table}: of {found.path}, which this extraction replaces, another program has deleted rows without "
            "writing the file anew",
            hint="let that program write such files anew (REORG TABLE ... APPLY (PURGE) on Databricks), then run again",
        )


@dataclass(frozen=True)
class NewFile:
    """A file to add. It is at its place already. `footer` is its `pyarrow.parquet.FileMetaData`."""

    path: str
    bytes: int
    footer: Any = field(repr=False)

    @property
    def rows(self) -> int:
        rows: int = self.footer.num_rows
        return rows


@dataclass(frozen=True)
class Change:
    """One commit.

    `removed` are files of the version on which the commit is made. `date` is the partition of all added files, in a
    table that has the partition. `sequences` are recorded with the commit, in the same step: the number of each
    application id must be greater than the one that the table has (`LakeTable.sequence`). `properties` describe the
    commit.
    """

    added: Sequence[NewFile]
    removed: Sequence[TableFile]
    sequences: Mapping[str, int]
    date: date | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


class LakeTable(ABC):
    """One version of a table, as it was read."""

    log_folder: ClassVar[str | None] = None
    """The folder of the log within the table's folder, whose files a commit on a local disk leaves unsynced.

    None: the log is elsewhere, or is durable without that.
    """

    @property
    @abstractmethod
    def version(self) -> str:
        """The version's name in the format, for messages: a number, or the id of a snapshot."""

    @property
    @abstractmethod
    def columns(self) -> pa.Schema:
        """The table's columns, without the partition column."""

    @property
    @abstractmethod
    def is_by_date(self) -> bool:
        """Whether the table's only partition column is `PARTITION`; False without partitions.

        Raises:
            DataError: it is partitioned in another way.
        """

    @abstractmethod
    def files(self) -> tuple[TableFile, ...]:
        """The files of this version."""

    @abstractmethod
    def sequence(self, application_id: str) -> int:
        """The number that the last commit with this application id has recorded; 0 without one."""

    @abstractmethod
    def add_columns(self, columns: pa.Schema) -> LakeTable:
        """Add columns at the end, in a commit without files; returns the table's new version.

        Raises:
            TableConflict: another writer was first.
            StorageError: the store or the catalog refused.
        """

    def widened(self, columns: pa.Schema) -> LakeTable:
        """Give columns wider types, which `TableFormat.can_widen` allows; returns the table's new version.

        The commit has no files. Raises as `add_columns`.
        """
        raise NotImplementedError(f"{type(self).__name__} widens no columns: {columns.names}")

    @abstractmethod
    def commit(self, change: Change) -> None:
        """Commit on this version; returns when the commit is durable, the files of `log_folder` apart.

        Raises:
            TableConflict: another writer was first, or the answer was lost: read the table again.
            StorageError: the store or the catalog refused; the commit is not in the table, or its answer was lost.
        """


class TableFormat(ABC):
    """A kind of table. An instance is registered by the entry point `statekeeper.table_formats`."""

    @abstractmethod
    def why_unsupported(self, column: pa.Field) -> str | None:
        """Why a column cannot be in a table of this format, as the end of a sentence; None if it can."""

    def is_read_as(self, kind: pa.DataType, column: pa.DataType) -> bool:
        """Whether a table's column, of this type in `LakeTable.columns`, shows every value of a file's type exactly.

        A format that has fewer types than Parquet has a wider column for some.
        """
        return bool(kind == column)

    def can_widen(self, column: pa.DataType, kind: pa.DataType) -> bool:
        """Whether a table's column can be given the wider type of a file, so that all its values stay as they are."""
        del column, kind
        return False

    @abstractmethod
    def find(self, place: TablePlace) -> LakeTable | None:
        """The table's current version; None if there is no table.

        Raises:
            StorageError: the store or the catalog refused.
            StateDamaged: there is a table, and it cannot be read.
        """

    @abstractmethod
    def create(self, place: TablePlace, definition: Definition) -> LakeTable:
        """Create the table, or read it if it is there by now.

        Raises:
            StorageError: the store or the catalog refused.
        """
