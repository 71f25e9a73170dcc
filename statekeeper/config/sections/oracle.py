"""The `type: oracle` of `sources:`: how a database is reached, and how its data is read.

Checks what depends on several keys; connects to nothing.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from statekeeper.config.root import expanded
from statekeeper.config.sections.chunking import ChunkingStrategy
from statekeeper.config.sections.quantities import PositiveDuration
from statekeeper.config.sections.section import FilePath, Name, refusal
from statekeeper.config.sections.source import SnapshotScope, SourceSection

_SERVICE = re.compile(r"\b(SERVICE_NAME|SID)\s*=\s*([^)\s]+)", re.IGNORECASE)
_PROXY = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]")
_JDBC = re.compile(r"jdbc:oracle:\w+:(?P<login>[^@]*)@", re.IGNORECASE)
_OF_SID = re.compile(r"(?://)?[\w.-]+:\d+:[\w$#.]+")
_WITHOUT_SERVICE = re.compile(r"(?:\w+:)?(?://)?[\w.-]+:\d+/?")
_EASY = re.compile(r"^(?:[a-z]+://)?[^/]+/([^/:?]+)", re.IGNORECASE)


class SnapshotMode(StrEnum):
    """How the chunks of a table are read consistently.

    `scn` reads every chunk AS OF one SCN; `transaction` reads everything in one read-only session, which no other
    session can continue; `none` reads the current data, chunk by chunk, and is consistent only if nobody writes.
    """

    SCN = "scn"
    TRANSACTION = "transaction"
    NONE = "none"


class FractionUnit(StrEnum):
    """The unit of TIMESTAMP(7) to TIMESTAMP(9) in the file: microseconds (exact, or the value fails) or nanoseconds."""

    MICROSECONDS = "us"
    NANOSECONDS = "ns"


class RowArchival(StrEnum):
    """Which rows of a table with in-database archiving are read."""

    ACTIVE = "active"
    VISIBLE = "visible"


class ListenerProtocol(StrEnum):
    """The protocol of the listener."""

    TCP = "tcp"
    TCPS = "tcps"


class OracleSource(SourceSection):
    """An Oracle database, named by one of `service`, `sid` (both with `host`) and `dsn`."""

    CAN_READ_THE_PAST: ClassVar[bool] = True
    MAY_COME_BACK: ClassVar[bool] = True
    CAN_CUT_BY: ClassVar[frozenset[ChunkingStrategy]] = frozenset(ChunkingStrategy)

    type: Literal["oracle"] = Field(description="the kind of source")
    host: Name | None = Field(default=None, description="where the listener is")
    port: int = Field(default=1521, ge=1, le=65535, description="the listener's port")
    service: Name | None = Field(default=None, description="the service name")
    sid: Name | None = Field(default=None, description="the instance's SID, for databases that have no service")
    dsn: Name | None = Field(
        default=None, description="an EZConnect string, a full descriptor, or an alias of tnsnames.ora in `config_dir`"
    )
    user: Name | None = Field(default=None, description="who logs in")
    password: SecretStr | None = Field(default=None, description="the user's password")
    proxy_user: Name | None = Field(
        default=None, description="the user on whose behalf `user` logs in; `user[proxy_user]` is the same"
    )
    external_auth: bool = Field(default=False, description="log in by the operating system or wallet (thick mode)")
    protocol: Annotated[ListenerProtocol, Field(strict=False)] = Field(
        default=ListenerProtocol.TCP, description="tcp, or tcps for TLS; a dsn has its own"
    )
    wallet_location: FilePath | None = Field(default=None, description="the folder of the wallet (ewallet.pem)")
    wallet_password: SecretStr | None = Field(default=None, description="the wallet's password")
    ssl_server_dn_match: bool = Field(
        default=True, description="with TLS, whether the server's certificate must match the host"
    )
    ssl_server_cert_dn: Name | None = Field(
        default=None,
        description="the distinguished name that the server's certificate must have, instead of the host's",
    )
    config_dir: FilePath | None = Field(default=None, description="the folder of tnsnames.ora")
    thick_mode: bool = Field(default=False, description="use the Oracle Client libraries, which must be installed")
    client_lib_dir: FilePath | None = Field(default=None, description="where they are, if not on the library path")
    connect_timeout: PositiveDuration = Field(
        default=timedelta(seconds=20),
        description="how long each address of the database may take until a session is set up: TCP, TLS, "
        "the listener's answer and the login",
    )
    call_timeout: PositiveDuration = Field(
        default=timedelta(minutes=30),
        description="how long the database may take for one round trip; the first rows of a large chunk may take long",
    )
    count_timeout: PositiveDuration = Field(
        default=timedelta(hours=6),
        description="how long a count, or the sort of a chunking key, may take: one round trip, whatever the size",
    )
    count_parallel: int | None = Field(
        default=None, ge=2, description="the number of parallel query servers for counts, if the DBA allows it"
    )
    count_nulls: bool = Field(
        default=False,
        description="count the rows without a value in the incremental column even where no index has them, which "
        "reads the whole table",
    )
    expire_time: int = Field(
        default=2,
        ge=0,
        description="minutes without traffic after which TCP keepalive checks that the database is still there "
        "(EXPIRE_TIME); 0: never. The value in a dsn takes precedence",
    )
    snapshot: Annotated[SnapshotMode, Field(strict=False)] = Field(
        default=SnapshotMode.SCN,
        description="scn: every chunk AS OF one SCN; transaction: one read-only session; none: the current data",
    )
    fractional_seconds: Annotated[FractionUnit, Field(strict=False)] | None = Field(
        default=None,
        description="TIMESTAMP(7) to (9) as us (a value with nanoseconds fails) or ns (Spark cannot read it); "
        "without it such columns are refused unless the schema declares a datetime",
    )
    zone_offsets: bool = Field(
        default=False,
        description="add a column <name>_OFFSET for each TIMESTAMP WITH TIME ZONE, which is stored as UTC",
    )
    trim_char: bool = Field(default=False, description="cut the padding off CHAR and NCHAR")

    row_archival: Annotated[RowArchival, Field(strict=False)] = Field(
        default=RowArchival.ACTIVE,
        description="visible: read the archived rows of tables with in-database archiving too (from 12.1 on)",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_brackets(cls, given: Any) -> Any:
        """`user: app[hr]`, the notation of Oracle's tools, is `user: app` with `proxy_user: hr`."""
        if not isinstance(given, dict) or given.get("proxy_user") is not None:
            return given
        found = _PROXY.fullmatch(user) if isinstance(user := given.get("user"), str) else None
        return given if found is None else {**given, "user": found.group(1), "proxy_user": found.group(2)}

    @field_validator("snapshot")
    @classmethod
    def _one_for_the_run(cls, snapshot: SnapshotMode, info: ValidationInfo) -> SnapshotMode:
        if info.data.get("snapshot_scope") is SnapshotScope.RUN and snapshot is not SnapshotMode.SCN:
            raise refusal(
                "'scn' with snapshot_scope: run, which no single session can serve",
                hint="leave snapshot out, or set snapshot_scope: table",
            )
        return snapshot

    @field_validator("dsn")
    @classmethod
    def _as_oracle_takes_it(cls, dsn: str | None) -> str | None:
        if dsn is None:
            return None
        jdbc = _JDBC.match(dsn)
        place = dsn[jdbc.end() :] if jdbc else dsn
        if "@" in place or (jdbc and jdbc.group("login")):
            raise refusal("a dsn without user and password, which have their own keys")
        if _OF_SID.fullmatch(place):
            raise refusal(
                "a service after a slash instead of host:port:SID, which only JDBC understands",
                hint="write host: HOST, port: PORT and sid: SID in place of the dsn",
            )
        if jdbc or dsn.casefold().startswith("jdbc:"):
            raise refusal(
                "a dsn for Oracle's own tools, without the prefix of a JDBC URL",
                hint="write only what follows the @: dsn: //HOST:PORT/SERVICE, or a descriptor, or an alias",
            )
        if _WITHOUT_SERVICE.fullmatch(dsn):
            raise refusal("a service after host and port", hint="write dsn: HOST:PORT/SERVICE")
        return dsn

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        ways = [name for name in ("service", "sid", "dsn") if getattr(self, name) is not None]
        if len(ways) != 1:
            raise refusal("exactly one of service, sid and dsn, to say which database")
        if self.dsn is None and self.host is None:
            raise refusal(f"a host with the {ways[0]}")
        if self.dsn is not None and self.host is not None:
            raise refusal("the host inside the dsn only, or host with service instead of dsn")
        return self

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        if self.external_auth:
            if not self.thick_mode:
                raise refusal("thick_mode: true, which external_auth needs")
        elif self.user is None or self.password is None:
            raise refusal("a user and a password, or external_auth: true")
        if self.client_lib_dir is not None and not self.thick_mode:
            raise refusal("thick_mode: true with client_lib_dir")
        return self

    @model_validator(mode="after")
    def _one_session_suffices(self) -> Self:
        if self.snapshot is SnapshotMode.TRANSACTION and (self.max_sessions or 1) > 1:
            raise refusal("max_sessions: 1 (or none), since snapshot: transaction is one session")
        return self

    def identity_settings(self) -> dict[str, str]:
        chosen = {
            "database": self._database,
            "trim_char": str(self.trim_char),
            "zone_offsets": str(self.zone_offsets),
            "fractional_seconds": str(self.fractional_seconds),
        }
        if self.row_archival is not RowArchival.ACTIVE:  # the default must not change the fingerprints of 0.1
            chosen["row_archival"] = self.row_archival
        return chosen | ({"proxy_user": self.proxy_user} if self.proxy_user else {})

    def anchored(self, folder: Path) -> Self:
        given = {name: getattr(self, name) for name in ("wallet_location", "config_dir", "client_lib_dir")}
        found = {name: str(folder / expanded(path)) for name, path in given.items() if path is not None}
        return self.model_copy(update=found)

    def session_budget(self, *, workers: int) -> int:
        if self.snapshot is SnapshotMode.TRANSACTION:
            return 1
        return super().session_budget(workers=workers)

    @property
    def _database(self) -> str:
        """The database's name, without hosts."""
        if self.dsn is None:
            return (self.service or self.sid or "").casefold()
        found = _SERVICE.search(self.dsn)
        easy = _EASY.match(self.dsn)
        name = found.group(2) if found else easy.group(1) if easy else self.dsn
        return name.casefold()
