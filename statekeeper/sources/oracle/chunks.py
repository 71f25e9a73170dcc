"""Divides a table into chunks: its partitions, ranges of ROWIDs, ranges of a key, or one whole.

Decides which of these is used, and where ranges begin. The database does every comparison of ROWIDs and keys, since
their text has another order. `chunk_condition` makes a chunk's condition, which reading uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.errors import DataError, SourceError, TransientSourceError
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import Chunk, ChunkKind, Snapshot
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.count import count_rows
from statekeeper.sources.oracle.errors import UnreadableValue
from statekeeper.sources.oracle.extents import (
    Extent,
    even_ranges,
    extents_of,
    first_of_primary_key,
    rowids_of,
    serves_ranges,
)
from statekeeper.sources.oracle.relation import RelationKind, Source
from statekeeper.sources.oracle.types import key_type
from statekeeper.sources.protocol import ChunkPlan
from statekeeper.sources.ranges import chunking_key, no_key, not_cut_by, range_condition, ranges, whole
from statekeeper.sources.sql import Bind, Sql, all_of, column_of, quoted

_SAMPLED_PER_CHUNK = 1_000
_MAX_CHUNKS = 100_000
_TINY = 8
"""Partitions that are on average more than so many times smaller than a chunk do not get a chunk each."""
_HUGE = 2
"""A partition that is at least so many times larger than a chunk is divided further."""


@dataclass(frozen=True)
class Cut:
    """What is divided into chunks: the relation, the conditions of the scope, its columns and the snapshot."""

    connection: Connection
    source: Source
    conditions: tuple[Sql, ...]
    columns: tuple[SourceColumn, ...]
    snapshot: Snapshot
    target_rows: int

    @property
    def has_rowids(self) -> bool:
        """Whether ROWIDs are positions in segments: not in views, external tables, links and index-organized tables."""
        return self.source.kind is RelationKind.HEAP

    @property
    def _what(self) -> str:
        return f"{self.source.label} cannot be cut into chunks"

    def rows(self, statement: Sql) -> list[tuple[object, ...]]:
        return self.connection.rows(statement, self._what, table=self.source.grant_object)

    def sorted_rows(self, statement: Sql) -> list[tuple[object, ...]]:
        """The result of a sort, which may have to read the whole table."""
        try:
            return self.connection.rows_of_all(statement, self._what, table=self.source.grant_object)
        except TransientSourceError as error:
            if error.code != "ORA-01652":
                raise
            raise SourceError(  # not transient: the sort would be as large the next time
                error.message,
                hint="ask the DBA for more temporary space, or chunk by rowid, by partition or not at all "
                "(chunking.strategy)",
                code=error.code,
            ) from error

    @property
    def named(self) -> tuple[Bind, Bind]:
        """The table's owner and name, as bind values for queries on the dictionary."""
        return Bind("VARCHAR2", self.source.owner), Bind("VARCHAR2", self.source.name)

    def counted(self) -> int:
        """The number of rows of the scope."""
        return count_rows(self.connection, self.source, self.snapshot, self.conditions)


def plan_chunks(cut: Cut, policy: ChunkingPolicy) -> ChunkPlan:
    """The chunks by a policy. Raises PlanError if the relation does not allow its strategy."""
    match policy.strategy:
        case ChunkingStrategy.NONE:
            return whole(cut.source.rows or 0)
        case ChunkingStrategy.KEY:
            key = chunking_key(cut.columns, policy, cut.source.label)
            plan = _by_key(cut, key, cut.counted())
            return plan.model_copy(update={"notes": (*plan.notes, *_without_index(cut, key, len(plan.chunks)))})
        case ChunkingStrategy.ROWID:
            if not cut.has_rowids:
                why = f"a {cut.source.kind.value} has no ROWIDs that are positions in a segment"
                raise not_cut_by(policy.strategy, cut.source.label, why)
            return _by_rowid(cut, _size(cut))
        case ChunkingStrategy.PARTITION:
            if not cut.source.is_partitioned:
                raise not_cut_by(policy.strategy, cut.source.label, "it has no partitions")
            return _by_partition(cut)
        case ChunkingStrategy.AUTO:
            return _by_best_strategy(cut)


