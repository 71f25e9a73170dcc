"""Set-up for all tests: a fork server with everything imported, so that processes for tests start in milliseconds."""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
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


# Where tests talk to the Oracle test server through a driver; of other modules, what is parametrised with "oracle".
ORACLE_TESTS = ("tests/oracle/", "tests/oracle_server_tests/")


def pytest_terminal_summary(terminalreporter):
    """Say what was really tested: a number that falls is a step, or a run over the wire, that is no longer tested."""
    passed = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    sweeps = [value for report in passed for name, value in report.user_properties if name == "sweep"]
    if sweeps:
        terminalreporter.section("crash sweep")
        for line in sorted(sweeps):
            terminalreporter.line(line)
    if any(is_oracle_test(report.nodeid) for report in passed):
        terminalreporter.section("oracle")
        for line in oracle_lines(passed):
            terminalreporter.line(line)


def is_oracle_test(nodeid: str) -> bool:
    """Whether a test is one over Oracle's wire protocol."""
    parameters = nodeid.partition("[")[2].rstrip("]").split("-")
    return nodeid.startswith(ORACLE_TESTS) or (nodeid.startswith("tests/conformance/") and "oracle" in parameters)


def oracle_lines(passed: list[pytest.TestReport]) -> list[str]:
    """The driver that was used and how much it was, and how the runs with random faults ended."""
    count = sum(is_oracle_test(report.nodeid) for report in passed)
    said = [value for report in passed for name, value in report.user_properties if name == "driver"]
    lines = [f"oracle: {said[0] if said else 'the driver did not say its version'}, {count} tests over the wire"]
    ends: Counter[str] = Counter()
    for report in passed:
        for name, value in report.user_properties:
            if name == "random faults":
                ends.update(value)
    if ends:
        listed = ", ".join(f"{number} {end}" for end, number in sorted(ends.items()))
        lines.append(f"runs with random faults: {ends.total()} ({listed})")
    return lines
