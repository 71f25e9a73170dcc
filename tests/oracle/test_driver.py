"""The tests use the unmodified driver from PyPI, in thin mode."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import distribution

import oracledb

from tests.oracle_server import OracleServer


def test_the_driver_is_unmodified_and_thin(record_property):
    installed = distribution("oracledb")
    hashed = [file for file in installed.files or () if file.hash is not None]
    assert len(hashed) > 20
    changed = []
    for file in hashed:
        digest = hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            changed.append(str(file))
    assert not changed
    assert oracledb.__version__ == installed.version
    with OracleServer.start() as server, oracledb.connect(**server.credentials) as connection:
        assert connection.thin
        assert connection.version.startswith("23.")
    record_property("driver", f"python-oracledb {oracledb.__version__}, thin mode")
