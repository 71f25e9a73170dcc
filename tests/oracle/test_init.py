"""`statekeeper init` on an Oracle database: what it writes passes `check`, `plan` and `run` unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from statekeeper.cli import app
from tests.messages import says
from tests.oracle_server import OracleServer


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"APP": "secret"}) as server:
        columns = [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(40)"), ("PRICE", "NUMBER(9,2)"), ("CHANGED", "TIMESTAMP(6)")]
        server.create_table("APP", "PRODUCTS", columns, [], primary_key=["ID"])
        server.create_table("APP", "Mixed Case", [("Id", "NUMBER(30)"), ("class", "CHAR(3)")], [])
        server.sql("INSERT INTO APP.PRODUCTS (ID, NAME, PRICE) VALUES (1, 'one', 9999999.99)")
        yield server


@pytest.fixture
def here(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {"HOST": server.host, "PORT": str(server.port), "SERVICE": server.service, "USER": "APP"}
    for name, value in {**values, "PASSWORD": "secret"}.items():
        monkeypatch.setenv(f"ORACLE_{name}", value)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ([], [["check", "--connect"], ["plan"], ["run", "--no-progress"]]),
        (["--schema", "app"], [["check", "--connect"]]),
        (["--table", "products", "--table", "Mixed Case"], [["run", "--no-progress"]]),
    ],
)
def test_a_draft_can_be_checked_and_run(here, capsys, words, commands):
    assert app.run_command(["init", "--source", "oracle", *words, "--out", "configs/new.yml"]) == 0
    text = Path("configs/new.yml").read_text()
    assert "    password: ${ORACLE_PASSWORD}\n" in text
    assert "secret" not in text
    for command in commands:
        code = app.run_command([*command, "configs/new.yml"])
        assert code == 0, capsys.readouterr().out


def test_given_options_are_written_and_the_rest_comes_from_the_environment(here, server):
    words = ["--host", server.host, "--port", str(server.port), "--table", "PRODUCTS"]
    assert app.run_command(["init", *words, "--out", "new.yml", "--schemas-out", "new.py"]) == 0
    text = Path("new.yml").read_text()
    assert f"    host: {server.host}\n    port: {server.port}\n    service: ${{ORACLE_SERVICE}}\n" in text
    assert "    price: Annotated[Decimal, Field(max_digits=9, decimal_places=2)] | None\n" in Path("new.py").read_text()


@pytest.mark.parametrize("form", [[], ["--inline"]])
def test_inferred_models_accept_the_tables_in_a_real_run(here, capsys, form):
    source = "{type: oracle, host: '${ORACLE_HOST}', port: '${ORACLE_PORT}', service: '${ORACLE_SERVICE}', "
    source += "user: APP, password: '${ORACLE_PASSWORD}'}"
    head = f"pipeline: erp\nsources: {{erp: {source}}}\noutput: {{base_path: data}}\ntables:\n"
    names = {"PRODUCTS": "Products", "'\"Mixed Case\"'": "MixedCase"}
    entries = "".join(
        f"  - {{schema_name: APP, table_name: {name}, path_name: {path}}}\n" for name, path in names.items()
    )
    Path("erp.yml").write_text(head + entries)
    out = "tables.yml" if form else "models.py"
    assert app.run_command(["schemas", "infer", "erp.yml", *form, "--out", out]) == 0, capsys.readouterr().err
    if form:
        command = ["run", "erp.yml", "--tables", out, "--no-progress"]
    else:
        with_schema = (
            line.replace("}", f", schema: models.py:{name}}}")
            for name, line in zip(names.values(), entries.splitlines(), strict=True)
        )
        Path("erp.yml").write_text(head + "\n".join(with_schema) + "\n")
        command = ["run", "erp.yml", "--no-progress"]
    assert app.run_command(command) == 0, capsys.readouterr().out
    (files,) = Path("data/erp/Products").glob("*/*/*_metadata.json")
    assert json.loads(files.read_text())["record_count"] == 1
    if not form:
        assert app.run_command(["schemas", "diff", "erp.yml"]) == 0, capsys.readouterr().out
        assert "\n2 same\n" in capsys.readouterr().out


def test_a_schema_without_tables_is_an_error_with_a_hint(here, capsys):
    assert app.run_command(["init", "--source", "oracle", "--schema", "NOBODY", "--out", "new.yml"]) == 1
    assert says(capsys.readouterr().err, "oracle.schema_without_tables", schema="NOBODY", user="APP")
    assert not Path("new.yml").exists()
