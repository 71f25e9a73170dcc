"""Pipelines of one Oracle source, run in this process or by the command line, and their output; single sessions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from statekeeper.api import StatefulDataExtractor
from statekeeper.config.loader import pipeline_of
from statekeeper.config.sections.oracle import OracleSource
from statekeeper.runtime.progress import NullReporter
from statekeeper.sources.registry import open_session
from tests.acceptance.pipeline import paths_matching
from tests.oracle_server import OracleServer

if TYPE_CHECKING:
    from statekeeper.run.report import RunReport
    from statekeeper.sources.protocol import SourceSession

DAY = "2026-01-06"
READER = {"user": "READER", "password": "reader-secret"}
_PROGRAM = (sys.executable, "-c", "from statekeeper.cli.app import main; main()")


@contextmanager
def serving(owner: str) -> Iterator[OracleServer]:
    """A server with an owner of tables and a `READER` who may read them all."""
    with OracleServer.start(users={owner: "owner-secret"}) as server:
        server.create_user(READER["user"], READER["password"], "all")
        yield server


def source_at(**keys: Any) -> OracleSource:
    """The configuration of a source of `READER`; `keys` have its address and more."""
    made = pipeline_of({"sources": {"ora": {"type": "oracle", **READER, **keys}}, "tables": [{"table_name": "T"}]})
    source = made.sources["ora"]
    assert isinstance(source, OracleSource)
    return source


@contextmanager
def opened(server: OracleServer, **keys: Any) -> Iterator[SourceSession]:
    """A session of `READER`, closed at the end of the block."""
    session = open_session(source_at(dsn=server.dsn, **keys))
    try:
        yield session
    finally:
        session.close()


@dataclass(frozen=True)
class Lake:
    """A folder with a configuration and what it extracts; `cwd` is the working directory."""

    cwd: Path
    server: OracleServer

    def configure(
        self, *tables: dict[str, Any], source: dict[str, Any] | None = None, workers: int = 2, **top: Any
    ) -> Path:
        """Write the configuration of tables; `source` overrides keys of the source."""
        login = {"host": self.server.host, "port": self.server.port, "service": self.server.service}
        keys = {"type": "oracle", **login, **READER, **(source or {})}
        config = {
            "pipeline": "ora",
            "sources": {"ora": {key: value for key, value in keys.items() if value is not None}},
            "output": {"base_path": str(self.cwd / "lake")},
            "execution": {"workers": workers},
            "defaults": {"retry": {"attempts": 4, "initial_delay": "20ms", "max_delay": "100ms"}},
            **top,
            "tables": list(tables),
        }
        path = self.cwd / "ora.yml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def run(self, *, force: bool = False) -> RunReport:
        return self.extractor.run(force_reprocess=force)

    @property
    def extractor(self) -> StatefulDataExtractor:
        return StatefulDataExtractor.from_config(self.cwd / "ora.yml", date=DAY, reporter=NullReporter())

    def receipts(self) -> list[Path]:
        """The receipts of every chunk that is staged, of any table."""
        return paths_matching(self.cwd, "lake/**/receipts/chunk-*.json")

    def command(self, *arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run `statekeeper ARGUMENTS` in another process."""
        return subprocess.run(
            [*_PROGRAM, *arguments],
            cwd=self.cwd, env=_environ(), capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """The same without waiting for its end."""
        return subprocess.Popen(
            [*_PROGRAM, *arguments],
            cwd=self.cwd, env=_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def output(self, table: str) -> Path:
        return self.cwd / "lake" / "ora" / table / "202601" / "06" / "ora-20260106.parquet"

    def published(self, table: str) -> pa.Table:
        return pq.read_table(self.output(table))

    def metadata(self, table: str) -> dict[str, Any]:
        return json.loads(self.output(table).with_name("ora-20260106_metadata.json").read_text())

    def chunk_queries(self, table: str) -> list[dict[str, Any]]:
        """The log entries of queries for the table's chunks."""
        return [
            one
            for one in self.server.log()
            if f'"{table}"' in one["sql"] and " chunk " in (one["action"] or "") and "COUNT" not in one["sql"]
        ]


class Warnings(NullReporter):
    """Keeps the warnings of a run."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def warning(self, key: str, message: str) -> None:
        del key
        self.told.append(message)


def _environ() -> dict[str, str]:
    root = str(Path(__file__).parent.parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
