"""Disks in object stores, for the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path

from obstore.store import MemoryStore

from statekeeper.config.sections.storage import StorageConfig
from statekeeper.config.sections.stores import place_of
from statekeeper.store.objects import disk as disk_module
from statekeeper.store.objects.disk import ObjectStoreDisk
from tests.object_servers import ObjectServer

BASE = Path("/s3:/lake/team")
"""Of the stores in memory."""


def server_disk(server: ObjectServer, name: str) -> ObjectStoreDisk:
    """A disk on the server, whose base path no other test has."""
    storage = StorageConfig.model_validate_json(json.dumps({**server.storage, "retry_timeout": "1s"}))
    return ObjectStoreDisk(place_of(f"{server.url}/team/{name}"), storage)


def memory_disk(monkeypatch) -> ObjectStoreDisk:
    """A disk in memory."""
    bucket = MemoryStore()
    monkeypatch.setattr(disk_module, "client_of", lambda _bucket, _storage: bucket)
    return ObjectStoreDisk(BASE, StorageConfig())
