"""Set-up for all tests: a fork server with everything imported, so that processes for tests start in milliseconds."""

from __future__ import annotations

import logging
import multiprocessing
from multiprocessing import forkserver

import pytest

multiprocessing.set_forkserver_preload(
    [
        "statekeeper.engines.worker",
        "statekeeper.chunk",
        "statekeeper.part_check",
        "statekeeper.planning",
        "tests.crash.world",
    ]
)
forkserver.ensure_running()


@pytest.fixture(autouse=True)
def _unconfigured_log():
    """The program's log as a library has it, whatever an earlier test has set up: tests read it through `caplog`."""
    logger = logging.getLogger("statekeeper")
    logger.handlers[:], logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


def pytest_terminal_summary(terminalreporter):
    """Say what the crash sweep did: a number that falls is a step that is no longer tested."""
    sweeps = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "sweep"
    ]
    if sweeps:
        terminalreporter.section("crash sweep")
        for line in sorted(sweeps):
            terminalreporter.line(line)
