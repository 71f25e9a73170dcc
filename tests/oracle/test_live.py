"""What only a real Oracle Database can prove; `make test-oracle DSN=host:port/service` runs this and nothing else.

The user (ORACLE_USER, ORACLE_PASSWORD) needs CREATE SESSION, CREATE TABLE and quota; a table of its own is made and
dropped. What is read is compared with the literals that were inserted, by their meaning in Oracle's own SQL.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from statekeeper.api import DataExtractor
from statekeeper.cli import app
from statekeeper.model.table import Relation
from statekeeper.runtime.progress import NullReporter
from statekeeper.sources.registry import open_session
from tests.oracle.pipelines import source_at
from tests.readings import reading

pytestmark = pytest.mark.oracle_live

DAY = "2026-01-06"
MOMENT = datetime(2026, 1, 6, 12, 30, 15)  # noqa: DTZ001 - a DATE has no zone
TYPES = {
    "ID": ("NUMBER(9) PRIMARY KEY", "1", 1),
    "WHOLE": ("NUMBER(38)", "99999999999999999999999999999999999999", Decimal(10**38 - 1)),
    "PRICE": ("NUMBER(9,2)", "-1234567.89", Decimal("-1234567.89")),
    "THOUSANDS": ("NUMBER(5,-3)", "12345678", Decimal(12346000)),
    "SMALL": ("NUMBER(3,5)", "0.00123", Decimal("0.00123")),
    "LOOSE": ("NUMBER", "9999999999999999999999999999.0123456789", Decimal("9999999999999999999999999999.0123456789")),
    "RATE": ("FLOAT(126)", "0.1", Decimal("0.1")),
    "BINARY_D": ("BINARY_DOUBLE", "0.1d", 0.1),
    "BINARY_F": ("BINARY_FLOAT", "0.1f", 0.10000000149011612),
    "TEXT": ("VARCHAR2(40 CHAR)", "UNISTR('Caf\\00E9 \\D83E\\DD50')", "Caf\u00e9 \U0001f950"),
    "EMPTY": ("VARCHAR2(40)", "''", None),
    "PADDED": ("CHAR(5)", "'ab'", "ab   "),
    "NATIONAL": ("NVARCHAR2(40)", "UNISTR('\\5C71\\7530')", "\u5c71\u7530"),
    "LONG_TEXT": ("CLOB", "TO_CLOB(RPAD('x', 4000, 'x')) || TO_CLOB(RPAD('y', 4000, 'y'))", "x" * 4000 + "y" * 4000),
    "BYTES": ("RAW(16)", "HEXTORAW('00FF')", b"\x00\xff"),
    "BLOB_BYTES": ("BLOB", "TO_BLOB(HEXTORAW('00FF'))", b"\x00\xff"),
    "DAY_TIME": ("DATE", "TO_DATE('2026-01-06 12:30:15', 'YYYY-MM-DD HH24:MI:SS')", MOMENT),
    "FIRST_DAY": ("DATE", "DATE '0001-01-01'", datetime(1, 1, 1)),  # noqa: DTZ001
    "MOMENT": ("TIMESTAMP(6)", "TIMESTAMP '2026-01-06 12:30:15.123456'", MOMENT.replace(microsecond=123456)),
    "ZONED": (
        "TIMESTAMP(6) WITH TIME ZONE",
        "TIMESTAMP '2026-01-06 12:30:15.5 +05:45'",
        MOMENT.replace(microsecond=500000, tzinfo=UTC) - timedelta(hours=5, minutes=45),
    ),
    "LOCAL": (
        "TIMESTAMP(6) WITH LOCAL TIME ZONE",
        "TIMESTAMP '2026-01-06 12:30:15 +00:00'",
        MOMENT.replace(tzinfo=UTC),
    ),
}
"""Each column's declaration, a value in Oracle's SQL, and what it must be in the file."""


@pytest.fixture(scope="module")
def table(database):
    name = f"SK_LIVE_{secrets.token_hex(4).upper()}"
    with database.cursor() as cursor:
        columns = ", ".join(f"{column} {declared}" for column, (declared, _, _) in TYPES.items())
        cursor.execute(f"CREATE TABLE {name} ({columns})")
        try:
            cursor.execute(f"INSERT INTO {name} VALUES ({', '.join(value for _, value, _ in TYPES.values())})")
            cursor.execute(f"INSERT INTO {name} (ID) SELECT LEVEL + 1 FROM DUAL CONNECT BY LEVEL < 20000")
            database.commit()
            yield name
        finally:
            cursor.execute(f"DROP TABLE {name} PURGE")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _extract(settings, table, **keys):
    extractor = DataExtractor(sources={"db": settings}, output_base_path="lake", reporter=NullReporter())
    report = extractor.extract_run([{"source_name": "db", "table_name": table, **keys}], extraction_date=DAY)
    assert report.exit_code == 0, [one.failure for one in report.tables]
    return report.tables[0]


def _published(table):
    return pq.read_table(Path("lake/db") / table / "202601/06/extract-20260106.parquet")


def test_every_type_arrives_exactly(settings, table, here, live_report):
    _extract(settings, table, chunking={"strategy": "none"})
    (row,) = [row for row in _published(table).to_pylist() if row["ID"] == 1]
    expected = {name: value for name, (_, _, value) in TYPES.items()}
    for name, (declared, _, value) in TYPES.items():
        is_same = row[name] == value and type(row[name]) is type(value)
        live_report.add(f"value of {declared}", "the same" if is_same else repr(row[name]), is_as_believed=is_same)
    assert row == expected
    assert {name: type(value) for name, value in row.items()} == {name: type(value) for name, value in expected.items()}


@pytest.mark.parametrize("strategy", ["auto", "rowid", "key"])
def test_chunks_hold_every_row_once(settings, table, here, strategy):
    policy = {"strategy": strategy, "target_rows": 3000} | ({"column": "ID"} if strategy == "key" else {})
    first = _extract(settings, table, chunking=policy)
    assert sorted(_published(table)["ID"].to_pylist()) == list(range(1, 20001))
    again = _extract(settings, table, chunking=policy)
    assert (first.outcome, again.outcome) == ("completed", "skipped")


def test_rows_that_are_written_meanwhile_are_not_seen(settings, table, database):
    with closing(open_session(source_at(**settings))) as session, database.cursor() as cursor:
        what = reading(session, Relation(table_name=table))
        cursor.execute(f"INSERT INTO {table} (ID) VALUES (0)")
        database.commit()
        try:
            assert session.count(what).rows == 20000
        finally:
            cursor.execute(f"DELETE FROM {table} WHERE ID = 0")
            database.commit()


def test_a_draft_of_the_table_is_checked_and_run(settings, table, here, capsys):
    assert app.run_command(["init", "--source", "oracle", "--table", table, "--out", "new.yml"]) == 0
    for command in (["check", "--connect"], ["run", "--no-progress"]):
        assert app.run_command([*command, "new.yml"]) == 0, capsys.readouterr().out


def test_a_wrong_password_is_refused_with_oracles_own_code(settings, here, capsys):
    extractor = DataExtractor(
        sources={"db": settings | {"password": "wrong-" + secrets.token_hex(8)}}, reporter=NullReporter()
    )
    report = extractor.extract_run([{"source_name": "db", "table_name": "ANY"}], extraction_date=DAY)
    assert (report.exit_code, report.tables[0].failure.code) == (4, "ORA-01017")
