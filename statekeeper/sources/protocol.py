"""What statekeeper asks of a source: the interface that every type of source implements.

A `SourceType` is what a package registers: the section of the configuration, and how a session is opened. A
`SourceSession` is one open session in one worker process. Its methods translate the driver's errors into the
classes of `statekeeper.errors` (transient, snapshot lost, permanent, login refused, unreachable), with the driver's
code kept. `docs/extending.md` walks through a whole source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from pydantic import Field

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.config.sections.section import FilePath
from statekeeper.config.sections.source import SourceSection
from statekeeper.model.base import Frozen
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import Chunk, ChunkKind, ReadSpec, Snapshot
from statekeeper.model.table import Relation, Scope

if TYPE_CHECKING:
    import pyarrow as pa

Section = TypeVar("Section", bound=SourceSection)

MOST_ROWS, USUAL_BYTES = 16_384, 32 * 1024 * 1024
"""Of a batch, however light rows are and whatever they weigh."""


class ChunkPlan(Frozen):
    """Chunks that cover the relation once, and what a person should know about how they were cut."""

    chunks: tuple[Chunk, ...]
    notes: tuple[str, ...] = ()
    relation_state: dict[str, str] = Field(default_factory=dict)
    """As `Reading.relation_state` keeps it."""


class SourceCount(Frozen):
    """The source's own count at the snapshot."""

    rows: int
    null_incremental_rows: int | None = None


class SourceSession(Protocol):
    """One session with a database."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the source said at the login that a person should know, a sentence each."""

    def identity(self) -> dict[str, str]:
        """Which database this is, as `Snapshot.identity` keeps it."""

    def describe(self, relation: Relation) -> tuple[SourceColumn, ...]:
        """The relation's columns in order. Raises SourceError where it does not exist or may not be read."""

    def take_snapshot(self, relation: Relation, *, at: datetime | None = None) -> Snapshot:
        """The snapshot that a new plan of the relation will read at: of now, or of the past time `at`.

        Raises PlanError where the source has no such past.
        """

    def take_run_snapshot(self, relations: Sequence[Relation] = ()) -> Snapshot:
        """The snapshot of now that all `relations` of a run will read at."""

    def join_snapshot(self, relation: Relation, snapshot: Snapshot) -> Snapshot:
        """`snapshot`, which the run has taken, in the form in which the relation can be read at it.

        Raises:
            SnapshotLost: it cannot be read at any more. SourceError: something is not granted.
        """

    def plan_chunks(self, relation: Relation, scope: Scope, snapshot: Snapshot, policy: ChunkingPolicy) -> ChunkPlan:
        """Disjoint chunks that cover the relation. Raises PlanError for a strategy that the relation does not allow."""

    def count(self, reading: ReadSpec) -> SourceCount:
        """`COUNT(*)` of the reading's scope at its snapshot, and of the rows whose incremental column is NULL."""

    def read(
        self, reading: ReadSpec, chunk: Chunk, *, batch_rows: int = MOST_ROWS, batch_bytes: int = USUAL_BYTES
    ) -> Iterator[pa.RecordBatch]:
        """The chunk's rows at the snapshot, in batches of at most `batch_rows`, each column of its `read_type`.

        How many rows a batch has follows from what rows weigh, so that it has about `batch_bytes` at most.

        Text is valid UTF-8: that is found here, since the scan of a part looks at some texts' lengths alone.

        Raises SnapshotLost if the snapshot could not be read at, found at the start or at the end.
        """

    def advise(self, relation: Relation) -> tuple[str, ...]:
        """What should be known before the relation is extracted: missing grants, masked values; a sentence each."""

    def close(self) -> None:
        """End the session; never raises."""


class Address(NamedTuple):
    """Where a server accepts TCP connections."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class SourceType(ABC, Generic[Section]):
    """What a type of source brings. An instance is registered by the entry point `statekeeper.sources`.

    Its module is imported wherever such a source is named, so a driver is imported by the methods.
    """

    section: ClassVar[type[SourceSection]]
    """The class of such a source's section of the configuration."""

    @abstractmethod
    def open_session(self, config: Section, *, memory_limit: str) -> SourceSession:
        """A new session; `memory_limit` is what an embedded database may use, in DuckDB's notation.

        Raises:
            SourceUnreachable: no session can be opened at all.
            LoginRefused: the source refused the credentials; no further login is tried.
            TransientSourceError: none can be opened now, and a later attempt may succeed.
        """

    @abstractmethod
    def list_tables(self, config: Section, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
        """The tables (not the views) of the named schemas, in order; without a name, those of the source's choice.

        `statekeeper init` writes a configuration from them.

        Raises:
            SourceError: and its subclasses, as `open_session`; or a schema has no tables that may be seen.
        """

    def addresses(self, config: Section) -> tuple[Address, ...]:
        """Where sessions connect to, any of them being enough; none for files, or where that cannot be told.

        Executors of Spark are asked whether they can connect to one of them.
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
    "FilePath",
    "ReadSpec",
    "Relation",
    "Scope",
    "Snapshot",
    "SourceColumn",
    "SourceCount",
    "SourceSection",
    "SourceSession",
    "SourceType",
]
