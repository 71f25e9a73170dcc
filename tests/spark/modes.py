"""Real Spark, from the pip package and offline, in its three modes; small, and one at a time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyspark
import pytest

SMALL = {
    "spark.driver.memory": "512m",
    # The first compiler only: these JVMs live for seconds. What a larger one would need is not needed.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xss1m",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xss1m",
    "spark.ui.enabled": "false",
}
ENVIRONMENT = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost", "PYSPARK_PYTHON": sys.executable}
_HOME = Path(pyspark.__file__).parent
_VERSION = tuple(int(number) for number in pyspark.__version__.split(".")[:2])
COLLECTS = (
    []
    if _VERSION >= (4, 2)
    else [pytest.mark.filterwarnings(r"ignore:unclosed <socket.socket .* raddr=\('127.0.0.1', \d+\)>:ResourceWarning")]
)
"""The marks of tests in which a classic session's `collect` returns rows to this process: before 4.2 (SPARK-54247)
pyspark leaves the socket to the garbage collector, which closes it at once, and Python warns of it."""


@dataclass(frozen=True)
class Mode:
    """A mode of Spark: the `execution.spark` of a configuration, and the processes that it needs besides the driver."""

    name: str
    section: dict[str, Any]

    @property
    def has_executors_of_its_own(self) -> bool:
        return self.name == "local-cluster"


LOCAL = Mode("local", {"master": "local[2,4]", "conf": SMALL})
CLUSTER = Mode(
    "local-cluster", {"master": "local-cluster[2,1,1024]", "conf": SMALL | {"spark.executor.memory": "512m"}}
)


@contextmanager
def mode_named(name: str, folder: Path, environment: dict[str, str]) -> Iterator[Mode]:
    """The mode, with its own Spark Connect server if it needs one."""
    if name != "connect":
        yield {"local": LOCAL, "local-cluster": CLUSTER}[name]
        return
    server = ConnectServer(folder, environment)
    server.start()
    try:
        yield Mode("connect", {"remote": server.remote})
    finally:
        server.kill()


class ConnectServer:
    """A Spark Connect server in processes of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], *, cores: int = 2) -> None:
        self._master = f"local[{cores},4]"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._folder = folder
        self._environment = {**os.environ, **environment, **ENVIRONMENT, "SPARK_HOME": str(_HOME)}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def remote(self) -> str:
        return f"sc://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it listens."""
        conf = SMALL | {
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.connect.grpc.binding.address": "127.0.0.1",
        }
        command = [str(_HOME / "bin/spark-submit"), "--master", self._master]
        command += [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
        command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
        log = (self._folder / f"connect-{self.port}.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 180
        while not self._listens():
            assert self.process.poll() is None, (self._folder / f"connect-{self.port}.log").read_text()
            assert time.monotonic() < deadline, "the Spark Connect server does not listen"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it and all that it started."""
        assert self.process is not None
        kill_tree(self.process.pid)
        self.process.wait()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def kill_tree(pid: int) -> None:
    """Kill a process and all below it."""
    try:
        process = psutil.Process(pid)
        below = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for each in [process, *below]:
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
