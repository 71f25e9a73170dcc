"""A small S3 server (moto) in a process of its own, on a free port of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

SECRET = "the-secret-of-the-lake"
_START_SECONDS = 60
_LOGIN = "AWS4-HMAC-SHA256 Credential=key/20260106/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
"""The server looks at the service in it, and believes the rest."""


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that has the bucket `lake`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _make_bucket(address, process)
        yield address
    finally:
        process.kill()
        process.wait()


def storage_section(address: str) -> dict[str, str]:
    """The `storage:` of a configuration whose output is on the server."""
    return {
        "endpoint": address,
        "region": "us-east-1",
        "access_key_id": "key",
        "secret_access_key": SECRET,
        "retry_timeout": "5s",
    }


def _make_bucket(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    request = urllib.request.Request(f"{address}/lake", method="PUT", headers={"Authorization": _LOGIN})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=_START_SECONDS):
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
