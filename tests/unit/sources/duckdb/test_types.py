from datetime import UTC, date, datetime, time
from decimal import Decimal

import duckdb
import pytest

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.errors import DataError, PlanError
from statekeeper.model.plan import Chunk, PlannedColumn, ReadSpec
from statekeeper.model.table import ExtractionMode, Relation, Scope
from statekeeper.sources.registry import open_session
from tests.messages import says

NINES = 10**38 - 1

EXACT = [
    ("TINYINT", "-128", "int8", -128),
    ("SMALLINT", "-32768", "int16", -32768),
    ("INTEGER", "-2147483648", "int32", -(2**31)),
    ("BIGINT", "-9223372036854775808", "int64", -(2**63)),
    ("UTINYINT", "255", "uint8", 255),
    ("USMALLINT", "65535", "uint16", 65535),
    ("UINTEGER", "4294967295", "uint32", 2**32 - 1),
    ("UBIGINT", "18446744073709551615", "uint64", 2**64 - 1),
    ("UBIGINT", "18446744073709551615", "decimal128(20, 0)", Decimal(2**64 - 1)),
    ("UBIGINT", "9223372036854775807", "int64", 2**63 - 1),
    ("HUGEINT", str(-NINES), "decimal128(38, 0)", Decimal(-NINES)),
    ("HUGEINT", "-5", "int64", -5),
    ("HUGEINT", str(2**127 - 1), "string", str(2**127 - 1)),
    ("UHUGEINT", str(NINES), "decimal128(38, 0)", Decimal(NINES)),
    ("UHUGEINT", str(2**128 - 1), "string", str(2**128 - 1)),
    ("BIGNUM", "1" * 60, "string", "1" * 60),
    (
        "DECIMAL(38,10)",
        "-9999999999999999999999999999.9999999999",
        "decimal128(38, 10)",
        Decimal("-9999999999999999999999999999.9999999999"),
    ),
    ("DECIMAL(4,1)", "-0.1", "decimal128(4, 1)", Decimal("-0.1")),
    ("DECIMAL(18,0)", "-999999999999999999", "int64", -999999999999999999),
    ("FLOAT", "0.1", "float", 0.10000000149011612),
    ("DOUBLE", "0.1", "double", 0.1),
    ("VARCHAR", "\u00fc\U0001f600", "string", "\u00fc\U0001f600"),
    ("CHAR(3)", "a  ", "string", "a  "),
    ("JSON", '{"a":  1}', "string", '{"a":  1}'),
    ("ENUM('a', 'b ]')", "b ]", "string", "b ]"),
    ("UUID", "00000000-0000-0000-0000-0000000000FF", "string", "00000000-0000-0000-0000-0000000000ff"),
    ("BLOB", "\\x00\\xFF", "binary", b"\x00\xff"),
    ("BOOLEAN", "true", "bool", True),
    ("DATE", "0001-01-01", "date32[day]", date(1, 1, 1)),
    ("TIME", "23:59:59.999999", "time64[us]", time(23, 59, 59, 999999)),
    ("TIME_NS", "23:59:59.999999", "time64[us]", time(23, 59, 59, 999999)),
    ("TIMESTAMP", "2026-01-05 01:02:03.000004", "timestamp[us]", datetime.fromisoformat("2026-01-05 01:02:03.000004")),
    ("TIMESTAMP_S", "2026-01-05 01:02:03", "timestamp[us]", datetime.fromisoformat("2026-01-05 01:02:03")),
    ("TIMESTAMP_MS", "2026-01-05 01:02:03.004", "timestamp[us]", datetime.fromisoformat("2026-01-05 01:02:03.004")),
    (
        "TIMESTAMP_NS",
        "2026-01-05 01:02:03.000004",
        "timestamp[us]",
        datetime.fromisoformat("2026-01-05 01:02:03.000004"),
    ),
    ("TIMESTAMPTZ", "2026-01-05 01:02:03+03", "timestamp[us, tz=UTC]", datetime(2026, 1, 4, 22, 2, 3, tzinfo=UTC)),
]
LOUD = [
    ("UBIGINT", "18446744073709551615", "int64", "18446744073709551615"),
    ("HUGEINT", str(NINES + 1), "decimal128(38, 0)", str(NINES + 1)),
    ("HUGEINT", str(2**63), "int64", str(2**63)),
    ("UHUGEINT", str(2**128 - 1), "decimal128(38, 0)", str(2**128 - 1)),
    ("DECIMAL(38,0)", str(NINES), "int64", str(NINES)),
    ("TIMESTAMP_NS", "2026-01-05 01:02:03.000000004", "timestamp[us]", r"01:02:03\.000000004 has nanoseconds"),
    ("TIME_NS", "01:02:03.000000004", "time64[us]", r"01:02:03\.000000004 has nanoseconds"),
    ("TIMESTAMP", "infinity", "timestamp[us]", r"column v \(.*\) holds infinity"),
    ("TIMESTAMP", "-infinity", "timestamp[us]", r"column v \(.*\) holds infinity"),
    ("TIMESTAMP_S", "infinity", "timestamp[us]", r"column v \(.*\) holds infinity"),
    ("TIMESTAMP_NS", "infinity", "timestamp[us]", r"column v \(.*\) holds infinity"),
    ("TIMESTAMPTZ", "-infinity", "timestamp[us, tz=UTC]", r"column v \(.*\) holds infinity"),
    ("DATE", "infinity", "date32[day]", r"column v \(.*\) holds infinity"),
    ("DATE", "-infinity", "date32[day]", r"column v \(.*\) holds infinity"),
    ("TIME", "24:00:00", "time64[us]", "24:00:00"),
]
REFUSED = [
    ("HUGEINT", ("decimal128(38, 0)", "int64", "string"), "declare a Decimal"),
    ("UHUGEINT", ("decimal128(38, 0)", "int64", "string"), "declare a Decimal"),
    ("BIGNUM", ("string",), "declare a str"),
    ("TIMESTAMP_NS", ("timestamp[us]", "timestamp[ns]"), "declare a datetime"),
    ("TIME_NS", ("time64[us]", "string"), "declare a time"),
    ("TIMETZ", (), '"v"::VARCHAR'),
    ("INTERVAL", (), '"v"::VARCHAR'),
    ("BIT", (), '"v"::VARCHAR'),
    ("INTEGER[]", (), 'to_json("v")'),
    ("DECIMAL(4,1)[3]", (), 'to_json("v")'),
    ("ENUM('a', 'b')[]", (), 'to_json("v")'),
    ("STRUCT(a INTEGER, b VARCHAR)", (), 'to_json("v")'),
    ("MAP(INTEGER, VARCHAR)", (), 'to_json("v")'),
    ("UNION(a INTEGER, b VARCHAR)", (), 'to_json("v")'),
]


