"""One session with an Oracle database: how statements are sent, and what shows of it in V$SESSION.

How a session is opened is `oracle_login`'s matter; what is asked, that of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import oracledb
import pyarrow as pa

from statekeeper.config.sections.quantities import format_duration
from statekeeper.errors import SourceError, StatekeeperError, TransientSourceError
from statekeeper.sources.oracle.errors import Phase, advice_on, translated
from statekeeper.sources.oracle.login import SERIAL, Handle, close_handle, label_of, log_in
from statekeeper.sources.sql import Bind, Sql
from statekeeper.sources.statement_log import record_statement

if TYPE_CHECKING:
    from statekeeper.config.sections.oracle import OracleSource
    from statekeeper.parquet.batch_size import BatchSize

ACTION_BYTES = 32
NOT_GRANTED = frozenset({"ORA-00904", "ORA-00942", "ORA-01031", "ORA-06550", "ORA-41900"})
"""How Oracle says that something may not be used, or is not there, which it does not tell apart."""
_ROWS_A_ROUND_TRIP = 1000
"""Of small results. By the driver's own, 2 with the execution and 100 with each fetch, most would need a second one."""


@dataclass(frozen=True)
class Described:
    """A column of a result as the driver describes it."""

    name: str
    type_name: str
    size: int
    precision: int
    scale: int
    object_type: str
    is_nullable: bool


