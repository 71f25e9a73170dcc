"""Set-up for all tests: fork servers with everything imported, so that processes for tests start in milliseconds."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections import Counter
from multiprocessing import forkserver

import hypothesis
import pytest

from statekeeper.engines.spawning import fork_server
from statekeeper.run.work_modules import work_modules
from tests.seaweedfs import seaweedfs

_MODULES = ("statekeeper.engines.worker", *work_modules(["duckdb", "oracle"]))

fork_server().prepare(_MODULES)
multiprocessing.set_forkserver_preload([*_MODULES, "tests.crash.lake", "tests.crash.table_world"])
forkserver.ensure_running()

# A shell starts a job in the background with SIGINT ignored: tests that send it then would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take as long as it takes: on a machine that is busy with other work, 0.4 s are no fault.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _unconfigured_log():
    """The program's log as a library has it, whatever an earlier test has set up: tests read it through `caplog`."""
    logger = logging.getLogger("statekeeper")
    logger.handlers[:], logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory):
    """A real S3 server, SeaweedFS, with the bucket `lake` and an Iceberg catalog: one for all tests of this process."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs"), has_catalog=True) as server:
        yield server


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
    if line := random_models_line(passed):
        terminalreporter.section("schemas")
        terminalreporter.line(line)
    if any(is_oracle_test(report.nodeid) for report in passed):
        terminalreporter.section("oracle")
        for line in oracle_lines(passed):
            terminalreporter.line(line)


def random_models_line(passed: list[pytest.TestReport]) -> str:
    """How much was compared of what pydantic says and what the scan says."""
    total: Counter[str] = Counter()
    for report in passed:
        for name, value in report.user_properties:
            if name == "random models":
                total.update(value)
    if not total:
        return ""
    return (
        f"{total['models']:,} random models ({total['by_sql']:,} of them in SQL alone), {total['rows']:,} rows "
        f"({total['refused']:,} refused), {total['values']:,} values: "
        "the scan's verdict is pydantic's on every row and every field"
    )


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
