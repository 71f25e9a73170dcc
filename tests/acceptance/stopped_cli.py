"""The `statekeeper` command line in a process that stops itself (SIGSTOP) once, at a chosen durable step.

Usage: python stopped_cli.py STEP ROLE WHEN ARGUMENT...   The steps are those of `statekeeper.store.files.failpoints`.
"""

from __future__ import annotations

import signal
import sys
import threading

from statekeeper.cli.app import run_command
from statekeeper.store.files import failpoints


def main() -> int:
    point = tuple(sys.argv[1:4])

    def hook(*reached: str) -> None:
        if reached == point:
            failpoints.install(None)
            # Sent to this thread, which stops before its next step; another one that gets it would be a little late.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    failpoints.install(hook)
    return run_command(sys.argv[4:])


if __name__ == "__main__":
    sys.exit(main())
