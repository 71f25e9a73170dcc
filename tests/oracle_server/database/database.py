"""Database: one server's state behind all its sessions."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from tests.oracle_server.database.clock import FIRST_SCN, Clock
from tests.oracle_server.database.tables import Tables
from tests.oracle_server.database.users import Users
from tests.oracle_server.faults import Faults
from tests.oracle_server.log import Log
from tests.oracle_server.sql import arithmetic
from tests.oracle_server.wire.columns import EncodedRows
from tests.oracle_server.wire.handshake import RELEASES

if TYPE_CHECKING:
    from tests.oracle_server.session import Session

CACHED_BYTES = 1 << 30


class RowCache:
    """Encoded rows of queries that were read to their end, by DuckDB statement; the oldest go first."""

    def __init__(self, most: int = CACHED_BYTES) -> None:
        self._kept: OrderedDict[object, list[EncodedRows]] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def get(self, key: object) -> list[EncodedRows] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: object, blocks: list[EncodedRows]) -> None:
        with self._lock:
            self._kept[key] = blocks
            while len(self._kept) > 1 and sum(len(b.data) for kept in self._kept.values() for b in kept) > self._most:
                self._kept.popitem(last=False)


class Database:
    """Tables, users, clock, faults and log, and the sessions that are open."""

    def __init__(self, *, service: str = "TESTDB", release: int = 23, path: str = ":memory:") -> None:
        self.service = service
        self.name = "TESTDB"
        self.unique_name = "TESTDB"
        """Of a standby it is another one, and `name` is the same."""
        self.dbid = 1_385_596_000
        self.incarnation = FIRST_SCN
        self.first_scn = FIRST_SCN
        self.container: str | None = "TESTPDB"
        self.character_set = "AL32UTF8"
        self.settings: dict[str, str] = {}
        """What sessions begin with, where it is not Oracle's default, such as NLS_CALENDAR."""
        self.sort_rows = 1 << 40
        """How many rows the temporary tablespace has room to sort."""
        self.role = "PRIMARY"
        self.apply_lag = 0
        """Seconds by which a standby's data, and the times of its SCNs, are behind its host's clock."""
        self.clock_minutes = 0
        """The offset of the host's clock, which keeps the times of SCNs, from SYSTIMESTAMP's, which is UTC."""
        self.identifier_bytes = 128
        """How long a name may be: 30 up to release 12.1."""
        self.release = RELEASES[release]
        self.clock = Clock()
        self.tables = Tables(self.clock, path)
        self.users = Users()
        self.faults = Faults()
        self.log = Log()
        self.sessions: dict[int, Session] = {}
        self.links: set[str] = set()  # to other databases, whose tables are this one's own
        self.synonyms: dict[tuple[str, str], tuple[str, str, str | None]] = {}  # owner, table and link of what is meant
        self.cache = RowCache()
        self.bit_vectors = True
        self.linger = 0.0  # seconds for which the session of a client that vanished still counts
        self.limit_code = 12516  # what a logon past the limit of all sessions gets
        self.lock = threading.Lock()
        self._session_numbers = 100
        self.users.create("SYS", "sys", "owner")
        arithmetic.register(self.tables.duck)

    def new_session_number(self) -> tuple[int, int]:
        with self.lock:
            self._session_numbers += 1
            return self._session_numbers, 10_000 + self._session_numbers * 7
