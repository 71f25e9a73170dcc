"""What a program that uses the package finds changed afterwards: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

_MODEL = """
from __future__ import annotations

from pydantic import BaseModel, field_validator
from rules import is_small


class Order(BaseModel):
    id: int

    @field_validator("id")
    @classmethod
    def small(cls, value: int) -> int:
        return is_small(value)
"""
_RULES = "def is_small(value):\n    assert value < 1000\n    return value\n"
_CONFIG = """
pipeline: shop
sources: {shop: {type: duckdb, path: shop.duckdb}}
output: {base_path: data}
tables: [{table_name: orders, schema: "schemas/shop.py:Order"}]
"""
_PROGRAM = """
import atexit, decimal, gc, json, logging, multiprocessing, os, signal, sys, threading, time, warnings
from multiprocessing import forkserver, process, resource_tracker, spawn
from pathlib import Path

import duckdb, pyarrow, transitions  # libraries may do to a program what they will


def surroundings():
    server = forkserver._forkserver
    numbers = [number for number in signal.valid_signals() if number not in {signal.SIGKILL, signal.SIGSTOP}]
    return {
        "start method": multiprocessing.get_start_method(allow_none=True),
        "fork server": [list(server._preload_modules), server._forkserver_pid],
        "preparation": repr(spawn.get_preparation_data),
        "resource tracker": resource_tracker._resource_tracker._pid,
        "temporary folder": process.current_process()._config.get("tempdir"),
        "children": [child.name for child in multiprocessing.active_children()],
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "path": list(sys.path),
        "finders": [repr(finder) for finder in (*sys.meta_path, *sys.path_hooks)],
        "modules of the program": [
            name for name, module in sys.modules.items()
            if str(getattr(module, "__file__", None)).startswith(os.getcwd()) and name != "__main__"
        ],
        "hooks": [repr(hook) for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook)],
        "signals": {int(number): repr(signal.getsignal(number)) for number in numbers},
        "blocked signals": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "logging": [repr(logging.root.handlers), logging.root.level, logging.raiseExceptions],
        "warnings": len(warnings.filters),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "arithmetic": repr(decimal.getcontext()),
    }


def files():
    return len(os.listdir("/proc/self/fd"))


before, files_before = surroundings(), files()
from statekeeper.api import DataExtractor, StatefulDataExtractor

assert StatefulDataExtractor.from_config("shop.yml", date="2026-01-06").run().exit_code == 0
with_time = time.monotonic() + 5
while (after := surroundings()) != before and time.monotonic() < with_time:
    time.sleep(0.05)
changed = {name: [before[name], value] for name, value in after.items() if value != before[name]}
print(json.dumps({"changed": changed, "files": files() - files_before}))
"""


def test_a_program_is_left_as_it_was(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table orders as select i::integer as id from range(10) t(i)")
    (tmp_path / "schemas").mkdir()
    (tmp_path / "temp").mkdir()
    for name, text in {"shop.yml": _CONFIG, "schemas/shop.py": _MODEL, "schemas/rules.py": _RULES}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "program.py").write_text(textwrap.dedent(_PROGRAM))
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path / "temp")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["changed"] == {}
    assert told["files"] <= 1, "the socket of the process that workers are forked from"
    assert list((tmp_path / "temp").iterdir()) == []
