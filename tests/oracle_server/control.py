"""Control: the channel through which a test sets up a server, requests faults and reads its log.

One object, `Controller`, does what can be asked, in the server's process; the handle calls its methods by name.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import Listener as PipeListener
from typing import Any

import pyarrow as pa

from tests.oracle_server import demo, statements
from tests.oracle_server.cursors import Cursor, translate
from tests.oracle_server.database import types
from tests.oracle_server.database.database import Database
from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.tables import Column, Partitioning, Table
from tests.oracle_server.server import Listener
from tests.oracle_server.session import Session
from tests.oracle_server.sql.arithmetic import decode_number


class Controller:
    """What can be asked of a server."""

    def __init__(self, database: Database, listener: Listener) -> None:
        self.database = database
        self.listener = listener
        self._lock = threading.Lock()

    def create_user(self, name: str, password: str, preset: str = "none", session_limit: int | None = None) -> None:
        self.database.users.create(name, password, preset).session_limit = session_limit

    def alter_user(self, name: str, **what: Any) -> None:
        user = self.database.users.named(name)
        for key, value in what.items():
            setattr(user, key, value)

    def grant(self, privilege: str, to: str) -> None:
        self.database.users.grant(privilege, to)

    def revoke(self, privilege: str, of: str) -> None:
        self.database.users.revoke(privilege, of)

    def sql(self, sql: str, schema: str | None = None) -> list[tuple[Any, ...]] | int:
        """One Oracle statement as SYS, committed at once: rows of a query, else how many rows changed."""
        session = Session(self.database, self.database.users.named("SYS"))
        session.current_schema = schema or "SYS"
        session.settings["NLS_DATE_FORMAT"] = "YYYY-MM-DD HH24:MI:SS"
        cursor = Cursor(1, sql.strip().rstrip(";") if "begin" not in sql.lower() else sql.strip())
        if cursor.is_query:
            query = translate(session, cursor, [])
            fetched = session.reading().execute(query.sql).fetchall()
            kinds = [output.typed for output in query.columns]
            return [
                tuple(
                    decode_number(value) if typed.is_big and value is not None else value
                    for typed, value in zip(kinds, row, strict=True)
                )
                for row in fetched
            ]
        with self._lock:
            try:
                rows = statements.run(session, cursor.text, cursor.verb, []).rows
                session.commit()
            finally:
                session.rollback()
        return rows

    def create_table(
        self,
        schema: str,
        name: str,
        columns: Sequence[tuple[str, ...]],
        rows: Sequence[Sequence[Any]] = (),
        *,
        partitions: tuple[str, Sequence[tuple[str, Any]]] | None = None,
        subpartitions: int = 0,
        organization: str = "heap",
        rows_per_block: int = 50,
        primary_key: Sequence[str] = (),
    ) -> None:
        """A table and its rows; a column is (name, type) or (name, type, 'NOT NULL')."""
        made = [
            Column(column[0], types.parse(column[1]), nullable=len(column) < 3 and column[0] not in primary_key)
            for column in columns
        ]
        partitioning = Partitioning(partitions[0], tuple(partitions[1]), subpartitions) if partitions else None
        self.database.tables.create(
            schema, name, made, partitioning=partitioning, organization=organization, rows_per_block=rows_per_block,
            primary_key=tuple(primary_key),
        )  # fmt: skip
        if rows:
            self.insert(schema, name, rows)

    def create_synonym(self, schema: str, name: str, target: tuple[str, str], link: str | None = None) -> None:
        """A name for a table, of another database where there is a link; the driver's client has to follow it."""
        self.database.synonyms[schema, name] = (*target, link)

    def insert(self, schema: str, name: str, rows: Sequence[Sequence[Any]]) -> int:
        """Rows of Python values, committed; returns the SCN of the commit."""
        session = Session(self.database, self.database.users.named("SYS"))
        table = self._table(schema, name)
        try:
            self.database.tables.insert_values(session.writing(table), table, rows, session.pending)
            session.commit()
        finally:
            session.rollback()
        return self.database.clock.scn

    def load(self, schema: str, name: str, query: str) -> int:
        """Rows of a DuckDB query, whose columns have the storage types of the table's; returns their number."""
        session = Session(self.database, self.database.users.named("SYS"))
        table = self._table(schema, name)
        con = session.writing(table)
        count = 0
        casts = [f"CAST(#{n} AS {c.type.storage}) AS {c.stored}" for n, c in enumerate(table.columns, 1)]
        try:
            reading = self.database.tables.duck.cursor()
            for batch in reading.sql(f"SELECT {', '.join(casts)} FROM ({query})").to_arrow_reader(200_000):
                count += self.database.tables.insert(con, table, pa.Table.from_batches([batch]), session.pending)
            session.commit()
        finally:
            session.rollback()
        return count

    def _table(self, schema: str, name: str) -> Table:
        found = self.database.tables.tables.get((schema, name))
        if found is None:
            raise OracleError(942, f'"{schema}"."{name}"')
        return found

    def rows(self, schema: str, name: str, scn: int | None = None) -> list[tuple[Any, ...]]:
        """What is stored, as Python values in row id order: numbers as int or Decimal, moments as stored."""
        table = self._table(schema, name)
        columns = []
        for column, values in zip(table.columns, self.database.tables.rows(schema, name, scn).columns[1:], strict=True):
            got = values.to_pylist()
            if column.type.is_number and not column.type.fits_decimal:
                got = [None if value is None else decode_number(value) for value in got]
            columns.append(got)
        return list(zip(*columns, strict=True))

    def set_table(self, schema: str, name: str, **what: Any) -> None:
        """Statistics, policies, redacted columns or comments of a table."""
        table = self._table(schema, name)
        for key, value in what.items():
            setattr(table, key, value)

    def set(self, **what: Any) -> None:
        """Attributes of the database: `character_set`, `bit_vectors`, `dbid`, `incarnation`, `links`, `linger`."""
        for key, value in what.items():
            setattr(self.database, key, value)

    def session_limit(self, limit: int | None, code: int = 12516) -> None:
        self.database.users.session_limit, self.database.limit_code = limit, code

    def log(self) -> list[dict[str, Any]]:
        return self.database.log.entries()

    def clear_log(self) -> None:
        self.database.log.clear()

    def traffic(self) -> dict[str, int]:
        """Packets received, packets sent and round trips of all clients since the log was cleared."""
        return self.database.log.traffic.counts()

    def logons(self) -> list[dict[str, Any]]:
        return list(self.database.log.logons)

    def most_sessions(self) -> int:
        return self.database.log.most_sessions

    def sessions(self) -> list[dict[str, Any]]:
        return [
            {"session": one.number, "serial": one.serial, **one.attributes} for one in self.database.sessions.values()
        ]

    def scn(self) -> int:
        return self.database.clock.scn

    def now(self) -> dt.datetime:
        return self.database.clock.now()

    def set_clock(self, error: int) -> None:
        """Let the host's clock be ahead by so many seconds, or behind if negative."""
        self.database.clock.error = error

    def set_time(self, moment: dt.datetime | None) -> None:
        """Let the server's clock, SYSTIMESTAMP, stand at this time; None lets it go on, and be right."""
        self.database.clock.stand_at(moment)

    def advance_scn(self, by: int = 1) -> int:
        return self.database.clock.tick(by)

    def set_scn(self, scn: int) -> None:
        """Turn the clock back, as on a standby that lags."""
        self.database.clock.turn_back(scn)

    def fault(self, kind: str, **options: Any) -> None:
        self.database.faults.add(kind, **options)

    def clear_faults(self) -> None:
        self.database.faults.clear()

    def fired(self) -> list[str]:
        return list(self.database.faults.fired)

    def kill_sessions(self, code: int = 28, user: str | None = None, *, cut: bool = False) -> int:
        """Kill sessions: their next call gets ORA-`code`; `cut` closes their sockets instead."""
        count = 0
        for connection in list(self.listener.connections):
            session = connection.session
            if session is None or (user is not None and session.user.name != user):
                continue
            count += 1
            if cut:
                connection.packets.abort()
            else:
                session.killed = code
        return count

    def expire_snapshots(self, scn: int | None = None) -> int:
        """Every read at an older SCN gets ORA-01555 from now on; the default is a new current one."""
        self.database.tables.oldest_snapshot = scn if scn is not None else self.database.clock.tick()
        return self.database.tables.oldest_snapshot

    def change_ddl(self, schema: str, name: str, *, moved: bool = False) -> None:
        """Reads of this table at an older SCN get ORA-01466; `moved` gives it new segments too."""
        self.database.tables.touch_ddl(self._table(schema, name), new_segments=moved)

    def hide_column(self, schema: str, name: str, column: str) -> None:
        """INVISIBLE, as ORA_ARCHIVE_STATE always is: a column that only those who name it see."""
        table = self._table(schema, name)
        table.columns = [replace(one, hidden=one.hidden or one.name == column) for one in table.columns]

    def create_index(self, schema: str, name: str, *columns: str) -> None:
        """The dictionary has it, and the log's `access` uses it; rows are found without it.

        What is no column of the table is a constant, such as the 0 of `(AT, 0)`.
        """
        self._table(schema, name).indexes.append(columns)

    def drop_index(self, schema: str, name: str, *columns: str) -> None:
        self._table(schema, name).indexes.remove(columns)

    def set_view_calls(self, schema: str, name: str, calls: list[tuple[str, str, str]]) -> None:
        """The PL/SQL that a view calls, as owner, name and type: the dictionary knows it, the server runs none."""
        self.database.tables.views[schema, name].calls = calls

    def set_ddl_settles(self, seconds: float) -> None:
        """For how long after a DDL readers at an SCN get ORA-01466."""
        self.database.tables.ddl_settles = seconds

    def rename_partition(self, schema: str, name: str, partition: str, new: str) -> None:
        """The rows stay where they are, and readers of the past keep their snapshot; the old name leads nowhere."""
        self.database.tables.rename_partition(self._table(schema, name), partition, new)

    def add_partition(self, schema: str, name: str, partition: str, bound: Any) -> None:
        """A further partition, as an interval creates one: readers of the past keep their snapshot."""
        self.database.tables.add_partition(self._table(schema, name), partition, bound)

    def demo(self) -> None:
        demo.fill(self)


def answer(controller: Controller, pipes: PipeListener) -> None:
    """Serve handles for ever, each on its own thread."""
    while True:
        try:
            pipe = pipes.accept()
        except (OSError, EOFError):
            return
        threading.Thread(target=_converse, args=(controller, pipe), daemon=True).start()


def _converse(controller: Controller, pipe: Pipe[Any, Any]) -> None:
    while True:
        try:
            name, arguments, options = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            outcome = (True, getattr(controller, name)(*arguments, **options))
        except Exception as reason:  # noqa: BLE001  (whatever it is, the test that asked gets it)
            outcome = (False, f"{type(reason).__name__}: {reason}")
        try:
            pipe.send(outcome)
        except (OSError, EOFError):
            return
