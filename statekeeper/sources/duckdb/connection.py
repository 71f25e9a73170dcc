"""One DuckDB instance on one database file, and the file's state when it was opened.

Decides how a database is opened and with which settings, and runs statements. Each connection is an instance of its
own, in memory, with the file attached. DuckDB shares the instances of one path within a process, so a plain second
`connect` would still show the old file after it was replaced.

Settings: one thread, a memory limit, a spill folder of its own, time zone UTC, read-only. No extension is installed or
loaded, and after the attach no other file may be read: the snapshot would not cover a view over a Parquet file, for
example.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from statekeeper.errors import SourceUnreachable, TransientSourceError
from statekeeper.sources.duckdb.errors import opening_error, translated
from statekeeper.sources.duckdb.file import FileState, WatchedFile
from statekeeper.sources.duckdb.spill import SpillFolder
from statekeeper.sources.sql import Sql, quoted
from statekeeper.sources.statement_log import record_statement

if TYPE_CHECKING:
    import pyarrow as pa

_OPENING_ATTEMPTS = 3
_IDLE_MEMORY = "16MiB"
_RESERVED_CATALOGS = frozenset({"main", "memory", "system", "temp"})


@dataclass(frozen=True)
class Connection:
    """An open database. `opened` is the state of its file when it was opened."""

    file: WatchedFile
    opened: FileState
    instance: Any
    catalog: str
    memory_limit: str
    spill: SpillFolder

    @classmethod
    def open(cls, path: str, *, memory_limit: str) -> Self:
        """Open the database at `path`.

        Raises:
            SourceUnreachable: there is no such file, or it is not a database that can be read.
            TransientSourceError: it is open for writing somewhere, or changes all the time.
        """
        file = _watched(path)
        try:
            for _ in range(_OPENING_ATTEMPTS):
                before = file.state()
                spill = SpillFolder()
                instance, catalog = _attached(path, memory_limit=memory_limit, spill=spill)
                if before is not None and file.state() == before:
                    return cls(file, before, instance, catalog, memory_limit, spill)
                instance.close()
                spill.remove()
                file.close()
                file = _watched(path)
        except BaseException:
            file.close()
            raise
        file.close()
        raise TransientSourceError(
            f"the DuckDB database {path} changed each time it was opened", hint="wait until its writer is done"
        )

    @cached_property
    def tables_and_views(self) -> list[tuple[str, str, bool]]:
        """Schema and name of each, and whether it is a table. Read once, since an open database does not change."""
        here = "NOT internal AND database_name = current_database()"
        statement = Sql(
            f"SELECT schema_name, table_name, true FROM duckdb_tables() WHERE {here} "
            f"UNION ALL SELECT schema_name, view_name, false FROM duckdb_views() WHERE {here} ORDER BY 1, 2"
        )
        return [
            (schema, name, is_table) for schema, name, is_table in self.rows(statement, "the catalog cannot be read")
        ]

    def rows(self, statement: Sql, what: str) -> list[tuple[Any, ...]]:
        """All rows of a small result; `what` begins the message of an error."""
        with translated(what), self._cursor() as cursor:
            record_statement(statement)
            rows: list[tuple[Any, ...]] = cursor.execute(statement.text, _values(statement)).fetchall()
            return rows

    @contextmanager
    def reader(self, statement: Sql, what: str, *, batch_rows: int) -> Iterator[pa.RecordBatchReader]:
        """The result as a stream, which is never in memory as a whole. Errors during the stream are translated too."""
        with translated(what):
            with self._cursor() as cursor:
                record_statement(statement)
                yield cursor.sql(statement.text, params=_values(statement)).to_arrow_reader(batch_rows)
            self._forget_blocks()

    def close(self) -> None:
        """Close the database. Never raises. The watched file goes last, since closing it releases the lock."""
        try:
            self.instance.close()
        except duckdb.Error:  # pragma: no cover - there is nothing left to lose
            pass
        finally:
            self.spill.remove()
            self.file.close()

    def _forget_blocks(self) -> None:
        """Drop the file's blocks that DuckDB caches, up to its memory limit, and that nobody will read again.

        Lowering the limit is the only way to make it do so.
        """
        with suppress(duckdb.OutOfMemoryException):  # another statement is running
            self.instance.execute(f"SET GLOBAL memory_limit = '{_IDLE_MEMORY}'")
        self.instance.execute(f"SET GLOBAL memory_limit = '{self.memory_limit}'")

    def _cursor(self) -> Any:
        """A new cursor, since each can have only one open result."""
        cursor = self.instance.cursor()
        cursor.execute(f"USE {quoted(self.catalog)}.main")
        return cursor


def _values(statement: Sql) -> list[str]:
    return [bind.text for bind in statement.binds]


def _watched(path: str) -> WatchedFile:
    try:
        return WatchedFile(path)
    except FileNotFoundError as error:
        raise SourceUnreachable(
            f"the DuckDB database {path} does not exist",
            hint="check `path` of the source; a relative path starts at the root of the configuration",
            code="ENOENT",
        ) from error
    except OSError as error:
        raise SourceUnreachable(
            f"the DuckDB database {path} cannot be opened: {error.strerror}",
            hint="check that `path` names a database file that this user may read",
        ) from error


def _attached(path: str, *, memory_limit: str, spill: SpillFolder) -> tuple[Any, str]:
    """An instance with the database attached under the name that it would have if it were opened directly."""
    stem = Path(path).name.lstrip(".").split(".", 1)[0]
    catalog = "source" if not stem or stem.lower() in _RESERVED_CATALOGS else stem
    instance = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": memory_limit,
            "temp_directory": str(spill.path),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        escaped = path.replace("'", "''")
        instance.execute(f"ATTACH '{escaped}' AS {quoted(catalog)} (TYPE duckdb, READ_ONLY)")
        instance.execute("SET GLOBAL TimeZone = 'UTC'")
        instance.execute("SET GLOBAL enable_external_access = false")
    except duckdb.Error as error:
        instance.close()
        spill.remove()
        raise opening_error(error, path) from error
    return instance, catalog
