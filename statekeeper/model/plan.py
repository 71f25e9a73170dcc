"""The plan of an extraction: one snapshot, the columns with their exact types, and the chunks that cover the table
once; and the snapshot that all tables of a run share.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from statekeeper.model.base import Document, StoredValue
from statekeeper.model.column import RelationComments
from statekeeper.model.drift import ColumnChange
from statekeeper.model.mark import Mark
from statekeeper.model.packed import Packed
from statekeeper.model.table import Relation, Scope, TableRef


class Snapshot(StoredValue):
    """The point in time at which every chunk of a plan reads.

    `token` is the source's name for it (an SCN; for DuckDB a digest of the file's identity). `identity` names the
    database: every session compares it before it reads.
    """

    kind: str
    token: str
    taken_at: AwareDatetime
    identity: dict[str, str] = Field(default_factory=dict)
    open_since: AwareDatetime | None = Field(
        default=None,
        description="the start of the oldest transaction that was open before it was taken or, if none was, the moment "
        "when that was read; null: not known, or the source has no transactions of others",
    )

    def is_same_moment(self, other: Snapshot) -> bool:
        """Whether both see the same data, whatever their `kind`."""
        return (self.token, self.identity) == (other.token, other.identity)


class PlannedColumn(StoredValue):
    """A column as the database declares it and as the file will hold it.

    `arrow_type` is the type in the file (`parquet.types.parse_type` reads it); `read_type` is what the source delivers,
    a type that holds every value of the database type; a checked cast converts one to the other.
    """

    name: str
    database_type: str
    read_type: str
    arrow_type: str
    is_nullable: bool = True


def mark_column(name: str) -> PlannedColumn:
    """The column of a mark, which no source delivers."""
    return PlannedColumn(name=name, database_type="computed", read_type="bool", arrow_type="bool", is_nullable=False)


class UnreadColumn(StoredValue):
    """A column that the table's `on_drift` leaves out of the file; conditions may still use it."""

    name: str
    database_type: str


class NullCount(StrEnum):
    """Whether the rows without a value in the incremental column are counted."""

    NONE = "none"
    """There cannot be any: the column is never NULL."""
    COUNTED = "counted"
    UNCOUNTED = "uncounted"


class ReadSpec(StoredValue):
    """What all chunks of a plan share: everything that reading one needs, except its bounds."""

    relation: Relation
    snapshot: Snapshot
    scope: Scope
    columns: tuple[PlannedColumn, ...]
    left_out: tuple[UnreadColumn, ...] = Field(default=(), description="columns of the table that are not read")
    relation_state: dict[str, str] = Field(
        default_factory=dict,
        description="identifies the relation's current form in the source, compared before reading",
    )
    null_count: NullCount = Field(
        default=NullCount.UNCOUNTED, description="whether rows without a value in the window's column are counted"
    )
    mark: Mark | None = Field(default=None, description="the column that marks rows that were taken before, if any")

    @property
    def all_columns(self) -> tuple[PlannedColumn | UnreadColumn, ...]:
        """Every column of the table, read or not."""
        return (*self.columns, *self.left_out)

    @property
    def file_columns(self) -> tuple[PlannedColumn, ...]:
        """The columns of the files: those that are read, and the mark, which is computed."""
        return self.columns if self.mark is None else (*self.columns, mark_column(self.mark.column))


class ChunkKind(StrEnum):
    """How a chunk is cut out of its table."""

    WHOLE = "whole"
    ROWID = "rowid"
    KEY = "key"
    PARTITION = "partition"


class Bound(StoredValue):
    """A boundary value with its type, so that it is bound as that type: `type` is a Python type's name, `text` the
    value.
    """

    type: str
    text: str


class Chunk(StoredValue):
    """A disjoint piece of the table: rows with `lower <= column < upper`.

    None is unbounded; the chunk without a lower bound also holds the rows whose key is NULL.
    """

    chunk_id: int = Field(ge=0)
    kind: ChunkKind = ChunkKind.WHOLE
    column: str | None = None
    lower: Bound | None = None
    upper: Bound | None = None
    partition: str | None = None
    subpartition: str | None = None
    estimated_rows: int = Field(default=0, ge=0)


class Plan(Document):
    """Stored once per `plan_id` (32 hexadecimal digits) and never recomputed; resume uses only the stored plan."""

    format: Literal["statekeeper.plan"] = "statekeeper.plan"

    plan_id: str = Field(pattern="^[0-9a-f]{32}$")
    run_id: str
    table: TableRef
    created_at: AwareDatetime
    reading: ReadSpec
    chunks: Packed[Chunk]
    drift: tuple[ColumnChange, ...] = Field(
        default=(), description="columns that differ from the expected ones, decided once"
    )
    taken_null_rows: int | None = Field(
        default=None,
        ge=0,
        description="of the rows without a value in the incremental column at the last complete extraction: how many "
        "an extraction has taken",
    )
    comments: RelationComments | None = Field(
        default=None, description="for the table of a format: what source and schema say about table and columns"
    )
    notes: tuple[str, ...] = Field(default=(), description="what a reader of the plan should know: fallbacks, warnings")


class RunSnapshot(Document):
    """`_runs/<run_id>_snapshots/<source_name>/<nnnn>.json`: written once, never changed.

    Forcing the whole run takes another one with the next `number`; the newest counts.
    """

    format: Literal["statekeeper.run-snapshot"] = "statekeeper.run-snapshot"

    run_id: str
    source_name: str
    number: int = Field(ge=1)
    snapshot: Snapshot
