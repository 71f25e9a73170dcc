"""Values of rows are personal data: one switch keeps them out of everything except data and the quarantine file."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
import yaml

from statekeeper.cli.app import run_command
from tests.acceptance.listener import listening
from tests.messages import says
from tests.oracle_server import OracleServer

MARKER = "zq7marker"
NUMBER = "98761234"
DAY = datetime(2087, 6, 5, 4, 3, 2)  # noqa: DTZ001 - a DATE has no zone
TRACES = (MARKER, NUMBER, "2087-06-05")
"""What no text may have in it. Each stands in a row that fails."""
RUN_ID = "private-20260106"
HOOK = "sh -c 'env >> hooks.txt; echo \"$@\" >> hooks.txt' {table} {reason} {failure}"

MODELS = """
from typing import Annotated
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

def refuse(value: str) -> str:
    raise ValueError(f"not so: {value}")

def crash(value: str) -> str:
    raise RuntimeError(f"broken by {value}")

class Refused(BaseModel):
    id: int
    name: Annotated[str, AfterValidator(refuse)]

class Crashed(BaseModel):
    id: int
    name: Annotated[str, AfterValidator(crash)]

class Whole(BaseModel):
    id: int
    name: str

    @model_validator(mode="after")
    def look(self):
        raise ValueError(f"no row like {self.name}")
