"""What workers do is imported before they are forked, once for all of them."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import statekeeper
from statekeeper.engines.protocol import Job

PACKAGE = Path(statekeeper.__file__).parent
SELDOM = {
    "statekeeper.plan.inspect",
    "statekeeper.validate.keys.check",
    "statekeeper.validate.split_part",
}
"""What only previews or some tables need: a worker imports it when it comes."""


def _works() -> Iterator[str]:
    """The modules of the functions that jobs are made with, `Job(table, work, ...)`."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "Job(" not in text:
            continue
        module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
        for node in ast.walk(ast.parse(text)):
            made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == Job.__name__
            if made and len(node.args) > 1 and isinstance(node.args[1], ast.Name):
                work = getattr(module, node.args[1].id, None)
                if work is not None:
                    yield work.__module__


def test_the_work_of_jobs_is_imported_where_workers_are_forked():
    code = (
        "import importlib, sys; from statekeeper.run.work_modules import work_modules\n"
        "for name in list(sys.modules): name.startswith('statekeeper') and sys.modules.pop(name)\n"
        "for name in work_modules(()): importlib.import_module(name)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    works = {*_works()}
    assert {"statekeeper.extract.chunk", "statekeeper.verify"} <= works
    assert works - {*done.stdout.split()} == SELDOM
