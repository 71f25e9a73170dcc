"""The server as a person starts it."""

import os
import re
import subprocess
import sys

import oracledb
import pytest

from tests.oracle_server import OracleServer, ServerError
from tests.oracle_server.handle import ROOT


def test_the_demo_says_how_to_connect_and_serves_its_tables():
    command = [sys.executable, "-u", "-m", "tests.oracle_server", "--port", "0", "--demo"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        said = re.search(r"listening on ([^,]+), service (\w+), user (\w+)/(\w+)", started.stdout.readline())
        assert said
        with oracledb.connect(user=said[3], password=said[4], dsn=f"{said[1]}/{said[2]}") as connection:
            counts = [
                connection.cursor().execute(f"select count(*) from {table}").fetchone()[0]
                for table in ("hr.employees", "sales.orders", "sales.orders partition (p1)")
            ]
        started.terminate()
    assert counts == [500, 20_000, 6_670]


def test_a_handle_tells_what_its_server_refuses(server):
    with pytest.raises(ServerError, match="ORA-00942"):
        server.sql("select * from app.nowhere")
    with pytest.raises(ServerError, match="no fault 'nonsense'"):
        server.fault("nonsense")


def test_a_server_ends_with_its_handle():
    server = OracleServer.start()
    process = server._process
    server.stop()
    assert process.returncode is not None


def test_what_is_asked_of_a_real_database_holds_here():
    """`make test-oracle`, pointed at this server: its tests are themselves in order."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "oracle_live",
        "-p",
        "no:cacheprovider",
        "tests/oracle/test_live.py",
    ]
    with OracleServer.start(users={"SALES": "sales-secret"}) as server:
        login = {"ORACLE_DSN": server.dsn, "ORACLE_USER": "SALES", "ORACLE_PASSWORD": "sales-secret"}
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | login, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9]\d* passed", done.stdout)
    assert "failed" not in done.stdout
