"""The state of a table, by which changes are noticed: the time of its last DDL, and the numbers of its segments.

Decides which DDL makes a plan invalid. A missing segment does (TRUNCATE, MOVE, DROP PARTITION): the plan's rows are no
longer where they were. A new one does not (a new interval partition): the snapshot has no rows in it. GRANT is a DDL
too, and does neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from statekeeper.errors import SnapshotLost
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import ReadSpec
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.relation import Source
from statekeeper.sources.sql import Sql

_LAST_DDL = "last_ddl"
_SEGMENTS = "data_object_ids"
_DIGEST = "data_objects"
"""Plans of version 0.1 have a digest of the numbers instead of the numbers."""


def table_state(connection: Connection, source: Source) -> dict[str, str]:
    """The state of a table as a plan stores it; empty for relations without segments in the dictionary."""
    last_ddl = _last_ddl(connection, source) if source.is_table else ""
    return {_LAST_DDL: last_ddl, _SEGMENTS: _as_text(_segments(connection, source))} if last_ddl else {}


def require_same_table(
    connection: Connection, source: Source, reading: ReadSpec, *, columns: Callable[[], Sequence[SourceColumn]]
) -> None:
    """Check that no DDL since the plan changed what is read; `columns` describes the table as it is now.

    Raises:
        SnapshotLost: a DDL did.
    """
    planned = reading.relation_state
    if not planned or planned.get(_LAST_DDL) == _last_ddl(connection, source):
        return
    if _has_lost_segments(planned, _segments(connection, source)):
        raise SnapshotLost(
            f"{source.label} was truncated, moved or rebuilt since the plan was made: its segments have changed",
            hint="a new plan is needed",
        )
    now = {one.name: one.database_type for one in columns()}
    changed = [one.name for one in reading.all_columns if now.pop(one.name, None) != one.database_type]
    if changed or now:
        names = ", ".join([*changed, *now])
        raise SnapshotLost(
            f"{source.label} was altered since the plan was made: columns {names}", hint="a new plan is needed"
        )


def _last_ddl(connection: Connection, source: Source) -> str:
    statement = Sql(
        "SELECT TO_CHAR(LAST_DDL_TIME, 'YYYY-MM-DD HH24:MI:SS') FROM ALL_OBJECTS "
        "WHERE OWNER = :owner AND OBJECT_NAME = :name AND OBJECT_TYPE = 'TABLE'",
        source.dictionary_name,
    )
    rows = connection.rows(statement, f"{source.label} cannot be looked up")
    return str(rows[0][0]) if rows else ""


def _segments(connection: Connection, source: Source) -> list[int]:
    """The numbers of the table's segments, in order. (An index may have the table's name.)"""
    statement = Sql(
        "SELECT DATA_OBJECT_ID FROM ALL_OBJECTS WHERE OWNER = :owner AND OBJECT_NAME = :name "
        "AND OBJECT_TYPE LIKE 'TABLE%' AND DATA_OBJECT_ID IS NOT NULL ORDER BY DATA_OBJECT_ID",
        source.dictionary_name,
    )
    rows = connection.rows(statement, f"{source.label} cannot be looked up")
    return [int(number) for (number,) in rows]


def _has_lost_segments(planned: dict[str, str], now: list[int]) -> bool:
    if _SEGMENTS in planned:
        return not _numbers(planned[_SEGMENTS]) <= set(now)
    return planned.get(_DIGEST) != hashlib.sha256(",".join(map(str, now)).encode()).hexdigest()[:16]


def _as_text(numbers: Iterable[int]) -> str:
    """Ascending numbers as ranges, such as `7-9,12`; those of partitions are mostly consecutive."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] + 1 == number:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{first}-{last}" if first < last else str(first) for first, last in ranges)


def _numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
