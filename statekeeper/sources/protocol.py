"""The interface that every type of source implements.

A package registers a `SourceType`: the section of the configuration, and how a session is opened. A `SourceSession` is
one open session in one worker process. Its methods translate the driver's errors into the classes of
`statekeeper.errors` (transient, snapshot lost, permanent, login refused, unreachable), and keep the driver's code.
`docs/extending.md` walks through a whole source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from pydantic import Field

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.config.sections.section import FilePath
from statekeeper.config.sections.source import SourceSection
from statekeeper.model.base import Frozen
from statekeeper.model.column import RelationComments, SourceColumn
from statekeeper.model.plan import Chunk, ChunkKind, NullCount, ReadSpec, Snapshot
from statekeeper.model.table import Relation, Scope

if TYPE_CHECKING:
    import pyarrow as pa

Section = TypeVar("Section", bound=SourceSection)

MOST_ROWS, USUAL_BYTES = 16_384, 32 * 1024 * 1024
"""The default limits of a batch: at most so many rows, and about so many bytes."""


class ChunkPlan(Frozen):
    """Chunks that together cover the relation once, and notes for people about how they were chosen."""

    chunks: tuple[Chunk, ...]
    notes: tuple[str, ...] = ()
    relation_state: dict[str, str] = Field(default_factory=dict)
    """The same as `ReadSpec.relation_state`."""
    null_count: NullCount = NullCount.UNCOUNTED
    """Whether `count` counts the rows without a value in the window's column."""
    null_advice: str = ""
    """What to do so that later windows count them too; empty if there is nothing to do."""


class SourceCount(Frozen):
    """The source's own count at the snapshot."""

    rows: int
    null_incremental_rows: int | None = None
    """Rows without a value in the window's column; None if they were not counted."""


class SourceSession(Protocol):
    """One session with a database."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of the source at the login, one sentence each."""

    def identity(self) -> dict[str, str]:
        """The identity of the database, as stored in `Snapshot.identity`."""

    def describe(self, relation: Relation) -> tuple[SourceColumn, ...]:
        """The relation's columns in order. Raises SourceError if it does not exist or may not be read."""

    def take_snapshot(self, relation: Relation, *, at: datetime | None = None) -> Snapshot:
        """The snapshot at which a new plan reads the relation: of now, or of the past time `at`.

        Raises PlanError if the source cannot read at that time.
        """

    def take_run_snapshot(self, relations: Sequence[Relation] = ()) -> Snapshot:
        """The current snapshot, at which all `relations` of a run are read."""

    def join_snapshot(self, relation: Relation, snapshot: Snapshot) -> Snapshot:
        """The run's `snapshot` in the form in which the relation can be read at it.

        Raises:
            SnapshotLost: the relation cannot be read at it any more.
            SourceError: something is not granted.
        """

    def greatest_number(self, relation: Relation, column: str, snapshot: Snapshot) -> int | None:
        """The greatest value of a column of whole numbers at the snapshot; None if it has no value.

        Only called for a table with `window: watermark`.
        """

    def plan_chunks(self, relation: Relation, scope: Scope, snapshot: Snapshot, policy: ChunkingPolicy) -> ChunkPlan:
        """Disjoint chunks that cover the relation. Raises PlanError if the relation does not allow the strategy."""

    def count(self, reading: ReadSpec) -> SourceCount:
        """`COUNT(*)` of the scope at the snapshot of `reading`.

        If `reading.null_count` is `COUNTED`, it also counts the rows without a value in the window's column, in the
        window (of a first load) or not.
        """

    def read(
        self, reading: ReadSpec, chunk: Chunk, *, batch_rows: int = MOST_ROWS, batch_bytes: int = USUAL_BYTES
    ) -> Iterator[pa.RecordBatch]:
        """The chunk's rows at the snapshot, in batches of at most `batch_rows`, each column in its `read_type`.

        The number of rows in a batch depends on their size, so that a batch has at most about `batch_bytes`.

        All text must be valid UTF-8. The source checks that, since the scan of a part checks only the length of some
        texts.

        Raises SnapshotLost if the rows could not be read at the snapshot, at the start or at the end.
        """

    def advise(self, relation: Relation) -> tuple[str, ...]:
        """What people should know before the relation is extracted: missing grants, masked values; a sentence each."""

    def close(self) -> None:
        """Close the session. Never raises."""


@runtime_checkable
class ServerSession(Protocol):
    """What a session with a server can tell in addition; a session may leave it out."""

    def utc_offset(self) -> str:
        """The offset of the server's clock from UTC now, such as `+02:00`: columns without a zone may hold its time."""

    def why_transactions_are_hidden(self) -> str | None:
        """What lets the session see the open transactions of others, such as a GRANT; None if it sees them.

        A session that sees them sets `Snapshot.open_since`.
        """


@runtime_checkable
class DocumentedSession(Protocol):
    """What a session with a dictionary can tell in addition; a session may leave it out."""

    def comments(self, relation: Relation) -> RelationComments:
        """What the dictionary says about a relation for people. Raises SourceError as `describe`."""


class Address(NamedTuple):
    """Where a server accepts TCP connections."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class SourceType(ABC, Generic[Section]):
    """A type of source. An instance is registered by the entry point `statekeeper.sources`.

    Its module is imported whenever a configuration names such a source, so its methods import the driver.
    """

    section: ClassVar[type[SourceSection]]
    """The class of the configuration section for such a source."""

    @abstractmethod
    def open_session(self, config: Section, *, memory_limit: str) -> SourceSession:
        """Open a session; `memory_limit` is how much memory an embedded database may use, in DuckDB's notation.

        Raises:
            SourceUnreachable: no session can be opened at all.
            LoginRefused: the source refused the credentials; no further login is tried.
            TransientSourceError: none can be opened now, but a later attempt may succeed.
        """

    @abstractmethod
    def list_tables(self, config: Section, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
        """The tables (not the views) of the named schemas, in order; if none is named, the source chooses the schemas.

        `statekeeper init` writes a configuration from them.

        Raises:
            SourceError: and its subclasses, as `open_session`; or a schema has no tables that may be seen.
        """

    def addresses(self, config: Section) -> tuple[Address, ...]:
        """The addresses to which sessions connect, any of which is enough; none for files, or if they are not known.

        Spark executors check that they can connect to one of them.
        """
        del config
        return ()


__all__ = [
    "MOST_ROWS",
    "USUAL_BYTES",
    "Address",
    "Chunk",
    "ChunkKind",
    "ChunkPlan",
    "ChunkingPolicy",
    "ChunkingStrategy",
    "DocumentedSession",
    "FilePath",
    "NullCount",
    "ReadSpec",
    "Relation",
    "RelationComments",
    "Scope",
    "ServerSession",
    "Snapshot",
    "SourceColumn",
    "SourceCount",
    "SourceSection",
    "SourceSession",
    "SourceType",
]
