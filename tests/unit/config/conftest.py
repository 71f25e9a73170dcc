"""The folder that tests of configurations work in."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def config_folder(tmp_path, monkeypatch):
    """The working directory, with a file that schemas are named in."""
    monkeypatch.chdir(tmp_path)
    Path("hr.py").write_text("class Employee: ...\n")
    return tmp_path
