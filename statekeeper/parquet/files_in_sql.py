"""Parquet files of any disk as tables of DuckDB: in place, by their paths; in an object store, by requests.

DuckDB asks for the footer, then for the columns that a query needs, one request for each of them in a row group, and
one for the whole row group if it needs all. So a check reads no more than it looks at, and no file is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import duckdb

from statekeeper.text.sql_text import literal, parquet_files, parquet_table

if TYPE_CHECKING:
    from statekeeper.parquet.object_files import ObjectFiles
    from statekeeper.store.versions import ObjectFile


@dataclass(frozen=True)
class FilesInSql:
    """How a query names files, and what Arrow opens; while the connection knows them (`readable_in`)."""

    objects: ObjectFiles | None = None

    def table(self, files: Iterable[Path]) -> str:
        """Files as a table in SQL, with the columns that are in them and no others."""
        if self.objects is None:
            return parquet_files(files)
        return parquet_table([literal(self.objects.address(file)) for file in files])

    def source(self, path: Path) -> Path | BinaryIO:
        """What Arrow opens to read a file. Raises OSError."""
        return path if self.objects is None else cast("BinaryIO", self.objects.opened(path))


@contextmanager
def readable_in(
    connection: duckdb.DuckDBPyConnection, opened: Callable[[Path], ObjectFile] | None
) -> Iterator[FilesInSql]:
    """Let queries of the connection read files, while the block runs; `opened` opens an object, None is for disks.

    Raises:
        StorageError: instead of DuckDB's own error, if an object could not be read.
    """
    if opened is None:
        yield FilesInSql()
        return
    from statekeeper.parquet.object_files import ObjectFiles

    files = ObjectFiles(opened)
    connection.register_filesystem(files)
    try:
        yield FilesInSql(files)
    except Exception as error:
        if files.failure is not None:
            raise files.failure from error
        raise
    finally:
        with suppress(duckdb.Error):  # of a connection that a fatal error has made useless
            connection.unregister_filesystem(files.protocol)
