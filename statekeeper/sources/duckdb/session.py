"""The DuckDB session: describe, snapshot, chunks, count and read, on one database file.

DuckDB has no AS OF, so the snapshot is the state of the database file. It is compared before and after every operation
at a snapshot. `sources.duckdb.connection` decides how the file is opened, `sources.duckdb.types` how types are read.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from statekeeper.errors import DataError, OutOfMemory, PlanError, SnapshotLost, StatekeeperError
from statekeeper.model.column import RelationComments, SourceColumn
from statekeeper.model.plan import Chunk, NullCount, PlannedColumn, ReadSpec, Snapshot
from statekeeper.model.table import Relation, Scope
from statekeeper.parquet.batch_size import BatchSize
from statekeeper.sources.columns import described_column, named_column
from statekeeper.sources.duckdb.chunks import Cut, chunk_condition, plan_chunks
from statekeeper.sources.duckdb.connection import Connection
from statekeeper.sources.duckdb.errors import VALUE_CLASSES
from statekeeper.sources.duckdb.relation import Source, comments_of, find_source
from statekeeper.sources.duckdb.types import check_values, hint_on_value, type_rule, window_bound
from statekeeper.sources.protocol import MOST_ROWS, USUAL_BYTES, ChunkPlan, SourceCount
from statekeeper.sources.scope import cut_conditions, scope_conditions
from statekeeper.sources.sql import Bind, Sql, all_of, column_of, quoted

if TYPE_CHECKING:
    import pyarrow as pa

    from statekeeper.config.sections.chunking import ChunkingPolicy

SNAPSHOT_KIND = "duckdb-file"
_VECTOR_ROWS = 2048
"""The size of DuckDB's vectors: it holds all selected values of so many rows in memory at once."""


