"""How ranges of a table's rows are found without a full scan: by ROWID, from its extents, or by a key.

Extents are known only to users who may read DBA_EXTENTS. That view is slow if the fixed tables have no statistics, so
it is read once, without a join, and the join with the segments' numbers is done here. The database makes and sorts the
ROWIDs, since their text has another order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.relation import Source
from statekeeper.sources.sql import Bind, Sql

_ROWIDS_AT_ONCE = 500


@dataclass(frozen=True, order=True)
class Extent:
    """Contiguous blocks of a segment, which its DATA_OBJECT_ID identifies. Extents sort in the order of ROWIDs."""

    segment: int
    file: int
    block: int
    blocks: int


def extents_of(connection: Connection, source: Source, parts: Collection[str] | None = None) -> list[Extent] | None:
    """The extents of a table, or of some of its partitions or subpartitions, in order; None if they are hidden."""
    binds = source.dictionary_name
    what = _what(source)
    statement = Sql(
        "SELECT PARTITION_NAME, RELATIVE_FNO, BLOCK_ID, BLOCKS FROM DBA_EXTENTS "
        "WHERE OWNER = :owner AND SEGMENT_NAME = :name AND SEGMENT_TYPE LIKE 'TABLE%'",
        binds,
    )
    if parts is not None and len(parts) == 1:
        statement += Sql(" AND PARTITION_NAME = :part", (Bind("VARCHAR2", *parts),))
    places = connection.rows_if_granted(statement, what)
    if places is None:
        return None
    statement = Sql(
        "SELECT SUBOBJECT_NAME, DATA_OBJECT_ID FROM ALL_OBJECTS WHERE OWNER = :owner AND OBJECT_NAME = :name "
        "AND OBJECT_TYPE LIKE 'TABLE%' AND DATA_OBJECT_ID IS NOT NULL",
        binds,
    )
    segments = {name: int(number) for name, number in connection.rows(statement, what)}
    chosen = segments.keys() if parts is None else segments.keys() & set(parts)
    return sorted(
        Extent(segments[name], int(file), int(block), int(blocks))
        for name, file, block, blocks in places
        if name in chosen
    )


def even_ranges(extents: Sequence[Extent], target_blocks: int) -> tuple[list[Extent], list[int]]:
    """The starts of ranges of about `target_blocks` (without the first start), and the number of blocks of each."""
    starts: list[Extent] = []
    sizes: list[int] = []
    gathered = 0
    for piece in _pieces(extents, target_blocks):
        if gathered and gathered + piece.blocks > target_blocks:
            starts.append(piece)
            sizes.append(gathered)
            gathered = 0
        gathered += piece.blocks
    return starts, [*sizes, gathered]


def rowids_of(connection: Connection, source: Source, places: Sequence[Extent]) -> list[str] | None:
    """The first ROWID of each place, in ascending order.

    None if the database sorts them in another order than the places: ranges between them would overlap.
    """
    texts: list[str] = []
    for first in range(0, len(places), _ROWIDS_AT_ONCE):
        some = places[max(0, first - 1) : first + _ROWIDS_AT_ONCE]
        numbers = " UNION ALL ".join(
            f"SELECT {number} AS n, {one.segment} AS d, {one.file} AS f, {one.block} AS b FROM DUAL"
            for number, one in enumerate(some)
        )
        statement = Sql(
            f"SELECT n, ROWIDTOCHAR(r) FROM (SELECT n, DBMS_ROWID.ROWID_CREATE(1, d, f, b, 0) AS r FROM ({numbers})) "
            "ORDER BY r"
        )
        rows = connection.rows(statement, f"{source.label} cannot be cut into chunks")
        if [int(number) for number, _ in rows] != list(range(len(some))):
            return None
        texts += [str(text) for _, text in rows[first > 0 :]]
    return texts if len(set(texts)) == len(texts) else None


def _pieces(extents: Sequence[Extent], max_blocks: int) -> Iterator[Extent]:
    """The extents, with large ones split into pieces of at most `max_blocks`."""
    for one in extents:
        for start in range(0, one.blocks, max_blocks):
            yield Extent(one.segment, one.file, one.block + start, min(max_blocks, one.blocks - start))


def first_of_primary_key(connection: Connection, source: Source) -> str | None:
    """The first column of the primary key."""
    statement = Sql(
        "SELECT c.COLUMN_NAME FROM ALL_CONSTRAINTS k JOIN ALL_CONS_COLUMNS c "
        "ON c.OWNER = k.OWNER AND c.CONSTRAINT_NAME = k.CONSTRAINT_NAME "
        "WHERE k.OWNER = :owner AND k.TABLE_NAME = :name AND k.CONSTRAINT_TYPE = 'P' ORDER BY c.POSITION",
        source.dictionary_name,
    )
    rows = connection.rows(statement, _what(source))
    return str(rows[0][0]) if rows else None


def serves_ranges(connection: Connection, source: Source, column: str) -> bool:
    """Whether an index of the table, or its partitioning, begins with the column."""
    binds = (*source.dictionary_name, Bind("VARCHAR2", column))
    first = "COLUMN_NAME = :key AND COLUMN_POSITION = 1"
    indexes = f"SELECT 1 FROM ALL_IND_COLUMNS WHERE TABLE_OWNER = :owner AND TABLE_NAME = :name AND {first}"
    partitions = f"SELECT 1 FROM ALL_PART_KEY_COLUMNS WHERE OWNER = :owner AND NAME = :name AND {first}"
    return any(connection.rows(Sql(text, binds), _what(source)) for text in (indexes, partitions))


def _what(source: Source) -> str:
    return f"{source.label} cannot be cut into chunks"
