"""How worker processes are started: from a fork server, and without the user's main script.

By itself multiprocessing runs the main script again in every child, under another name. A script of three lines that
extracts a table, without `if __name__ == "__main__"`, would then extract it in every worker, too. Workers need nothing
of it.

The server imports what workers need, once for all of them, while the parent process goes on.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterable
from multiprocessing import forkserver, resource_tracker, spawn
from multiprocessing.context import ForkServerContext
from typing import Any

from statekeeper.sources import SESSION_MODULES

WORKER_NAME = "statekeeper-worker"

_PRELOADED = (
    "statekeeper.engines.fork_server",
    *("statekeeper.engines.worker", "statekeeper.planning", "statekeeper.chunk", "statekeeper.part_check"),
    *("statekeeper.schemas.drift", "statekeeper.schemas.checks", "statekeeper.part_file", "statekeeper.validation"),
)

_for_all = spawn.get_preparation_data


def context_without_main() -> ForkServerContext:
    """The fork server's context; its processes called `WORKER_NAME` do not run the main script."""
    # Multiprocessing offers no setting for it. Only processes of our name are affected, whatever else uses it.
    spawn.get_preparation_data = _preparation_data
    return multiprocessing.get_context("forkserver")


def preloaded(kinds: Iterable[str]) -> list[str]:
    """The modules that workers with sources of these types need."""
    return [*_PRELOADED, *(SESSION_MODULES[kind] for kind in sorted(set(kinds)))]


def start_fork_server(kinds: Iterable[str]) -> None:
    """Start the server that workers are forked from, unless it runs; it is not waited for.

    Args:
        kinds: the `type` of every source that workers will open a session with.
    """
    context_without_main().set_forkserver_preload(preloaded(kinds))
    resource_tracker.ensure_running()  # else the server starts it, and lets SIGINT through again
    # A terminal sends Ctrl-C to every process; while it imports, the server would end by it, with a traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _preparation_data(name: str) -> dict[str, Any]:
    data: dict[str, Any] = _for_all(name)
    if name == WORKER_NAME:
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
    return data