def chunk_condition(chunk: Chunk, database_type: str | None) -> Sql | None:
    """The condition for the rows of a chunk; None for all rows. `database_type` is the type of its column."""
    if chunk.column is not None and chunk.kind is ChunkKind.KEY:
        kind = _bind_type(database_type or "")
        return range_condition(chunk, column_of(chunk.column), lambda name, text: Sql(f":{name}", (Bind(kind, text),)))
    return range_condition(
        chunk, Sql("q.ROWID"), lambda name, text: Sql(f"CHARTOROWID(:{name})", (Bind("VARCHAR2", text),))
    )


def _by_best_strategy(cut: Cut) -> ChunkPlan:
    counted = _size(cut) if cut.conditions else None
    if counted is not None and counted.rows <= cut.target_rows:
        return whole(counted.rows)
    if cut.source.is_partitioned:
        plan = _by_partition(cut)
        if len(plan.chunks) > 1:
            return plan if cut.conditions else _balanced(cut, plan)
    if cut.has_rowids:
        return _by_rowid(cut, counted or _size(cut))
    key = _primary_key(cut) if cut.source.is_table else None
    if key is not None:
        return _by_key(cut, key, cut.counted())
    note = (
        f"read as one chunk, since a {cut.source.kind.value} has neither partitions nor usable ROWIDs; "
        "chunking: {strategy: key, column: ...} would divide it"
    )
    return whole(cut.source.rows or 0, note)


@dataclass(frozen=True)
class _Size:
    """The number of rows of the scope. If it is from statistics, the table may have grown since."""

    rows: int
    is_of_statistics: bool


def _size(cut: Cut) -> _Size:
    """The size by the table's statistics; by a count for a scope, or if there are no statistics."""
    if cut.conditions or cut.source.rows is None:
        return _Size(cut.counted(), is_of_statistics=False)
    return _Size(cut.source.rows, is_of_statistics=True)


def _by_partition(cut: Cut) -> ChunkPlan:
    """A chunk for each partition. The list is read after the snapshot, so it has every partition of the snapshot."""
    statement = Sql(
        "SELECT PARTITION_NAME, NUM_ROWS FROM ALL_TAB_PARTITIONS "
        "WHERE TABLE_OWNER = :owner AND TABLE_NAME = :name ORDER BY PARTITION_POSITION",
        cut.named,
    )
    found = cut.rows(statement)
    if not found:
        return whole(cut.source.rows or 0, "read as one chunk, since no partition of it can be seen")
    chunks = tuple(
        Chunk(chunk_id=number, kind=ChunkKind.PARTITION, partition=str(name), estimated_rows=_whole_number(rows))
        for number, (name, rows) in enumerate(found)
    )
    return ChunkPlan(chunks=chunks)


def _balanced(cut: Cut, plan: ChunkPlan) -> ChunkPlan:
    """A chunk for each partition, with two exceptions, if statistics and extents say how large partitions are.

    Very large partitions are divided further. A table of very small ones is divided by ROWIDs as if it had none.
    """
    if not cut.has_rowids or cut.source.rows is None:
        return plan
    if _are_tiny(plan.chunks, cut):
        found = _ranges_of_all(cut, _size(cut), extents_of(cut.connection, cut.source))
        return plan if found is None else found
    subpartitions = _subpartitions(cut) if any(_is_huge(chunk, cut) for chunk in plan.chunks) else {}
    chunks: list[Chunk] = []
    for chunk in plan.chunks:
        pieces = _cut_partition(cut, chunk, subpartitions.get(chunk.partition or "", ()))
        chunks += [piece.model_copy(update={"chunk_id": len(chunks) + n}) for n, piece in enumerate(pieces)]
    return plan.model_copy(update={"chunks": tuple(chunks)})


def _is_huge(chunk: Chunk, cut: Cut) -> bool:
    return chunk.estimated_rows >= _HUGE * cut.target_rows


def _are_tiny(chunks: Sequence[Chunk], cut: Cut) -> bool:
    return 0 < sum(chunk.estimated_rows for chunk in chunks) < len(chunks) * cut.target_rows // _TINY


