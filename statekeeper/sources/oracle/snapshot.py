"""Identifies the database of a session, takes snapshots, and checks that a session can serve one.

Decides how a relation is read at an SCN (`sources.oracle.scn`): AS OF SCN in the statement, a session set to the SCN by
DBMS_FLASHBACK, or one read-only transaction. If something is not granted, the error says what to grant.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import uuid4

from statekeeper.config.sections.oracle import OracleSource, SnapshotMode
from statekeeper.config.sections.source import SnapshotScope
from statekeeper.errors import PlanError, SnapshotLost, SourceError, TransientSourceError
from statekeeper.model.plan import Snapshot
from statekeeper.model.table import Relation
from statekeeper.sources.oracle.connection import Connection, is_not_granted
from statekeeper.sources.oracle.relation import AS_OF, SCN_KIND, RelationKind, Source, spellings
from statekeeper.sources.oracle.scn import current_moment, data_time, moment_of
from statekeeper.sources.oracle.transactions import open_since
from statekeeper.sources.sql import Bind, Sql

FLASHBACK_KIND = "oracle-flashback-session"
"""The session is set to the SCN, since the statement has no placeholder for it."""
TRANSACTION_KIND = "oracle-transaction"
"""One read-only transaction; the token identifies the session that has it."""
NONE_KIND = "oracle-none"
"""No snapshot: every statement sees the current data."""

_DDL_SETTLES = 10.0
_DDL_YOUNG = 5
_PAUSE = 0.5
"""Seconds: for how long after a DDL Oracle may refuse an SCN as being older, at most and usually; and the pause between
two attempts."""
_NAMES = 500


def read_identity(connection: Connection) -> dict[str, str]:
    """The database's identity: what every session can read, and what this user may read in addition."""
    try:
        # No DB_UNIQUE_NAME: it changes with a switchover.
        identity = _context(connection, "db_name", "con_name")
    except SourceError as error:
        if error.code != "ORA-02003":
            raise
        identity = _context(connection, "db_name")  # before 12.1 there are no containers
    statement = Sql("SELECT DBID, RESETLOGS_CHANGE# FROM V$DATABASE")
    if rows := connection.rows_if_granted(statement, "the database cannot be identified"):
        identity |= {"dbid": str(rows[0][0]), "incarnation": str(rows[0][1])}
    return {name: value for name, value in identity.items() if value is not None}


def _context(connection: Connection, *names: str) -> dict[str, str | None]:
    asked = ", ".join(f"SYS_CONTEXT('USERENV', '{name.upper()}')" for name in names)
    (values,) = connection.rows(Sql(f"SELECT {asked} FROM DUAL"), "the database cannot be identified")
    return dict(zip(names, values, strict=True))


