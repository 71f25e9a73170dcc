"""An independent reader of Delta and Iceberg tables: DuckDB 1.5.5 with its extensions, in an environment of its own.

No code of statekeeper, deltalake or pyiceberg takes part. statekeeper itself needs a later DuckDB, for which there are
no such extensions; so the reader is a process that has these packages and nothing else. pip installs them below
build/ when they are first asked for. (polars and pysail, which tests of Databricks use, can read Delta tables, too.)
"""

from __future__ import annotations

import fcntl
import functools
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.npm_packages import BUILD

VERSION = "1.5.5"
_EXTENSIONS = ("httpfs", "avro", "delta", "iceberg")
_PROGRAM = Path(__file__).with_name("duckdb_reader_program.py")
_INSTALL_SECONDS, _ANSWER_SECONDS = 180, 120


@dataclass(frozen=True)
class Comparison:
    """How a table's rows and those of its source differ, as EXCEPT ALL both ways would say."""

    rows: int
    """How many the table has."""
    missing: int
    """How many the source alone has."""
    surplus: int
    """How many the table alone has."""
    types: dict[str, str]
    """The types of the table's columns, as DuckDB writes them."""

    def assert_equal(self, *, rows: int | None = None) -> None:
        """The table has every row of the source as often as the source, and no other; `rows` of them."""
        assert (self.missing, self.surplus) == (0, 0), self
        assert rows in {None, self.rows}, self


@dataclass(frozen=True)
class ReaderTable:
    """A table, as the reader of its format finds it. `storage` is the `storage:` of a configuration."""

    scan: str
    extensions: tuple[str, ...]
    storage: Mapping[str, str] = field(default_factory=dict, repr=False)

    def types(self) -> dict[str, str]:
        """The names and types of the columns, in order."""
        types: dict[str, str] = self._ask()["types"]
        return types

    def rows(self) -> pa.Table:
        """All rows, through a Parquet file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            self._ask(to=str(path))
            return pq.read_table(path)

    def compare(self, source: Path, *, where: str = "") -> Comparison:
        """Compare the table with a Parquet file that `export` has written, in the columns of that file.

        `where` is a condition on the table's rows.
        """
        columns = ", ".join(f'"{name}"' for name in pq.read_schema(source).names)
        answer = self._ask(source=str(source), columns=columns, where=where and f"where {where}")
        return Comparison(answer["rows"], answer["missing"], answer["surplus"], answer["types"])

    def _ask(self, **question: Any) -> dict[str, Any]:
        installed = require_reader()
        question |= {"scan": self.scan, "extensions": self.extensions, "settings": self._settings()}
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_PROGRAM), str(installed)],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        assert answer["version"] == VERSION
        return answer

    def _settings(self) -> list[str]:
        if not self.storage:
            return []
        scheme, _, host = self.storage["endpoint"].partition("://")
        keys = {
            "key_id": self.storage["access_key_id"],
            "secret": self.storage["secret_access_key"],
            "region": self.storage["region"],
            "endpoint": host,
            "url_style": "path",
        }
        values = ", ".join(f"{key} '{value}'" for key, value in keys.items())
        return [f"create secret (type s3, {values}, use_ssl {scheme == 'https'})"]


def delta(address: str | Path, storage: Mapping[str, str] | None = None) -> ReaderTable:
    """The Delta table at a path, or at an address such as `s3://lake/erp/orders`."""
    return ReaderTable(f"delta_scan('{address}')", ("httpfs", "delta"), storage or {})


def iceberg(metadata_location: str, storage: Mapping[str, str] | None = None) -> ReaderTable:
    """The Iceberg table whose current metadata file is at a path or an address."""
    return ReaderTable(f"iceberg_scan('{metadata_location}')", ("httpfs", "avro", "iceberg"), storage or {})


def metadata_location(catalog: Path, namespace: str, table: str) -> str:
    """The current metadata file of an Iceberg table, as a catalog in an SQLite file names it: without pyiceberg."""
    query = "select metadata_location from iceberg_tables where table_namespace = ? and table_name = ?"
    with closing(sqlite3.connect(catalog)) as connection:
        ((found,),) = connection.execute(query, [namespace, table]).fetchall()
    return str(found)


def export(database: Path, query: str, to: Path) -> dict[str, str]:
    """Write the rows of a query on a DuckDB file to a Parquet file; returns the types of its columns, by name.

    The project's DuckDB does it: the reader's may not read the file.
    """
    with duckdb.connect(database, read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        types = {name: kind for name, kind, *_ in connection.execute(f"describe {query}").fetchall()}
        connection.execute(f"copy ({query}) to '{to}' (format parquet)")
    return types


def require_reader() -> Path:
    """The folder in which the reader is installed. Skips the test where pip cannot install it."""
    folder = BUILD / f"duckdb-reader-{VERSION}"
    if reason := _pip_said(folder):
        pytest.skip(f"pip could not install DuckDB {VERSION} with its extensions: {reason}")
    return folder


@functools.cache
def _pip_said(folder: Path) -> str:
    """Install the reader, in a folder that has its name once it is complete; returns why it is not, where it is not.

    Of several processes that ask at once the first installs it, and the others wait.
    """
    if folder.exists():
        return ""
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return ""
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)  # of a process that was killed
        packages = [f"duckdb=={VERSION}", *(f"duckdb-extension-{name}=={VERSION}" for name in _EXTENSIONS)]
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--disable-pip-version-check"]
        command += ["--only-binary", ":all:", "--target", str(making), *packages]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"no answer within {_INSTALL_SECONDS} seconds"
        if done.returncode != 0:
            return (done.stderr.strip() or "no reason").splitlines()[-1]
        making.rename(folder)
        return ""
