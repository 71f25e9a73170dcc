"""docs/oracle.md has every statement that is sent; it is compared with those that the server received."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from statekeeper.run.report import Outcome
from tests.oracle.pipelines import Lake, serving

DOCUMENT = (Path(__file__).parent.parent.parent / "docs/oracle.md").read_text()


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        rows = [(number, number / 2) for number in range(2000)]
        columns = [("ID", "NUMBER(9)"), ("AMOUNT", "NUMBER")]
        server.create_table("SALES", "HEAP", columns, rows)
        server.create_table("SALES", "IOT", columns, rows, organization="index", primary_key=["ID"])
        bounds = ("ID", [("LOW", 1000), ("HIGH", None)])
        server.create_table("SALES", "PARTS", columns, rows, partitions=bounds)
        yield server


def sources_of(sql: str) -> set[str]:
    """The dictionary views and packages in a statement."""
    return set(
        re.findall(r"\b(?:ALL|DBA)_[A-Z_]+|V\$[A-Z]+|DBMS_[A-Z]+|SESSION_PRIVS|REDACTION_COLUMNS|NLS_DATABASE_\w+", sql)
    )


def test_every_kind_of_statement_is_in_the_document(tmp_path, server):
    lake = Lake(tmp_path, server)
    chunking = {"target_rows": 300}
    lake.configure(
        *({"schema_name": "SALES", "table_name": name, "chunking": chunking} for name in ("HEAP", "IOT", "PARTS")),
        {"table_name": "Q", "custom_query": "select id from sales.heap"},
    )
    report = lake.run()
    assert [table.outcome for table in report.tables] == [Outcome.COMPLETED] * 4, report.tables
    assert lake.command("check", "ora.yml", "--connect").returncode == 0
    seen = set().union(*(sources_of(one["sql"]) for one in server.log() if one["module"] == "statekeeper"))
    assert {"DBA_EXTENTS", "ALL_TAB_PARTITIONS", "ALL_CONSTRAINTS", "DBMS_FLASHBACK", "V$DATABASE"} <= seen
    assert seen <= sources_of(DOCUMENT)
    verbs = {one["sql"].split()[0].upper() for one in server.log() if one["module"] == "statekeeper"}
    assert verbs <= {"SELECT", "ALTER", "BEGIN"}


def test_the_sessions_settings_are_the_documents(server):
    from statekeeper.sources.oracle.login import SETTINGS

    assert all(setting in DOCUMENT for setting in SETTINGS)
