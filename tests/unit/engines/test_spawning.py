"""The fork server, in a program of its own: the tests' server was started with other modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import json, signal
from pathlib import Path
from statekeeper.engines.spawning import fork_server, start_fork_server
from statekeeper.run.work_modules import work_modules
import looking

start_fork_server(work_modules(["duckdb", "oracle"]))
status = Path(f"/proc/{fork_server().pid}/status").read_text()
blocked = int(next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16)
worker = fork_server().fork(looking.look, "100MB")
told = worker.pipe.recv()
assert worker.wait() == 0
mine = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
is_blocked = bool(blocked >> signal.SIGINT - 1 & 1)
print(json.dumps(told | {"server_blocks_sigint": is_blocked, "program_blocks_sigint": mine}))
"""
_LOOKING = """
import gc, sys
from statekeeper.run.work_modules import work_modules

def look(pipe, reins, memory_limit):
    drivers = ["pyarrow.parquet", "duckdb", "oracledb"]
    wanted = ["statekeeper.engines.worker", *work_modules(["duckdb", "oracle"]), *drivers]
    missing = [name for name in wanted if name not in sys.modules]
    pandas = "pandas" in sys.modules  # which is slow to import, and of no use to a worker
    is_frozen = gc.get_freeze_count() > len(sys.modules)
    pipe.send({"missing": missing, "pandas": pandas, "collects": gc.isenabled(), "is_frozen": is_frozen})
"""


def test_the_fork_server_has_what_workers_need_and_no_ctrl_c_ends_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_PROGRAM)
    (tmp_path / "looking.py").write_text(_LOOKING)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == (
        '{"missing": [], "pandas": false, "collects": true, "is_frozen": true, '
        '"server_blocks_sigint": true, "program_blocks_sigint": false}'
    )
