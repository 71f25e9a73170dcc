"""A database of each kind, and whole runs over it in this process, for tests that every source must pass equally."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import ClassVar

import duckdb
import pyarrow.parquet as pq

from statekeeper.config.loader import pipeline_of
from statekeeper.engines.inline import InlineEngine
from statekeeper.model.metadata import parse_metadata
from statekeeper.model.table import Layout, TableRef
from statekeeper.run.preview import preview_tables
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.layouts import layout_of
from tests.oracle_server import OracleServer, ServerError

_MEMORY = Path("/dev/shm")
FIRST, SECOND = date(2026, 1, 6), date(2026, 1, 7)
NUMBER, TEXT, MONEY, MOMENT = "number", "text", "money", "moment"
"""Types of columns, as each database has them."""


class Database(ABC):
    """A database under test; a table has its name in capitals, its columns as pairs of a name and one of the types."""

    types: ClassVar[dict[str, str]]
    kind = Layout.DATED
    """How its output lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def source(self):
        """The source's section in a configuration."""

    @abstractmethod
    def make(self, name, columns, rows):
        """Make a table, in place of one of that name. A type may be followed by `not null`."""

    def runner(self, tables, *, day=FIRST, reporter=None, **sections):
        pipeline = pipeline_of(
            {
                "pipeline": "p",
                "sources": {"db": self.source},
                "output": {"base_path": str(self.folder / "data"), "layout": self.kind.value},
                "tables": tables,
                **sections,
            },
            root=self.folder,
        )
        return Runner(
            pipeline=pipeline,
            identity=RunIdentity(f"p-{day:%Y%m%d}", day),
            reporter=reporter or NullReporter(),
            make_engine=lambda _pipeline: InlineEngine(memory_limit="100MB"),
        )

    def run(self, tables, *, is_forced=False, **choices):
        """The outcome of each table, by name."""
        runner = self.runner(tables, **choices)
        return {
            each.table.table_name: each
            for each in runner.run(
                runner.pipeline.tables, reprocess=Reprocess.ALL if is_forced else Reprocess.STALE
            ).tables
        }

    def plan(self, tables, **choices):
        """What a run would do with each table, by name."""
        runner = self.runner(tables, **choices)
        return {each.table.table_name: each for each in preview_tables(runner, runner.pipeline.tables).tables}

    def layout(self, table, *, day=FIRST):
        ref, run_id = TableRef(source_name="db", table_name=table, path_name=table), f"p-{day:%Y%m%d}"
        base_path = self.folder / "data"
        return layout_of(self.kind, base_path=base_path, table=ref, extraction_date=day, run_id=run_id)

    def metadata(self, table, *, day=FIRST):
        return parse_metadata(self.layout(table, day=day).metadata.read_bytes())

    def published(self, table, *, day=FIRST):
        return pq.read_table(self.layout(table, day=day).output, partitioning=None)

    def _columns(self, columns):
        pairs = [(name, *kind.partition(" ")) for name, kind in columns]
        return [(name, f"{self.types[kind]}{space}{more}") for name, kind, space, more in pairs]


class DuckdbDatabase(Database):
    types: ClassVar = {NUMBER: "INTEGER", TEXT: "VARCHAR", MONEY: "DECIMAL(9,2)", MOMENT: "TIMESTAMP"}

    @property
    def source(self):
        return {"type": "duckdb", "path": str(self.folder / "shop.duckdb")}

    def make(self, name, columns, rows):
        with duckdb.connect(self.folder / "shop.duckdb") as connection:
            listed = ", ".join(f'"{column}" {kind}' for column, kind in self._columns(columns))
            connection.execute(f'CREATE OR REPLACE TABLE "{name}" ({listed})')
            if rows:
                marks = ", ".join("?" for _ in columns)
                connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)


class OracleDatabase(Database):
    types: ClassVar = {
        NUMBER: "NUMBER(9)",
        TEXT: "VARCHAR2(40)",
        MONEY: "NUMBER(9,2)",
        MOMENT: "DATE",
    }

    def __init__(self, folder: Path, server: OracleServer) -> None:
        super().__init__(folder)
        self.server = server

    @property
    def source(self):
        return {
            "type": "oracle",
            "host": self.server.host,
            "port": self.server.port,
            "service": self.server.service,
            "user": "APP",
            "password": "app",
        }

    def make(self, name, columns, rows):
        listed = [
            (column, *kind.replace(" not null", "|NOT NULL").split("|")) for column, kind in self._columns(columns)
        ]
        with suppress(ServerError):  # there is none yet
            self.server.sql(f'DROP TABLE APP."{name}"')
        self.server.create_table("APP", name, listed, rows)


@contextmanager
def opened(kind):
    """A database of a kind, in its own folder with its output; both are removed at the end.

    It is `duckdb` or `oracle`, or `duckdb, hive`: with its output in that layout.

    In memory where the system has such a place: what fsync costs is of no interest here.
    """
    is_in_memory = os.access(_MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(prefix="statekeeper-conformance-", dir=_MEMORY if is_in_memory else None) as name:
        if kind != "oracle":
            database = DuckdbDatabase(Path(name))
            database.kind = Layout.HIVE if kind == "duckdb, hive" else Layout.DATED
            yield database
        else:
            with OracleServer.start() as server:
                yield OracleDatabase(Path(name), server)
