"""How worker processes are started: from a fork server, and without the user's main script.

By itself multiprocessing runs the main script again in every child, under another name. A script of three lines that
extracts a table, without `if __name__ == "__main__"`, would then extract it in every worker, too. Workers need nothing
of it.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import spawn
from multiprocessing.context import ForkServerContext
from typing import Any

WORKER_NAME = "statekeeper-worker"

_for_all = spawn.get_preparation_data


def context_without_main() -> ForkServerContext:
    """The fork server's context; its processes called `WORKER_NAME` do not run the main script."""
    # Multiprocessing offers no setting for it. Only processes of our name are affected, whatever else uses it.
    spawn.get_preparation_data = _preparation_data
    return multiprocessing.get_context("forkserver")


def _preparation_data(name: str) -> dict[str, Any]:
    data: dict[str, Any] = _for_all(name)
    if name == WORKER_NAME:
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
    return data
