"""How each kind of relation is divided into chunks: ROWIDs are used only for relations in which they are positions."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from statekeeper.run.report import Outcome
from tests.messages import message, says
from tests.oracle.pipelines import Lake, serving

COLUMNS = [("ID", "NUMBER(9)"), ("K", "NUMBER(9)")]
ROWS = [(number, number % 7) for number in range(60)]
SMALL = {"target_rows": 10}


@pytest.fixture(scope="module")
def server():
    with serving("T") as server:
        make = {"rows_per_block": 3}
        server.create_table("T", "HEAP", COLUMNS, ROWS, primary_key=["ID"], **make)
        server.create_table("T", "IOT", COLUMNS, ROWS, primary_key=["ID"], organization="index")
        server.create_table("T", "EXT", COLUMNS, ROWS, organization="external")
        server.create_table("T", "TEMP", COLUMNS, organization="temporary")
        bounds = ("ID", [("P1", 10), ("P2", 45), ("PMAX", None)])
        server.create_table("T", "PARTS", COLUMNS, ROWS, partitions=bounds, **make)
        many = [(f"P{day}", day) for day in range(1, 60)]
        server.create_table("T", "TINY", COLUMNS, ROWS, partitions=("ID", [*many, ("PMAX", None)]), **make)
        server.create_table("T", "HUGE", COLUMNS, ROWS, partitions=("ID", [("LOW", 5), ("p 2", None)]), **make)
        composite = ("ID", [("LOW", 10), ("p 2", None)])
        server.create_table("T", "COMPOSITE", COLUMNS, ROWS, partitions=composite, subpartitions=3, **make)
        server.create_table("T", "HASHED", COLUMNS, ROWS, partitions=composite, subpartitions=25, **make)
        for name in ("TINY", "HUGE", "PARTS", "COMPOSITE", "HASHED"):
            server.set_table("T", name, statistics_rows=len(ROWS))
        for name in ("SEEN", "SEEN2"):
            server.sql(f"CREATE VIEW T.{name} AS SELECT ID, K FROM T.HEAP")
        server.set(links={"REMOTE.EXAMPLE.COM"})
        server.create_synonym("T", "NEAR", ("T", "ALSO"))
        server.create_synonym("T", "ALSO", ("T", "HEAP"))
        server.create_synonym("T", "FAR", ("T", "HEAP"), "REMOTE.EXAMPLE.COM")
        server.create_synonym("PUBLIC", "EVERYBODYS", ("T", "IOT"))
        for number in range(9):
            server.create_synonym("T", f"S{number}", ("T", f"S{(number + 1) % 9}"))
        yield server


BY_KEY = {"chunking": {**SMALL, "strategy": "key", "column": "id"}}
CUT: dict[str, tuple[str | None, int, dict[str, object]]] = {
    "HEAP": ("ROWID", 6, {}),
    "NEAR": ("ROWID", 6, {}),
    "PARTS": ("PARTITION", 3, {"chunking": {"target_rows": 30}}),
    "TINY": ("ROWID >=", 6, {}),
    "HUGE": ('PARTITION ("p 2") AS OF SCN', 8, {}),
    "COMPOSITE": ('SUBPARTITION ("p 2_S3") AS OF SCN', 8, {}),
    "HASHED": ('PARTITION ("p 2") AS OF SCN', 12, {"chunking": {"target_rows": 20}}),
    "IOT": ('"ID" >=', 6, {}),
    "EVERYBODYS": ('"ID" >=', 6, {"schema_name": None}),
    "SEEN": (None, 1, {}),
    "EXT": (None, 1, {"source_name": "present"}),
    "SEEN2": ('"ID" >=', 6, BY_KEY),
    "FAR": (None, 1, {"source_name": "present"}),
}
"""By name of the relation: text in its chunks' statements, the number of files, and more keys."""
REFUSED = {
    "SEEN": message("oracle.no_rowids"),
    "EXT": message("oracle.external_table"),
    "TEMP": message("oracle.temporary_table"),
    "IOT": message("oracle.no_rowids"),
    "FAR": message("oracle.table_of_another_database"),
    "S0": message("oracle.too_many_synonyms", most=8),
}


