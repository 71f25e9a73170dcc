"""Pydantic's core schema is private: one module reads it, and only that of versions which the tests run on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pydantic
import pytest
from pydantic import BaseModel

import statekeeper
from statekeeper.errors import ConfigError
from statekeeper.schemas.model import core_schema
from statekeeper.schemas.model.core_schema import INSTALLED, TESTED, read_model

ROOT = Path(statekeeper.__file__).parents[1]


class Order(BaseModel):
    id: int


def _bounds() -> tuple[str, str]:
    """Of pydantic, in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (asked,) = [one for one in project["dependencies"] if one.startswith("pydantic")]
    found = re.fullmatch(r"pydantic>=([\d.]+),<([\d.]+)", asked)
    assert found is not None
    return found[1], found[2]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])


def test_the_package_asks_for_the_tested_versions_and_no_others():
    lowest, beyond = _bounds()
    first, (major, last) = TESTED
    assert (_numbers(lowest), _numbers(beyond)) == (first, (major, last + 1))


def test_these_tests_run_on_a_tested_version():
    assert _numbers(pydantic.VERSION) == INSTALLED
    assert TESTED[0] <= INSTALLED <= TESTED[1]


@pytest.mark.parametrize("version", TESTED)
def test_the_first_and_the_last_version_are_read(version, monkeypatch):
    monkeypatch.setattr(core_schema, "INSTALLED", version)
    assert [field.name for field in read_model(Order).fields] == ["id"]


@pytest.mark.parametrize("version", [(1, 10), (TESTED[0][0], TESTED[0][1] - 1), (2, TESTED[1][1] + 1), (3, 0)])
def test_any_other_version_is_refused_with_the_command_that_installs_one_that_is_read(version, monkeypatch):
    monkeypatch.setattr(core_schema, "INSTALLED", version)
    with pytest.raises(ConfigError) as refused:
        read_model(Order)
    assert refused.value.message.endswith(f"found {version[0]}.{version[1]}")
    lowest, beyond = _bounds()
    assert refused.value.hint == f"pip install 'pydantic>={lowest.rpartition('.')[0]},<{beyond}'"


def test_no_other_module_reads_a_core_schema_of_pydantic():
    reading = [path for path in (ROOT / "statekeeper").rglob("*.py") if "__pydantic_core_schema__" in path.read_text()]
    assert [str(path.relative_to(ROOT)) for path in reading] == ["statekeeper/schemas/model/core_schema.py"]
