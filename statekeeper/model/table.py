"""A table, its keys, what is read from it, and over which window: the identity of an extraction's input."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AwareDatetime, Field, PlainSerializer, Strict

from statekeeper.model.base import Frozen, StoredValue

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\%]")


def safe_name(name: str) -> str:
    r"""A name as one part of a path: `/`, `\\`, `%` and control characters become %XX, as does a leading `.` or `_`.

    Readers such as Spark ignore names that begin with `.` or `_`.
    """
    escaped = _UNSAFE.sub(lambda found: f"%{ord(found.group()):02X}", name)
    if escaped[:1] in {".", "_"}:
        escaped = f"%{ord(escaped[0]):02X}{escaped[1:]}"
    return escaped


class Layout(StrEnum):
    """The layout of a pipeline's files under its base_path."""

    DATED = "dated"
    """Datasets and documents are in a folder per date."""
    HIVE = "hive"
    """A table's folder has only datasets, each in a Hive partition folder of its date."""


class TableRef(StoredValue):
    """A table's names, and the name of the folder with its files."""

    source_name: str
    schema_name: str | None = Field(default=None, description="the database schema (owner)")
    table_name: str
    path_name: str = Field(description="the name of the table's folder; the table's own name unless configured")

    @property
    def key(self) -> str:
        """`source.schema.table`, or `source.table` without a schema: the table's name in results and messages."""
        parts = (self.source_name, self.schema_name, self.table_name)
        return ".".join(part for part in parts if part)

    @property
    def names(self) -> frozenset[str]:
        """Every name that a user may type for it."""
        names = frozenset({self.key, self.table_name, self.path_name})
        return names | {f"{self.schema_name}.{self.table_name}"} if self.schema_name else names


class Relation(StoredValue):
    """What is selected from: a table or a user's query. Exactly one of `table_name`, `query` is set."""

    schema_name: str | None = None
    table_name: str | None = None
    query: str | None = None

    @property
    def label(self) -> str:
        """Its name in messages."""
        if self.table_name is None:
            return "custom_query"
        return f"{self.schema_name}.{self.table_name}" if self.schema_name else self.table_name


class ExtractionMode(StrEnum):
    """Whether an extraction reads the whole relation or the rows of a window."""

    FULL = "full"
    INCREMENTAL = "incremental"


ZonedDatetime = Annotated[AwareDatetime, PlainSerializer(datetime.isoformat, return_type=str, when_used="json")]


Position: TypeAlias = datetime | int
"""A value on the axis of an incremental column: an aware time or, in a column of whole numbers, a number."""


def position_text(position: Position) -> str:
    """A position in messages: a time in ISO 8601, or a number."""
    return position.isoformat() if isinstance(position, datetime) else f"{position}"


StoredPosition = Annotated[int, Strict()] | ZonedDatetime


class Window(StoredValue):
    """The half-open interval `[start, end)` of an incremental extraction, in the column `column`.

    `start` and `end` are aware times or, in a column of whole numbers, numbers; `timezone` (IANA) is the zone of
    wall-clock values in a column without a zone, and empty for numbers. `start` None reads everything before `end`.
    """

    column: str
    start: StoredPosition | None
    end: StoredPosition
    timezone: str


class Scope(StoredValue):
    """Mode and bounds of an extraction, decided at its first plan and kept by its later plans.

    The first extraction of a table with an `incremental_column` has mode full and a window without a start.
    `watermark` is how far the extraction covers the column: its window's end or, for a full extraction without a
    window, the earlier of the snapshot's time and the end of the extraction date. `covered_from` is the window's start
    without its lookback; null if there is none.
    """

    mode: ExtractionMode
    window: Window | None = None
    watermark: StoredPosition | None = None
    covered_from: StoredPosition | None = None

    @property
    def covered(self) -> Position | None:
        """Where what it covers of the column begins; None is the beginning. Old documents include the lookback."""
        if self.window is None:
            return None
        return self.window.start if self.covered_from is None else self.covered_from


UNIQUE = "unique"
REFERENCES = "references"
"""The kinds of keys, as named in configuration and findings."""


class Reference(Frozen):
    """The values of `columns` must occur in `parent_columns` of some row of `parent`, column by column.

    `parent_relation` is what is selected from the parent, `parent_source` a digest of where: if either changes, the
    parent's rows differ, and the table is checked again.
    """

    columns: tuple[str, ...]
    parent: TableRef
    parent_columns: tuple[str, ...]
    parent_relation: Relation
    parent_source: str

    @property
    def label(self) -> str:
        """How messages name it: `CUSTOMER_ID references ora.SALES.CUSTOMERS (ID)`."""
        return f"{', '.join(self.columns)} references {self.target}"

    @property
    def target(self) -> str:
        """The referenced columns: `ora.SALES.CUSTOMERS (ID)`."""
        return f"{self.parent.key} ({', '.join(self.parent_columns)})"


class Keys(Frozen):
    """All keys of one table."""

    unique: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.unique or self.references)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is checked, one line per key."""
        return (
            *(f"{', '.join(columns)} must be unique" for columns in self.unique),
            *(f"{reference.label}, checked when both are extracted" for reference in self.references),
        )