def _subpartitions(cut: Cut) -> dict[str, list[tuple[str, int | None]]]:
    """The subpartitions of each composite partition, with their rows if statistics have them."""
    statement = Sql(
        "SELECT PARTITION_NAME, SUBPARTITION_NAME, NUM_ROWS FROM ALL_TAB_SUBPARTITIONS "
        "WHERE TABLE_OWNER = :owner AND TABLE_NAME = :name ORDER BY PARTITION_NAME, SUBPARTITION_POSITION",
        cut.named,
    )
    found: dict[str, list[tuple[str, int | None]]] = {}
    for partition, name, rows in cut.rows(statement):
        known = None if rows is None else _whole_number(rows)
        found.setdefault(str(partition), []).append((str(name), known))
    return found


def _cut_partition(cut: Cut, chunk: Chunk, parts: Sequence[tuple[str, int | None]]) -> tuple[Chunk, ...]:
    """The chunks of a partition: one, unless it is very large.

    A very large one is divided into its subpartitions, of which very large ones are divided further. If it has none, or
    very small ones, it is divided into ranges of ROWIDs. It stays whole if the extents are not known.
    """
    if not _is_huge(chunk, cut):
        return (chunk,)
    if not parts:
        return _cut_segments(cut, chunk, [chunk.partition or ""])
    known = [rows for _, rows in parts if rows is not None]
    rows = known if len(known) == len(parts) else _shares(chunk.estimated_rows, [1] * len(parts))
    subchunks = [
        chunk.model_copy(update={"subpartition": name, "estimated_rows": some})
        for (name, _), some in zip(parts, rows, strict=True)
    ]
    if _are_tiny(subchunks, cut):
        return _cut_segments(cut, chunk, [name for name, _ in parts])
    pieces: list[Chunk] = []
    for one in subchunks:
        pieces += _cut_segments(cut, one, [one.subpartition or ""]) if _is_huge(one, cut) else (one,)
    return tuple(pieces)


def _cut_segments(cut: Cut, chunk: Chunk, segments: Sequence[str]) -> tuple[Chunk, ...]:
    """Ranges of ROWIDs within a chunk whose rows are in these segments; the whole chunk if the extents are hidden."""
    size = _Size(chunk.estimated_rows, is_of_statistics=False)
    found = _ranges_of_all(cut, size, extents_of(cut.connection, cut.source, segments))
    if found is None or len(found.chunks) == 1:
        return (chunk,)
    within = {"partition": chunk.partition, "subpartition": chunk.subpartition}
    return tuple(one.model_copy(update=within) for one in found.chunks)


def _by_rowid(cut: Cut, size: _Size) -> ChunkPlan:
    extents = extents_of(cut.connection, cut.source)
    if (found := _ranges_of_all(cut, size, extents)) is not None:
        return found
    rows = size.rows
    wanted = _chunk_count(rows, cut.target_rows)
    if wanted == 1:
        return whole(rows)
    splits = _sampled_splits(cut, "q.ROWID", "ROWIDTOCHAR({0})", rows=rows, wanted=wanted, sample="BLOCK")
    plan = ranges(ChunkKind.ROWID, "ROWID", "ROWID", splits, _shares(rows, [1] * (len(splits) + 1)))
    if extents is not None:
        return plan
    note = (
        "divided by a sample of its blocks, since DBA_EXTENTS may not be read; "
        f"GRANT SELECT ON SYS.DBA_EXTENTS TO {cut.connection.user} gives chunks of equal size at less cost"
    )
    return plan.model_copy(update={"notes": (note,)})


