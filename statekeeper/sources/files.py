"""The base class for sessions with sources whose tables are files in a folder.

Nothing keeps writers away from files. So the snapshot of a table is a digest of its files' names, inodes, sizes and
times, compared before and after they are read. A chunk is a file. Subclasses read the content of files.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa

from statekeeper.config.sections.chunking import ChunkingStrategy
from statekeeper.errors import DataError, PlanError, SnapshotLost, SourceError
from statekeeper.model.plan import Chunk, ChunkKind, Snapshot
from statekeeper.sources.protocol import MOST_ROWS, USUAL_BYTES, ChunkPlan, SourceCount

if TYPE_CHECKING:
    from statekeeper.config.sections.chunking import ChunkingPolicy
    from statekeeper.model.column import SourceColumn
    from statekeeper.model.plan import ReadSpec
    from statekeeper.model.table import Relation, Scope

SNAPSHOT_KIND = "files"


class FilesSession(ABC):
    """A session with the tables below a folder; implements `SourceSession`. It keeps no file open.

    Chunks are files (`strategy: partition`, or `auto`). There are no windows, no flashback and no snapshot of a run.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()

    @abstractmethod
    def files(self, relation: Relation) -> Sequence[Path]:
        """The files of a table, in a stable order; none if there is no such table."""

    @abstractmethod
    def columns(self, file: Path) -> Sequence[SourceColumn]:
        """The columns of a file. The caller translates errors of the system and of Arrow."""

    @abstractmethod
    def batches(self, file: Path) -> Iterator[pa.RecordBatch]:
        """The rows of a file, each column in its `read_type`. The caller translates errors as for `columns`."""

    def identity(self) -> dict[str, str]:
        return {"folder": str(self.folder)}

    def describe(self, relation: Relation) -> tuple[SourceColumn, ...]:
        first = self._files(relation)[0]
        try:
            return tuple(self.columns(first))
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{first} cannot be read: {error}") from error

    def take_snapshot(self, relation: Relation, *, at: datetime | None = None) -> Snapshot:
        if at is not None:
            raise PlanError(f"{relation.label} cannot be read at an earlier time", hint="leave flashback_timestamp out")
        now = datetime.now(UTC)
        return Snapshot(kind=SNAPSHOT_KIND, token=self._token(relation), taken_at=now, identity=self.identity())

    def take_run_snapshot(self, relations: Sequence[Relation] = ()) -> NoReturn:
        del relations
        raise PlanError("each table of files has a snapshot of its own", hint="set snapshot_scope: table")

    def join_snapshot(self, relation: Relation, snapshot: Snapshot) -> Snapshot:
        del relation, snapshot
        self.take_run_snapshot()

    def greatest_number(self, relation: Relation, column: str, snapshot: Snapshot) -> NoReturn:
        del column, snapshot
        raise _no_windows(relation)

    def plan_chunks(self, relation: Relation, scope: Scope, snapshot: Snapshot, policy: ChunkingPolicy) -> ChunkPlan:
        del snapshot
        if scope.window is not None:
            raise _no_windows(relation)
        if policy.strategy is ChunkingStrategy.NONE:
            return ChunkPlan(chunks=(Chunk(chunk_id=0),))
        names = enumerate(file.name for file in self._files(relation))
        chunks = (Chunk(chunk_id=number, kind=ChunkKind.PARTITION, partition=name) for number, name in names)
        return ChunkPlan(chunks=tuple(chunks))

    def count(self, reading: ReadSpec) -> SourceCount:
        return SourceCount(rows=sum(batch.num_rows for batch in self.read(reading, Chunk(chunk_id=0))))

    def read(
        self, reading: ReadSpec, chunk: Chunk, *, batch_rows: int = MOST_ROWS, batch_bytes: int = USUAL_BYTES
    ) -> Iterator[pa.RecordBatch]:
        """As `SourceSession.read`. A file whose columns are not those of the plan fails."""
        self._require(reading)
        for file in self._files(reading.relation):
            if chunk.partition not in {None, file.name}:
                continue
            try:
                self._require_columns(file, reading)
                for batch in self.batches(file):
                    yield from _pieces(_as_planned(batch, file, reading), batch_rows, batch_bytes)
            except (OSError, pa.ArrowException) as error:
                self._require(reading)  # a file that is written under the reader may fail in any way
                raise DataError(f"{file} cannot be read: {error}") from error
        self._require(reading)

    def advise(self, relation: Relation) -> tuple[str, ...]:
        self._files(relation)
        return ()

    def close(self) -> None:
        """Does nothing: nothing is open."""
        return

    def _files(self, relation: Relation) -> Sequence[Path]:
        if relation.table_name is None:
            raise SourceError("files cannot be read by a custom_query", hint="name the table by table_name")
        found = self.files(relation)
        if not found:
            raise SourceError(f"there are no files of {relation.label} in {self.folder}")
        return found

    def _token(self, relation: Relation) -> str:
        facts = [(file.name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for file, stat in self._stats(relation)]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def _stats(self, relation: Relation) -> list[tuple[Path, os.stat_result]]:
        try:
            return [(file, file.stat()) for file in self._files(relation)]
        except OSError as error:
            raise SourceError(f"{error.filename} cannot be read: {error.strerror}") from error

    def _require(self, reading: ReadSpec) -> None:
        """Check that the files are still those of the plan. Raises SnapshotLost."""
        try:
            is_same = reading.snapshot.token == self._token(reading.relation)
        except SourceError:
            is_same = False
        if not is_same or reading.snapshot.identity != self.identity():
            raise SnapshotLost(
                f"the files of {reading.relation.label} in {self.folder} are not those of the plan any more",
                hint="keep writers away while a run is under way; a new plan is needed",
            )

    def _require_columns(self, file: Path, reading: ReadSpec) -> None:
        found, planned = [one.name for one in self.columns(file)], [one.name for one in reading.all_columns]
        if found != planned:
            raise DataError(f"{file} has the columns {', '.join(found)}; planned were {', '.join(planned)}")


def _no_windows(relation: Relation) -> PlanError:
    return PlanError(f"{relation.label} has no windows, being files", hint="leave incremental_column out")


def _as_planned(batch: pa.RecordBatch, file: Path, reading: ReadSpec) -> pa.RecordBatch:
    """The columns of the ReadSpec, each in its `read_type`."""
    chosen = batch.select([one.name for one in reading.columns])
    for field, planned in zip(chosen.schema, reading.columns, strict=True):
        if str(field.type) != planned.read_type:
            raise DataError(f"{file}: column {field.name} arrives as {field.type}; planned was {planned.read_type}")
    return chosen


def _pieces(batch: pa.RecordBatch, max_rows: int, max_bytes: int) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of at most `max_rows` rows and about `max_bytes` bytes."""
    rows = max(1, min(max_rows, batch.num_rows * max_bytes // max(1, batch.nbytes)))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