class DuckdbSession:
    """A session with the DuckDB database file at `path`; implements `SourceSession`.

    It keeps the file open, so DuckDB refuses writers in other processes until it is closed. If the database is replaced
    or written nevertheless, the session notices: `take_snapshot`, `join_snapshot` and `describe` open it again, other
    methods raise SnapshotLost.

    Raises:
        SourceUnreachable: there is no such file, or it is not a database that can be read.
        TransientSourceError: it is open for writing somewhere.
    """

    def __init__(self, path: str, *, memory_limit: str) -> None:
        self._path = os.path.abspath(path)  # noqa: PTH100 - Path.resolve would follow links, which may be re-pointed
        self._memory_limit = memory_limit
        self._connection = Connection.open(self._path, memory_limit=memory_limit)

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def identity(self) -> dict[str, str]:
        return {"path": self._path}

    def describe(self, relation: Relation) -> tuple[SourceColumn, ...]:
        self._reopen_if_changed()
        return self._describe(find_source(self._connection, relation))

    def comments(self, relation: Relation) -> RelationComments:
        self._reopen_if_changed()
        return comments_of(self._connection, find_source(self._connection, relation))

    def take_snapshot(self, relation: Relation | None = None, *, at: datetime | None = None) -> Snapshot:
        """As `SourceSession.take_snapshot`; the snapshot is of the file, so it is the same for every relation."""
        if at is not None:
            what = relation.label if relation else self._path
            raise PlanError(f"{what} cannot be read at an earlier time", hint="leave flashback_timestamp out")
        at = datetime.now(UTC)  # the clock of the file's machine, before the file is looked at
        self._reopen_if_changed()
        return Snapshot(
            kind=SNAPSHOT_KIND,
            token=self._connection.opened.token,
            taken_at=at,
            identity=self.identity(),
        )

    def take_run_snapshot(self, relations: Sequence[Relation] = ()) -> Snapshot:
        del relations
        return self.take_snapshot()

    def join_snapshot(self, relation: Relation, snapshot: Snapshot) -> Snapshot:
        del relation  # the snapshot is of the file, so it is the same for every relation
        self._reopen_if_changed()
        self._require(snapshot)
        return snapshot

    def greatest_number(self, relation: Relation, column: str, snapshot: Snapshot) -> int | None:
        self._require(snapshot)
        source = find_source(self._connection, relation)
        name = column_of(named_column(self._describe(source), column, source.label).name)
        statement = Sql("SELECT max(") + name + Sql(")") + source.from_clause
        ((greatest,),) = self._connection.rows(statement, f"the greatest {column} of {source.label} cannot be read")
        self._require(snapshot)
        return None if greatest is None else int(greatest)

    def plan_chunks(self, relation: Relation, scope: Scope, snapshot: Snapshot, policy: ChunkingPolicy) -> ChunkPlan:
        self._require(snapshot)
        source = find_source(self._connection, relation)
        columns = self._describe(source)
        cut = Cut(self._connection, source, cut_conditions(scope, columns, source.label, window_bound), columns)
        plan = plan_chunks(cut, policy)
        self._require(snapshot)
        return plan.model_copy(update={"null_count": NullCount.COUNTED if scope.window else NullCount.UNCOUNTED})

    def count(self, reading: ReadSpec) -> SourceCount:
        self._require(reading.snapshot)
        source = find_source(self._connection, reading.relation)
        window = reading.scope.window
        columns = self._describe(source) if window is not None else ()
        conditions = scope_conditions(reading.scope, columns, source.label, window_bound)
        if window is None or reading.null_count is not NullCount.COUNTED:
            statement = Sql("SELECT count(*), NULL") + source.from_clause + all_of(conditions)
        else:
            name = column_of(named_column(columns, window.column, source.label).name)
            rows = Sql("count(*)") if window.start is None else Sql("count(") + name + Sql(")")
            counts = Sql("SELECT ") + rows + Sql(", count(*) - count(") + name + Sql(")")
            missing = Sql(" OR ") + name + Sql(" IS NULL")
            statement = counts + source.from_clause + Sql(" WHERE (") + conditions[0] + Sql(")") + missing
        ((rows, nulls),) = self._connection.rows(statement, f"{source.label} cannot be counted")
        self._require(reading.snapshot)
        return SourceCount(rows=rows, null_incremental_rows=nulls)

    def read(
        self, reading: ReadSpec, chunk: Chunk, *, batch_rows: int = MOST_ROWS, batch_bytes: int = USUAL_BYTES
    ) -> Iterator[pa.RecordBatch]:
        self._require(reading.snapshot)
        source = find_source(self._connection, reading.relation)
        statement = self._chunk_statement(source, reading, chunk)
        what = f"{source.label} cannot be read"
        rows = _rows_at_once(reading.columns, max_rows=batch_rows, max_bytes=batch_bytes)
        try:
            with self._connection.reader(statement, what, batch_rows=rows) as reader:
                _require_schema(reader.schema, reading.columns)
                for batch in reader:
                    check_values(batch, reading.columns)
                    yield batch
        except StatekeeperError as error:
            # A file that is written during the read may fail in any way: report the cause instead.
            self._require(reading.snapshot)
            if isinstance(error, OutOfMemory):
                raise _too_much_at_once(error, reading.columns) from error
            if error.code in VALUE_CLASSES:
                raise self._with_column(error, source, reading, chunk) from error
            raise
        self._require(reading.snapshot)

    def advise(self, relation: Relation) -> tuple[str, ...]:
        """Nothing: a user who may open the file may read all of it."""
        find_source(self._connection, relation)
        return ()

    def close(self) -> None:
        self._connection.close()

    def _with_column(
        self, error: StatekeeperError, source: Source, reading: ReadSpec, chunk: Chunk
    ) -> StatekeeperError:
        """The error with the name of its column, which is found by reading each column alone."""
        for one in (None, *reading.columns):  # without any column, only an error in the query itself remains
            columns = () if one is None else (one,)
            what = source.label if one is None else f"{source.label}, column {one.name} ({one.database_type})"
            statement = self._chunk_statement(source, reading.model_copy(update={"columns": columns}), chunk)
            try:
                with self._connection.reader(statement, what, batch_rows=_VECTOR_ROWS) as reader:
                    deque(reader, maxlen=0)
            except StatekeeperError as found:
                if one is None or found.code != error.code:
                    return error
                hint = hint_on_value(one.name, one.database_type)
                return DataError(found.message, hint=hint, code=found.code, discreet=found.discreet)
        return error

    def _chunk_statement(self, source: Source, reading: ReadSpec, chunk: Chunk) -> Sql:
        columns = self._describe(source) if reading.scope.window or chunk.column else ()
        conditions = list(scope_conditions(reading.scope, columns, source.label, window_bound))
        if (piece := chunk_condition(chunk, columns)) is not None:
            conditions.append(piece)
        projection = ", ".join(_delivered(one) for one in reading.columns) or "1"
        return Sql(f"SELECT {projection}") + source.from_clause + all_of(conditions)

    def _describe(self, source: Source) -> tuple[SourceColumn, ...]:
        statement = Sql("DESCRIBE SELECT *") + source.from_clause
        described = self._connection.rows(statement, f"{source.label} cannot be described")
        mandatory = self._mandatory(source)
        return tuple(_column(name, kind, is_nullable=name not in mandatory) for name, kind, *_ in described)

    def _mandatory(self, source: Source) -> frozenset[str]:
        """The names of the NOT NULL columns; none for views and queries, where that is not known."""
        if source.schema is None or source.name is None:
            return frozenset()
        statement = Sql(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
            "AND schema_name = ? AND table_name = ? AND NOT is_nullable",
            (Bind("VARCHAR", source.schema), Bind("VARCHAR", source.name)),
        )
        return frozenset(name for (name,) in self._connection.rows(statement, f"{source.label} cannot be described"))

    def _reopen_if_changed(self) -> None:
        if self._connection.file.state() != self._connection.opened:
            self._connection.close()
            self._connection = Connection.open(self._path, memory_limit=self._memory_limit)

    def _require(self, snapshot: Snapshot) -> None:
        """Check that the open file is the snapshot's, and is unchanged at its path. Raises SnapshotLost."""
        opened = self._connection.opened
        now = self._connection.file.state()
        if snapshot.identity != self.identity():
            raise _lost(snapshot, f"it is of the database {snapshot.identity.get('path')}, and this is {self._path}")
        if now is None:
            raise _lost(snapshot, f"nothing that can be read is at {self._path} any more")
        if now != opened:
            raise _lost(snapshot, f"{self._path} changed: {opened.difference_to(now)}")
        if opened.token != snapshot.token:
            raise _lost(snapshot, f"{self._path} was written or replaced since (last written {opened.written_at})")


