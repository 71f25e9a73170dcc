"""Rows of an Oracle table that a lookback reads again are marked, over the wire, in worker processes."""

from __future__ import annotations

import pyarrow.dataset as ds

from statekeeper.api import StatefulDataExtractor
from statekeeper.run.report import Outcome
from statekeeper.runtime.progress import NullReporter
from tests.oracle.pipelines import Lake, serving

EVENTS = {
    "schema_name": "SALES",
    "table_name": "EVENTS",
    "incremental_column": "STAMP",
    "incremental_timezone": "Europe/Madrid",
    "lookback": "1d",
    "unique": [["id", "code"], "OTHER"],
    "mark_taken_before": True,
    "chunking": {"strategy": "rowid", "target_rows": 2},
}
COLUMNS = [("ID", "NUMBER(20,2)"), ("CODE", "CHAR(4)"), ("OTHER", "VARCHAR2(10)"), ("STAMP", "DATE")]


def _insert(server, *rows):
    for number, code, other, stamp in rows:
        server.sql(
            f"INSERT INTO EVENTS VALUES ({number}, {code}, {other}, TO_DATE('2026-01-{stamp}', 'YYYY-MM-DD HH24:MI'))",
            "SALES",
        )


def _rows(lake, day):
    """The numbers of a date's rows, each with its mark."""
    dataset = lake.output("EVENTS").parents[1] / f"{day:02}/ora-202601{day:02}.parquet"
    found = ds.dataset(dataset).to_table().to_pylist()
    return sorted((int(row["ID"]), row["taken_before"]) for row in found)


def test_late_and_changed_rows_are_told_from_those_that_were_taken(tmp_path):
    with serving("SALES") as server:
        server.create_table("SALES", "EVENTS", COLUMNS, [])
        lake = Lake(tmp_path, server)
        path = lake.configure(EVENTS, source={"snapshot_scope": "run"})

        def extract(day):
            extractor = StatefulDataExtractor.from_config(path, date=f"2026-01-{day:02}", reporter=NullReporter())
            (report,) = extractor.run().tables
            assert report.outcome is Outcome.COMPLETED, report.failure
            return _rows(lake, day)

        _insert(server, (1, "'a'", "'x'", "06 10:00"), (2, "'a'", "NULL", "06 11:00"), (3, "NULL", "'y'", "06 12:00"))
        _insert(server, (4, "NULL", "NULL", "06 13:00"), (5, "'e'", "'z'", "06 14:00"), (6, "'f'", "'f'", "05 23:00"))
        assert extract(6) == [(number, False) for number in range(1, 7)]
        server.sql("UPDATE EVENTS SET STAMP = TO_DATE('2026-01-07 01:00', 'YYYY-MM-DD HH24:MI') WHERE ID = 5", "SALES")
        _insert(server, (7, "'a'", "'w'", "06 09:00"), (8, "'a'", "'v'", "07 09:00"))
        assert extract(7) == [
            (1, True),
            (2, True),
            (3, True),
            (4, False),  # nothing tells it from another row without a key
            (5, False),
            (7, False),
            (8, False),
        ]
        assert extract(8) == [(5, True), (8, True)]