@pytest.fixture
def table(tmp_path):
    """A function that makes a table of one column `v` with one value and opens a session."""
    sessions = []

    def make(kind: str, value: str | None):
        path = tmp_path / "types.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute(f"CREATE TABLE t (v {kind})")
            if value is not None:
                connection.execute(f"INSERT INTO t SELECT CAST(? AS {kind})", [value])
                connection.execute("INSERT INTO t VALUES (NULL)")
        sessions.append(open_session(DuckDBSource(type="duckdb", path=str(path))))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


def read(session, read_type: str) -> list[object]:
    relation = Relation(table_name="t")
    (described,) = session.describe(relation)
    assert read_type in (described.read_type, *described.alternatives)
    column = PlannedColumn(name="v", database_type=described.database_type, read_type=read_type, arrow_type=read_type)
    what = ReadSpec(
        relation=relation,
        snapshot=session.take_snapshot(),
        scope=Scope(mode=ExtractionMode.FULL),
        columns=(column,),
    )
    batches = list(session.read(what, Chunk(chunk_id=0), batch_rows=10))
    assert all(str(batch.schema.field(0).type) == read_type for batch in batches)
    return [value for batch in batches for value in batch.column(0).to_pylist()]


@pytest.mark.parametrize(("kind", "text", "read_type", "value"), EXACT)
def test_extreme_values_arrive_exactly(table, kind, text, read_type, value):
    assert read(table(kind, text), read_type) == [value, None]


