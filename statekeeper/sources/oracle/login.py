"""Opens a session with an Oracle database: the driver's parameters, the time limit, and the session's settings.

Decides the settings: text is compared by its bytes, timestamps are in UTC and the Gregorian calendar, and queries run
in one process. The driver limits only the TCP connection: it would wait forever for a listener, a TLS handshake or a
login that does not answer. So each address of the database has `connect_timeout` for everything until the session is
set up. The login runs in a thread; if it is too slow, nothing waits for that thread any more.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar, cast

import oracledb

from statekeeper.config.sections.oracle import RowArchival
from statekeeper.errors import SourceUnreachable
from statekeeper.sources.protocol import Address
from statekeeper.sources.sql import Sql
from statekeeper.sources.statement_log import record_statement
from statekeeper.system_errors import start_thread

if TYPE_CHECKING:
    from statekeeper.config.sections.oracle import OracleSource

MODULE = "statekeeper"
SETTINGS = (
    (
        "ALTER SESSION SET TIME_ZONE = '+00:00' NLS_CALENDAR = 'GREGORIAN' NLS_COMP = BINARY NLS_SORT = BINARY "
        "NLS_NUMERIC_CHARACTERS = '.,'"
    ),
    (SERIAL := "ALTER SESSION DISABLE PARALLEL QUERY"),
)
Result = TypeVar("Result")


class Handle(oracledb.Connection):
    """A connection of the driver that knows its newest cursor.

    `fetch_df_batches` does not expose its cursor, whose `arraysize` is the number of rows of the next batch.
    """

    newest_cursor: oracledb.Cursor

    def cursor(self, scrollable: bool = False, handle: Any = None) -> oracledb.Cursor:  # noqa: FBT001, FBT002 - the driver's signature
        self.newest_cursor = super().cursor(scrollable=scrollable, handle=handle)
        return self.newest_cursor


ARCHIVED_TOO = "ALTER SESSION SET ROW ARCHIVAL VISIBILITY = ALL"


def log_in(config: OracleSource) -> Handle:
    """Open a session.

    Raises:
        SourceUnreachable: none was opened in time, or the password does not open the wallet's key.
        oracledb.Error, OSError: as the driver raises them.
    """
    if config.thick_mode:
        _use_client_libraries(config)
    else:
        _require_open_wallet(config)
    seconds = config.connect_timeout.total_seconds()
    try:
        seconds = within(seconds, lambda: _time_limit(config), discard=float)
        return within(seconds, lambda: _connected(config), discard=close_handle)
    except TimeoutError as error:
        raise SourceUnreachable(
            f"no session with {label_of(config)}: the listener or the database did not answer within {seconds:g} s",
            hint="check host, port and protocol (tcp or tcps) of the source, and whether the database hangs; "
            "a database that is slow to log in needs a longer connect_timeout",
        ) from error


def label_of(config: OracleSource) -> str:
    """The name of the database in messages."""
    if config.dsn is not None:
        return config.dsn
    return f"{config.host}:{config.port}/{config.service or config.sid}"


def listener_addresses(config: OracleSource) -> tuple[Address, ...]:
    """The hosts and ports to which a login connects, as the driver reads host, dsn and tnsnames.ora.

    With a proxy it is the proxy's address. Empty if only the Oracle Client libraries can resolve the name.
    """
    try:
        params = _parsed(config)
    except oracledb.Error:
        return ()
    names = ("host", "port", "https_proxy", "https_proxy_port")
    rows = zip(*(_listed(getattr(params, name)) for name in names), strict=True)
    found = (Address(proxy, proxy_port) if proxy else Address(host, port) for host, port, proxy, proxy_port in rows)
    return tuple(dict.fromkeys(found))


def _parsed(config: OracleSource) -> oracledb.ConnectParams:
    """The connection parameters as the driver reads them.

    Raises:
        oracledb.Error: it cannot read them, or tnsnames.ora does not have the alias.
    """
    given = _parameters(config)
    dsn = given.pop("dsn", None)
    params: oracledb.ConnectParams = oracledb.ConnectParams(**given)
    if dsn is not None:
        params.parse_connect_string(dsn)
    return params


def _time_limit(config: OracleSource) -> float:
    """The seconds for all connections that the driver tries one after the other, if each fails."""
    seconds = config.connect_timeout.total_seconds()
    if config.thick_mode:
        return seconds
    params = _parsed(config)
    found = (socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) for host in _listed(params.host))
    addresses = max(1, sum(map(len, found)))
    retries, delay = (int(max(_listed(one))) for one in (params.retry_count, params.retry_delay))
    return seconds * addresses * (1 + retries) + delay * retries


def _listed(value: Any) -> list[Any]:
    """The driver's parameter as a list with one value per description or address; a single one comes without a list."""
    return value if isinstance(value, list) else [value]


