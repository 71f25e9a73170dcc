"""Clients of the test server beside python-oracledb, each a program of its own that reads what one statement gives.

Both are Oracle's, and share no code with each other: node-oracledb in thin mode, and the Rust driver, which is inside
`rivet`. What they read is made equal here: the same Python value, whatever a client calls it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from tests.npm_packages import NpmPackage
from tests.oracle_server import OracleServer

NODE_ORACLEDB = NpmPackage("oracledb", "26.0.0", called="node-oracledb")
_PARTS = re.compile(r"(-?[\d.]+)([YMDHS])")


@dataclass
class ReadSpec:
    """What a client made of one statement; a column is its name and what the client says of its type."""

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    error: str | None = None


class NodeClient:
    """node-oracledb, installed by npm below build/ when it is first asked for."""

    keeps = 1000
    """How many microseconds a JavaScript Date cannot tell apart."""

    def __init__(self) -> None:
        self._node = NODE_ORACLEDB.require()

    def read(
        self, server: OracleServer, sql: str, *, rows: int = 100, user: str = "APP", password: str | None = None
    ) -> ReadSpec:
        """The rows of a query, `rows` in a fetch."""
        return self.read_all(server, [sql], rows=rows, user=user, password=password)[0]

    def read_all(
        self, server: OracleServer, queries: Sequence[str], *, rows: int = 100, user: str = "APP",
        password: str | None = None, environ: dict[str, str] | None = None,
    ) -> list[ReadSpec]:  # fmt: skip
        """Several queries of one session, the next whatever became of the one before."""
        connect = {"user": user, "password": password or server.users[user], "connectString": server.dsn}
        asked = {"connect": connect, "statements": [{"sql": sql, "rows": rows} for sql in queries]}
        said = json.loads(self._run(json.dumps(asked), environ or {}))
        if said["error"]:
            return [ReadSpec(error=said["error"]["message"])] * len(queries)
        assert said["thin"]
        assert said["version"] == NODE_ORACLEDB.version
        return [_node_reading(one) for one in said["statements"]]

    def _run(self, asked: str, environ: dict[str, str]) -> str:
        program = Path(__file__).with_name("node_client.js")
        command = [self._node, str(program), str(NODE_ORACLEDB.folder / "node_modules/oracledb")]
        environ = os.environ | {"TZ": "UTC"} | environ
        return subprocess.run(
            command, input=asked, env=environ, capture_output=True, text=True, timeout=120, check=True
        ).stdout


def _node_reading(said: dict[str, Any]) -> ReadSpec:
    columns = {column.pop("name"): column for column in said["columns"]}
    convert = [NODE_VALUES.get(column["type"], str) for column in columns.values()]
    rows = [
        tuple(None if value is None else to(value) for to, value in zip(convert, row, strict=True))
        for row in said["rows"]
    ]
    return ReadSpec(columns, rows, said["error"] and said["error"]["message"])


def _date(value: str) -> dt.datetime:
    return dt.datetime.fromisoformat(value).replace(tzinfo=None)


def _parts(value: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (part.partition("=") for part in value.split())}


def _node_days(value: str) -> dt.timedelta:
    parts = _parts(value)
    return dt.timedelta(microseconds=parts.pop("fseconds") // 1000, **parts)


def _node_months(value: str) -> int:
    parts = _parts(value)
    return 12 * parts["years"] + parts["months"]


NODE_VALUES: dict[str, Callable[[Any], Any]] = {
    "NUMBER": Decimal, "BINARY_DOUBLE": float, "BINARY_FLOAT": float, "RAW": bytes.fromhex, "LONG RAW": bytes.fromhex,
    "DATE": _date, "TIMESTAMP": _date, "TIMESTAMP WITH TIME ZONE": _date, "TIMESTAMP WITH LOCAL TIME ZONE": _date,
    "BOOLEAN": lambda value: value == "true",
    "INTERVAL DAY TO SECOND": _node_days, "INTERVAL YEAR TO MONTH": _node_months,
    "CLOB": lambda value: value["whole"], "NCLOB": lambda value: value["whole"],
    "BLOB": lambda value: bytes.fromhex(value["whole"]),
}  # fmt: skip


class RustClient:
    """Oracle's Rust driver, by the program `rivet`, which writes what a query gives as Parquet."""

    keeps = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = Path(sysconfig.get_path("scripts"), "rivet")
        if not program.is_file():
            pytest.skip("the Rust driver is inside rivet, which is not installed: pip install rivet-cli")
        self._program = str(program)
        self._made = 0

    def read(
        self, server: OracleServer, sql: str, *, rows: int = 100, user: str = "APP", password: str | None = None,
        environ: dict[str, str] | None = None,
    ) -> ReadSpec:  # fmt: skip
        """The rows of a query, `rows` in a fetch."""
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        config = {
            "source": {
                "type": "oracle", "url_env": "SERVER_URL", "tls": {"mode": "disable"},
                "tuning": {"profile": "fast", "max_retries": 0, "batch_size": rows},
            },
            "exports": [
                {"name": "one", "query": sql, "mode": "full", "format": "parquet",
                 "destination": {"type": "local", "path": str(folder / "out")}}
            ],
        }  # fmt: skip
        (folder / "config.yml").write_text(json.dumps(config))
        login = f"{user}:{quote(password or server.users[user])}"
        url = f"oracle://{login}@{server.host}:{server.port}/{server.service}"
        run = [self._program, "--json-errors", "run", "--json", "-c", "config.yml"]
        environ = os.environ | {"SERVER_URL": url} | (environ or {})
        done = subprocess.run(
            run, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip
        if done.returncode:
            (export,) = json.loads(done.stdout)["per_export"]
            return ReadSpec(error=export["error_message"].splitlines()[0])
        check = [self._program, "check", "--type-report", "--json", "-c", "config.yml"]
        report = subprocess.run(
            check, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=True
        )  # fmt: skip
        columns = {column["column"]: column for column in json.loads(report.stdout)["columns"]}
        return ReadSpec(columns, _rust_rows(sorted((folder / "out").glob("*.parquet")), columns))


def _rust_rows(files: list[Path], columns: dict[str, dict[str, Any]]) -> list[tuple[Any, ...]]:
    if not files:
        return []
    found = []
    for name, values in zip(columns, pq.read_table(files).columns, strict=True):
        source = columns[name]["source_type"].partition("(")[0]
        to = RUST_VALUES.get(source, lambda value: value)
        found.append([None if value is None else to(value) for value in values.to_pylist()])
    return list(zip(*found, strict=True))


def _iso_parts(value: str) -> dict[str, Decimal]:
    """The parts of an ISO 8601 duration, minutes as N."""
    date, _, time = value.removeprefix("P").partition("T")
    parts = {unit: Decimal(number) for number, unit in _PARTS.findall(date)}
    return parts | {unit.replace("M", "N"): Decimal(number) for number, unit in _PARTS.findall(time)}


def _rust_days(value: str) -> dt.timedelta:
    days, hours, minutes, seconds = (int(_iso_parts(value).get(unit, 0) * 1_000_000) for unit in "DHNS")
    return dt.timedelta(microseconds=((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _rust_months(value: str) -> int:
    parts = _iso_parts(value)
    return int(12 * parts.get("Y", 0) + parts.get("M", 0))


RUST_VALUES: dict[str, Callable[[Any], Any]] = {
    "number": Decimal, "interval_ds": _rust_days, "interval_ym": _rust_months,
    "timestamp_tz": lambda value: value.replace(tzinfo=None), "timestamp_ltz": lambda value: value.replace(tzinfo=None),
}  # fmt: skip
