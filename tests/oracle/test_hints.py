"""Every GRANT in a message is valid and sufficient: after it the table completes."""

from __future__ import annotations

import re

import pytest

from statekeeper.run import runner
from tests.hints.typist import Said, Typist, inline_engine
from tests.oracle.pipelines import Lake
from tests.oracle_server import OracleServer

_GRANT = re.compile(r"GRANT (?P<what>[A-Z ]+(?: ON [^ ]+)?) TO (?P<user>\w+)")
_QUERY = "<each table of the query>"


@pytest.fixture
def typist(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner.Runner, "_engine", inline_engine)
    return Typist(tmp_path, capsys)


@pytest.fixture
def lake(tmp_path):
    with OracleServer.start(users={"T": "t"}) as server:
        for name in ("ORDERS", "HIDDEN"):
            server.create_table("T", name, [("ID", "NUMBER(9)")], [(1,), (2,)])
        server.create_user("POOR", "poor-secret", "none")
        server.revoke("SELECT ANY TABLE", "POOR")
        yield Lake(tmp_path, server)


def grants(said: Said) -> set[str]:
    """The grants in a text, without the user, who must be the reading user."""
    found = list(_GRANT.finditer(said.words.replace(_QUERY, "T.ORDERS")))
    assert {match["user"] for match in found} <= {"POOR"}
    return {match["what"] for match in found}


def test_after_the_grants_that_failures_name_the_tables_complete(lake, typist):
    token = "select id from t.orders {as_of} o"
    lake.configure(
        {"schema_name": "T", "table_name": "ORDERS"},
        {"schema_name": "T", "table_name": "HIDDEN"},
        {"table_name": "BY_TOKEN", "custom_query": token},
        {"table_name": "BY_SESSION", "custom_query": token.replace("{as_of} ", "")},
        source={"user": "POOR", "password": "poor-secret"},
    )
    said, granted = typist.type("statekeeper run ora.yml --date 2026-01-06 --no-progress"), set()
    while said.code == 1:
        new = grants(said) - granted
        assert new, said.text
        for what in new:
            lake.server.grant(what, "POOR")
        granted |= new
        said = typist.type(said.command("resume"))
    assert said.code == 0, said.text
    assert {what.split()[0] for what in granted} == {"SELECT", "FLASHBACK", "EXECUTE"}


def test_after_the_grants_that_check_advises_it_advises_nothing(lake, typist):
    lake.server.grant("SELECT ON T.ORDERS", "POOR")
    lake.server.grant("FLASHBACK ON T.ORDERS", "POOR")
    lake.server.set_table("T", "ORDERS", policies=["REGION_ONLY"], redacted=["ID"])
    lake.configure({"schema_name": "T", "table_name": "ORDERS"}, source={"user": "POOR", "password": "poor-secret"})
    check, advised = "statekeeper check ora.yml --connect", set()
    while new := grants(typist.type(check)):
        assert not new & advised, new & advised
        for what in new:
            lake.server.grant(what, "POOR")
        advised |= new
    assert {"SELECT ON SYS.DBA_EXTENTS", "EXEMPT REDACTION POLICY"} <= advised, advised


def test_schema_whose_tables_may_not_be_seen_is_drafted_after_the_grant_of_the_hint(lake, typist, monkeypatch):
    monkeypatch.setenv("ORACLE_PASSWORD", "poor-secret")
    infer = f"statekeeper schemas infer --source oracle --dsn {lake.server.dsn} --user POOR --schema T"
    refused = typist.type(infer)
    assert refused.code != 0
    (what,) = grants(Said(refused.code, refused.text.replace("<each table of it>", "T.ORDERS")))
    lake.server.grant(what, "POOR")
    assert "class Orders" in typist.type(infer).text


def test_after_the_grant_that_a_failed_read_names_the_table_completes(lake, typist):
    for privilege in ("SELECT ON T.ORDERS", "FLASHBACK ON T.ORDERS"):
        lake.server.grant(privilege, "POOR")
    lake.configure({"schema_name": "T", "table_name": "ORDERS"}, source={"user": "POOR", "password": "poor-secret"})
    for code in (942, 1031, 41900):
        lake.server.fault("error", match='SELECT q."ID".*AS OF SCN', code=code, times=None)
        failed = typist.type(f"statekeeper run ora.yml --date 2026-01-06 --run-id of-{code}")
        asked = grants(failed)
        assert (failed.code, {what.split()[0] for what in asked} <= {"SELECT", "FLASHBACK"}) == (1, True), failed.text
        assert asked, failed.text
        for what in asked:
            assert '"T"."ORDERS"' in what
            lake.server.grant(what, "POOR")
        lake.server.clear_faults()
        typist.succeeds(failed.command("resume"))


@pytest.mark.parametrize(("what", "statement"), [("locked", "ACCOUNT UNLOCK"), ("expired", "IDENTIFIED BY")])
def test_account_can_log_in_after_the_statement_of_the_hint(lake, typist, what, statement):
    for privilege in ("SELECT ON T.ORDERS", "FLASHBACK ON T.ORDERS"):
        lake.server.grant(privilege, "POOR")
    lake.server.alter_user("POOR", **{what: True})
    lake.configure({"schema_name": "T", "table_name": "ORDERS"}, source={"user": "POOR", "password": "poor-secret"})
    refused = typist.type("statekeeper run ora.yml --date 2026-01-06")
    assert (refused.code, f"ALTER USER POOR {statement}" in refused.words) == (4, True), refused.text
    lake.server.alter_user("POOR", **{what: False})
    typist.succeeds(refused.command("resume"))


def test_name_that_is_nearly_a_tables_is_answered_with_the_tables(lake, typist):
    for privilege in ("SELECT ON T.ORDERS", "FLASHBACK ON T.ORDERS"):
        lake.server.grant(privilege, "POOR")
    login = {"user": "POOR", "password": "poor-secret"}
    lake.configure({"schema_name": "T", "table_name": "ORDRES"}, source=login)
    refused = typist.type("statekeeper run ora.yml --date 2026-01-06")
    (meant,) = re.findall(r"did you mean ([\w.\"]+)\?", refused.words)
    schema, table = meant.replace('"', "").split(".")
    lake.configure({"schema_name": schema, "table_name": table}, source=login)
    typist.succeeds("statekeeper run ora.yml --date 2026-01-06")
