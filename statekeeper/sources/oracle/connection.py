"""One session with an Oracle database: how statements are sent, and what V$SESSION shows about it.

`sources.oracle.login` decides how a session is opened; other modules decide which statements are sent.
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
"""The errors for something that may not be used or does not exist; Oracle does not distinguish the two."""
_ROWS_A_ROUND_TRIP = 1000
"""For small results. With the driver's defaults (2 with the execution, 100 with each fetch) most would need a second
round trip."""


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
    """An open session. `label` is the name of the database in messages, `user` the user who is logged in."""

    def __init__(self, handle: Handle, config: OracleSource, *, label: str, user: str) -> None:
        self._handle = handle
        self._config = config
        self.label = label
        self.user = user

    @classmethod
    def open(cls, config: OracleSource) -> Self:
        """Open a session and set it up.

        Raises:
            LoginRefused, SourceUnreachable, TransientSourceError: none can be opened.
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
        """The database's warning at a successful login, with what to do about it; None if there was none."""
        found = self._handle.warning
        return None if found is None else advice_on(str(found), user=self.user)

    def set_action(self, action: str) -> None:
        """Set V$SESSION.ACTION, from the next statement on."""
        self._handle.action = action.encode()[:ACTION_BYTES].decode(errors="ignore")

    def rows(self, statement: Sql, what: str, *, table: str = "the table") -> list[tuple[Any, ...]]:
        """All rows of a small result, numbers as Decimal; `what` begins the message of an error."""
        with self._sent(statement, what, table), self._handle.cursor() as cursor:
            cursor.prefetchrows = cursor.arraysize = _ROWS_A_ROUND_TRIP
            cursor.execute(statement.text, self._values(statement), fetch_decimals=True)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def rows_of_all(self, statement: Sql, what: str, *, table: str) -> list[tuple[Any, ...]]:
        """All rows of a small result that may require reading a whole table, such as a count.

        Raises:
            SourceError: it took longer than `count_timeout`; another attempt would take as long.
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
        """All rows of a small result; None if the user may not run the query."""
        try:
            return self.rows(statement, what)
        except SourceError as error:
            if error.code in NOT_GRANTED:
                return None
            raise

    def run(self, statement: Sql, what: str, *, table: str = "the table") -> None:
        """Run a statement without a result."""
        with self._sent(statement, what, table), self._handle.cursor() as cursor:
            cursor.execute(statement.text, self._values(statement))

    def describe(self, statement: Sql, what: str, *, table: str) -> tuple[list[Described], list[str]]:
        """The columns of a query and the names of its bind variables. The query is parsed, not run."""
        with self._sent(statement, what, table), self._handle.cursor() as cursor:
            cursor.parse(statement.text)
            return [_described(info) for info in cursor.description or ()], list(cursor.bindnames())

    def batches(
        self, statement: Sql, schema: pa.Schema, what: str, *, size: BatchSize, table: str
    ) -> Iterator[list[pa.Array]]:
        """The result in batches of the requested schema, column by column; each batch's size adjusts the next one's."""
        rows = size.rows if self._handle.thin else size.steady  # thick mode cannot change the rows of later batches
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
        """Log off; this may take as long as a login. Never raises."""
        self._limit_calls(self._config.connect_timeout)
        close_handle(self._handle)

    def _limit_calls(self, limit: timedelta) -> None:
        if self._handle.is_healthy():  # otherwise the driver cannot set it
            self._handle.call_timeout = _milliseconds(limit)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """In this block calls may take `count_timeout`, and queries run in parallel if `count_parallel` is set."""
        degree = self._config.count_parallel
        if degree is not None:
            self.run(Sql(f"ALTER SESSION FORCE PARALLEL QUERY PARALLEL {degree}"), "parallel queries cannot be used")
        self._limit_calls(self._config.count_timeout)
        try:
            yield
        finally:
            self._limit_calls(self._config.call_timeout)
            if degree is not None:
                self._end_parallel()

    def _end_parallel(self) -> None:
        try:
            self.run(Sql(SERIAL), "parallel queries cannot be ended")
        except StatekeeperError:  # the session is broken: the error that broke it is raised, and it is not used again
            self.close()

    @contextmanager
    def _sent(self, statement: Sql, what: str, table: str) -> Iterator[None]:
        record_statement(statement)
        with translated(what, user=self.user, table=table):
            yield

    def _values(self, statement: Sql) -> list[Any]:
        return [self._value(bind) for bind in statement.binds]

    def _value(self, bind: Bind) -> Any:
        """A variable of the column's own type; otherwise Oracle would convert the column and not use its index."""
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
    """Whether an error says that something may not be used or does not exist."""
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
