"""The text and binds of statements: names, windows, chunks and snapshots."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import Bound, Chunk, ChunkKind, Snapshot
from statekeeper.model.table import Window
from statekeeper.sources.columns import named_column
from statekeeper.sources.oracle.chunks import chunk_condition
from statekeeper.sources.oracle.relation import RelationKind, Source, spellings
from statekeeper.sources.oracle.types import window_bound
from statekeeper.sources.scope import window_condition
from statekeeper.sources.sql import Sql
from tests.messages import raises_message

AT = datetime(2026, 1, 5, tzinfo=UTC)
SCN = Snapshot(kind="oracle-scn", token="4711", taken_at=AT)
TABLE = Source(RelationKind.HEAP, "HR.T", '"HR"."T"', "HR", "T")


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("employees", ("EMPLOYEES", "employees")),
        ("EMPLOYEES", ("EMPLOYEES",)),
        ("Mixed", ("MIXED", "Mixed")),
        ('"Mixed"', ("Mixed",)),
        ('"employees"', ("employees",)),
        ("order", ("ORDER", "order")),
        ('"', ('"',)),
    ],
)
def test_a_name_is_upper_cased_unless_quoted_otherwise_used_as_written(written, names):
    assert spellings(written) == names


def column(name: str) -> SourceColumn:
    return SourceColumn(name=name, database_type="NUMBER", read_type=None)


def test_columns_are_found_by_exact_spelling_then_regardless_of_case():
    columns = (column("ID"), column("Id"), column("AT"))
    assert named_column(columns, "Id", "key").name == "Id"
    assert named_column(columns, "at", "key").name == "AT"
    assert named_column(columns, '"AT"', "key").name == "AT"
    with raises_message(PlanError, "sources.columns_differ_by_case", name="id"):
        named_column(columns, "id", "key")
    with raises_message(PlanError, "sources.no_column", name="NO"):
        named_column(columns, "NO", "key")


def test_a_table_is_read_as_of_the_scn_and_a_partition_of_it_too():
    assert TABLE.from_clause(SCN).text == ' FROM "HR"."T" AS OF SCN 4711 q'
    assert TABLE.from_clause(SCN, partition="P1").text == ' FROM "HR"."T" PARTITION ("P1") AS OF SCN 4711 q'
    assert TABLE.from_clause(SCN.model_copy(update={"kind": "oracle-none"})).text == ' FROM "HR"."T" q'


def test_a_query_is_read_at_the_scn_wherever_it_has_the_token():
    query = Source(RelationKind.QUERY, "custom_query", "select * from a {as_of} x join b {as_of} y using (id) -- all")
    text = query.from_clause(SCN).text
    assert "from a AS OF SCN 4711 x join b AS OF SCN 4711 y" in text
    assert text.endswith("-- all\n) q"), "a comment at its end hides nothing"
    assert "{as_of}" not in query.from_clause(None).text
    assert not Source(RelationKind.QUERY, "q", "select 1 from dual").takes_as_of


def test_a_token_that_is_no_number_never_becomes_sql():
    with pytest.raises(ValueError, match="invalid literal"):
        TABLE.from_clause(SCN.model_copy(update={"token": "1; DROP TABLE x"}))


def window(database_type: str, *, zone: str = "UTC", microsecond: int = 0) -> Sql:
    end = AT.replace(day=6, microsecond=microsecond)
    chosen = Window(column="AT", start=AT, end=end, timezone=zone)
    return window_condition(chosen, "AT", database_type, window_bound)


def test_a_date_is_compared_with_dates_and_a_timestamp_with_timestamps():
    for database_type, bind in (("DATE", "DATE"), ("TIMESTAMP(3)", "TIMESTAMP"), ("TIMESTAMP(9)", "TIMESTAMP")):
        condition = window(database_type)
        assert condition.text == 'q."AT" >= :window_start AND q."AT" < :window_end'
        assert [one.type for one in condition.binds] == [bind, bind]


def test_a_bound_is_the_wall_clock_of_the_windows_time_zone():
    texts = [bind.text for bind in window("DATE", zone="Europe/Madrid").binds]
    assert texts == ["2026-01-05 01:00:00", "2026-01-06 01:00:00"]


def test_a_bound_within_a_second_is_rounded_up_for_a_date():
    assert window("DATE", microsecond=1).binds[1].text == "2026-01-06 00:00:01"
    assert window("TIMESTAMP(6)", microsecond=1).binds[1].text == "2026-01-06 00:00:00.000001"


def test_instants_are_compared_in_utc():
    zoned = window("TIMESTAMP(6) WITH TIME ZONE", zone="Europe/Madrid")
    assert "FROM_TZ(:window_start, 'UTC')" in zoned.text
    assert zoned.binds[0].text == "2026-01-05 00:00:00"
    local = window("TIMESTAMP(6) WITH LOCAL TIME ZONE")
    assert "CAST(FROM_TZ(:window_end, 'UTC') AS TIMESTAMP(6) WITH LOCAL TIME ZONE)" in local.text


def test_a_number_holds_no_points_in_time():
    with raises_message(PlanError, "oracle.no_points_in_time"):
        window("NUMBER(8)")


def chunk(kind: ChunkKind, lower: str | None, upper: str | None) -> Chunk:
    def bound(text: str | None) -> Bound | None:
        return None if text is None else Bound(type="str", text=text)

    name = "ROWID" if kind is ChunkKind.ROWID else "K"
    return Chunk(chunk_id=0, kind=kind, column=name, lower=bound(lower), upper=bound(upper))


def text_of(piece: Chunk, database_type: str | None) -> tuple[str, list[tuple[str, str]]]:
    condition = chunk_condition(piece, database_type)
    assert condition is not None
    return condition.text, [(bind.type, bind.text) for bind in condition.binds]


def test_rowids_are_compared_by_the_database():
    assert text_of(chunk(ChunkKind.ROWID, "AAA", "BBB"), None) == (
        "q.ROWID >= CHARTOROWID(:lower) AND q.ROWID < CHARTOROWID(:upper)",
        [("VARCHAR2", "AAA"), ("VARCHAR2", "BBB")],
    )
    assert text_of(chunk(ChunkKind.ROWID, None, "BBB"), None)[0] == "q.ROWID < CHARTOROWID(:upper)"


def test_the_first_range_of_a_key_has_its_nulls_and_the_last_is_unbounded():
    assert text_of(chunk(ChunkKind.KEY, None, "5"), "NUMBER(9)") == (
        'q."K" < :upper OR q."K" IS NULL',
        [("NUMBER", "5")],
    )
    assert text_of(chunk(ChunkKind.KEY, "5", None), "DATE")[1] == [("DATE", "5")]
    assert text_of(chunk(ChunkKind.KEY, "5", "6"), "NVARCHAR2(9)")[1] == [("NVARCHAR2", "5"), ("NVARCHAR2", "6")]
    assert chunk_condition(Chunk(chunk_id=0), None) is None
