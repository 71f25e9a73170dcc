"""The Oracle session: describe, snapshot, chunks, count and read.

Decides what is checked before a row is read: that the session can serve the plan's snapshot, and that the table is
still the planned one. Other modules of this package decide about snapshots (`snapshot`), chunks (`chunks`) and types
(`types`), and check what the driver delivers (`batches`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from statekeeper.errors import DataError, PlanError, SourceError, StatekeeperError
from statekeeper.model.column import RelationComments, SourceColumn
from statekeeper.model.plan import Chunk, PlannedColumn, ReadSpec, Snapshot
from statekeeper.model.table import Relation, Scope
from statekeeper.parquet.batch_size import BatchSize
from statekeeper.sources.columns import described_column, named_column
from statekeeper.sources.oracle.advice import advise, unseen_parts
from statekeeper.sources.oracle.batches import Projection, delivered
from statekeeper.sources.oracle.chunks import Cut, chunk_condition, plan_chunks
from statekeeper.sources.oracle.comments import comments_of
from statekeeper.sources.oracle.connection import Connection, Described
from statekeeper.sources.oracle.count import count_scope, greatest_number, null_counting
from statekeeper.sources.oracle.errors import UnreadableValue
from statekeeper.sources.oracle.relation import Source, find_source
from statekeeper.sources.oracle.scn import utc_offset
from statekeeper.sources.oracle.snapshot import FLASHBACK_KIND, Snapshots, disable_flashback, enable_flashback
from statekeeper.sources.oracle.table_state import require_same_table, table_state
from statekeeper.sources.oracle.transactions import why_hidden
from statekeeper.sources.oracle.types import (
    OFFSET_OF,
    OFFSET_SUFFIX,
    TypeChoices,
    database_type_of,
    expression,
    has_zone_offset,
    type_rule,
    window_bound,
)
from statekeeper.sources.protocol import MOST_ROWS, USUAL_BYTES, ChunkPlan, SourceCount
from statekeeper.sources.scope import cut_conditions, scope_conditions
from statekeeper.sources.sql import Sql, all_of, quoted

if TYPE_CHECKING:
    import pyarrow as pa

    from statekeeper.config.sections.chunking import ChunkingPolicy
    from statekeeper.config.sections.oracle import OracleSource

_SEARCHED_ROWS = 1_000


class OracleSession:
    """A session with an Oracle database; implements `SourceSession`.

    Raises:
        LoginRefused, SourceUnreachable, TransientSourceError: none can be opened.
    """

    def __init__(self, config: OracleSource) -> None:
        self._config = config
        self._choices = TypeChoices.of(config)
        self._found: tuple[Relation, Snapshot, Source] | None = None
        self._connection = Connection.open(config)
        try:
            self._snapshots = Snapshots(self._connection, config)
        except BaseException:
            self._connection.close()
            raise

    @property
    def warnings(self) -> tuple[str, ...]:
        warning = self._connection.warning
        return () if warning is None else (warning,)

    def identity(self) -> dict[str, str]:
        return self._snapshots.identity

    def describe(self, relation: Relation) -> tuple[SourceColumn, ...]:
        self._connection.set_action(f"{relation.label} describe")
        return self._describe(find_source(self._connection, relation))

    def comments(self, relation: Relation) -> RelationComments:
        self._connection.set_action(f"{relation.label} describe")
        return comments_of(self._connection, find_source(self._connection, relation))

    def take_snapshot(self, relation: Relation, *, at: datetime | None = None) -> Snapshot:
        self._connection.set_action(f"{relation.label} snapshot")
        return self._snapshots.take(find_source(self._connection, relation), at=at)

    def take_run_snapshot(self, relations: Sequence[Relation] = ()) -> Snapshot:
        self._connection.set_action("run snapshot")
        return self._snapshots.take_for_run(relations)

    def join_snapshot(self, relation: Relation, snapshot: Snapshot) -> Snapshot:
        self._connection.set_action(f"{relation.label} snapshot")
        return self._snapshots.join(find_source(self._connection, relation), snapshot)

    def utc_offset(self) -> str:
        return utc_offset(self._connection)

    def why_transactions_are_hidden(self) -> str | None:
        return why_hidden(self._connection)

    def greatest_number(self, relation: Relation, column: str, snapshot: Snapshot) -> int | None:
        self._connection.set_action(f"{relation.label} plan")
        self._snapshots.require(snapshot)
        source = find_source(self._connection, relation)
        name = named_column(self._describe(source), column, source.label).name
        with self._at_snapshot(snapshot):
            return greatest_number(self._connection, source, name, snapshot)

    def plan_chunks(self, relation: Relation, scope: Scope, snapshot: Snapshot, policy: ChunkingPolicy) -> ChunkPlan:
        self._connection.set_action(f"{relation.label} plan")
        self._snapshots.require(snapshot)
        source = find_source(self._connection, relation)
        columns = self._describe(source)
        cut = Cut(
            self._connection,
            source,
            cut_conditions(scope, columns, source.label, window_bound),
            columns,
            snapshot,
            policy.target_rows,
        )
        with self._at_snapshot(snapshot):
            plan = plan_chunks(cut, policy)
        found = {
            "notes": (*plan.notes, *unseen_parts(self._connection, source, self._config)),
            "relation_state": table_state(self._connection, source),
        }
        if scope.window is not None:
            counting = null_counting(self._connection, source, scope.window, columns, self._config)
            found |= {"null_count": counting.null_count, "null_advice": counting.advice}
        return plan.model_copy(update=found)

    def count(self, reading: ReadSpec) -> SourceCount:
        self._connection.set_action(f"{reading.relation.label} count")
        self._snapshots.require(reading.snapshot)
        source = self._source_of(reading)
        with self._at_snapshot(reading.snapshot):
            return count_scope(self._connection, source, reading)

    def read(
        self, reading: ReadSpec, chunk: Chunk, *, batch_rows: int = MOST_ROWS, batch_bytes: int = USUAL_BYTES
    ) -> Iterator[pa.RecordBatch]:
        self._connection.set_action(f"{reading.relation.label} chunk {chunk.chunk_id}")
        self._snapshots.require(reading.snapshot)
        source = self._source_of(reading)
        require_same_table(self._connection, source, reading, columns=lambda: self._describe(source))
        piece = _from_and_where(source, reading, chunk)
        with self._at_snapshot(reading.snapshot):
            try:
                yield from self._batches(reading.columns, piece, source, batch_rows=batch_rows, batch_bytes=batch_bytes)
            except UnreadableValue as error:
                raise self._with_column(reading, piece, source, error) from error

    def advise(self, relation: Relation) -> tuple[str, ...]:
        self._connection.set_action(f"{relation.label} advice")
        source = find_source(self._connection, relation)
        self._snapshots.take(source, at=None)  # raises an error that names the required grants
        return advise(self._connection, source, self._config)

    def close(self) -> None:
        self._connection.close()

    def _source_of(self, reading: ReadSpec) -> Source:
        """The Source of a plan, looked up for its first chunk only.

        Each chunk checks by the last DDL whether it still is the planned table.
        """
        if self._found is None or self._found[:2] != (reading.relation, reading.snapshot):
            self._found = reading.relation, reading.snapshot, find_source(self._connection, reading.relation)
        return self._found[2]

    def _describe(self, source: Source) -> tuple[SourceColumn, ...]:
        statement = Sql("SELECT *") + source.from_clause(None)
        described, binds = self._connection.describe(
            statement, f"{source.label} cannot be described", table=source.grant_object
        )
        if binds:
            names = ", ".join(f":{name}" for name in binds)
            raise PlanError(
                f"custom_query has parameters ({names}), which nothing fills in", hint="write the values out"
            )
        columns: list[SourceColumn] = []
        for one in described:
            columns.append(self._column(one.name, _database_type(one), is_nullable=one.is_nullable))
            if self._choices.zone_offsets and has_zone_offset(_database_type(one)):
                offset = self._column(f"{one.name}{OFFSET_SUFFIX}", f"{OFFSET_OF}{_database_type(one)}")
                columns.append(offset.model_copy(update={"is_nullable": one.is_nullable}))
        _refuse_duplicates([one.name for one in columns], source)
        return tuple(columns)

    def _column(self, name: str, database_type: str, *, is_nullable: bool = True) -> SourceColumn:
        rule = type_rule(database_type, self._choices)
        return described_column(name, database_type, rule, is_nullable=is_nullable)

    @contextmanager
    def _at_snapshot(self, snapshot: Snapshot) -> Iterator[None]:
        """Set the session to the snapshot, if its statements cannot contain AS OF."""
        if snapshot.kind != FLASHBACK_KIND:
            yield
            return
        enable_flashback(self._connection, int(snapshot.token))
        try:
            yield
        finally:
            try:
                disable_flashback(self._connection)
            except StatekeeperError:  # the session is broken: the first error is raised, and it is not used again
                self._connection.close()

    def _batches(
        self,
        columns: tuple[PlannedColumn, ...],
        piece: Sql,
        source: Source,
        *,
        batch_rows: int,
        batch_bytes: int = USUAL_BYTES,
    ) -> Iterator[pa.RecordBatch]:
        projection = Projection.of(columns, self._choices)
        frames = self._connection.batches(
            Sql(f"SELECT {projection.sql}") + piece,
            projection.schema,
            f"{source.label} cannot be read",
            size=BatchSize(widest_row=projection.widest_row, max_rows=batch_rows, max_bytes=batch_bytes),
            table=source.grant_object,
        )
        for arrays in frames:
            yield from delivered(arrays, projection)

    def _with_column(self, reading: ReadSpec, piece: Sql, source: Source, error: UnreadableValue) -> StatekeeperError:
        """The error with the name of its column, which is found by reading each column alone."""
        is_text = isinstance(error.__cause__, UnicodeDecodeError)
        likely = sorted(reading.columns, key=lambda column: column.read_type.endswith("string") is not is_text)
        for column in likely:
            try:
                deque(self._batches((column,), piece, source, batch_rows=_SEARCHED_ROWS), maxlen=0)
            except UnreadableValue as found:
                where = f"column {column.name} ({column.database_type})"
                return self._before_year_1(column, piece, where) or found.within(where)
            except StatekeeperError:  # the search failed: the error is raised without its column
                break
        return error

    def _before_year_1(self, column: PlannedColumn, piece: Sql, where: str) -> DataError | None:
        if not column.database_type.startswith(("DATE", "TIMESTAMP")):
            return None
        has_zone = column.database_type.endswith("ZONE")
        moment, zone = ("SYS_EXTRACT_UTC({0})", " +00:00") if has_zone else ("{0}", "")
        least = expression(f"TO_CHAR(MIN({moment}), 'SYYYY-MM-DD HH24:MI:SS')", column.name, column.database_type)
        try:
            ((text,),) = self._connection.rows(Sql(f"SELECT {least}") + piece, f"{where} cannot be searched")
        except SourceError:
            return None
        if text is None or not str(text).startswith("-"):
            return None
        why = "is before the year 1 in UTC" if has_zone else "is before the year 1"
        return DataError(
            f"{where}: the value {text} {why}, which no Arrow reader's calendar has",
            discreet=f"{where}: a value {why}, which no Arrow reader's calendar has",
            hint=f"select it as text, or leave such rows out, in a custom_query: "
            f"CASE WHEN {quoted(column.name)} >= TIMESTAMP '0001-01-01 00:00:00{zone}' THEN {quoted(column.name)} END",
        )


def _database_type(one: Described) -> str:
    return database_type_of(
        one.type_name, size=one.size, precision=one.precision, scale=one.scale, object_type=one.object_type
    )


def _refuse_duplicates(names: list[str], source: Source) -> None:
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise PlanError(
            f"{source.label}: several columns are called {', '.join(duplicates)}",
            hint="give each its own alias in the custom_query, or set zone_offsets: false for the source",
        )


def _from_and_where(source: Source, reading: ReadSpec, chunk: Chunk) -> Sql:
    """The FROM and WHERE clauses of a chunk."""
    conditions = list(scope_conditions(reading.scope, reading.all_columns, source.label, window_bound))
    types = {one.name: one.database_type for one in reading.all_columns}
    if (condition := chunk_condition(chunk, types.get(chunk.column or ""))) is not None:
        conditions.append(condition)
    part = source.from_clause(reading.snapshot, partition=chunk.partition, subpartition=chunk.subpartition)
    return part + all_of(conditions)
