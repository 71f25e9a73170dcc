"""The benchmarks name what is there: what they import of statekeeper, and what phases.py replaces to time it."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "benchmarks").rglob("*.py"))


def _imported(script: Path) -> Iterator[tuple[str, str]]:
    """Module and name of each import from statekeeper, within functions too."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "statekeeper":
            for alias in node.names:
                yield str(node.module), alias.name


IMPORTED = sorted({found for script in SCRIPTS for found in _imported(script)})


def test_there_is_something_to_look_at():
    assert len(SCRIPTS) > 20
    assert ("statekeeper.validate.scan", "scan_part") in IMPORTED


@pytest.mark.parametrize(("module", "name"), IMPORTED)
def test_what_a_benchmark_imports_is_there(module, name):
    if not hasattr(importlib.import_module(module), name):
        importlib.import_module(f"{module}.{name}")


def test_every_step_of_an_extraction_is_timed_under_its_name():
    command = [sys.executable, "-m", "benchmarks.local.phases", "--rows", "1000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = {line[:30].strip() for line in done.stdout.splitlines()[1:]}
    assert {"cast", "encode and compress Parquet", "md5 again", "publish", "scan: schema", "write, md5"} <= steps
