"""Oracle's rows and a model: upper-case names, '' as NULL, padded CHAR, NUMBER and DATE."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from statekeeper.run.report import Outcome
from tests.messages import says
from tests.oracle.pipelines import Lake, serving


@pytest.fixture(scope="module")
def server():
    with serving("T") as server:
        server.sql("CREATE TABLE T.PEOPLE (ID NUMBER(9), CODE CHAR(5), NOTE VARCHAR2(10), SEEN DATE, SHARE_ NUMBER)")
        moment = datetime(2026, 1, 5, 12, 30)  # noqa: DTZ001 - a DATE has no zone
        server.insert("T", "PEOPLE", [(1, "ab", "x", moment, 1), (2, "ab", "", moment, 2)])
        yield server


ENTRY = {"schema_name": "T", "table_name": "PEOPLE"}
RULES: dict[str, dict[str, Any]] = {
    "id": {"type": "int", "ge": 1},
    "code": {"type": "str"},
    "note": {"type": "str", "nullable": True, "min_length": 1},
    "seen": {"type": "datetime"},
    "share_": {"type": "int"},
}


def broken(lake: Lake, changes: dict[str, dict[str, Any]], **source: Any) -> dict[str, int]:
    """Column and constraint to the number of rows, of a run against these rules."""
    lake.configure({**ENTRY, "columns": RULES | changes}, source=source)
    (report,) = lake.run(force=True).tables
    if report.outcome is Outcome.COMPLETED:
        return {}
    path = lake.output("PEOPLE").with_name("ora-20260106_violations.json")
    return {f"{one['column']}.{one['constraint']}": one["count"] for one in json.loads(path.read_text())["violations"]}


def test_lower_case_fields_match_upper_case_columns_and_the_file_keeps_upper_case(tmp_path, server):
    lake = Lake(tmp_path, server)
    assert broken(lake, {}) == {}
    published = lake.published("PEOPLE").sort_by("ID")
    assert published.schema.names == ["ID", "CODE", "NOTE", "SEEN", "SHARE_"]
    assert published.schema.field("SHARE_").type == pa.int64()
    assert published.column("NOTE").to_pylist() == ["x", None]
    assert published.column("CODE").to_pylist() == ["ab   ", "ab   "]


@pytest.mark.parametrize(
    ("changes", "source", "expected"),
    [
        ({"note": {"type": "str", "min_length": 1}}, {}, {"NOTE.not_null": 1}),
        ({"code": {"type": "str", "max_length": 4}}, {}, {"CODE.max_length": 2}),
        ({"code": {"type": "str", "enum": ["ab"]}}, {}, {"CODE.enum": 2}),
        ({"code": {"type": "str", "enum": ["ab"]}}, {"trim_char": True}, {}),
        ({"code": {"type": "str", "enum": ["ab   "]}}, {}, {}),
        ({"code": {"type": "str", "strip_whitespace": True, "pattern": "^ab$", "max_length": 2}}, {}, {}),
    ],
)
def test_empty_strings_are_null_and_padding_counts(tmp_path, server, changes, source, expected):
    assert broken(Lake(tmp_path, server), changes, **source) == expected


def test_date_with_a_time_of_day_does_not_become_a_date(tmp_path, server):
    lake = Lake(tmp_path, server)
    lake.configure({**ENTRY, "columns": RULES | {"seen": {"type": "date"}}})
    (report,) = lake.run().tables
    assert report.outcome is Outcome.FAILED
    assert report.failure is not None
    assert says(report.failure.message, "sources.column_and_type", column="SEEN", type="DATE")
    assert "2026-01-05 12:30" in report.failure.message
