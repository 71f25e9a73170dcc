"""Which statements a user's privileges lead to, seen in the server's log, and what is reported if there are none."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pyarrow.parquet as pq
import pytest

from statekeeper.run.report import Outcome
from tests.oracle.pipelines import Lake
from tests.oracle_server import OracleServer

RUNGS = ("DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER", "CURRENT_SCN", "TIMESTAMP_TO_SCN")
PACKAGE, VIEW, FUNCTION = RUNGS
EXTENTS, SAMPLE = "FROM DBA_EXTENTS", "SAMPLE BLOCK"
FLASHBACK = "FLASHBACK ON T.ORDERS"


@dataclass(frozen=True)
class User:
    """A user's grants; how SCN and chunks are then found, or which grant the failure names."""

    preset: str
    grants: tuple[str, ...] = ()
    scn: str = ""
    cuts: str = ""
    missing: str = ""


USERS = {
    "NOTHING": User("none", missing="GRANT FLASHBACK ON"),
    "DICTIONARY": User("dictionary", missing="GRANT FLASHBACK ON"),
    "SCN": User("scn", missing="GRANT FLASHBACK ON"),
    "EVERYTHING": User("all", scn=PACKAGE, cuts=EXTENTS),
    "FLASHBACK": User("none", (FLASHBACK,), FUNCTION, SAMPLE),
    "FLASHBACK_DICTIONARY": User("dictionary", (FLASHBACK,), FUNCTION, EXTENTS),
    "FLASHBACK_VIEW": User("none", (FLASHBACK, "SELECT ON SYS.V_$DATABASE"), VIEW, SAMPLE),
    "FLASHBACK_PACKAGE": User("none", (FLASHBACK, "EXECUTE ON SYS.DBMS_FLASHBACK"), PACKAGE, SAMPLE),
    "FLASHBACK_SCN": User("scn", (FLASHBACK,), PACKAGE, EXTENTS),
}
ROWS = 20_000  # so many that a sample of the blocks is less than all of them


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One run of the same table by every user: its reports by user, and the statements of each."""
    with OracleServer.start(users={"T": "t"}) as server:
        server.create_table("T", "ORDERS", [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(20)")], rows_per_block=7)
        server.load("T", "ORDERS", f"SELECT i, 'row ' || i FROM range({ROWS}) t(i)")
        server.set_table("T", "ORDERS", statistics_rows=ROWS)
        sources = {}
        for name, user in USERS.items():
            server.create_user(name, "pw-secret", user.preset)
            for grant in user.grants:
                server.grant(grant, name)
            sources[name] = {"type": "oracle", "dsn": server.dsn, "user": name, "password": "pw-secret"}
        lake = Lake(tmp_path_factory.mktemp("privileges"), server)
        entry = {"schema_name": "T", "table_name": "ORDERS", "chunking": {"target_rows": 9000}}
        lake.configure(*({**entry, "source_name": name} for name in USERS), sources=sources)
        reports = {one.table.source_name: one for one in lake.run().tables}
        log = server.log()
        yield lake, reports, {name: [one for one in log if one["user"] == name] for name in USERS}


def granted(statements: list[dict[str, object]], words: str) -> list[dict[str, object]]:
    return [one for one in statements if words in str(one["sql"]) and not one["error"]]


@pytest.mark.parametrize("name", [name for name, user in USERS.items() if not user.missing])
def test_the_first_granted_way_is_used(ran, name):
    lake, reports, served = ran
    user, statements = USERS[name], served[name]
    assert reports[name].outcome is Outcome.COMPLETED, reports[name].failure
    assert {rung for rung in RUNGS if granted(statements, rung)} == {user.scn}
    assert {way for way in (EXTENTS, SAMPLE) if granted(statements, way)} == {user.cuts}
    output = lake.cwd / "lake" / name / "ORDERS/202601/06/ora-20260106.parquet"
    assert sorted(pq.read_table(output).column("ID").to_pylist()) == list(range(ROWS))
    assert len(list(output.glob("*.parquet"))) >= 3
    chunks = [one for one in statements if " chunk " in str(one["action"]) and '"NAME"' in str(one["sql"])]
    assert len({one["scn"] for one in chunks}) == 1


@pytest.mark.parametrize("name", [name for name, user in USERS.items() if user.missing])
def test_a_missing_grant_is_reported_with_its_statement(ran, name):
    _, reports, served = ran
    report = reports[name]
    assert report.outcome is Outcome.FAILED
    assert report.failure is not None
    assert f'{USERS[name].missing} "T"."ORDERS" TO {name}' in (report.failure.hint or "")
    assert not [one for one in served[name] if " chunk " in str(one["action"])]


def test_hints_distinguish_queries_from_tables_and_name_the_user(tmp_path):
    with OracleServer.start(users={"T": "t"}) as server:
        server.create_table("T", "ORDERS", [("ID", "NUMBER(9)")], [(1,)])
        server.create_table("T", "SECRETS", [("ID", "NUMBER(9)")], [(1,)])
        server.create_user("EXTRACTOR", "EXTRACTOR")
        server.revoke("SELECT ANY TABLE", "EXTRACTOR")
        server.grant("SELECT ON T.ORDERS", "EXTRACTOR")
        server.grant("EXECUTE ON SYS.DBMS_FLASHBACK", "EXTRACTOR")
        lake = Lake(tmp_path, server)
        query = "select o.id from {table} {{as_of}} o where o.id > 0"
        lake.configure(
            {"table_name": "unseen", "custom_query": query.format(table="t.secrets")},
            {"table_name": "no_past", "custom_query": query.format(table="t.orders")},
            {"schema_name": "T", "table_name": "ORDERS"},
            source={"user": "EXTRACTOR", "password": "EXTRACTOR"},
        )
        ran = lake.command("run", "ora.yml", "--date", "2026-01-06", "--no-progress")
        status = lake.command("status", "--json")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    hints = {one["table_name"]: one["failure"]["hint"] for one in json.loads(status.stdout)["tables"]}
    assert not [hint for hint in hints.values() if "select o.id" in hint]
    assert "GRANT SELECT ON <each table of the query> TO EXTRACTOR" in hints["unseen"]
    assert "GRANT FLASHBACK ON <each table of the query> TO EXTRACTOR" in hints["no_past"]
    assert 'GRANT FLASHBACK ON "T"."ORDERS" TO EXTRACTOR' in hints["ORDERS"]
    assert 'GRANT FLASHBACK ON "T"."ORDERS" TO EXTRACTOR' in " ".join((ran.stdout + ran.stderr).split())