class Connection:
    """An open session. `label` names the database in messages, `user` whoever it was logged in as."""

    def __init__(self, handle: Handle, config: OracleSource, *, label: str, user: str) -> None:
        self._handle = handle
        self._config = config
        self.label = label
        self.user = user

    @classmethod
    def open(cls, config: OracleSource) -> Self:
        """A new session, set up.

        Raises:
            LoginRefused, SourceUnreachable, TransientSourceError: none can be had.
        """
        label = label_of(config)
        user = config.proxy_user or config.user or "the operating system's user"
        with translated(f"no session with {label}", user=user, phase=Phase.LOGIN):
            handle = log_in(config)
        connection = cls(handle, config, label=label, user=user)
        connection._limit_calls(config.call_timeout)
        return connection

    @property
    def warning(self) -> str | None:
        """What the database said at the login that succeeded, and what to do about it."""
        found = self._handle.warning
        return None if found is None else advice_on(str(found), user=self.user)

    def act(self, action: str) -> None:
        """Say in V$SESSION.ACTION what is being done, from the next statement on."""
        self._handle.action = action.encode()[:ACTION_BYTES].decode(errors="ignore")

    def rows(self, statement: Sql, what: str, *, table: str = "the table") -> list[tuple[Any, ...]]:
        """All rows of a small result, numbers as Decimal; `what` begins the message of an error."""
        with self._sent(statement, what, table), self._handle.cursor() as cursor:
            cursor.prefetchrows = cursor.arraysize = _ROWS_A_ROUND_TRIP
            cursor.execute(statement.text, self._values(statement), fetch_decimals=True)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def rows_of_all(self, statement: Sql, what: str, *, table: str) -> list[tuple[Any, ...]]:
        """All rows of a small result for which a whole table may have to be read, such as a count.

        Raises:
            SourceError: it took longer than `count_timeout`; another attempt would begin anew and take as long.
        """
        try:
            with self._counting():
                return self.rows(statement, what, table=table)
        except TransientSourceError as error:
            if error.code != "DPY-4024":
                raise
            limit = format_duration(self._config.count_timeout)
            raise SourceError(
                f"{error.message} (count_timeout: {limit})",
                hint="raise count_timeout of the source, or set count_parallel where the DBA allows parallel queries",
                code=error.code,
            ) from error

    def rows_if_granted(self, statement: Sql, what: str) -> list[tuple[Any, ...]] | None:
        """The rows, or None where the user may not ask."""
        try:
            return self.rows(statement, what)
        except SourceError as error:
            if error.code in NOT_GRANTED:
                return None
            raise

    def run(self, statement: Sql, what: str, *, table: str = "the table") -> None:
        """A statement without a result."""
        with self._sent(statement, what, table), self._handle.cursor() as cursor:
            cursor.execute(statement.text, self._values(statement))

    def describe(self, statement: Sql, what: str, *, table: str) -> tuple[list[Described], list[str]]:
        """The columns of a query, which is parsed and not run, and the names of its bind variables."""
        with self._sent(statement, what, table), self._handle.cursor() as cursor:
            cursor.parse(statement.text)
            return [_described(info) for info in cursor.description or ()], list(cursor.bindnames())

    def batches(
        self, statement: Sql, schema: pa.Schema, what: str, *, size: BatchSize, table: str
    ) -> Iterator[list[pa.Array]]:
        """The result in batches of the requested schema, column by column; each weighs in on the next one's size."""
        rows = size.rows if self._handle.thin else size.steady  # the client libraries keep to the first batch's rows
        with self._sent(statement, what, table):
            frames = self._handle.fetch_df_batches(
                statement.text, self._values(statement), size=rows, requested_schema=schema
            )
            for frame in frames:
                arrays = [pa.array(array) for array in frame.column_arrays()]
                size.weigh(arrays)
                self._handle.newest_cursor.arraysize = size.rows
                yield arrays

    def close(self) -> None:
        """Log off, for as long as a login may take. Never raises."""
        self._limit_calls(self._config.connect_timeout)
        close_handle(self._handle)

    def _limit_calls(self, limit: timedelta) -> None:
        if self._handle.is_healthy():  # of one that is not, the driver cannot set it
            self._handle.call_timeout = _milliseconds(limit)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Calls may take `count_timeout`; a query may be run in parallel where `count_parallel` says so."""
        degree = self._config.count_parallel
        if degree is not None:
            self.run(Sql(f"ALTER SESSION FORCE PARALLEL QUERY PARALLEL {degree}"), "parallel queries cannot be used")
        self._limit_calls(self._config.count_timeout)
        try:
            yield
        finally:
            self._limit_calls(self._config.call_timeout)
            if degree is not None:
                self._stay_serial()

    def _stay_serial(self) -> None:
        try:
            self.run(Sql(SERIAL), "parallel queries cannot be ended")
        except StatekeeperError:  # whatever broke the session is what has to be told, and it is not used again
            self.close()

    @contextmanager
    def _sent(self, statement: Sql, what: str, table: str) -> Iterator[None]:
        record_statement(statement)
        with translated(what, user=self.user, table=table):
            yield

    def _values(self, statement: Sql) -> list[Any]:
        return [self._value(bind) for bind in statement.binds]

    def _value(self, bind: Bind) -> Any:
        """A value bound as its own type: compared with another, a column is converted and its index lost."""
        kind, value = _BINDS[bind.type]
        with self._handle.cursor() as cursor:
            variable = cursor.var(kind)
        variable.setvalue(0, value(bind.text))
        return variable


_BINDS: dict[str, tuple[Any, Any]] = {
    "NUMBER": (oracledb.DB_TYPE_NUMBER, Decimal),
    "VARCHAR2": (oracledb.DB_TYPE_VARCHAR, str),
    "NVARCHAR2": (oracledb.DB_TYPE_NVARCHAR, str),
    "DATE": (oracledb.DB_TYPE_DATE, datetime.fromisoformat),
    "TIMESTAMP": (oracledb.DB_TYPE_TIMESTAMP, datetime.fromisoformat),
}


def is_not_granted(error: StatekeeperError) -> bool:
    """Whether an error says that something may not be used or is not there."""
    return error.code in NOT_GRANTED


def _milliseconds(limit: timedelta) -> int:
    return max(1, int(limit.total_seconds() * 1000))


def _described(info: oracledb.FetchInfo) -> Described:
    kind = info.type
    return Described(
        name=info.name,
        type_name=info.type_code.name,
        size=info.display_size or 0,
        precision=info.precision or 0,
        scale=info.scale or 0,
        object_type=f"{kind.schema}.{kind.name}" if isinstance(kind, oracledb.DbObjectType) else "",
        is_nullable=info.null_ok,
    )
