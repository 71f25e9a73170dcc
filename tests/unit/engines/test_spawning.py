"""The fork server, in a program of its own: the tests' server was started with other modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import gc, json, signal, sys
from pathlib import Path
from multiprocessing import forkserver
from statekeeper.engines.spawning import WORKER_NAME, _PRELOADED, context_without_main, start_fork_server
from statekeeper.sources import SESSION_MODULES

def look(pipe):
    wanted = [*_PRELOADED, *SESSION_MODULES.values(), "pyarrow.parquet", "duckdb", "oracledb"]
    missing = [name for name in wanted if name not in sys.modules]
    pandas = "pandas" in sys.modules  # which is slow to import, and of no use to a worker
    is_frozen = gc.get_freeze_count() > len(sys.modules)
    pipe.send({"missing": missing, "pandas": pandas, "collects": gc.isenabled(), "is_frozen": is_frozen})

if __name__ == "__main__":
    start_fork_server(SESSION_MODULES)
    status = Path(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read_text()
    blocked = int(next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16)
    is_blocked = lambda mask: bool(mask >> signal.SIGINT - 1 & 1)
    context = context_without_main()
    ours, theirs = context.Pipe()
    process = context.Process(target=look, args=(theirs,))
    process.start()
    told = ours.recv()
    process.join()
    mine = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    print(json.dumps(told | {"server_blocks_sigint": is_blocked(blocked), "program_blocks_sigint": mine}))
"""


def test_the_fork_server_has_what_workers_need_and_no_ctrl_c_ends_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_PROGRAM)
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
