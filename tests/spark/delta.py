"""Delta tables without a JVM: Sail, a Spark Connect server that writes Delta's transaction log itself.

Delta's jar for Spark is in no Python package. Sail implements Delta and Spark's SQL anew, so what holds here is held by
Delta's protocol, not by one program. Its catalog lives as long as a session; the tables' files stay.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.spark.modes import kill_tree

_SERVE = """
import sys
import pyspark

# This release of Sail refuses clients that are newer than itself, by their number alone.
pyspark.__version__ = "4.1.3"
from pysail.spark import SparkConnectServer

server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
print(server.listening_address[1], flush=True)
sys.stdin.read()
"""

_SESSIONS: list[object] = []
"""Every session of this process. The client of PySpark 4.0 closes a session when it is collected, and waits for all
releases of answers: collected by the thread that releases one, it waits for itself."""


class DeltaServer:
    """The server in a process of its own, with the catalog `main` and its schema `raw`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    def start(self) -> None:
        """Start it, and return when it listens."""
        catalogs = {
            "SAIL_CATALOG__LIST": '[{name="main", type="memory", initial_database=["raw"]}]',
            "SAIL_CATALOG__DEFAULT_CATALOG": "main",
        }
        with (self._folder / "delta.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE],
                env=os.environ | catalogs,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said.isdecimal(), (self._folder / "delta.log").read_text()
        self._port = int(said)

    def session(self):
        """A new session, whose managed tables are in a folder of the server."""
        # Not `pyspark.sql.SparkSession`: that refuses Connect where this process has classic Spark, too.
        from pyspark.sql.connect.session import SparkSession

        session = SparkSession.builder.remote(f"sc://127.0.0.1:{self._port}").create()
        _SESSIONS.append(session)
        session.conf.set("spark.sql.warehouse.dir", str(self._folder / "warehouse"))
        return session

    def commits(self) -> set[Path]:
        """Every transaction of every managed table."""
        return set(self._folder.glob("warehouse/*/_delta_log/*.json"))

    def kill(self) -> None:
        """Kill it at once."""
        assert self._process is not None
        kill_tree(self._process.pid)
        self._process.communicate()