@pytest.mark.parametrize(("kind", "text", "read_type", "words"), LOUD)
def test_a_value_that_does_not_fit_fails_with_its_column_type_and_what_to_do(table, kind, text, read_type, words):
    session = table(kind, text)
    (described,) = session.describe(Relation(table_name="t"))
    with pytest.raises(DataError, match=words) as raised:
        read(session, read_type)
    assert says(raised.value.message, "sources.column_and_type", column="v", type=described.database_type)
    assert says(raised.value.discreet, "sources.column_and_type", column="v", type=described.database_type)
    assert '"v"::VARCHAR' in raised.value.hint
    if not text.endswith(("infinity", "24:00:00")):
        assert text.split(" ")[-1] not in raised.value.discreet


def test_error_of_a_query_is_not_blamed_on_a_column(table):
    session = table("VARCHAR", "x")
    relation = Relation(query="SELECT v FROM t WHERE CAST(v AS INTEGER) > 1")
    column = PlannedColumn(name="v", database_type="VARCHAR", read_type="string", arrow_type="string")
    scope = Scope(mode=ExtractionMode.FULL)
    what = ReadSpec(relation=relation, snapshot=session.take_snapshot(), scope=scope, columns=(column,))
    with pytest.raises(DataError, match="Could not convert") as raised:
        list(session.read(what, Chunk(chunk_id=0)))
    assert "column v (" not in raised.value.message


@pytest.mark.parametrize(("kind", "alternatives", "hint"), REFUSED)
def test_a_type_without_an_exact_form_is_refused_with_what_to_do(table, kind, alternatives, hint):
    (column,) = table(kind, None).describe(Relation(table_name="t"))
    assert column.read_type is None
    assert column.alternatives == alternatives
    assert column.refusal.startswith("column v (")
    assert hint in column.refusal


def test_nanoseconds_can_be_asked_for(table):
    session = table("TIMESTAMP_NS", "2026-01-05 01:02:03.000000004")
    (described,) = session.describe(Relation(table_name="t"))
    column = PlannedColumn(
        name="v", database_type=described.database_type, read_type="timestamp[ns]", arrow_type="timestamp[ns]"
    )
    what = ReadSpec(
        relation=Relation(table_name="t"),
        snapshot=session.take_snapshot(),
        scope=Scope(mode=ExtractionMode.FULL),
        columns=(column,),
    )
    (batch,) = session.read(what, Chunk(chunk_id=0), batch_rows=10)
    assert batch.column(0)[0].value == 1767574923000000004


def test_every_way_around_a_refusal_that_a_hint_names_works(table):
    for kind in ("INTERVAL", "BIT", "TIMETZ"):
        session = table(kind, None)
        (column,) = session.describe(Relation(query='SELECT "v"::VARCHAR AS v FROM t'))
        assert column.read_type == "string"
        session.close()
        with duckdb.connect(session.identity()["path"]) as connection:
            connection.execute("DROP TABLE t")
    session = table("INTEGER[]", None)
    (column,) = session.describe(Relation(query='SELECT to_json("v") AS v FROM t'))
    assert column.read_type == "string"


def test_a_bare_null_column_of_a_query_is_refused(table):
    (column,) = table("INTEGER", None).describe(Relation(query="SELECT NULL AS nothing"))
    assert column.read_type is None
    assert "cast it" in column.refusal


def test_a_type_that_the_source_cannot_deliver_is_a_plan_error(table):
    session = table("VARCHAR", "1")
    column = PlannedColumn(name="v", database_type="VARCHAR", read_type="int64", arrow_type="int64")
    what = ReadSpec(
        relation=Relation(table_name="t"),
        snapshot=session.take_snapshot(),
        scope=Scope(mode=ExtractionMode.FULL),
        columns=(column,),
    )
    with pytest.raises(PlanError, match="only as string"):
        list(session.read(what, Chunk(chunk_id=0), batch_rows=10))
