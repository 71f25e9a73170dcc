"""Servers of object stores for tests, each in a process of its own on a free port of this machine.

A test that holds for every store takes a server as a parameter: `url` is an empty bucket's address, `storage` the
`storage:` of a configuration whose output is there, `bucket` a client to look at it with.
"""

from __future__ import annotations

import base64
import hmac
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

import boto3
import obstore
from obstore.store import AzureStore, ObjectStore, S3Store

from tests.gcs_server import GoogleRules
from tests.npm_packages import NpmPackage

SECRET = base64.b64encode(b"the-secret-of-the-lake").decode()
"""The secret of every server here; no text that statekeeper writes has it."""
AZURITE = NpmPackage("azurite", "3.35.0", called="azurite")
_ACCOUNT, _BUCKET, _START_SECONDS, _EXISTS = "lakehouse", "lake", 60, 409
_HTTP = {"allow_http": True}


class ObjectServer(Protocol):
    """A server that runs, with one empty bucket."""

    name: str
    keeps: bool
    """Whether its objects outlive a `kill`: of every one that it has acknowledged."""

    @property
    def url(self) -> str:
        """The address of the bucket, such as `s3://lake`."""

    @property
    def storage(self) -> dict[str, str]:
        """The `storage:` of a configuration whose output is in the bucket."""

    @property
    def bucket(self) -> ObjectStore:
        """A client of the bucket."""

    def kill(self) -> None:
        """End its process by SIGKILL."""

    def restart(self) -> None:
        """Start it again at the same address, and wait until it answers."""


class _Process(ABC):
    """A server that is a process of a program, at one port."""

    keeps = False

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.log = Path(tempfile.mkstemp(prefix="object-server-", suffix=".log")[1])
        """What the program prints: moto, a line for each request."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def make_bucket(self, name: str) -> None: ...

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.log.unlink(missing_ok=True)

    def restart(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self.make_bucket(_BUCKET)
            except urllib.error.HTTPError as error:
                if error.code == _EXISTS:
                    return None
                raise
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, "the server did not start"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.1)


class Moto(_Process):
    """A small S3, in memory."""

    name = "moto"
    url = f"s3://{_BUCKET}"

    def command(self) -> list[str]:
        return [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def make_bucket(self, name: str) -> None:
        """The server looks at the service in the login, and believes the rest."""
        login = "AWS4-HMAC-SHA256 Credential=key/20260106/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        _send("PUT", f"{self.address}/{name}", {"Authorization": login})

    @property
    def storage(self) -> dict[str, str]:
        return {
            "endpoint": self.address,
            "region": "us-east-1",
            "access_key_id": "key",
            "secret_access_key": SECRET,
            "retry_timeout": "5s",
        }

    @cached_property
    def bucket(self) -> ObjectStore:
        config = {key: value for key, value in self.storage.items() if key != "retry_timeout"}
        return S3Store(_BUCKET, config=config, client_options=_HTTP)


class Azurite(_Process):
    """Microsoft's emulator of Azure's blobs. It saves its table of blobs only now and then."""

    name = "azurite"
    url = f"az://{_BUCKET}"

    def __init__(self) -> None:
        super().__init__()
        self.node = AZURITE.require()
        self.folder = tempfile.mkdtemp(prefix="azurite-")

    def command(self) -> list[str]:
        program = AZURITE.folder / "node_modules/azurite/dist/src/blob/main.js"
        options = ["--blobPort", str(self.port), "--location", self.folder, "--silent", "--disableTelemetry"]
        return ["env", f"AZURITE_ACCOUNTS={_ACCOUNT}:{SECRET}", self.node, str(program), *options]

    def kill(self) -> None:
        super().kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_bucket(self, name: str) -> None:
        headers = {"x-ms-date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), "x-ms-version": "2021-12-02"}
        signed = "".join(f"{key}:{value}\n" for key, value in headers.items())
        text = f"PUT{chr(10) * 12}{signed}/{_ACCOUNT}/{_ACCOUNT}/{name}\nrestype:container"
        signature = base64.b64encode(hmac.digest(base64.b64decode(SECRET), text.encode(), "sha256")).decode()
        login = {"Authorization": f"SharedKey {_ACCOUNT}:{signature}"}
        _send("PUT", f"{self.address}/{_ACCOUNT}/{name}?restype=container", headers | login)

    @property
    def storage(self) -> dict[str, str]:
        return {
            "endpoint": f"{self.address}/{_ACCOUNT}",
            "account_name": _ACCOUNT,
            "account_key": SECRET,
            "retry_timeout": "5s",
        }

    @cached_property
    def bucket(self) -> ObjectStore:
        config = {key: value for key, value in self.storage.items() if key != "retry_timeout"}
        return AzureStore(_BUCKET, config=config, client_options=_HTTP)


SERVERS: dict[str, Callable[[], ObjectServer]] = {"moto": Moto, "azurite": Azurite}
"""The servers that the default suite starts, by name."""
ALL_RULES: dict[str, Callable[[], ObjectServer]] = {**SERVERS, "google": GoogleRules}
"""Also one that only answers as its documentation says."""


@contextmanager
def running(name: str) -> Iterator[ObjectServer]:
    """A server that runs; it is killed at the end."""
    server = ALL_RULES[name]()
    try:
        server.restart()
        yield server
    finally:
        server.kill()


def keys_of(bucket: ObjectStore, prefix: str = "") -> set[str]:
    """The keys of a bucket below the folder `prefix`."""
    return {each["path"] for page in obstore.list(bucket, prefix) for each in page}


def contents(bucket: ObjectStore, prefix: str = "") -> dict[str, bytes]:
    """The objects of a bucket below the folder `prefix`, by their keys."""
    return {key: bytes(obstore.get(bucket, key).bytes()) for key in keys_of(bucket, prefix)}


def fill(bucket: ObjectStore, wanted: dict[str, bytes], prefix: str = "") -> None:
    """Make the bucket have exactly these objects below the folder `prefix`."""
    if gone := sorted(keys_of(bucket, prefix) - wanted.keys()):
        obstore.delete(bucket, gone)
    for key, data in wanted.items():
        obstore.put(bucket, key, data)


def unfinished_uploads(bucket: ObjectStore, prefix: str = "") -> list[str]:
    """The keys whose uploads S3's own listing names, by another client; no other store has such a thing."""
    if not isinstance(bucket, S3Store):
        return []
    config = bucket.config
    client = boto3.client(
        "s3",
        endpoint_url=config["endpoint"],
        region_name=config["region"],
        aws_access_key_id=config["access_key_id"],
        aws_secret_access_key=config["secret_access_key"],
    )
    found = client.list_multipart_uploads(Bucket=config["bucket"], Prefix=prefix)
    return [each["Key"] for each in found.get("Uploads", [])]


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _send(method: str, address: str, headers: dict[str, str]) -> None:
    request = urllib.request.Request(address, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=_START_SECONDS):
        pass
