"""A folder with a DuckDB database, a schema of the user's and a pipeline that reads them and an Oracle database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.acceptance.pipeline import paths_matching
from tests.oracle_server import OracleServer
from tests.spark.modes import ENVIRONMENT, Mode, kill_tree

ROOT = Path(__file__).parent.parent.parent
STATEKEEPER = (sys.executable, "-c", "from statekeeper.cli.app import main; main()")
RUN_ID = "mix-20260106"
LIMIT = 240
"""Seconds after which a waiting test has failed; nothing is measured by it."""
START = datetime(2026, 1, 6)  # noqa: DTZ001 - a DATE has no zone
ORDERS = 3000
TABLES = {"shop": ("large", "small", "empty", "odd"), "ora": ("ORDERS", "NOTHING")}

MODEL = """\
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from names import Name


class Odd(BaseModel):
    id: int
    name: Name | None
    price: Annotated[Decimal, Field(max_digits=12, decimal_places=3)] | None
    raw: bytes | None
    made: datetime | None
    is_on: bool | None
"""
BESIDE = """\
from typing import Annotated

from pydantic import Field

Name = Annotated[str, Field(max_length=40)]
"""


@dataclass(frozen=True)
class World:
    """The folder, and the Oracle server that its pipeline reads."""

    folder: Path
    server: OracleServer

    @classmethod
    def make(cls, folder: Path, server: OracleServer) -> World:
        """Fill the folder, and the server."""
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(folder / "shop.duckdb") as connection:
            connection.execute(
                "create table large as select i as id, (i * 7919 % 1000003)::decimal(18, 2) as amount, "
                "md5(i::varchar) as digest, timestamp '2026-01-01' + to_seconds(i) as at from range(16384) as r(i)"
            )
            connection.execute("create table small as select i as id, 'name ' || i as name from range(100) as r(i)")
            connection.execute("create table empty (id integer, note varchar)")
            connection.execute(
                "create table odd (id bigint, name varchar, price decimal(12, 3), raw blob, made timestamp, "
                "is_on boolean)"
            )
            rows = [
                (1, "Zoë Œuvre 東京 🚲", Decimal("-0.001"), b"\x00\xff\x80", START, True),
                (2, None, None, None, None, None),
                (3, "", Decimal("999999999.999"), b"", START + timedelta(microseconds=1), False),
            ]
            connection.executemany("insert into odd values (?, ?, ?, ?, ?, ?)", rows)
        (folder / "models").mkdir()
        (folder / "models/odd.py").write_text(MODEL)
        (folder / "models/names.py").write_text(BESIDE)
        server.create_user("READER", "reader-secret", "all")
        columns = [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(40)"), ("AMOUNT", "NUMBER(12,2)"), ("AT", "DATE")]
        rows = [
            (
                number,
                None if number % 7 == 0 else f"größe {number}",
                Decimal(number) / 4,
                START + timedelta(minutes=number),
            )
            for number in range(ORDERS)
        ]
        server.create_table("SALES", "ORDERS", columns, rows, primary_key=["ID"])
        server.create_table("SALES", "NOTHING", columns, [])
        return cls(folder, server)

    def configure(self, name: str, *, mode: Mode | None, **more: Any) -> Path:
        """Write the configuration `<name>.yml`, whose output goes to `<name>`."""
        login = {"host": self.server.host, "port": self.server.port, "service": self.server.service}
        config: dict[str, Any] = {
            "pipeline": "mix",
            "extraction_date": "2026-01-06",
            "sources": {
                "shop": {"type": "duckdb", "path": "shop.duckdb"},
                "ora": {"type": "oracle", **login, "user": "READER", "password": "reader-secret"},
            },
            "output": {"base_path": name, "lease_ttl": "20s"},
            "execution": {"workers": 1, "memory_limit": "256MiB"},
            "defaults": {
                "chunking": {"target_rows": 2048},
                "retry": {"attempts": 8, "initial_delay": "20ms", "max_delay": "100ms"},
            },
            "tables": [
                {"source_name": "shop", "table_name": "large"},
                {
                    "source_name": "shop",
                    "table_name": "small",
                    "columns": {"id": {"type": "int", "ge": 0}, "name": {"type": "str", "max_length": 20}},
                },
                {"source_name": "shop", "table_name": "empty"},
                {"source_name": "shop", "table_name": "odd", "schema": "models/odd.py:Odd"},
                {
                    "source_name": "ora",
                    "schema_name": "SALES",
                    "table_name": "ORDERS",
                    "chunking": {"target_rows": 400},
                },
                {"source_name": "ora", "schema_name": "SALES", "table_name": "NOTHING"},
            ],
        }
        if mode is not None:
            config["execution"] |= {"engine": "spark", "spark": mode.section}
        for section, keys in more.items():
            config[section] = config[section] | keys if isinstance(keys, dict) else keys
        path = self.folder / f"{name}.yml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        log = str(self.folder / "queries.jsonl")
        return {**os.environ, **ENVIRONMENT, "PYTHONPATH": path, "STATEKEEPER_QUERY_LOG": log}

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `statekeeper ARGUMENTS` in its own process group; its output goes to `said-<n>.txt`."""
        number = len(list(self.folder.glob("said-*.txt")))
        with (self.folder / f"said-{number}.txt").open("w") as said:
            return subprocess.Popen(
                [*STATEKEEPER, *arguments],
                cwd=self.folder, env=self.environment, stdout=said, stderr=said, text=True, start_new_session=True,
            )  # fmt: skip

    def run(self, *arguments: str, seconds: float = LIMIT) -> int:
        """The same, and wait for its end."""
        process = self.begin(*arguments)
        try:
            return process.wait(seconds)
        finally:
            kill_tree(process.pid)

    @property
    def said(self) -> str:
        """The output of the last command."""
        number = len(list(self.folder.glob("said-*.txt"))) - 1
        return (self.folder / f"said-{number}.txt").read_text()

    def status(self, name: str) -> dict[str, dict[str, Any]]:
        """The tables of `<name>`'s run by their names."""
        output = subprocess.run(
            [*STATEKEEPER, "status", f"{name}.yml", "--run-id", RUN_ID, "--json"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return {table["table_name"]: table for table in json.loads(output)["tables"]}

    def day(self, name: str, source: str, table: str) -> Path:
        return self.folder / name / source / table / "202601/06"

    def published(self, name: str, source: str, table: str) -> pa.Table:
        """The rows of a table, in the order of its first column."""
        found = pq.read_table(self.day(name, source, table) / f"{RUN_ID}.parquet")
        return found.sort_by(found.schema.names[0]).replace_schema_metadata(None)

    def metadata(self, name: str, source: str, table: str) -> dict[str, Any]:
        return json.loads((self.day(name, source, table) / f"{RUN_ID}_metadata.json").read_text())

    def receipts(self, name: str, source: str = "ora", table: str = "ORDERS") -> list[Path]:
        return paths_matching(self.day(name, source, table), f".{RUN_ID}.staging/*/receipts/chunk-*.json")

    def assert_same(self, name: str, other: str) -> None:
        """Check that rows, checks and the keys of metadata of every table equal those of another run."""
        for source, tables in TABLES.items():
            for table in tables:
                assert self.published(name, source, table).equals(self.published(other, source, table)), table
                ours, theirs = self.metadata(name, source, table), self.metadata(other, source, table)
                assert ours.keys() == theirs.keys()
                assert ours["validation"] == theirs["validation"], table
                assert ours["columns"] == theirs["columns"]
                assert ours["record_count"] == theirs["record_count"]
                assert len(ours["files"]) == len(theirs["files"])

    def assert_nothing_left(self, name: str) -> None:
        """Check that there are only datasets, metadata, states and locks."""
        left = [path for path in (self.folder / name).rglob("*") if path.name.startswith(".")]
        assert left == [], left

    def assert_no_secret(self, name: str) -> None:
        for path in [*(self.folder / name).rglob("*.json"), *self.folder.glob("said-*.txt")]:
            assert "reader-secret" not in path.read_text(), path

    def chunk_reads(self) -> list[dict[str, Any]]:
        """The server's log entries for chunks of ORDERS."""
        return [one for one in self.server.log() if '"ORDERS"' in one["sql"] and " chunk " in (one["action"] or "")]


def wait_until(condition: Callable[[], object], *, what: str, process: subprocess.Popen[str] | None = None) -> None:
    """Wait for a condition; the limit only ends a test that hangs. A `process` must not end before."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert process is None or process.poll() is None, f"ended with {process.poll()} before {what}"
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


def python_workers(server: OracleServer, pid: int) -> list[psutil.Process]:
    """The Python workers of Spark below a process that are connected to the server."""
    connected = {one.pid for one in psutil.net_connections("tcp") if one.raddr and one.raddr.port == server.port}
    found = []
    for each in psutil.Process(pid).children(recursive=True):
        try:
            is_worker = any("pyspark" in word for word in each.cmdline())
            if is_worker and each.pid in connected:
                found.append(each)
        except psutil.Error:
            continue
    return found


@contextmanager
def no_process_left(process: subprocess.Popen[str]) -> Iterator[None]:
    """Check after the block that no process of the command is alive; those that a failed test leaves are killed."""
    below: list[psutil.Process] = []
    try:
        yield
        wait_until(lambda: not _group(process.pid), what="all processes to end")
    finally:
        below = _group(process.pid)
        for each in below:
            each.send_signal(signal.SIGKILL)
        process.wait()


def _group(pid: int) -> list[psutil.Process]:
    """The living processes of a session: Spark's daemons have groups of their own, but not sessions."""
    found = []
    for each in psutil.process_iter():
        try:
            if os.getsid(each.pid) == pid and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found
