"""Where a table's blocks lie, as the ROWIDs that begin its extents, and how neighbouring ones are put together.

Only users who may read DBA_EXTENTS can know it. ROWIDs are made and put in order by the database, since their text does
not sort as they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from statekeeper.sources.oracle_connection import Connection
from statekeeper.sources.oracle_relation import Source
from statekeeper.sources.sql import Bind, Sql

MOST_PIECES = 64
"""Into how many pieces one extent is cut at most."""


@dataclass(frozen=True)
class Piece:
    """Neighbouring blocks of the table, and the ROWID that begins them."""

    rowid: str
    blocks: int


def extents_of(
    connection: Connection, source: Source, *, partition: str | None = None, step: int | None = None
) -> list[Piece] | None:
    """The extents of a table, or of one of its partitions, in ROWID order; None where they are hidden.

    With a `step` those of more blocks come in pieces of so many.
    """
    places = (
        "SELECT o.DATA_OBJECT_ID AS d, x.RELATIVE_FNO AS f, x.BLOCK_ID AS b, x.BLOCKS AS n FROM DBA_EXTENTS x "
        "JOIN ALL_OBJECTS o ON o.OWNER = x.OWNER AND o.OBJECT_NAME = x.SEGMENT_NAME AND (o.SUBOBJECT_NAME = "
        "x.PARTITION_NAME OR (o.SUBOBJECT_NAME IS NULL AND x.PARTITION_NAME IS NULL)) "
        "WHERE x.OWNER = :owner AND x.SEGMENT_NAME = :name AND o.DATA_OBJECT_ID IS NOT NULL "
        "AND o.OBJECT_TYPE LIKE 'TABLE%'"
    )
    binds = [Bind("VARCHAR2", source.owner), Bind("VARCHAR2", source.name)]
    if partition is not None:
        places += " AND x.PARTITION_NAME = :partition"
        binds.append(Bind("VARCHAR2", partition))
    if step is None:
        pieces = f"SELECT DBMS_ROWID.ROWID_CREATE(1, d, f, b, 0) AS r, n FROM ({places})"
    else:
        numbers = " UNION ALL ".join(f"SELECT {number} AS k FROM DUAL" for number in range(MOST_PIECES))
        pieces = (
            f"SELECT DBMS_ROWID.ROWID_CREATE(1, d, f, b + k * {step}, 0) AS r, LEAST({step}, n - k * {step}) AS n "
            f"FROM ({places}) JOIN ({numbers}) ON k * {step} < n"
        )
    statement = Sql(f"SELECT ROWIDTOCHAR(r), n FROM ({pieces}) ORDER BY r", tuple(binds))
    rows = connection.rows_if_granted(statement, f"{source.label} cannot be cut into chunks")
    return None if rows is None else [Piece(str(rowid), int(blocks)) for rowid, blocks in rows]


def gathered_pieces(pieces: Sequence[Piece], target_blocks: int) -> tuple[list[str], list[int]]:
    """Where chunks of about `target_blocks` begin, without the first, and the blocks of each."""
    splits: list[str] = []
    sizes: list[int] = []
    gathered = 0
    for piece in pieces:
        if gathered and gathered + piece.blocks > target_blocks:
            splits.append(piece.rowid)
            sizes.append(gathered)
            gathered = 0
        gathered += piece.blocks
    return splits, [*sizes, gathered]