class Snapshots:
    """Takes the snapshots of one session, and checks whether the session can serve one."""

    def __init__(self, connection: Connection, config: OracleSource) -> None:
        self._connection = connection
        self._config = config
        self._identity = read_identity(connection)
        self._transaction: Snapshot | None = None
        self._served: set[str] = set()

    @property
    def identity(self) -> dict[str, str]:
        return self._identity

    def take(self, source: Source, *, at: datetime | None) -> Snapshot:
        """A snapshot at which `source` can be read, of now or of the time `at`.

        Raises:
            SourceError: something is not granted.
            PlanError: the time is out of reach, or the query cannot be read at a snapshot.
        """
        _refuse_temporary(source)
        match self._config.snapshot:
            case SnapshotMode.NONE:
                _refuse_past(at, "snapshot: none")
                since = open_since(self._connection)
                return self._snapshot(NONE_KIND, "none", data_time(self._connection), since=since)
            case SnapshotMode.TRANSACTION:
                _refuse_past(at, "snapshot: transaction")
                return self._read_only_transaction()
            case SnapshotMode.SCN:
                if at is None:
                    return self._current(source)
                moment = moment_of(self._connection, at)
                snapshot = self._snapshot(SCN_KIND, str(moment.scn), moment.at)
                return self._readable(source, snapshot, is_fixed=True)

    def _current(self, source: Source) -> Snapshot:
        """A current snapshot.

        Oracle knows the time of an SCN only to a few seconds. For as long after a DDL on the table it refuses every SCN
        as being older than the DDL (ORA-01466), so this tries again for a while.
        """
        deadline = time.monotonic() + _DDL_SETTLES
        while True:
            since = open_since(self._connection)
            moment = current_moment(self._connection)
            snapshot = self._snapshot(SCN_KIND, str(moment.scn), moment.at, since=since)
            try:
                return self._readable(source, snapshot, is_fixed=False)
            except SnapshotLost as error:
                if error.code != "ORA-01466" or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE)

    def take_for_run(self, relations: Iterable[Relation]) -> Snapshot:
        """The current SCN, at which all relations are read later, after a wait for recent DDL on their tables.

        Raises:
            SourceError: the user may not read the SCN.
        """
        names = sorted({name for one in relations if one.table_name for name in spellings(one.table_name)})
        deadline = time.monotonic() + _DDL_SETTLES
        while self._is_ddl_young(names) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        since = open_since(self._connection)
        moment = current_moment(self._connection)
        return self._snapshot(SCN_KIND, str(moment.scn), moment.at, since=since)

    def _is_ddl_young(self, names: Sequence[str]) -> bool:
        """Whether a table of any owner with one of these names had a DDL so recently that it refuses a current SCN."""
        for batch in (names[start : start + _NAMES] for start in range(0, len(names), _NAMES)):
            places = ", ".join(f":name{number}" for number in range(len(batch)))
            statement = Sql(
                "SELECT COUNT(*) FROM ALL_OBJECTS WHERE OBJECT_TYPE = 'TABLE' "
                f"AND LAST_DDL_TIME > SYSDATE - {_DDL_YOUNG}/86400 AND OBJECT_NAME IN ({places})",
                tuple(Bind("VARCHAR2", name) for name in batch),
            )
            if self._connection.rows(statement, "the run's tables cannot be looked up")[0][0]:
                return True
        return False

    def join(self, source: Source, snapshot: Snapshot) -> Snapshot:
        """A snapshot that was taken for the run, in the form in which `source` can be read at it.

        Raises:
            SnapshotLost: it is of another database, or gone.
            SourceError, PlanError: something is not granted, or the query cannot be read at a snapshot.
        """
        _refuse_temporary(source)
        self.require(snapshot)
        return self._readable(source, snapshot, is_fixed=True)

    def require(self, snapshot: Snapshot) -> None:
        """Check that this session can read at the snapshot.

        Raises:
            SnapshotLost: it is of another database, or of a transaction that has ended.
            TransientSourceError: this database (perhaps a standby) has not reached the SCN yet.
        """
        # Facts that only some users may read are compared if both could read them; the container always.
        for name in sorted({"con_name"} | (snapshot.identity.keys() & self._identity.keys())):
            theirs, ours = snapshot.identity.get(name), self._identity.get(name)
            if theirs != ours:
                raise _lost(snapshot, f"it is of the database with {name} {theirs}, and this session's has {ours}")
        if snapshot.kind == TRANSACTION_KIND:
            if self._transaction is None or snapshot.token != self._transaction.token:
                raise _lost(snapshot, "the session that had its read-only transaction has ended")
        elif snapshot.kind in {SCN_KIND, FLASHBACK_KIND} and snapshot.token not in self._served:
            self._require_reached(snapshot)
            self._served.add(snapshot.token)

    def _require_reached(self, snapshot: Snapshot) -> None:
        moment = current_moment(self._connection)
        if moment.scn < int(snapshot.token):
            raise TransientSourceError(
                f"this session's database is at SCN {moment.scn}, the plan reads at {snapshot.token}: "
                "a standby that lags behind",
                hint="let the service lead to the database on which the plan was made",
            )

    def _readable(self, source: Source, snapshot: Snapshot, *, is_fixed: bool) -> Snapshot:
        """The snapshot in the form that `source` supports; if `is_fixed`, it is not replaced by a transaction."""
        if (why := _WITHOUT_SCN.get(source.kind)) is not None:
            raise PlanError(f"{source.label} is {why}", hint=_NO_SNAPSHOT)
        if source.takes_as_of:
            self._try_as_of(source, snapshot)
            return snapshot
        try:
            enable_flashback(self._connection, int(snapshot.token))
            disable_flashback(self._connection)
        except SourceError as error:
            if not is_not_granted(error):
                raise
            if self._config.session_budget(workers=2) == 1 and not is_fixed:
                return self._read_only_transaction()
            raise PlanError(
                f"custom_query has no {AS_OF}, and {self._connection.user} may not set a snapshot for a session",
                hint=f"write {AS_OF} after each table of the query (select * from orders {AS_OF} o); "
                f"or GRANT EXECUTE ON SYS.DBMS_FLASHBACK TO {self._connection.user}; "
                "or give the query a source of its own with snapshot: transaction",
                code=error.code,
            ) from error
        return snapshot.model_copy(update={"kind": FLASHBACK_KIND})

    def _try_as_of(self, source: Source, snapshot: Snapshot) -> None:
        statement = Sql("SELECT COUNT(*)") + source.from_clause(snapshot) + Sql(" WHERE 1 = 0")
        try:
            self._connection.rows(statement, f"{source.label} cannot be read at a snapshot", table=source.grant_object)
        except SourceError as error:
            if error.code not in {"ORA-01031", "ORA-41900"}:
                raise
            is_alone = self._config.snapshot_scope is SnapshotScope.TABLE
            otherwise = "; or set snapshot: transaction" if is_alone else ""
            raise SourceError(
                error.message,
                hint=f"GRANT FLASHBACK ON {source.grant_object} TO {self._connection.user}{otherwise}",
                code=error.code,
            ) from error

    def _read_only_transaction(self) -> Snapshot:
        if self._transaction is None:
            since = open_since(self._connection)
            at = data_time(self._connection)  # before it begins: rows of a later time are not in it
            self._connection.run(Sql("SET TRANSACTION READ ONLY"), "no read-only transaction")
            self._transaction = self._snapshot(TRANSACTION_KIND, uuid4().hex, at, since=since)
        return self._transaction

    def _snapshot(self, kind: str, token: str, at: datetime, *, since: datetime | None = None) -> Snapshot:
        return Snapshot(kind=kind, token=token, taken_at=at, identity=self._identity, open_since=since)


