"""Work for workers: which rows of some files are superseded by rows of other files, and what is left of each file.

A row is superseded by one with the same key that counts instead (`statekeeper.publish.merge_matches`). This is used in
both directions: rows of a table's files are superseded by an extraction's, and rows of the extraction that are older
than what the table has are superseded by the table's.

A file without such rows is left alone; if its range of keys is apart from that of all others, only its footer is read.
Of every other file the rows that stay are written as a new file, as they are, with the columns that the table has now;
if none stays, there is no new file. Memory is bounded by the memory limit: keys are matched out of core, and rows are
read and written in batches.

What is left of a file depends on this file and the others alone, not on what else the table has. So it stays right when
another writer commits to the table meanwhile, and only files that are new in its version are worked on again.

The name of a new file is never used twice: each attempt at this work has its own. Files that no commit names are
removed by the parent (`statekeeper.publish.table_merge`), which also decides what is compared with what.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.engines.context import WorkContext
from statekeeper.publish.key_ranges import KeyRanges
from statekeeper.store.files.disk import Disk

if TYPE_CHECKING:
    import pyarrow as pa

    from statekeeper.config.resolved import OutputConfig


class Wins(StrEnum):
    """When a row of the other files counts instead of one with the same key."""

    ALWAYS = "always"
    NOT_LESS = "not_less"
    """If its value in the order column is not less; NULL is least."""
    GREATER = "greater"
    """If its value in the order column is greater; NULL is least."""


@dataclass(frozen=True)
class MergeKey:
    """The columns by which rows are the same row, and the one that says which is newer, if there is one."""

    columns: tuple[str, ...]
    order: str | None = None


@dataclass(frozen=True)
class OtherFile:
    """A file whose rows may supersede; `ranges` are those of its keys, None if its footer was not read yet."""

    path: Path
    ranges: KeyRanges | None = None


@dataclass(frozen=True)
class MergeSpec:
    """Files with rows that may be superseded, about `rows` in all, and the other files; paths are absolute.

    `columns` are the table's (`pyarrow.Schema`). New files go to the existing folder `folder`, under names that begin
    with `prefix`; `lineage` is written into their footers.
    """

    table: str
    files: tuple[Path, ...]
    others: tuple[OtherFile, ...]
    columns: pa.Schema
    key: MergeKey
    wins: Wins
    rows: int
    folder: Path
    prefix: str
    lineage: tuple[tuple[str, str], ...]
    output: OutputConfig
    disk: Disk


@dataclass(frozen=True)
class RestFile:
    """A new file with the rows of another that stay; `name` is its name in the folder."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class MergedFile:
    """A file that shares keys with the others, by its position in the spec.

    `superseded` of its rows do not count any more, and if there are any, `rest` has the others, None if none is left.
    `winning` of its rows have a key in common with another file's and count nevertheless.
    """

    file: int
    superseded: int
    winning: int
    rest: RestFile | None


@dataclass(frozen=True)
class MergedFiles:
    """What became of the files of a spec; those that share no key are left out."""

    files: tuple[MergedFile, ...]


def merge_files(spec: MergeSpec, context: WorkContext) -> MergedFiles:
    """Find the superseded rows of the files, and write what is left of each file that has any.

    Raises:
        DataError: a file does not fit the table's columns, or cannot be read as Parquet.
        PlanError: the values of a column of the key cannot be compared exactly.
        StorageError: a file could not be read or written.
        OutOfMemory: memory and spill folder together are not enough.
        Interrupted: it was asked to stop.
    """
    from statekeeper.parquet.scan_errors import (  # imported here: the parent process only sends this work
        SCAN_ERRORS,
        scan_error,
    )
    from statekeeper.publish.merge_rows import RowMerge

    try:
        return RowMerge(spec, context).merged()
    except SCAN_ERRORS as error:
        raise scan_error(f"{spec.table}: its files cannot be merged", error) from error
