"""Session: what one connected user has set, and how names and settings resolve for him."""

from __future__ import annotations

import datetime as dt
import random
import re
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
from sqlglot import exp

from tests.oracle_server.database import dictionary, types
from tests.oracle_server.database.database import Database
from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.tables import PENDING, Table, View
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.database.users import User
from tests.oracle_server.database.values import moment, to_storage
from tests.oracle_server.sql.parsing import parse
from tests.oracle_server.sql.queries import Translator, partition_of, sample_of
from tests.oracle_server.sql.typed import Source, Typed

DEFAULTS = {
    "NLS_DATE_FORMAT": "DD-MON-RR", "NLS_TIMESTAMP_FORMAT": "DD-MON-RR HH.MI.SSXFF AM",
    "NLS_TIMESTAMP_TZ_FORMAT": "DD-MON-RR HH.MI.SSXFF AM TZR", "NLS_NUMERIC_CHARACTERS": ".,", "NLS_COMP": "BINARY",
    "NLS_SORT": "BINARY", "NLS_LANGUAGE": "AMERICAN", "NLS_TERRITORY": "AMERICA", "NLS_LENGTH_SEMANTICS": "BYTE",
    "NLS_CALENDAR": "GREGORIAN",
}  # fmt: skip


class Session:
    """One logon: attributes, settings, an open transaction and what it reads the past at."""

    def __init__(self, database: Database, user: User, number: int = 0, serial: int = 0) -> None:
        self.database = database
        self.user = user
        self.number, self.serial = number, serial
        self.current_schema = user.name
        self.module: str | None = None
        self.action: str | None = None
        self.client_info: str | None = None
        self.client_identifier: str | None = None
        self.program = self.machine = self.os_user = self.process = ""
        self.proxy_user: str | None = None
        self.logged_on = dt.datetime.now(dt.UTC)
        self.settings = DEFAULTS | database.settings
        self.zone_text = "+00:00"
        self.zone_minutes = 0
        self.flashback_scn: int | None = None
        self.read_only_scn: int | None = None
        self.parallel = 0  # servers that a query may use, by ALTER SESSION FORCE PARALLEL QUERY
        self.killed: int | None = None
        self.touched: set[str] = set()
        self.began = self.logged_on
        """When its open transaction began, by the host's clock."""
        self._transaction: duckdb.DuckDBPyConnection | None = None

    @property
    def attributes(self) -> dict[str, str | None]:
        return {
            "user": self.user.name, "proxy_user": self.proxy_user, "module": self.module, "action": self.action,
        }  # fmt: skip

    def check_alive(self) -> None:
        """Raise what the session was killed with."""
        if self.killed:
            raise OracleError(self.killed)

    # --- transactions

    @property
    def pending(self) -> int:
        return PENDING + self.number

    @property
    def is_dirty(self) -> bool:
        return bool(self.touched)

    def writing(self, table: Table) -> duckdb.DuckDBPyConnection:
        """The connection of the open transaction, begun where there is none."""
        if self.read_only_scn is not None:
            raise OracleError(1456)
        if self._transaction is None:
            self._transaction = self.database.tables.duck.cursor()
            self._transaction.execute("BEGIN")
            self.began = self.database.clock.now()
        self.touched.add(table.stored)
        return self._transaction

    def reading(self) -> duckdb.DuckDBPyConnection:
        return self._transaction or self.database.tables.duck.cursor()

    def commit(self) -> None:
        self.read_only_scn = None
        if self._transaction is not None:
            con, touched = self._transaction, self.touched
            self._transaction, self.touched = None, set()
            self.database.tables.commit(con, touched, self.pending)

    def rollback(self) -> None:
        self.read_only_scn = None
        if self._transaction is not None:
            con, self._transaction, self.touched = self._transaction, None, set()
            con.execute("ROLLBACK")

    def reading_scn(self) -> int | None:
        """The SCN of a statement that asks for none: None reads what is current with this session's own changes."""
        if self.flashback_scn is not None:
            return self.flashback_scn
        if self.read_only_scn is not None:
            return self.read_only_scn
        return None if self.is_dirty else self.database.clock.scn

    # --- settings

    def set(self, name: str, value: str) -> None:
        """ALTER SESSION SET."""
        if name == "TIME_ZONE":
            self.zone_minutes = self.minutes_of(value)
            self.zone_text = value if value[0] in "+-" else value.upper()
        elif name == "CURRENT_SCHEMA":
            self.current_schema = value
        self.settings[name] = value

    def minutes_of(self, zone: str) -> int:
        """A time zone's offset now."""
        found = re.fullmatch(r"([+-]?)(\d{1,2}):(\d{1,2})", zone.strip())
        if found:
            minutes = int(found[2]) * 60 + int(found[3])
            return -minutes if found[1] == "-" else minutes
        if zone.upper() in ("UTC", "DBTIMEZONE", "LOCAL", "GMT"):
            return 0
        try:
            offset = dt.datetime.now(ZoneInfo(zone)).utcoffset()
        except (ZoneInfoNotFoundError, ValueError) as reason:
            raise OracleError(1882, text="timezone region not found") from reason
        return int((offset or dt.timedelta(0)).total_seconds() // 60)

    def default_format(self, kind: OracleType) -> str:
        setting = {
            "DATE": "NLS_DATE_FORMAT", "TIMESTAMP WITH TIME ZONE": "NLS_TIMESTAMP_TZ_FORMAT",
            "TIMESTAMP WITH LOCAL TIME ZONE": "NLS_TIMESTAMP_FORMAT",
        }.get(kind.name, "NLS_TIMESTAMP_FORMAT")  # fmt: skip
        return self.settings[setting]

    def context(self, space: str, name: str) -> str | None:
        """SYS_CONTEXT."""
        database = self.database
        if space != "USERENV":
            return None
        known: dict[str, Any] = {
            "DB_NAME": database.name, "DB_UNIQUE_NAME": database.unique_name, "CON_NAME": database.container,
            "CON_ID": "3",
            "DBID": database.dbid, "INSTANCE": "1", "INSTANCE_NAME": database.name, "SERVER_HOST": "testserver",
            "SERVICE_NAME": database.service, "SESSION_USER": self.user.name, "CURRENT_USER": self.user.name,
            "CURRENT_SCHEMA": self.current_schema, "SESSIONID": self.number + 4_000_000, "SID": self.number,
            "PROXY_USER": self.proxy_user, "MODULE": self.module, "ACTION": self.action, "HOST": self.machine,
            "CLIENT_INFO": self.client_info, "CLIENT_IDENTIFIER": self.client_identifier, "OS_USER": self.os_user,
            "LANGUAGE": f"AMERICAN_AMERICA.{database.character_set}", "ISDBA": "FALSE", "DATABASE_ROLE": database.role,
            "CURRENT_SCHEMAID": self.user.number, "SESSION_USERID": self.user.number, "DB_DOMAIN": None,
            "CDB_NAME": database.name, "ORACLE_HOME": None, "NLS_DATE_FORMAT": self.settings["NLS_DATE_FORMAT"],
            "IDENTIFICATION_TYPE": "LOCAL", "AUTHENTICATION_METHOD": "PASSWORD", "NETWORK_PROTOCOL": "tcp",
        }  # fmt: skip
        if name not in known or (name == "CON_NAME" and database.container is None):  # before 12.1
            raise OracleError(2003)
        value = known[name]
        return None if value is None else str(value)

    def moment_of(self, typed: Typed) -> dt.datetime:
        """A constant moment as an instant; wall time is that of the session."""
        if typed.type.is_character and isinstance(typed.literal, str):
            nanos, _ = moment(typed.literal)
        elif typed.type.is_moment:
            unit = "epoch_ns" if (typed.type.scale or 0) > 6 else "1000 * epoch_us"
            zoned = typed.type.name == "TIMESTAMP WITH TIME ZONE"
            instant = f"({typed.sql}).utc" if zoned else typed.sql
            nanos = self.reading().execute(f"SELECT {unit}({instant})::HUGEINT").fetchall()[0][0]
        else:
            raise OracleError(932, "TIMESTAMP", typed.type.name)
        if not typed.type.name.endswith("ZONE"):
            nanos -= self.zone_minutes * 60 * 10**9
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=nanos // 1000)

    # --- names

    def resolve(self, schema: str | None, name: str) -> Table | View | None:
        """A table or view by name; a missing schema is the current one."""
        return self.database.tables.find(schema or self.current_schema, name)

    def table(self, schema: str | None, name: str) -> Table:
        """A table that may be changed; ORA-00942 otherwise."""
        found = self.resolve(schema, name)
        shown = f'"{schema or self.current_schema}"."{name}"'
        if not isinstance(found, Table):
            raise OracleError(942, shown)
        return found

    def table_source(
        self, translator: Translator, node: exp.Table, schema: str | None, name: str, alias: str, shown: str
    ) -> tuple[str, Source]:
        """A table, view or dictionary view in a FROM clause."""
        link = ""
        if "@" in name:
            name, _, link = name.partition("@")
            shown = name if "@" in shown else shown
            if link not in self.database.links:
                raise OracleError(2019, text="connection description for remote database not found")
        found = self.resolve(schema, name)
        if found is None:
            return self._dictionary_source(schema, name, alias, shown)
        if not translator.trusted and not self.user.may_on("SELECT", found.schema, found.name):
            raise OracleError(942, f'"{found.schema}"."{found.name}"')
        scn = translator.scn_of(node)
        if (
            node.args.get("version") is not None
            and not translator.trusted
            and not self.user.may_on("FLASHBACK", found.schema, found.name)
        ):
            if self.database.release.major < 23:
                raise OracleError(1031)
            raise OracleError(41900, f'"{found.schema}"."{found.name}"')
        if node.args.get("version") is not None and isinstance(found, Table) and found.organization == "external":
            raise OracleError(8188)
        translator.tables_read.append(f"{found.schema}.{found.name}")
        if isinstance(found, View):
            return self._view_source(translator, found, scn, alias, shown)
        return self._table_source(translator, node, found, scn, alias, shown, remote=bool(link))

    def _table_source(
        self,
        translator: Translator,
        node: exp.Table,
        table: Table,
        scn: int | None,
        alias: str,
        shown: str,
        *,
        remote: bool,
    ) -> tuple[str, Source]:
        if scn is not None and translator.first_scn is None:
            translator.first_scn = scn
        sql = self.database.tables.scan(table, scn)
        archive = next((c for c in table.columns if c.name == "ORA_ARCHIVE_STATE"), None)
        if archive is not None and self.settings.get("VISIBILITY") != "ALL":
            sql += f" AND {archive.stored} = '0'"
        partition = partition_of(node)
        if partition is not None:
            name, is_subpartition = partition
            segments = [s for s in table.segments if name == (s.subpartition if is_subpartition else s.partition)]
            if not segments:
                raise OracleError(14251 if is_subpartition else 2149)
            sql += f" AND rid >> 48 IN ({', '.join(str(segment.data_object) for segment in segments)})"
        sample = sample_of(node)
        if sample is not None:
            percent, by_block = sample
            seed = random.randrange(1 << 30)
            what = "rid >> 16" if by_block else "rid"
            sql += f" AND hash({what}, {seed}) % 1000000 < {percent * 10_000}"
        rowid: Typed | None = Typed(f"{alias}.rid", types.ROWID, nullable=False)
        if table.organization == "index":
            rowid = Typed(f"ora_rowid_logical({alias}.rid)", OracleType("UROWID"), nullable=False)
        elif table.organization == "external" or remote:
            rowid = None
        columns = [
            (c.name, Typed(f"{alias}.{c.stored}", c.type, nullable=c.nullable, declared=True)) for c in table.columns
        ]
        hidden = frozenset(column.name for column in table.columns if column.hidden)
        redacts = table.redacted and not self.user.may("EXEMPT REDACTION POLICY") and self.user.name != table.schema
        if redacts:
            columns = [(n, _redacted(t) if n in table.redacted else t) for n, t in columns]
        return f"({sql}) {alias}", Source(alias, shown, columns, rowid, hidden)

    def _view_source(
        self, translator: Translator, view: View, scn: int | None, alias: str, shown: str
    ) -> tuple[str, Source]:
        inner = translator.with_scn(scn)
        owner, self.current_schema = self.current_schema, view.schema
        try:
            query = inner.query(parse(view.query))
        finally:
            self.current_schema = owner
        translator.first_scn = translator.first_scn or inner.first_scn
        columns = [
            (column.name, Typed(f"{alias}.k{number}", output.typed.type, declared=output.typed.declared))
            for number, (column, output) in enumerate(zip(view.columns, query.columns, strict=True), 1)
        ]
        return f"({query.sql}) {alias}", Source(alias, shown, columns)

    def _dictionary_source(self, schema: str | None, name: str, alias: str, shown: str) -> tuple[str, Source]:
        found = dictionary.find(name) if schema in (None, "SYS", "PUBLIC") else None
        where = f'"{schema or self.current_schema}"."{name}"'
        if found is None or not (found[1].public or self.user.may_on("SELECT", "SYS", found[0])):
            raise OracleError(942, where)
        _, view = found
        rows = list(view.rows(self))
        lines = {
            column: to_storage(kind, [_plain_time(row.get(column)) for row in rows])
            for column, kind in view.columns.items()
        }
        columns = [
            (column, Typed(f"{alias}.d{n}", kind, declared=True))
            for n, (column, kind) in enumerate(view.columns.items())
        ]
        return f"({_inline(lines, view.columns)}) {alias}", Source(alias, shown, columns)


def _redacted(typed: Typed) -> Typed:
    """Full redaction: zero for numbers, a blank for texts, the first day of 2001 for moments."""
    if typed.type.is_number:
        value = "'\\x80'::BLOB" if typed.is_big else f"0::{typed.type.storage}"
    elif typed.type.is_character:
        value = "' '"
    elif typed.type.name == "DATE":
        value = "TIMESTAMP '2001-01-01'"
    else:
        value = f"NULL::{typed.type.storage}"
    return Typed(value, typed.type)


def _plain_time(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value


def _inline(columns: dict[str, Any], kinds: dict[str, OracleType]) -> str:
    """Rows as a VALUES list, in storage types."""
    stored = [kind.storage for kind in kinds.values()]
    casts = ", ".join(f"v{n}::{kind} AS d{n}" for n, kind in enumerate(stored))
    names = ", ".join(f"v{n}" for n in range(len(stored)))
    values = [column.to_pylist() for column in columns.values()]
    count = len(values[0]) if values else 0
    lines = [", ".join(_value(value[row]) for value in values) for row in range(count)]
    if not lines:
        empty = ", ".join(f"NULL::{kind} AS d{n}" for n, kind in enumerate(stored))
        return f"SELECT {empty} WHERE FALSE"
    return f"SELECT {casts} FROM (VALUES {', '.join(f'({line})' for line in lines)}) t({names})"


def _value(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():
            return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"
        case dt.datetime():
            return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
        case str():
            quoted = value.replace("'", "''")
            return f"'{quoted}'"
        case _:
            return str(value)
