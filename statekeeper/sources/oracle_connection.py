"""One session with an Oracle database: how it is logged in to and set up, and how statements are sent.

Decides the session's settings, which make texts compare by their bytes, moments be UTC and queries run in one process;
and what shows of it in V$SESSION. What is asked is others' matter.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import oracledb

from statekeeper.errors import SourceError, SourceUnreachable, StatekeeperError
from statekeeper.sources.oracle_errors import translated
from statekeeper.sources.sql import Bind, Sql
from statekeeper.sources.statement_log import record_statement

if TYPE_CHECKING:
    import pyarrow as pa

    from statekeeper.config.sources import OracleSource

MODULE = "statekeeper"
ACTION_BYTES = 32
SETTINGS = (
    "ALTER SESSION SET TIME_ZONE = '+00:00' NLS_COMP = BINARY NLS_SORT = BINARY NLS_NUMERIC_CHARACTERS = '.,'",
    "ALTER SESSION DISABLE PARALLEL QUERY",
)
NOT_GRANTED = frozenset({"ORA-00904", "ORA-00942", "ORA-01031", "ORA-06550", "ORA-41900"})
"""How Oracle says that something may not be used, or is not there, which it does not tell apart."""


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

    def __init__(self, handle: oracledb.Connection, *, label: str, user: str) -> None:
        self._handle = handle
        self.label = label
        self.user = user

    @classmethod
    def open(cls, config: OracleSource) -> Self:
        """A new session, set up.

        Raises:
            LoginRefused, SourceUnreachable, TransientSourceError: none can be had.
        """
        label = _label(config)
        user = config.proxy_user or config.user or "the operating system's user"
        with translated(f"no session with {label}", user=user):
            if config.thick_mode:
                _use_client_libraries(config)
            else:
                _require_open_wallet(config)
            handle = oracledb.connect(**_parameters(config))
        connection = cls(handle, label=label, user=user)
        try:
            handle.call_timeout = int(config.call_timeout.total_seconds() * 1000)
            handle.module = MODULE
            for setting in SETTINGS:
                connection.run(Sql(setting), f"the session with {label} cannot be set up")
        except BaseException:
            connection.close()
            raise
        return connection

    def act(self, action: str) -> None:
        """Say in V$SESSION.ACTION what is being done, from the next statement on."""
        self._handle.action = action.encode()[:ACTION_BYTES].decode(errors="ignore")

    def rows(self, statement: Sql, what: str, *, table: str = "the table") -> list[tuple[Any, ...]]:
        """All rows of a small result, numbers as Decimal; `what` begins the message of an error."""
        with self._sent(statement, what, table), self._handle.cursor() as cursor:
            cursor.execute(statement.text, self._values(statement), fetch_decimals=True)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

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
        self, statement: Sql, schema: pa.Schema, what: str, *, batch_rows: int, table: str
    ) -> Iterator[oracledb.DataFrame]:
        """The result in data frames of the requested schema."""
        with self._sent(statement, what, table):
            yield from self._handle.fetch_df_batches(
                statement.text, self._values(statement), size=batch_rows, requested_schema=schema
            )

    def close(self) -> None:
        """Never raises."""
        try:
            self._handle.close()
        except oracledb.Error:  # it has ended already
            return

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


def _parameters(config: OracleSource) -> dict[str, Any]:
    given: dict[str, Any] = {
        "dsn": config.dsn,
        "host": config.host,
        "port": config.port if config.host else None,
        "service_name": config.service,
        "sid": config.sid,
        "protocol": config.protocol.value if config.host else None,
        "user": config.user,
        "password": config.password.get_secret_value() if config.password else None,
        "proxy_user": config.proxy_user,
        "wallet_location": config.wallet_location,
        "wallet_password": config.wallet_password.get_secret_value() if config.wallet_password else None,
        # Said only where it is not the driver's default: in a dsn it would stand in for what the dsn says.
        "ssl_server_dn_match": None if config.ssl_server_dn_match else False,
        "ssl_server_cert_dn": config.ssl_server_cert_dn,
        "config_dir": config.config_dir,
        "externalauth": config.external_auth or None,
        "tcp_connect_timeout": config.connect_timeout.total_seconds(),
        "program": MODULE,
        # A statement from the driver's cache is described as it was at its first parse, whatever became of the table.
        "stmtcachesize": 0,
    }
    return {name: value for name, value in given.items() if value is not None}


def _use_client_libraries(config: OracleSource) -> None:
    """Once in a process; the driver ignores a second call with the same arguments."""
    given = {"lib_dir": config.client_lib_dir, "config_dir": config.config_dir}
    oracledb.init_oracle_client(**{name: value for name, value in given.items() if value is not None})


def _require_open_wallet(config: OracleSource) -> None:
    """That the password opens the wallet's key: the driver would go on without the key, or ask for it on the terminal.

    Raises:
        SourceUnreachable: it does not.
    """
    wallet = Path(config.wallet_location or "") / "ewallet.pem"
    if config.wallet_location is None or not wallet.is_file() or b"ENCRYPTED" not in wallet.read_bytes():
        return
    password = config.wallet_password.get_secret_value() if config.wallet_password else ""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(wallet, password=password)
    except ssl.SSLError as error:
        raise SourceUnreachable(
            f"the key in {wallet} is not opened by the password of the wallet",
            hint="check wallet_password of the source",
        ) from error


def _label(config: OracleSource) -> str:
    if config.dsn is not None:
        return config.dsn
    return f"{config.host}:{config.port}/{config.service or config.sid}"


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
