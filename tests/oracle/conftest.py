"""A lake for each test, and the real Oracle Database of `make test-oracle` with the report on it."""

from __future__ import annotations

import os

import oracledb
import pytest

from tests.oracle.live_report import LiveReport
from tests.oracle.pipelines import Lake, serving


@pytest.fixture(scope="module")
def sales():
    """A server for this module, with tables of SALES."""
    with serving("SALES") as server:
        yield server


@pytest.fixture
def lake(tmp_path, server):
    """A lake that reads the module's `server`."""
    return Lake(tmp_path, server)


@pytest.fixture(scope="session")
def settings():
    missing = [name for name in ("ORACLE_DSN", "ORACLE_USER", "ORACLE_PASSWORD") if not os.environ.get(name)]
    if missing:
        pytest.fail(f"set {', '.join(missing)}")
    return {
        "type": "oracle",
        "dsn": os.environ["ORACLE_DSN"],
        "user": os.environ["ORACLE_USER"],
        "password": os.environ["ORACLE_PASSWORD"],
    }


@pytest.fixture(scope="session")
def database(settings):
    login = {name: settings[name] for name in ("dsn", "user", "password")}
    with oracledb.connect(**login) as connection:
        yield connection


@pytest.fixture(scope="session")
def live_report(settings, database):
    report = LiveReport.of_login(**{name: settings[name] for name in ("dsn", "user", "password")})
    thin = "thin" if database.thin else "thick"
    report.add("versions", f"database {database.version}, oracledb {oracledb.__version__} {thin}", is_as_believed=True)
    yield report
    print(report.text())