def _ranges_of_all(cut: Cut, size: _Size, extents: Sequence[Extent] | None) -> ChunkPlan | None:
    """Ranges of ROWIDs with about equally many blocks of the extents; None without extents."""
    if not extents:
        return None
    rows, blocks = size.rows, sum(extent.blocks for extent in extents)
    if size.is_of_statistics:
        rows = max(rows, _rows_by_blocks(cut.source, blocks))
    starts, gathered = even_ranges(extents, max(1, -(-blocks // _chunk_count(rows, cut.target_rows))))
    splits = rowids_of(cut.connection, cut.source, starts)
    if splits is None:
        return None
    return ranges(ChunkKind.ROWID, "ROWID", "ROWID", splits, _shares(rows, gathered))


def _shares(rows: int, weights: Sequence[int]) -> list[int]:
    """`rows` divided in proportion to the weights; the sum is `rows`."""
    total, done, shares = max(sum(weights), 1), 0, []
    passed = 0
    for weight in weights:
        passed += weight
        shares.append(rows * passed // total - done)
        done += shares[-1]
    return shares


def _rows_by_blocks(source: Source, blocks: int) -> int:
    """The rows to which the table may have grown since its statistics were gathered."""
    if not source.rows or not source.blocks:
        return 0
    return source.rows * blocks // source.blocks // 2  # extents have free blocks, up to about half of them


def _by_key(cut: Cut, key: SourceColumn, rows: int) -> ChunkPlan:
    """Ranges between quantiles of the key. Skew makes fewer chunks, but never overlapping ones."""
    kind = key_type(key.database_type)
    if kind is None:
        raise no_key(cut.source.label, key, "a NUMBER, DATE, TIMESTAMP or character")
    wanted = _chunk_count(rows, cut.target_rows)
    if wanted == 1:
        return whole(rows)
    name = f"q.{quoted(key.name)}"
    try:
        splits = _sampled_splits(cut, name, "{0}", rows=rows, wanted=wanted, sample="")
    except UnreadableValue as error:
        where = f"chunking key {key.name} ({key.database_type})"
        raise DataError(
            f"{where}: {error.message}",
            hint=f"chunk by another column, or by rowid (chunking.strategy); to read the value, {error.hint}",
            code=error.code,
            discreet=f"{where}: {error.discreet}",
        ) from error
    if not splits:
        return whole(rows, f"one chunk, since {key.name} has too few different values")
    return ranges(ChunkKind.KEY, key.name, kind, splits, _shares(rows, [1] * (len(splits) + 1)))


def _without_index(cut: Cut, key: SourceColumn, chunks: int) -> tuple[str, ...]:
    if chunks == 1 or not cut.source.is_table or serves_ranges(cut.connection, cut.source, key.name):
        return ()
    note = (
        f"no index begins with {key.name}, so each of the {chunks} chunks reads the whole table: chunk by the first "
        "column of an index, by rowid, or not at all (chunking.strategy)"
    )
    return (note,)


def _sampled_splits(cut: Cut, key: str, shown: str, *, rows: int, wanted: int, sample: str) -> list[str]:
    """The lowest keys of `wanted` equal parts, without that of the first; the database sorts and divides."""
    percent = 100 * wanted * _SAMPLED_PER_CHUNK / max(rows, 1)
    is_sampled = percent < 50
    clause = ""
    if is_sampled and cut.has_rowids:
        clause = f" SAMPLE {sample + ' ' if sample else ''}({max(percent, 0.000001):.6f})"
    conditions = cut.conditions if key != "q.ROWID" else ()
    rest = cut.source.from_clause(None if sample else cut.snapshot, sample=clause)
    rest += all_of((*conditions, Sql(f"{key} IS NOT NULL")))
    if is_sampled and not clause:  # without blocks to sample: by row numbers, since keys may repeat
        keys = Sql(f"SELECT k FROM (SELECT {key} AS k, ROWNUM AS n") + rest
        keys += Sql(f") WHERE ORA_HASH(n, {int(100 / percent) - 1}) = 0")
    else:
        keys = Sql(f"SELECT {key} AS k") + rest
    statement = (
        Sql(f"SELECT {shown.replace('{0}', 'MIN(k)')} FROM (SELECT k, NTILE({wanted}) OVER (ORDER BY k) AS part FROM (")
        + keys
        + Sql(")) GROUP BY part ORDER BY part")
    )
    texts = [str(value) for (value,) in cut.sorted_rows(statement)]
    distinct = list(dict.fromkeys(texts))
    return distinct[1:]


def _chunk_count(rows: int, target_rows: int) -> int:
    return min(max(1, -(-rows // target_rows)), _MAX_CHUNKS)


def _primary_key(cut: Cut) -> SourceColumn | None:
    """The first column of the primary key, if its type can be a chunking key."""
    name = first_of_primary_key(cut.connection, cut.source)
    found = next((one for one in cut.columns if one.name == name), None)
    return found if found is not None and key_type(found.database_type) is not None else None


def _bind_type(database_type: str) -> str:
    match key_type(database_type):
        case "Decimal":
            return "NUMBER"
        case "datetime":
            return "DATE" if database_type == "DATE" else "TIMESTAMP"
        case _:
            return "NVARCHAR2" if database_type.startswith("N") else "VARCHAR2"


def _whole_number(value: object) -> int:
    return int(str(value)) if value is not None else 0