def enable_flashback(connection: Connection, scn: int) -> None:
    """Let every further query of the session see the database as of the SCN."""
    call = "BEGIN DBMS_FLASHBACK.ENABLE_AT_SYSTEM_CHANGE_NUMBER(:scn); END;"
    connection.run(Sql(call, (Bind("NUMBER", str(scn)),)), "the session cannot be put to an SCN")


def disable_flashback(connection: Connection) -> None:
    """Let the session see the present again."""
    connection.run(Sql("BEGIN DBMS_FLASHBACK.DISABLE; END;"), "the session cannot be put back to the present")


_NO_SNAPSHOT = "give it a source of its own with snapshot: none"
_WITHOUT_SCN = {
    RelationKind.REMOTE: "a table of another database, whose SCNs are not those of this one",
    RelationKind.EXTERNAL: "an external table, which Oracle reads at no SCN",
}


def _refuse_temporary(source: Source) -> None:
    if source.kind is RelationKind.TEMPORARY:
        raise PlanError(
            f"{source.label} is a global temporary table: each session sees its own rows, and ours has none",
            hint="extract the table that its rows come from or go to",
        )


def _refuse_past(at: datetime | None, mode: str) -> None:
    if at is not None:
        raise PlanError(f"flashback_timestamp needs snapshot: scn, and the source has {mode}")


def _lost(snapshot: Snapshot, why: str) -> SnapshotLost:
    return SnapshotLost(
        f"the snapshot {snapshot.token} of {snapshot.taken_at.isoformat(timespec='seconds')} is gone: {why}",
        hint="a new plan is needed",
    )
