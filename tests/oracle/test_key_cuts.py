"""The cost of chunks by a key: how many keys are sorted, and whether an index can be used for the ranges."""

from __future__ import annotations

import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.run.report import Outcome
from tests.oracle.pipelines import DAY, Lake, Warnings, serving

ROWS = 60_000
TARGET = 20_000


@pytest.fixture(scope="module")
def server():
    with serving("T") as server:
        columns = [("ID", "NUMBER(9)"), ("K", "NUMBER(9)"), ("PART", "NUMBER(3)")]
        query = f"SELECT range, range % 7919, range % 5 FROM range({ROWS})"
        server.create_table("T", "IOT", columns, organization="index", primary_key=["ID"])
        server.create_table("T", "SKEWED", columns, organization="index", primary_key=["PART", "ID"])
        server.create_table("T", "HEAP", columns, primary_key=["ID"])
        server.create_table("T", "PARTS", columns, partitions=("K", [("LOW", 1000), ("HIGH", None)]))
        for name in ("IOT", "SKEWED", "HEAP", "PARTS"):
            server.load("T", name, query)
        server.sql("CREATE VIEW T.SEEN AS SELECT ID, K FROM T.HEAP")
        yield server


def run(tmp_path, server, name: str, column: str | None):
    """The number of chunks, the number of sorted rows, and the notes."""
    server.clear_log()
    chunking = {"target_rows": TARGET} | ({"strategy": "key", "column": column} if column else {})
    lake = Lake(tmp_path, server)
    lake.configure({"schema_name": "T", "table_name": name, "chunking": chunking})
    warnings = Warnings()
    extractor = StatefulDataExtractor.from_config(lake.cwd / "ora.yml", date=DAY, reporter=warnings)
    (table,) = extractor.run().tables
    assert table.outcome is Outcome.COMPLETED, table.failure
    assert sorted(lake.published(name)["ID"].to_pylist()) == list(range(ROWS))
    sorts = [one["sorted_rows"] for one in server.log() if "NTILE" in one["sql"]]
    return len(list(lake.output(name).glob("*.parquet"))), max(sorts), " ".join(warnings.told)


@pytest.mark.parametrize(("name", "column"), [("IOT", None), ("SEEN", "ID"), ("SKEWED", None)])
def test_a_sample_of_the_keys_is_sorted_if_no_blocks_can_be_sampled(tmp_path, server, name, column):
    server.set(sort_rows=ROWS // 4)
    chunks, most, said = run(tmp_path, server, name, column)
    assert chunks == 3
    assert TARGET // 20 < most < ROWS // 10
    assert "no index" not in said


@pytest.mark.parametrize(
    ("name", "column", "is_said"),
    [("HEAP", "K", True), ("HEAP", "ID", False), ("PARTS", "K", False), ("PARTS", "ID", True)],
)
def test_a_key_without_an_index_is_a_warning(tmp_path, server, name, column, is_said):
    server.set(sort_rows=ROWS)
    chunks, _, said = run(tmp_path, server, name, column)
    assert chunks == 3
    assert (f"no index begins with {column}" in said) is is_said
