"""Divides a table into chunks: ranges of rowids, ranges of a key, or one whole.

Decides by counts of the scope's rows, taken from the database, which does every comparison of keys. Nothing here reads
data: `chunk_condition` makes a chunk's condition, which reading uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import Chunk, ChunkKind
from statekeeper.sources.duckdb.connection import Connection
from statekeeper.sources.duckdb.relation import RelationKind, Source
from statekeeper.sources.duckdb.types import bound_of, key_type
from statekeeper.sources.protocol import ChunkPlan
from statekeeper.sources.ranges import chunking_key, no_key, not_cut_by, range_condition, ranges, whole
from statekeeper.sources.sql import Sql, all_of, column_of

_BUCKETS_PER_CHUNK = 10
_SAMPLE_ROWS = 20_000
_ROWID_TYPE = "BIGINT"


@dataclass(frozen=True)
class Cut:
    """What is divided into chunks: the relation, the conditions of the scope, and its columns."""

    connection: Connection
    source: Source
    conditions: tuple[Sql, ...]
    columns: tuple[SourceColumn, ...]

    @property
    def has_rowids(self) -> bool:
        """Whether the rows' rowids can be used. A column called rowid hides them."""
        named = {one.name.casefold() for one in self.columns}
        return self.source.kind is RelationKind.TABLE and "rowid" not in named

    def select(self, what: str, *more: Sql, tail: str = "") -> Sql:
        return Sql(f"SELECT {what}") + self.source.from_clause + all_of((*self.conditions, *more)) + Sql(tail)

    def rows(self, statement: Sql) -> list[tuple[int, ...]]:
        return self.connection.rows(statement, f"{self.source.label} cannot be cut into chunks")


def plan_chunks(cut: Cut, policy: ChunkingPolicy) -> ChunkPlan:
    """The chunks by a policy. Raises PlanError if the relation does not allow its strategy."""
    match policy.strategy:
        case ChunkingStrategy.NONE:
            return _whole(cut)
        case ChunkingStrategy.KEY:
            key = chunking_key(cut.columns, policy, cut.source.label)
            return _by_key(cut, key, policy.target_rows)
        case ChunkingStrategy.ROWID:
            if not cut.has_rowids:
                raise not_cut_by(policy.strategy, cut.source.label, _why_no_rowids(cut))
            return _by_rowid(cut, policy.target_rows)
        case ChunkingStrategy.PARTITION:
            raise not_cut_by(policy.strategy, cut.source.label, "DuckDB tables have no partitions")
        case ChunkingStrategy.AUTO:
            if cut.has_rowids:
                return _by_rowid(cut, policy.target_rows)
            note = (
                f"read as one chunk, since {_why_no_rowids(cut)}; chunking: {{strategy: key, column: ...}} would cut it"
            )
            return _whole(cut, note)


def chunk_condition(chunk: Chunk, columns: Sequence[SourceColumn]) -> Sql | None:
    """The condition for the rows of a chunk; None for all rows. `columns` are those of its relation."""
    if chunk.column is None:
        return None
    if chunk.kind is ChunkKind.ROWID:
        return range_condition(chunk, Sql("q.rowid"), lambda _, text: bound_of(_ROWID_TYPE, text))
    kind = next(one.database_type for one in columns if one.name == chunk.column)
    return range_condition(chunk, column_of(chunk.column), lambda _, text: bound_of(kind, text))


def _whole(cut: Cut, *notes: str) -> ChunkPlan:
    ((rows,),) = cut.rows(cut.select("count(*)"))
    return whole(rows, *notes)


def _by_rowid(cut: Cut, target_rows: int) -> ChunkPlan:
    """Ranges with about `target_rows` rows of the scope each, even if many rows in between were deleted.

    Rows are counted in buckets of rowids by a scan that reads no column; buckets are then merged until a chunk is full.
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
    return ranges(ChunkKind.ROWID, "rowid", "int", [str(split) for split in splits], sizes)


def _by_key(cut: Cut, key: SourceColumn, target_rows: int) -> ChunkPlan:
    """Ranges between quantiles of a sample of the key. Skew makes fewer chunks, but never overlapping ones."""
    kind = key_type(key.database_type)
    if kind is None:
        raise no_key(cut.source.label, key, "an integer, decimal, date, timestamp, text or UUID")
    ((total,),) = cut.rows(cut.select("count(*)"))
    wanted = -(-total // target_rows)
    name = column_of(key.name)
    splits: list[tuple[str, int]] = []
    if wanted > 1:
        statement = _quantiles(cut, name, wanted)
        found = cut.connection.rows(statement, f"{cut.source.label} cannot be cut by {key.name}")
        splits = [(text, below) for text, below in found if below > 0]
    if not splits:
        return whole(total, *([f"one chunk, since {key.name} has too few different values"] if wanted > 1 else []))
    shares = [below for _, below in splits]
    sample = min(total, _SAMPLE_ROWS)
    edges = [0, *shares, max(sample, shares[-1])]
    sizes = [max(0, high - low) * total // edges[-1] for low, high in pairwise(edges)]
    return ranges(ChunkKind.KEY, key.name, kind, [text for text, _ in splits], sizes)


def _quantiles(cut: Cut, name: Sql, wanted: int) -> Sql:
    """The statement for the split values in the database's order, each with the number of sample rows below it."""
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


def _why_no_rowids(cut: Cut) -> str:
    if cut.source.kind is RelationKind.TABLE:
        return "a column called rowid hides the rowids"
    return f"a {cut.source.kind.name.lower()} has no rowids"
