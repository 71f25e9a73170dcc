"""Cuts a table into chunks: ranges of rowids, ranges of a key, or one whole.

Decides from the scope's own row counts, taken from the database; every comparison of keys is the database's. Nothing
here reads data: a chunk becomes a condition in `chunk_condition`, which reading uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import Bound, Chunk, ChunkKind
from statekeeper.sources.columns import named_column
from statekeeper.sources.duckdb.connection import Connection
from statekeeper.sources.duckdb.relation import RelationKind, Source, column
from statekeeper.sources.duckdb.types import key_type
from statekeeper.sources.protocol import ChunkPlan
from statekeeper.sources.sql import Bind, Sql, all_of

_BUCKETS_PER_CHUNK = 10
_SAMPLE_ROWS = 20_000
_ROWID_TYPE = "BIGINT"


@dataclass(frozen=True)
class Cut:
    """What is cut: the relation, the conditions of the scope, and its columns."""

    connection: Connection
    source: Source
    conditions: tuple[Sql, ...]
    columns: tuple[SourceColumn, ...]

    @property
    def has_rowids(self) -> bool:
        """Whether rows have rowids that can be named: a column called rowid hides them."""
        named = {one.name.casefold() for one in self.columns}
        return self.source.kind is RelationKind.TABLE and "rowid" not in named

    def select(self, what: str, *more: Sql, tail: str = "") -> Sql:
        return Sql(f"SELECT {what}") + self.source.from_clause + all_of((*self.conditions, *more)) + Sql(tail)

    def rows(self, statement: Sql) -> list[tuple[int, ...]]:
        return self.connection.rows(statement, f"{self.source.label} cannot be cut into chunks")


def plan_chunks(cut: Cut, policy: ChunkingPolicy) -> ChunkPlan:
    """Chunks by the policy. Raises PlanError where the relation does not allow its strategy."""
    match policy.strategy:
        case ChunkingStrategy.NONE:
            return _whole(cut)
        case ChunkingStrategy.KEY:
            return _by_key(cut, _key(cut, policy), policy.target_rows)
        case ChunkingStrategy.ROWID:
            if not cut.has_rowids:
                raise _without_rowids(cut)
            return _by_rowid(cut, policy.target_rows)
        case ChunkingStrategy.PARTITION:
            raise PlanError(
                f"{cut.source.label}: chunking by partition is asked for, and DuckDB tables have no partitions",
                hint="chunking: {strategy: auto}, or {strategy: key, column: ...}",
            )
        case ChunkingStrategy.AUTO:
            if cut.has_rowids:
                return _by_rowid(cut, policy.target_rows)
            note = (
                f"read as one chunk, since {_why_no_rowids(cut)}; chunking: {{strategy: key, column: ...}} would cut it"
            )
            return _whole(cut, (note,))


def chunk_condition(chunk: Chunk, database_type: str) -> Sql | None:
    """The rows of a chunk as a condition, or None for all rows; `database_type` is that of its column."""
    if chunk.column is None or (chunk.lower is None and chunk.upper is None):
        return None
    key = Sql("q.rowid") if chunk.kind is ChunkKind.ROWID else column(chunk.column)
    cast = f"CAST(? AS {database_type})"
    if chunk.lower is None:
        assert chunk.upper is not None
        return key + Sql(f" < {cast} OR ", (Bind(database_type, chunk.upper.text),)) + key + Sql(" IS NULL")
    lower = key + Sql(f" >= {cast}", (Bind(database_type, chunk.lower.text),))
    if chunk.upper is None:
        return lower
    return lower + Sql(" AND ") + key + Sql(f" < {cast}", (Bind(database_type, chunk.upper.text),))


def chunk_type(chunk: Chunk, columns: tuple[SourceColumn, ...]) -> str:
    """The database type of a chunk's column."""
    if chunk.kind is not ChunkKind.KEY:
        return _ROWID_TYPE
    return next(one.database_type for one in columns if one.name == chunk.column)


def _whole(cut: Cut, notes: tuple[str, ...] = ()) -> ChunkPlan:
    ((rows,),) = cut.rows(cut.select("count(*)"))
    return ChunkPlan(chunks=(Chunk(chunk_id=0, estimated_rows=rows),), notes=notes)


