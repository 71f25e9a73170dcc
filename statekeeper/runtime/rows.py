"""What a check of keys is about: the rows of a table, its keys, and the rows that it refers to. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from statekeeper.model.keys import Keys
from statekeeper.model.plan import PlannedColumn
from statekeeper.schemas.rules.findings import SAMPLES


@dataclass(frozen=True)
class FileColumn:
    """A column of a table's files. `arrow_type` is as `parquet.types.parse_type` reads it."""

    name: str
    arrow_type: str


@dataclass(frozen=True)
class Rows:
    """All extracted rows of a table: its files, and the columns that each of them has."""

    files: tuple[Path, ...]
    columns: tuple[FileColumn, ...]


@dataclass(frozen=True)
class KeyCheckSpec:
    """A table, its keys, and the rows of the table that each reference is to, in their order.

    Of each key that rows break, so many `samples` are told.
    """

    table: str
    keys: Keys
    rows: Rows
    planned: tuple[PlannedColumn, ...]
    parents: tuple[Rows, ...]
    samples: int = SAMPLES
