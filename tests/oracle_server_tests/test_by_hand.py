"""The server when a person starts it."""

import os
import re
import subprocess
import sys

import pytest

from tests.oracle import prod
from tests.oracle_server import OracleServer, ServerError
from tests.oracle_server.handle import ROOT


def test_the_demo_serves_configs_prod_by_the_commands_that_it_prints(tmp_path):
    """A person types them; here they are run by a shell, in a folder that holds the config and its models."""
    prod.settle(tmp_path)
    command = [sys.executable, "-m", "tests.oracle_server", "--port", "0", "--demo"]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        said = [started.stdout.readline() for _ in range(6)]
        assert said[0].startswith("listening on 127.0.0.1:")
        lines = [line.strip() for line in said if line.startswith("  ")]
        assert [line.split()[0] for line in lines] == ["export", *[lines[1].split()[0]] * 3]
        script = "set -e\n" + "\n".join(lines)
        typed = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
        )
        started.terminate()
    assert typed.returncode == 0, typed.stdout + typed.stderr
    written = {path.parent.parent.parent.name for path in (tmp_path / "data/oracle_db").glob("*/*/*/*_metadata.json")}
    assert written == {table for schema, table in prod.ROWS if schema != "CRM"} | {"big_customers"}


def test_without_what_it_imports_the_server_says_what_to_type():
    """As after `make run`, which installs what statekeeper imports and nothing of what tests do."""
    hidden = "import sys, runpy; sys.modules.update(numpy=None, sqlglot=None); "
    run = f"{hidden} sys.argv[1:] = ['--demo']; runpy.run_module('tests.oracle_server', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "numpy and sqlglot" in done.stderr
    assert f"{sys.executable} -m pip install 'numpy>=" in done.stderr
    assert "Traceback" not in done.stderr


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
