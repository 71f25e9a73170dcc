"""Where crash tests keep their worlds, and what they tell at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.object_servers import running

_MEMORY = Path("/dev/shm")


@pytest.fixture
def fast_disk(tmp_path):
    """A folder in memory where the system has one: what fsync costs is of no interest here, only that it is called."""
    if not os.access(_MEMORY, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="statekeeper-crash-", dir=_MEMORY))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def azurite():
    """Azure's emulator, with the container `lake`."""
    with running("azurite") as server:
        yield server
