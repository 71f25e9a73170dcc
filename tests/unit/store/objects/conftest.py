"""Servers of object stores, and disks on them."""

from __future__ import annotations

import pytest

from tests.object_servers import SERVERS, running
from tests.unit.store.objects.disks import server_disk


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    """Each kind of server in its turn."""
    with running(request.param) as server:
        yield server


@pytest.fixture
def disk(server, request):
    """A disk whose base path no other test has."""
    return server_disk(server, request.function.__name__)
