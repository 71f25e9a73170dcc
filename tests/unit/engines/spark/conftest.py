"""The engine that tests of Spark ask for as `room`."""

from __future__ import annotations

import pytest

from tests.unit.engines.spark.room import Hall, Room


@pytest.fixture
def room(tmp_path):
    """An engine on a Spark of threads, with nothing in `Hall`."""
    Hall.clear()
    return Room(tmp_path)