def _lost(snapshot: Snapshot, why: str) -> SnapshotLost:
    taken = snapshot.taken_at.isoformat(timespec="seconds")
    return SnapshotLost(
        f"the snapshot of {taken} is gone: {why}",
        hint="a DuckDB file has no history: keep writers away while a run is under way; a new plan is needed",
    )


def _column(name: str, database_type: str, *, is_nullable: bool) -> SourceColumn:
    return described_column(name, database_type, type_rule(database_type), is_nullable=is_nullable)


def _delivered(planned: PlannedColumn) -> str:
    how = type_rule(planned.database_type).delivery(planned)
    return f"{how.sql.replace('{0}', column_of(planned.name).text)} AS {quoted(planned.name)}"


def _rows_at_once(columns: tuple[PlannedColumn, ...], *, max_rows: int, max_bytes: int) -> int:
    """The number of rows of every batch, which cannot change during the stream.

    Their size is bounded nevertheless: DuckDB itself holds one vector of rows at a time, within its memory limit.
    """
    kinds = {one.read_type for one in columns}
    if "binary" in kinds:
        return BatchSize(widest_row=None, max_rows=min(max_rows, _VECTOR_ROWS), max_bytes=max_bytes).steady
    return min(max_rows, _VECTOR_ROWS) if "string" in kinds else max_rows


def _too_much_at_once(error: OutOfMemory, columns: tuple[PlannedColumn, ...]) -> OutOfMemory:
    unbounded = [f"{one.name} ({one.database_type})" for one in columns if one.read_type in {"binary", "string"}]
    if not unbounded:
        return error
    return OutOfMemory(
        error.message,
        discreet=error.discreet,
        code=error.code,
        hint=f"raise execution.memory_limit: DuckDB reads up to {_VECTOR_ROWS:,} rows at once, whatever their size; "
        f"values of these columns may have any size: {', '.join(unbounded)}. Or leave them out of a custom_query",
    )


def _require_schema(schema: pa.Schema, columns: tuple[PlannedColumn, ...]) -> None:
    """Check that DuckDB delivers the planned types; its mapping to Arrow is not trusted."""
    for field, planned in zip(schema, columns, strict=True):
        if field.name != planned.name or str(field.type) != planned.read_type:
            raise DataError(
                f"column {planned.name} ({planned.database_type}) arrives as {field.name}: {field.type}, "
                f"planned was {planned.read_type}",
                hint="this DuckDB release maps the type differently: please report it",
            )
