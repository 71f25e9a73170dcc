"""The current SCN, or that of a past time, and the time as of which its data is complete.

Decides by which of three queries the current SCN is read, and what to grant if the user may run none of them. The time
of a Moment is never later than the data of its SCN, since it decides whether a window is over. So on a standby it is
the time of the redo that was applied, and where Oracle knows the time of an SCN only approximately, it is the earliest
possible time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Self

from statekeeper.errors import PlanError, SnapshotLost, SourceError
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.sql import Bind, Sql

UTC_TIME = "SYS_EXTRACT_UTC(SYSTIMESTAMP)"
ROLE = "SYS_CONTEXT('USERENV', 'DATABASE_ROLE')"
PRIMARY = "PRIMARY"
_APPROXIMATE = timedelta(seconds=10)
"""How old the SCN of the current time may be, as TIMESTAMP_TO_SCN returns it."""
_EXACT_TO = timedelta(seconds=3)
"""The precision with which Oracle stores the times of SCNs."""
_QUARTER = timedelta(minutes=15)
"""Every UTC offset is a multiple of this."""


@dataclass(frozen=True)
class _ScnQuery:
    """A query for the current SCN, and the grant that it needs."""

    scn: str
    source: str
    grant: str
    lag: timedelta = timedelta()


_SCN_QUERIES = (
    _ScnQuery(
        "DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER",
        "DUAL",
        "GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO {user}",
    ),
    _ScnQuery("CURRENT_SCN", "V$DATABASE", "GRANT SELECT ON SYS.V_$DATABASE TO {user}"),
    _ScnQuery(
        "TIMESTAMP_TO_SCN(SYSTIMESTAMP)",
        "DUAL",
        "GRANT EXECUTE ON SYS.TIMESTAMP_TO_SCN TO {user}",
        _APPROXIMATE,
    ),
)


@dataclass(frozen=True)
class Moment:
    """An SCN, and a UTC time that is not later than it."""

    scn: int
    at: datetime


def current_moment(connection: Connection) -> Moment:
    """The current SCN, by the first query that is granted.

    Raises:
        SourceError: none is granted; the hint has the statement for each.
    """
    for query in _SCN_QUERIES:
        statement = Sql(f"SELECT {query.scn}, {UTC_TIME}, {ROLE} FROM {query.source}")
        rows = connection.rows_if_granted(statement, "the SCN cannot be read")
        if rows and rows[0][0] is not None:
            scn, now, role = rows[0]
            at = _as_utc(now) - query.lag if role == PRIMARY else _applied_until(connection, int(scn))
            return Moment(int(scn), at)
    grants = "; or ".join(query.grant.replace("{user}", connection.user) for query in _SCN_QUERIES)
    raise SourceError(
        f"{connection.user} may not read the database's SCN, which a consistent extraction needs",
        hint=f"{grants}; or set snapshot: transaction for the source",
        code="ORA-01031",
    )


def moment_of(connection: Connection, at: datetime) -> Moment:
    """The SCN of a past time.

    Raises:
        PlanError: the database has no SCN for so early (or so late) a time.
    """
    # The UTC offset of the server's clock at that time is not known: the current one is used. docs/oracle.md says what
    # follows from that.
    zone = _ServerClock.at(connection, current_moment(connection).scn).zone
    bind = Bind("TIMESTAMP", at.astimezone(zone).replace(tzinfo=None).isoformat(sep=" "))
    try:
        rows = connection.rows(Sql("SELECT TIMESTAMP_TO_SCN(:at) FROM DUAL", (bind,)), "no SCN")
    except SnapshotLost as error:
        raise PlanError(
            f"the database has no SCN of flashback_timestamp {at.isoformat()}: {error.message}",
            hint=error.hint,
            code=error.code,
        ) from error
    return Moment(int(rows[0][0]), at.astimezone(UTC) - _EXACT_TO)


def data_time(connection: Connection) -> datetime:
    """The UTC time as of which the current data is complete."""
    statement = Sql(f"SELECT {UTC_TIME}, {ROLE} FROM DUAL")
    ((now, role),) = connection.rows(statement, "the database's time cannot be read")
    return _as_utc(now) if role == PRIMARY else current_moment(connection).at


def utc_offset(connection: Connection) -> str:
    """The offset of the server's clock, by which SYSDATE is written, such as `+02:00`."""
    statement = Sql("SELECT TO_CHAR(SYSTIMESTAMP, 'TZH:TZM') FROM DUAL")
    ((offset,),) = connection.rows(statement, "the offset of the server's clock cannot be read")
    return str(offset).strip()


def _applied_until(connection: Connection, scn: int) -> datetime:
    """The time of a standby's SCN, since its host's clock is ahead of the redo that it has applied."""
    clock = _ServerClock.at(connection, scn)
    return clock.wall.replace(tzinfo=clock.zone).astimezone(UTC) - _EXACT_TO


@dataclass(frozen=True)
class _ServerClock:
    """The time of an SCN by the clock with which Oracle stores the times of SCNs, and that clock's zone."""

    wall: datetime
    zone: tzinfo

    @classmethod
    def at(cls, connection: Connection, scn: int) -> Self:
        """The clock at a current SCN. Raises SourceError if the database does not say."""
        statement = Sql(
            f"SELECT SCN_TO_TIMESTAMP(:scn), {UTC_TIME}, TO_CHAR(SYSTIMESTAMP, 'TZH:TZM'), {ROLE} FROM DUAL",
            (Bind("NUMBER", str(scn)),),
        )
        ((wall, now, offset, role),) = connection.rows(statement, "the time of an SCN cannot be read")
        if role == PRIMARY:  # TIME_AT_DBTIMEZONE may give SYSTIMESTAMP another zone
            return cls(wall, timezone(round((wall - now) / _QUARTER) * _QUARTER))
        zone = datetime.strptime(str(offset).strip(), "%z").tzinfo
        assert zone is not None, "the format has a zone"
        return cls(wall, zone)


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)