"""
SHORT = {"id": {"type": "int"}, "name": {"type": "str", "max_length": 3}}
LONG = {"id": {"type": "int"}, "name": {"type": "str"}}


def in_duckdb(folder: Path) -> list[dict[str, object]]:
    """A table for each way in which a row of a DuckDB database may fail."""
    with duckdb.connect(folder / "shop.duckdb") as connection:
        connection.execute(f"create table people as select 1 as id, '{MARKER}' as name union all select 2, 'ann'")
        connection.execute(f"create table pairs as select i as id, '{MARKER}' as name from range(2) as r(i)")
        connection.execute(f"create table money as select 1 as id, {NUMBER}{'0' * 20}::hugeint as paid")
        connection.execute(f"create table heaps as select i as id, '{MARKER}' || i as name from range(40) as r(i)")
    people = "select id, name from people"
    models = folder / "models.py"
    models.write_text(MODELS)
    return [
        {"table_name": "cast", "custom_query": "select id, paid from money", "columns": LONG_PAID},
        {"table_name": "rule", "custom_query": people, "columns": SHORT, "keep_violating_rows": True},
        {"table_name": "warned", "custom_query": people, "columns": SHORT, "on_violation": "warn"},
        {"table_name": "apart", "custom_query": people, "columns": SHORT, "on_violation": "quarantine"},
        {"table_name": "validator", "custom_query": people, "schema": f"{models}:Refused"},
        {"table_name": "crash", "custom_query": people, "schema": f"{models}:Crashed"},
        {"table_name": "whole", "custom_query": people, "schema": f"{models}:Whole"},
        {"table_name": "twice", "custom_query": "select * from pairs", "columns": LONG, "unique": ["name"]},
        {
            "table_name": "orphan",
            "custom_query": "select * from pairs",
            "columns": LONG,
            "references": [{"columns": ["name"], "table": "good", "to": ["name"]}],
        },
        {"table_name": "good", "custom_query": "select * from people where id = 2", "columns": LONG},
        {"table_name": "driver", "custom_query": "select name::integer as id from people"},
        {"table_name": "raised", "custom_query": "select error('no ' || name)::int as id from people"},
        {
            "table_name": "heaps",
            "columns": SHORT,
            "chunking": {"strategy": "key", "column": "name", "target_rows": 10},
        },
    ]


FEW_DIGITS = {"type": "decimal", "decimal_places": 2}
LONG_PAID = {"id": {"type": "int"}, "paid": {"type": "int"}}


def make_in_oracle(server: OracleServer) -> None:
    server.create_user("APP", "app-secret", "all")
    server.create_table("APP", "PEOPLE", [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(40)")], [(1, MARKER), (2, MARKER)])
    server.create_table("APP", "MONEY", [("ID", "NUMBER(9)"), ("PAID", "NUMBER")], [(1, int(NUMBER))])
    server.create_table("APP", "DAYS", [("ID", "NUMBER(9)"), ("AT", "DATE")], [(1, DAY)])
    server.create_table("APP", "HUGE", [("ID", "NUMBER(9)"), ("SIZE_", "NUMBER")], [])
    server.sql(f"INSERT INTO APP.HUGE VALUES (1, {NUMBER}{'0' * 60})")


def in_oracle() -> list[dict[str, object]]:
    """The same of an Oracle database."""
    names = {"ID": {"type": "int"}, "NAME": {"type": "str", "max_length": 3}}
    entries: list[dict[str, object]] = [
        {"table_name": "O_RULE", "custom_query": "select ID, NAME from APP.PEOPLE", "columns": names},
        {
            "table_name": "O_TWICE",
            "custom_query": "select ID, NAME from APP.PEOPLE",
            "columns": {**names, "NAME": {"type": "str"}},
            "unique": ["NAME"],
        },
        {"table_name": "MONEY", "columns": {"ID": {"type": "int"}, "PAID": {**FEW_DIGITS, "max_digits": 5}}},
        {"table_name": "DAYS", "columns": {"ID": {"type": "int"}, "AT": {"type": "date"}}},
        {"table_name": "HUGE"},
    ]
    return [{"source_name": "erp", "schema_name": "APP", **entry} for entry in entries]


def configured(folder: Path, server: OracleServer, address: str, **sections: object) -> None:
    tables = [{"source_name": "shop", **entry} for entry in in_duckdb(folder)] + in_oracle()
    login = {"user": "APP", "password": "app-secret", "host": server.host, "port": server.port}
    document = {
        "pipeline": "private",
        "extraction_date": "2026-01-06",
        "sources": {
            "shop": {"type": "duckdb", "path": "shop.duckdb", "snapshot_scope": "run"},
            "erp": {"type": "oracle", "service": server.service, **login},
        },
        "output": {"base_path": "lake"},
        "execution": {"workers": 2, "memory_limit": "256MiB"},
        "states": {"on_enter": {state: [{"command": HOOK}, {"webhook": address}] for state in ("failed", "complete")}},
        "tables": tables,
    }
    (folder / "private.yml").write_text(yaml.safe_dump(document | sections))


def everything_said(folder: Path, capsys: pytest.CaptureFixture[str], heard: list[object]) -> dict[str, str]:
    """All texts by their place: every file except the data, input of hooks, output of commands."""
    said = {}
    for arguments in (
        ["run", "private.yml"],
        ["resume", "private.yml", "--log-format", "json", "--json"],
        ["status", "private.yml"],
        ["status", "private.yml", "--json"],
        ["verify", "private.yml"],
    ):
        run_command(arguments)
        captured = capsys.readouterr()
        said[" ".join(arguments)] = captured.out + captured.err
    said["webhooks"] = json.dumps(heard)
    for path in folder.rglob("*"):
        if path.is_file() and not is_data(folder, path):
            said[str(path.relative_to(folder))] = path.read_bytes().decode(errors="replace")
    return said


def is_data(folder: Path, path: Path) -> bool:
    """Whether it is the database, a file of the config, Parquet, or a plan, which has the bounds of chunks by key."""
    if path.parent == folder and path.name != "hooks.txt":
        return True
    return path.name == "plan.json" or path.read_bytes()[:4] == b"PAR1"


@pytest.fixture(scope="module")
def server():
    with OracleServer.start() as server:
        make_in_oracle(server)
        yield server


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everywhere(said: dict[str, str]) -> dict[str, list[str]]:
    """Each trace with the places where it was found."""
    return {trace: [where for where, text in said.items() if trace in text] for trace in TRACES}


def test_with_values_hidden_no_value_of_a_row_is_in_any_text(folder, server, capsys):
    with listening() as listener:
        configured(folder, server, f"{listener.address}/hook", show_values=False)
        said = everything_said(folder, capsys, listener.heard)
    assert everywhere(said) == {trace: [] for trace in TRACES}
    status = json.loads(said["status private.yml --json"])
    failures = {table["table_name"]: table["failure"] for table in status["tables"] if table["failure"]}
    assert {"cast", "rule", "validator", "crash", "whole", "twice", "orphan"} <= failures.keys()
    assert {"driver", "raised", "heaps", "O_RULE", "O_TWICE", "MONEY", "DAYS", "HUGE"} <= failures.keys()
    # What is said instead still says where and why.
    assert "column paid (HUGEINT): a value was read as decimal128(38, 0)" in failures["cast"]["message"]
    assert says(failures["crash"]["message"], "schemas.own_code_raised", error="RuntimeError (validating ...")
    assert failures["driver"]["message"].endswith(": Conversion Error")
    assert "a value was read as" in failures["MONEY"]["message"]
    assert "a value needs more than 38 digits" in failures["HUGE"]["message"]
    assert "a value has a time of day" in failures["DAYS"]["message"]
    violations = json.loads(next(folder.glob("lake/shop/rule/**/*_violations.json")).read_text())["violations"]
    assert [(one["column"], one["count"], one["samples"]) for one in violations] == [("name", 1, [])]


def test_values_are_shown_by_default(folder, server, capsys):
    """The same run with defaults: it shows that the other test would find the values."""
    with listening() as listener:
        configured(folder, server, f"{listener.address}/hook")
        said = everything_said(folder, capsys, listener.heard)
    found = everywhere(said)
    for trace in TRACES:
        assert {"run private.yml", "status private.yml", "webhooks", "hooks.txt"} <= set(found[trace])
        assert any(where.endswith("_state.json") for where in found[trace])
    assert any(where.endswith("_violations.json") for where in found[MARKER])


def test_one_table_may_hide_its_values_and_sample_rows_limits_the_samples(folder, capsys):
    in_duckdb(folder)
    keys = {
        "hidden": {},
        "none": {"show_values": True, "sample_rows": 0},
        "one": {"show_values": True, "sample_rows": 1},
        "all": {"show_values": True},
    }
    pairs = {"custom_query": "select * from pairs", "columns": SHORT}
    document = {
        "pipeline": "private",
        "sources": {"shop": {"type": "duckdb", "path": "shop.duckdb"}},
        "output": {"base_path": "lake"},
        "defaults": {"show_values": False},
        "tables": [{"table_name": name, **pairs, **given} for name, given in keys.items()],
    }
    (folder / "private.yml").write_text(yaml.safe_dump(document))
    assert run_command(["run", "private.yml"]) == 1
    shown = {}
    for name in keys:
        text = next(folder.glob(f"lake/shop/{name}/**/*_violations.json")).read_text()
        shown[name] = len(json.loads(text)["violations"][0]["samples"])
        assert (MARKER in text) is bool(shown[name])
    assert shown == {"hidden": 0, "none": 0, "one": 1, "all": 2}
