"""Which transactions are open: rows that they have stamped already appear only when they commit.

GV$TRANSACTION has the transactions of all instances of a cluster; V$TRANSACTION has those of one. It has the start of a
transaction by the server's clock, whose zone nobody tells, so only its age is used.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from statekeeper.errors import SourceError, TransientSourceError
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.scn import PRIMARY, ROLE, UTC_TIME
from statekeeper.sources.sql import Sql

_WHAT = "the open transactions cannot be read"
_STATEMENT_BEGAN_BEFORE = timedelta(seconds=2)
"""A statement has its time, which it stamps rows with, before it begins a transaction."""


def open_since(connection: Connection) -> datetime | None:
    """The start of the oldest open transaction or, if none is open, the moment of this reading, in whole seconds.

    Read it before a snapshot: rows that are stamped before this moment are then in the snapshot, or will never be.
    None: it cannot be known. `why_hidden` says why, or raises the error, for a table whose windows wait for them.
    """
    statement = Sql(f"SELECT {UTC_TIME}, SYSDATE, (SELECT MIN(START_DATE) FROM GV$TRANSACTION), {ROLE} FROM DUAL")
    try:
        rows = connection.rows_if_granted(statement, _WHAT)
    except TransientSourceError:
        raise
    except SourceError:  # a cluster may have no process left that reads its other instances; not every table asks
        return None
    if not rows or rows[0][3] != PRIMARY:
        return None
    now, clock, start, _ = rows[0]
    read_at: datetime = now.replace(tzinfo=UTC, microsecond=0)
    if start is None:
        return read_at
    age = timedelta(seconds=math.ceil((clock - start).total_seconds()))
    return read_at - max(age, timedelta()) - _STATEMENT_BEGAN_BEFORE


def why_hidden(connection: Connection) -> str | None:
    """What lets the session see the open transactions; None if it sees them."""
    if connection.rows_if_granted(Sql("SELECT COUNT(*) FROM GV$TRANSACTION"), _WHAT) is None:
        return f"GRANT SELECT ON SYS.GV_$TRANSACTION TO {connection.user}"
    ((role,),) = connection.rows(Sql(f"SELECT {ROLE} FROM DUAL"), _WHAT)
    return (
        None if role == PRIMARY else "extract from the primary database: a standby does not see its open transactions"
    )
