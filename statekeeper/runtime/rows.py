"""The input of a check of keys: a table's rows, its keys, and the rows that it refers to. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from statekeeper.model.plan import PlannedColumn
from statekeeper.model.table import Keys
from statekeeper.schemas.rules.findings import SAMPLES
from statekeeper.store.files.disk import Disk


@dataclass(frozen=True)
class FileColumn:
    """A column of a table's files. `arrow_type` is text for `parquet.types.parse_type`."""

    name: str
    arrow_type: str


@dataclass(frozen=True)
class Rows:
    """All extracted rows of a table: its files, and the columns that each of them has."""

    files: tuple[Path, ...]
    columns: tuple[FileColumn, ...]


@dataclass(frozen=True)
class KeyCheckSpec:
    """A table, its keys, and for each of its references in order the rows of the parent table.

    The findings have at most `samples` samples for each violated key.
    """

    table: str
    keys: Keys
    rows: Rows
    planned: tuple[PlannedColumn, ...]
    parents: tuple[Rows, ...]
    disk: Disk
    samples: int = SAMPLES