def _by_rowid(cut: Cut, target_rows: int) -> ChunkPlan:
    """Ranges with about `target_rows` rows of the scope each, however many rows were deleted in between.

    Rows are counted by buckets of rowids, a scan that reads no column, and buckets are gathered until a chunk is full.
    """
    width = max(1, target_rows // _BUCKETS_PER_CHUNK)
    buckets = cut.rows(cut.select(f"q.rowid // {width} AS bucket, count(*)", tail=" GROUP BY 1 ORDER BY 1"))
    total = sum(rows for _, rows in buckets)
    splits: list[int] = []
    sizes: list[int] = []
    gathered = 0
    for bucket, rows in buckets:
        if gathered and gathered + rows > target_rows and total > target_rows:
            splits.append(bucket * width)
            sizes.append(gathered)
            gathered = 0
        gathered += rows
    sizes.append(gathered)
    if not splits:
        return ChunkPlan(chunks=(Chunk(chunk_id=0, estimated_rows=total),))
    bounds = [Bound(type="int", text=str(split)) for split in splits]
    return ChunkPlan(chunks=_ranges(ChunkKind.ROWID, "rowid", bounds, sizes))


def _by_key(cut: Cut, key: SourceColumn, target_rows: int) -> ChunkPlan:
    """Ranges between quantiles of a sample of the key, so that skew makes fewer chunks and never overlapping ones."""
    kind = key_type(key.database_type)
    if kind is None:
        raise PlanError(
            f"{cut.source.label}: column {key.name} ({key.database_type}) cannot be a chunking key",
            hint="a key is an integer, decimal, date, timestamp, text or UUID column",
        )
    ((total,),) = cut.rows(cut.select("count(*)"))
    wanted = -(-total // target_rows)
    name = column(key.name)
    splits: list[tuple[str, int]] = []
    if wanted > 1:
        statement = _quantiles(cut, name, wanted)
        found = cut.connection.rows(statement, f"{cut.source.label} cannot be cut by {key.name}")
        splits = [(text, below) for text, below in found if below > 0]
    if not splits:
        notes = (f"one chunk, since {key.name} has too few different values",) if wanted > 1 else ()
        return ChunkPlan(chunks=(Chunk(chunk_id=0, estimated_rows=total),), notes=notes)
    shares = [below for _, below in splits]
    sample = min(total, _SAMPLE_ROWS)
    edges = [0, *shares, max(sample, shares[-1])]
    sizes = [max(0, high - low) * total // edges[-1] for low, high in pairwise(edges)]
    bounds = [Bound(type=kind, text=text) for text, _ in splits]
    return ChunkPlan(chunks=_ranges(ChunkKind.KEY, key.name, bounds, sizes))


def _quantiles(cut: Cut, name: Sql, wanted: int) -> Sql:
    """Split values in the database's own order, each with how many rows of the sample lie below it."""
    keys = Sql("SELECT ") + name + Sql(" AS k") + cut.source.from_clause
    keys += all_of((*cut.conditions, name + Sql(" IS NOT NULL")))
    return (
        Sql("WITH keys AS (")
        + keys
        + Sql(f"), sample AS (SELECT k FROM keys USING SAMPLE reservoir({_SAMPLE_ROWS} ROWS) REPEATABLE (1)), ")
        + Sql("placed AS (SELECT k, row_number() OVER (ORDER BY k) - 1 AS n, rank() OVER (ORDER BY k) - 1 AS below, ")
        + Sql("count(*) OVER () AS c FROM sample) ")
        + Sql("SELECT CAST(k AS VARCHAR), min(below) FROM placed ")
        + Sql(f"WHERE n > 0 AND n * {wanted} // c <> (n - 1) * {wanted} // c GROUP BY k ORDER BY k")
    )


def _ranges(kind: ChunkKind, name: str, bounds: list[Bound], sizes: list[int]) -> tuple[Chunk, ...]:
    lowers: list[Bound | None] = [None, *bounds]
    uppers: list[Bound | None] = [*bounds, None]
    return tuple(
        Chunk(chunk_id=number, kind=kind, column=name, lower=lower, upper=upper, estimated_rows=size)
        for number, (lower, upper, size) in enumerate(zip(lowers, uppers, sizes, strict=True))
    )


def _key(cut: Cut, policy: ChunkingPolicy) -> SourceColumn:
    if policy.column is None:
        raise PlanError(
            f"{cut.source.label}: chunking by key needs its column", hint="chunking: {strategy: key, column: ...}"
        )
    return named_column(cut.columns, policy.column, f"{cut.source.label}: chunking key")


def _without_rowids(cut: Cut) -> PlanError:
    return PlanError(
        f"{cut.source.label}: chunking by rowid is asked for, and {_why_no_rowids(cut)}",
        hint="chunking: {strategy: key, column: ...}, or {strategy: none}",
    )


def _why_no_rowids(cut: Cut) -> str:
    if cut.source.kind is RelationKind.TABLE:
        return "a column called rowid hides the rowids"
    return f"a {cut.source.kind.name.lower()} has no rowids"
