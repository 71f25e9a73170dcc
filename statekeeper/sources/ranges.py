"""The chunks that all sources use: the whole table, or ranges of a key that cover the table once. Pure.

The source decides where to split, and the database does every comparison of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import Bound, Chunk, ChunkKind
from statekeeper.sources.columns import named_column
from statekeeper.sources.protocol import ChunkPlan
from statekeeper.sources.sql import Sql

_INSTEAD = {
    ChunkingStrategy.ROWID: "chunking: {strategy: key, column: ...}, or {strategy: none}",
    ChunkingStrategy.PARTITION: "chunking: {strategy: auto}, or {strategy: key, column: ...}",
}


def whole(rows: int, *notes: str) -> ChunkPlan:
    """One chunk with about `rows` rows."""
    return ChunkPlan(chunks=(Chunk(chunk_id=0, estimated_rows=rows),), notes=notes)


def ranges(kind: ChunkKind, column: str, bound_type: str, splits: Sequence[str], sizes: Sequence[int]) -> ChunkPlan:
    """Half-open ranges between split values, the first unbounded below and the last above.

    Args:
        kind: of the chunks.
        column: the column whose values are compared.
        bound_type: the Python type of the split values.
        splits: the split values as text, in the database's order.
        sizes: about how many rows each range has; one more than there are splits.
    """
    if not splits:
        return whole(sum(sizes))
    bounds = [Bound(type=bound_type, text=text) for text in splits]
    chunks = tuple(
        Chunk(chunk_id=number, kind=kind, column=column, lower=lower, upper=upper, estimated_rows=size)
        for number, (lower, upper, size) in enumerate(zip((None, *bounds), (*bounds, None), sizes, strict=True))
    )
    return ChunkPlan(chunks=chunks)


def range_condition(chunk: Chunk, key: Sql, bound: Callable[[str, str], Sql]) -> Sql | None:
    """The condition for the rows of a range; None for all rows. `bound` makes SQL from a bound's name and its text.

    If the ranges are of a key, the first also has the rows whose key is NULL.
    """
    parts: list[Sql] = []
    if chunk.lower is not None:
        parts.append(key + Sql(" >= ") + bound("lower", chunk.lower.text))
    if chunk.upper is not None:
        parts.append(key + Sql(" < ") + bound("upper", chunk.upper.text))
    if not parts:
        return None
    condition = parts[0] if len(parts) == 1 else parts[0] + Sql(" AND ") + parts[1]
    has_nulls = chunk.lower is None and chunk.kind is ChunkKind.KEY
    return condition + Sql(" OR ") + key + Sql(" IS NULL") if has_nulls else condition


def chunking_key(columns: Sequence[SourceColumn], policy: ChunkingPolicy, label: str) -> SourceColumn:
    """The column that the policy names. Raises PlanError if it names none, or the column does not exist."""
    if policy.column is None:
        raise PlanError(f"{label}: chunking by key needs its column", hint="chunking: {strategy: key, column: ...}")
    return named_column(columns, policy.column, f"{label}: chunking key")


def no_key(label: str, column: SourceColumn, keys: str) -> PlanError:
    """The error for a column whose type cannot be a chunking key; `keys` says which types can."""
    what = f"{label}: column {column.name} ({column.database_type}) cannot be a chunking key"
    return PlanError(what, hint=f"a key is {keys} column")


def not_cut_by(strategy: ChunkingStrategy, label: str, why: str) -> PlanError:
    """The error for a strategy that a relation does not allow."""
    return PlanError(f"{label}: chunking by {strategy} is not possible: {why}", hint=_INSTEAD[strategy])