@pytest.fixture(scope="module")
def ran(server, tmp_path_factory):
    """One run of all of them: its reports and statements by name, and the folder of the files."""
    lake = Lake(tmp_path_factory.mktemp("ladder"), server)
    login = {"type": "oracle", "dsn": server.dsn, "user": "READER", "password": "reader-secret"}
    sources = {"ora": login, "present": {**login, "snapshot": "none"}}
    common = {"source_name": "ora", "schema_name": "T", "chunking": SMALL}
    lake.configure(
        *({**common, "table_name": name, **options} for name, (_, _, options) in CUT.items()), sources=sources
    )
    reports = {one.table.table_name: one for one in lake.run().tables}
    return lake, reports, server.log()


@pytest.mark.parametrize("name", CUT)
def test_a_relation_is_divided_by_the_best_strategy_that_it_allows(ran, name):
    lake, reports, log = ran
    by, files, options = CUT[name]
    report = reports[name]
    assert report.outcome is Outcome.COMPLETED, (report.reason, report.failure)
    output = lake.cwd / "lake" / str(options.get("source_name", "ora")) / name / "202601/06/ora-20260106.parquet"
    published = pq.read_table(output)
    assert sorted(zip(*(column.to_pylist() for column in published.columns), strict=True)) == sorted(ROWS)
    assert len(list(output.glob("*.parquet"))) in ({0} if files == 1 else range(3, files + 3))
    label = name if "schema_name" in options else f"T.{name}"
    statements = [one["sql"] for one in log if (one["action"] or "").startswith(f"{label} ") and " q" in one["sql"]]
    assert statements
    assert any(by in sql for sql in statements) if by else not any(" >= " in sql for sql in statements)
    if "ROWID" not in (by or "") and name not in {"HUGE", "COMPOSITE", "HASHED"}:
        assert not [sql for sql in statements if "ROWID" in sql]


def test_large_partitions_are_divided_by_rowids_and_many_small_ones_are_merged(ran):
    _, _, log = ran
    huge = [one["sql"] for one in log if (one["action"] or "").startswith("T.HUGE chunk")]
    assert any('PARTITION ("p 2")' in sql and "q.ROWID >= CHARTOROWID(:lower)" in sql for sql in huge)
    assert any('PARTITION ("LOW")' in sql and "q.ROWID >=" not in sql for sql in huge)
    tiny = [one["sql"] for one in log if (one["action"] or "").startswith("T.TINY chunk")]
    assert not [sql for sql in tiny if "PARTITION (" in sql]


def test_a_large_composite_partition_is_divided_into_subpartitions_and_these_further(ran):
    _, _, log = ran
    read = [one["sql"] for one in log if (one["action"] or "").startswith("T.COMPOSITE chunk")]
    assert any('PARTITION ("LOW")' in sql and "ROWID >=" not in sql for sql in read)
    for number in (1, 2, 3):
        assert any(f'SUBPARTITION ("p 2_S{number}")' in sql for sql in read)
    hashed = [one["sql"] for one in log if (one["action"] or "").startswith("T.HASHED chunk")]
    assert any('PARTITION ("p 2")' in sql and "ROWID >=" in sql for sql in hashed)
    assert not [sql for sql in hashed if "SUBPARTITION" in sql]


def test_the_extents_of_a_segment_are_read_once_and_without_a_join(ran, server, tmp_path):
    _, _, log = ran
    read = [one for one in log if "DBA_EXTENTS" in one["sql"]]
    asked = [(one["sql"], str(one["binds"])) for one in read if "T.NEAR" not in (one["action"] or "")]
    assert len(asked) == len(set(asked))
    assert not [sql for sql, _ in asked if "JOIN" in sql]
    server.create_user("PLAIN", "plain-secret", "none")
    for privilege in ("FLASHBACK ANY TABLE", "EXECUTE ON SYS.DBMS_FLASHBACK"):
        server.grant(privilege, "PLAIN")
    server.clear_log()
    lake = Lake(tmp_path, server)
    table = {"schema_name": "T", "table_name": "HEAP", "chunking": {**SMALL, "strategy": "rowid"}}
    lake.configure(table, source={"user": "PLAIN", "password": "plain-secret"})
    assert lake.run().tables[0].outcome is Outcome.COMPLETED
    assert len([one for one in server.log() if "DBA_EXTENTS" in one["sql"]]) == 1


def test_a_relation_that_cannot_be_divided_or_read_as_configured_is_refused_by_name(server, tmp_path):
    lake = Lake(tmp_path, server)
    lake.configure(*({"schema_name": "T", "table_name": name, "chunking": {"strategy": "rowid"}} for name in REFUSED))
    said = {one.table.table_name: one.failure for one in lake.run().tables}
    for name, words in REFUSED.items():
        assert says(said[name].message, words)
        assert f"T.{name}" in said[name].message
        assert said[name].hint
