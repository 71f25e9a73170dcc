"""The lower bounds of dependencies are what `make test-lowest` installs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.lowest.constraints import PYPROJECT, lowest, requirements

RUNTIMES = Path(__file__).parents[1] / "wheel/runtimes.json"
NOT_IN_RUNTIMES = {"databricks-sdk", "pyiceberg"}
"""Whose bound no runtime reaches: see tests/wheel. Tables on Databricks are Delta tables, which need no pyiceberg."""


@pytest.mark.parametrize("requirement", requirements())
def test_every_dependency_has_a_lower_bound(requirement):
    assert lowest(requirement)


def test_development_asks_for_nothing_newer_than_the_package():
    """Else the lowest versions could not be installed beside the tests' own tools."""
    development = tomllib.loads(PYPROJECT.read_text())["dependency-groups"]["test"]
    ours = {lowest(requirement)[0]: requirement for requirement in requirements()}
    shared = {lowest(one)[0]: one for one in development if lowest(one)[0] in ours}
    assert shared
    assert all(ours[name] == one for name, one in shared.items())


def test_no_bound_is_above_what_the_oldest_supported_runtime_has():
    there = json.loads(RUNTIMES.read_text())["17.3"]["packages"]
    bounds = dict(lowest(requirement) for requirement in requirements())
    known = there.keys() & bounds.keys() - NOT_IN_RUNTIMES
    assert known == {"click", "numpy", "pandas", "psutil", "pyarrow", "pydantic", "pyyaml", "rich", "tzdata"}
    assert {name for name in known if _numbers(bounds[name]) > _numbers(there[name])} == set()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
