"""Which SCN is the one of now, or of a past time, and as of which time its data is complete.

Decides by which of three ways the SCN of now is learnt, and where none is granted, what to grant. A moment's time is
never later than what its SCN shows: windows are closed by it. So a standby's is that of the redo it has applied, and
what Oracle knows of an SCN's time only approximately is taken at its earliest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Self

from statekeeper.errors import PlanError, SnapshotLost, SourceError
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.sql import Bind, Sql

_DATABASE_TIME = "SYS_EXTRACT_UTC(SYSTIMESTAMP)"
_ROLE = "SYS_CONTEXT('USERENV', 'DATABASE_ROLE')"
_PRIMARY = "PRIMARY"
_APPROXIMATE = timedelta(seconds=10)
"""How far the SCN of the present time may lie behind it, as TIMESTAMP_TO_SCN tells it."""
_EXACT_TO = timedelta(seconds=3)
"""How exactly Oracle keeps the times of SCNs."""
_QUARTER = timedelta(minutes=15)
"""What every UTC offset is a multiple of."""


@dataclass(frozen=True)
class _Rung:
    """A way to the SCN of now, and what to grant so that it can be used."""

    scn: str
    source: str
    grant: str
    lag: timedelta = timedelta()


_SCN_LADDER = (
    _Rung(
        "DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER",
        "DUAL",
        "GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO {user}",
    ),
    _Rung("CURRENT_SCN", "V$DATABASE", "GRANT SELECT ON SYS.V_$DATABASE TO {user}"),
    _Rung(
        "TIMESTAMP_TO_SCN(SYSTIMESTAMP)",
        "DUAL",
        "GRANT EXECUTE ON SYS.TIMESTAMP_TO_SCN TO {user}",
        _APPROXIMATE,
    ),
)


@dataclass(frozen=True)
class Moment:
    """An SCN and the UTC time that it is at least as late as."""

    scn: int
    at: datetime


def current_moment(connection: Connection) -> Moment:
    """The SCN of now, by the first way that is granted.

    Raises:
        SourceError: none is; the hint has the statement for each.
    """
    for rung in _SCN_LADDER:
        statement = Sql(f"SELECT {rung.scn}, {_DATABASE_TIME}, {_ROLE} FROM {rung.source}")
        rows = connection.rows_if_granted(statement, "the SCN cannot be read")
        if rows and rows[0][0] is not None:
            scn, now, role = rows[0]
            at = _as_utc(now) - rung.lag if role == _PRIMARY else _applied_until(connection, int(scn))
            return Moment(int(scn), at)
    grants = "; or ".join(rung.grant.replace("{user}", connection.user) for rung in _SCN_LADDER)
    raise SourceError(
        f"{connection.user} may not read the database's SCN, which a consistent extraction needs",
        hint=f"{grants}; or set snapshot: transaction for the source",
        code="ORA-01031",
    )


def moment_of(connection: Connection, at: datetime) -> Moment:
    """The SCN of a past time.

    Raises:
        PlanError: the database remembers no SCN of so early (or so late) a time.
    """
    # What the offset of the server's clock was at the time nobody tells: the present one is taken, and docs/oracle.md
    # says what follows from it.
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
    """The UTC time as of which the data of now is complete."""
    statement = Sql(f"SELECT {_DATABASE_TIME}, {_ROLE} FROM DUAL")
    ((now, role),) = connection.rows(statement, "the database's time cannot be read")
    return _as_utc(now) if role == _PRIMARY else current_moment(connection).at


def _applied_until(connection: Connection, scn: int) -> datetime:
    """The time of a standby's SCN: its host's clock is ahead of the redo that it has applied."""
    clock = _ServerClock.at(connection, scn)
    return clock.wall.replace(tzinfo=clock.zone).astimezone(UTC) - _EXACT_TO


@dataclass(frozen=True)
class _ServerClock:
    """What the clock that Oracle keeps the times of SCNs by shows at an SCN, and the zone of that clock."""

    wall: datetime
    zone: tzinfo

    @classmethod
    def at(cls, connection: Connection, scn: int) -> Self:
        """At an SCN of the present. Raises SourceError where the database does not tell."""
        statement = Sql(
            f"SELECT SCN_TO_TIMESTAMP(:scn), {_DATABASE_TIME}, TO_CHAR(SYSTIMESTAMP, 'TZH:TZM'), {_ROLE} FROM DUAL",
            (Bind("NUMBER", str(scn)),),
        )
        ((wall, now, offset, role),) = connection.rows(statement, "the time of an SCN cannot be read")
        if role == _PRIMARY:  # SYSTIMESTAMP has another zone where TIME_AT_DBTIMEZONE moves it
            return cls(wall, timezone(round((wall - now) / _QUARTER) * _QUARTER))
        zone = datetime.strptime(str(offset).strip(), "%z").tzinfo
        assert zone is not None, "the format has a zone"
        return cls(wall, zone)


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)