def _connected(config: OracleSource) -> Handle:
    handle = cast("Handle", oracledb.connect(conn_class=Handle, **_parameters(config)))
    try:
        handle.module = MODULE
        with handle.cursor() as cursor:
            for setting in _settings(config):
                record_statement(Sql(setting))
                cursor.execute(setting)
    except BaseException:
        close_handle(handle)
        raise
    return handle


def _settings(config: OracleSource) -> tuple[str, ...]:
    return (*SETTINGS, ARCHIVED_TOO) if config.row_archival is RowArchival.VISIBLE else SETTINGS


def close_handle(handle: oracledb.Connection) -> None:
    """Close a session. Never raises."""
    try:
        handle.close()
    except oracledb.Error:  # it is closed already
        return


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
        # Given only if it is not the driver's default, since it would override what a dsn says.
        "ssl_server_dn_match": None if config.ssl_server_dn_match else False,
        "ssl_server_cert_dn": config.ssl_server_cert_dn,
        "config_dir": config.config_dir,
        "externalauth": config.external_auth or None,
        "tcp_connect_timeout": config.connect_timeout.total_seconds(),
        "expire_time": config.expire_time,
        "program": MODULE,
        # No cache: the driver describes a cached statement as at its first parse, even if the table has changed.
        "stmtcachesize": 0,
    }
    return {name: value for name, value in given.items() if value is not None}


def _use_client_libraries(config: OracleSource) -> None:
    """Load the Oracle Client libraries. The driver ignores a second call with the same arguments."""
    given = {"lib_dir": config.client_lib_dir, "config_dir": config.config_dir}
    oracledb.init_oracle_client(**{name: value for name, value in given.items() if value is not None})


def _require_open_wallet(config: OracleSource) -> None:
    """Check that the password opens the wallet's key; the driver would go on without it, or prompt on the terminal.

    Raises:
        SourceUnreachable: it does not open it.
    """
    wallet = Path(config.wallet_location or "") / "ewallet.pem"
    if config.wallet_location is None or not wallet.is_file() or b"ENCRYPTED" not in wallet.read_bytes():
        return
    password = config.wallet_password.get_secret_value() if config.wallet_password else ""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(wallet, password=password)
    except ssl.SSLError as error:
        raise SourceUnreachable(
            f"the wallet's password does not open the key in {wallet}",
            hint="check wallet_password of the source",
        ) from error


def within(seconds: float, call: Callable[[], Result], *, discard: Callable[[Result], object]) -> Result:
    """Call `call` in a thread, and return its result or raise its error; a late result is passed to `discard`.

    Raises:
        TimeoutError: it took longer than `seconds`.
    """
    answer: Future[Result] = Future()
    # A daemon thread, since the interpreter waits at its exit for the threads of an executor.
    start_thread(Thread(target=_answer, args=(answer, call, discard), name="statekeeper-time-limit", daemon=True))
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.cancel():
            raise
        return answer.result()  # it has just arrived
    except BaseException:
        answer.cancel()
        raise


def _answer(answer: Future[Result], call: Callable[[], Result], discard: Callable[[Result], object]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it is raised in the calling thread
        with suppress(InvalidStateError):
            answer.set_exception(error)
        return
    try:
        answer.set_result(result)
    except InvalidStateError:  # nobody waits any more
        discard(result)
