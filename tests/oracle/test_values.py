"""Every type, value by value, and the driver's own faults: each shown first with the bare driver, then with a run."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from math import copysign, inf, isnan, nan

import oracledb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from statekeeper.errors import DataError
from statekeeper.model.plan import Chunk, PlannedColumn, ReadSpec
from statekeeper.model.table import ExtractionMode, Relation, Scope
from statekeeper.run.report import Outcome
from statekeeper.schemas.columns.reconcile import compare
from tests.messages import says
from tests.oracle.pipelines import READER, Lake, opened, serving

FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - wall clocks
MOMENT = datetime(2026, 3, 29, 1, 30, 15, 123456)  # noqa: DTZ001
HALF_PAST_FIVE = timezone(timedelta(hours=5, minutes=30))


@pytest.fixture(scope="module")
def server():
    with serving("T") as server:
        yield server


@pytest.fixture(scope="module")
def bare(server):
    with oracledb.connect(**READER, dsn=server.dsn) as connection:
        yield connection


def table(server, name: str, database_type: str, values: list[object]) -> dict[str, object]:
    """A table with the numbered values in column C."""
    server.sql(f"CREATE TABLE T.{name} (N NUMBER(9), C {database_type})")
    server.insert("T", name, list(enumerate(values)))
    return {"schema_name": "T", "table_name": name}


def extracted(lake: Lake, entry: dict[str, object], *, source: dict[str, object] | None = None) -> pa.Array:
    """The file's column C in the order of N."""
    lake.configure(entry, source=source)
    (report,) = lake.run().tables
    assert report.outcome is Outcome.COMPLETED, (report.reason, report.failure)
    rows = lake.published(str(entry["table_name"])).sort_by("N")
    return rows.column("C").combine_chunks()


def refusal(lake: Lake, entry: dict[str, object], *, source: dict[str, object] | None = None) -> str:
    """The failure of the table; nothing is published."""
    lake.configure(entry, source=source)
    (report,) = lake.run().tables
    assert report.outcome is Outcome.FAILED
    assert report.failure is not None
    assert not lake.output(str(entry["table_name"])).exists()
    return f"{report.failure.message} | {report.failure.hint}"


NINES = "9" * 38
EXACT = [
    ("INT18", "NUMBER(18)", pa.int64(), [0, 10**18 - 1, -(10**18) + 1, None]),
    ("INT19", "NUMBER(19)", pa.decimal128(19, 0), [Decimal(10**19 - 1), Decimal(-1), None]),
    ("INT38", "NUMBER(38)", pa.decimal128(38, 0), [Decimal(NINES), Decimal(f"-{NINES}"), Decimal(0)]),
    ("MONEY", "NUMBER(9,2)", pa.decimal128(9, 2), [Decimal("9999999.99"), Decimal("-0.01"), None]),
    ("TINY", "NUMBER(38,38)", pa.decimal128(38, 38), [Decimal(f"0.{NINES}"), Decimal("1e-38")]),
    ("SMALL", "NUMBER(5,10)", pa.decimal128(10, 10), [Decimal("0.0000099999"), Decimal("-1e-10")]),
    ("HUNDREDS", "NUMBER(5,-2)", pa.decimal128(7, 0), [Decimal(9999900), Decimal(-100)]),
    ("PLAIN", "NUMBER", pa.decimal128(38, 10), [Decimal("1.5"), Decimal("9" * 28), Decimal("-1e-10"), None]),
    ("FLOATING", "FLOAT", pa.decimal128(38, 10), [Decimal("0.1"), Decimal(10**27)]),
    ("BDOUBLE", "BINARY_DOUBLE", pa.float64(), [1e308, 5e-324, -0.0, inf, -inf, None]),
    ("BFLOAT", "BINARY_FLOAT", pa.float32(), [1.5, -0.0, inf, None]),
    ("VC", "VARCHAR2(4000)", pa.string(), ["x" * 4000, "\u00fc\U0001f600\u4e2d", " ", None]),
    ("NVC", "NVARCHAR2(100)", pa.string(), ["\u00fc\U0001f600\u4e2d", None]),
    ("PADDED", "CHAR(5)", pa.string(), ["ab   ", "abcde", None]),
    ("BIGTEXT", "CLOB", pa.string(), ["x" * 100_000, "\U0001f600" * 1000, None]),
    ("NBIGTEXT", "NCLOB", pa.string(), ["\u4e2d" * 5000, None]),
    ("RAWS", "RAW(2000)", pa.binary(), [b"\x00" * 2000, b"\xff", None]),
    ("BLOBS", "BLOB", pa.binary(), [bytes(range(256)) * 1000, None]),
    ("DAYS", "DATE", pa.timestamp("us"), [FIRST, LAST, MOMENT.replace(microsecond=0), None]),
    ("TS0", "TIMESTAMP(0)", pa.timestamp("us"), [FIRST, LAST]),
    ("TS6", "TIMESTAMP(6)", pa.timestamp("us"), [LAST.replace(microsecond=999_999), MOMENT, None]),
    ("TRUTH", "BOOLEAN", pa.bool_(), [True, False, None]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "database_type", "arrow", "values"), EXACT, ids=[one[0] for one in EXACT])
def test_values_arrive_exactly(lake, name, database_type, arrow, values):
    column = extracted(lake, table(lake.server, name, database_type, values))
    assert column.type == arrow
    assert [repr(value) for value in column.to_pylist()] == [repr(padded(value, arrow)) for value in values]


def padded(value: object, arrow: pa.DataType) -> object:
    """A decimal with the zeros that its type's scale shows."""
    if not isinstance(value, Decimal):
        return value
    with localcontext(prec=80):
        return value.quantize(Decimal(1).scaleb(-arrow.scale))


def test_timestamps_with_a_zone_become_instants_and_keep_their_offset_on_request(lake):
    values = [MOMENT.replace(tzinfo=HALF_PAST_FIVE), MOMENT.replace(tzinfo=UTC), None]
    entry = table(lake.server, "ZONED", "TIMESTAMP(6) WITH TIME ZONE", values)
    column = extracted(lake, entry, source={"zone_offsets": True})
    assert column.type == pa.timestamp("us", tz="UTC")
    assert column.to_pylist() == values
    offsets = lake.published("ZONED").sort_by("N").column("C_OFFSET").to_pylist()
    assert offsets == ["+05:30", "+00:00", None]


@pytest.mark.parametrize("limit", [128, 30])
def test_the_offset_of_a_column_with_a_name_of_maximum_length_is_read(lake, limit):
    name = "\u00dc" * 10 + "X" * (limit - 20)
    value = MOMENT.replace(tzinfo=HALF_PAST_FIVE)
    columns = [("N", "NUMBER(9)"), (name, "TIMESTAMP(6) WITH TIME ZONE")]
    lake.server.create_table("T", f"LONG_{limit}", columns, [(1, value)])
    lake.server.set(identifier_bytes=limit)
    try:
        lake.configure({"schema_name": "T", "table_name": f"LONG_{limit}"}, source={"zone_offsets": True})
        assert lake.run().exit_code == 0
    finally:
        lake.server.set(identifier_bytes=128)
    (row,) = lake.published(f"LONG_{limit}").to_pylist()
    assert (row[name], row[f"{name}_OFFSET"]) == (value, "+05:30")


def test_nan_and_minus_zero_keep_their_values(lake):
    found = extracted(lake, table(lake.server, "NANS", "BINARY_DOUBLE", [nan, -0.0])).to_pylist()
    assert isnan(found[0])
    assert copysign(1, found[1]) == -1


def test_an_empty_string_is_null_and_padding_can_be_cut(lake):
    assert extracted(lake, table(lake.server, "EMPTY1", "VARCHAR2(5)", ["", "x"])).to_pylist() == [None, "x"]
    entry = table(lake.server, "CUT", "CHAR(5)", ["ab", "abcde"])
    assert extracted(lake, entry, source={"trim_char": True}).to_pylist() == ["ab", "abcde"]


@pytest.mark.parametrize("database_type", ["CHAR(5)", "NCHAR(5)"])
def test_a_text_of_blanks_is_trimmed_to_an_empty_text_and_never_to_null(lake, database_type):
    name = f"BLANKS_{database_type[0]}"
    lake.server.create_table("T", name, [("N", "NUMBER(9)"), ("C", database_type, "NOT NULL")], [(0, " "), (1, " x")])
    rules = {"N": {"type": "int"}, "C": {"type": "str"}}  # str: NULL would break the schema
    entry = {"schema_name": "T", "table_name": name, "columns": rules}
    assert extracted(lake, entry, source={"trim_char": True}).to_pylist() == ["", " x"]


def test_null_stays_null_if_padding_is_trimmed(lake):
    entry = table(lake.server, "NOTHING", "CHAR(3)", [None, " "])
    assert extracted(lake, entry, source={"trim_char": True}).to_pylist() == [None, ""]


def test_an_empty_lob_arrives_from_the_driver_as_null(lake, bare):
    """docs/oracle.md says so. The server knows the difference."""
    lake.server.sql("CREATE TABLE T.EMPTYLOB (N NUMBER(9), C CLOB)")
    lake.server.sql("INSERT INTO T.EMPTYLOB VALUES (1, EMPTY_CLOB())")
    assert lake.server.sql("SELECT COUNT(C), SUM(DBMS_LOB.GETLENGTH(C)) FROM T.EMPTYLOB") == [(1, 0)]
    assert by_driver(bare, "SELECT C FROM T.EMPTYLOB", pa.large_string()).to_pylist() == [None]
    assert extracted(lake, {"schema_name": "T", "table_name": "EMPTYLOB"}).to_pylist() == [None]


def test_a_timestamp_before_the_year_1_is_refused_by_name(lake):
    lake.server.sql("CREATE TABLE T.BC (N NUMBER(9), C DATE)")
    lake.server.sql("INSERT INTO T.BC VALUES (1, TO_DATE('-0044-03-15', 'SYYYY-MM-DD'))")
    said = refusal(lake, {"schema_name": "T", "table_name": "BC"})
    assert says(said, "oracle.value_is_refused", where="column C (DATE)", value="-0044-03-15...")
    assert "custom_query" in said


@pytest.mark.parametrize("database_type", ["NVARCHAR2(10)", "NCLOB", "VARCHAR2(10)"])
def test_invalid_text_is_reported_with_its_column_and_not_as_a_date(lake, database_type):
    name = f"NOTEXT_{database_type[:4]}"
    rows = [(1, FIRST, "fine", "bad")]
    columns = [("N", "NUMBER(9)"), ("D", "DATE"), ("A", "NVARCHAR2(10)"), ("C", database_type)]
    lake.server.create_table("T", name, columns, rows)
    lake.server.fault("garble", match=f'"{name}"', column="C", times=None)
    try:
        said = refusal(lake, {"schema_name": "T", "table_name": name})
    finally:
        lake.server.clear_faults()
    assert says(said, "sources.column_and_type", column="C", type=database_type)
    assert "valid" in said.partition(" | ")[0]
    assert "DUMP" in said.partition(" | ")[2]
    assert "date" not in said


def test_a_timestamp_before_the_calendar_in_utc_is_reported_with_its_column_and_value(lake):
    said = beyond_the_calendar(lake, "FIRST", "0001-01-01 00:00:00 +05:00")
    assert says(said, "oracle.value_is_refused", value="-0001-12-31 19:00:00")
    assert says(said, "oracle.before_the_year_1_in_utc")


def test_a_timestamp_after_the_calendar_in_utc_is_reported_with_its_column_and_code(lake):
    assert "ORA-01841" in beyond_the_calendar(lake, "LAST", "9999-12-31 23:59:59 -08:00")


def beyond_the_calendar(lake: Lake, name: str, value: str) -> str:
    """The failure of a table whose column C has a moment that no calendar of ours has in UTC."""
    zoned = "TIMESTAMP(6) WITH TIME ZONE"
    lake.server.sql(f"CREATE TABLE T.{name} (N NUMBER(9), A DATE, B {zoned}, C {zoned})")
    moment = f"TO_TIMESTAMP_TZ('{value}', 'YYYY-MM-DD HH24:MI:SS TZH:TZM')"
    fine = "TO_TIMESTAMP_TZ('2026-01-05 00:00:00 +00:00', 'YYYY-MM-DD HH24:MI:SS TZH:TZM')"
    lake.server.sql(f"INSERT INTO T.{name} VALUES (1, DATE '2026-01-05', {fine}, {moment})")
    said = refusal(lake, {"schema_name": "T", "table_name": name})
    assert says(said, "sources.column_and_type", column="C", type=zoned)
    assert "custom_query" in said
    return said


def test_a_chunking_key_that_the_driver_cannot_read_is_named(lake):
    lake.server.sql("CREATE TABLE T.KEYED (N NUMBER(9), D DATE, A NVARCHAR2(10))")
    lake.server.sql("INSERT INTO T.KEYED VALUES (1, TO_DATE('-0044-03-15', 'SYYYY-MM-DD'), 'a')")
    lake.server.sql("INSERT INTO T.KEYED VALUES (2, DATE '2026-01-05', 'b')")
    entry = {"schema_name": "T", "table_name": "KEYED"}
    by_date = {**entry, "chunking": {"strategy": "key", "column": "D", "target_rows": 1}}
    said = refusal(lake, by_date)
    assert says(said, "oracle.chunking_key", column="D", type="DATE")
    assert "year -44" in said
    assert "chunking.strategy" in said
    lake.server.fault("garble", match="NTILE", column="MIN(K)", times=None)
    try:
        said = refusal(lake, {**entry, "chunking": {"strategy": "key", "column": "A", "target_rows": 1}})
    finally:
        lake.server.clear_faults()
    assert says(said, "oracle.chunking_key", column="A", type="NVARCHAR2(10)")
    assert says(said, "oracle.bytes_are_not_valid")


def test_nanoseconds_are_refused_until_the_configuration_says_how(lake):
    lake.server.sql("CREATE TABLE T.NANO (N NUMBER(9), C TIMESTAMP(9))")
    lake.server.sql("INSERT INTO T.NANO VALUES (1, TIMESTAMP '2026-01-05 01:02:03.123456789')")
    entry = {"schema_name": "T", "table_name": "NANO"}
    assert says(refusal(lake, entry), "sources.column_and_type", column="C", type="TIMESTAMP(9)")
    said = refusal(lake, entry, source={"fractional_seconds": "us"})
    assert says(said, "oracle.value_is_refused", value="2026-01-05 01:02:03.123456789")
    assert says(said, "oracle.does_not_fit")
    column = extracted(lake, entry, source={"fractional_seconds": "ns"})
    assert column.cast(pa.int64()).to_pylist() == [1767574923123456789]


def test_the_bare_driver_loses_nanoseconds(lake, bare):
    lake.server.sql("CREATE TABLE T.NANO2 (C TIMESTAMP(9))")
    lake.server.sql("INSERT INTO T.NANO2 VALUES (TIMESTAMP '2026-01-05 01:02:03.123456789')")
    assert by_driver(bare, "SELECT C FROM T.NANO2", pa.timestamp("ns")).cast(pa.int64()).to_pylist() == [
        1767574923123456000
    ]


def by_driver(bare, query: str, kind: pa.DataType) -> pa.Array:
    frame = bare.fetch_df_all(query, requested_schema=pa.schema([pa.field("C", kind)]))
    return pa.array(frame.column_arrays()[0])


WIDE = Decimal("99999999999999999999999999999.1")


def test_the_bare_driver_wraps_a_wide_number_and_a_run_names_it(lake, bare):
    entry = table(lake.server, "WIDE", "NUMBER", [WIDE])
    assert by_driver(bare, "SELECT C FROM T.WIDE", pa.decimal128(38, 10)).to_pylist() != [WIDE], "the hazard is gone"
    said = refusal(lake, entry)
    assert says(said, "oracle.value_is_refused", where="column C (NUMBER)", value=f"{WIDE}...")


def test_the_bare_driver_wraps_39_digits_even_in_256_bits_and_a_run_names_them(lake, bare):
    entry = table(lake.server, "HUGE", "NUMBER", [Decimal("9e38")])
    assert by_driver(bare, "SELECT C FROM T.HUGE", pa.decimal256(76, 38)).to_pylist() != [Decimal("9e38")]
    said = refusal(lake, entry)
    assert says(said, "oracle.value_is_refused", where="column C (NUMBER)", value="9...")
    assert says(said, "oracle.declare_a_str", column="C")
    columns = {"N": {"type": "int"}, "C": {"type": "str"}}
    assert Decimal(extracted(lake, {**entry, "columns": columns}).to_pylist()[0]) == Decimal("9e38")


def test_the_bare_driver_truncates_fractions_times_and_bits_and_a_run_does_not(lake, bare):
    number = table(lake.server, "FRACTION", "NUMBER", [Decimal("1.5")])
    assert by_driver(bare, "SELECT C FROM T.FRACTION", pa.int64()).to_pylist() == [1]
    said = refusal(lake, {**number, "columns": {"N": {"type": "int"}, "C": {"type": "int"}}})
    assert says(said, "oracle.does_not_fit", type="int64")
    moment = table(lake.server, "WITHTIME", "DATE", [MOMENT.replace(microsecond=0)])
    assert by_driver(bare, "SELECT C FROM T.WITHTIME", pa.date32()).to_pylist() == [MOMENT.date()]
    as_date = {"N": {"type": "int"}, "C": {"type": "date"}}
    assert says(refusal(lake, {**moment, "columns": as_date}), "oracle.has_a_time_of_day")
    days = table(lake.server, "WITHOUTTIME", "DATE", [datetime.combine(date(2026, 1, 5), FIRST.time())])
    assert extracted(lake, {**days, "columns": as_date}).to_pylist() == [date(2026, 1, 5)]
    assert by_driver(bare, "SELECT CAST(0.1 AS BINARY_DOUBLE) C FROM DUAL", pa.float32()).to_pylist() != [0.1]
    exact = table(lake.server, "WITHMICROS", "TIMESTAMP(6)", [MOMENT])
    assert by_driver(bare, "SELECT C FROM T.WITHMICROS", pa.timestamp("ms")).to_pylist() != [MOMENT]
    assert extracted(lake, exact).to_pylist() == [MOMENT]
    double = table(lake.server, "DOUBLE", "BINARY_DOUBLE", [0.1])
    assert extracted(lake, double).to_pylist() == [0.1]


numbers = st.builds(
    lambda digits, exponent: Decimal(f"{digits}E{exponent}"),
    st.integers(-(10**38) + 1, 10**38 - 1),
    st.integers(-80, 60),
)


@pytest.fixture(scope="module")
def numbers_session(server):
    server.sql("CREATE TABLE T.NUMBERS (C NUMBER)")
    with opened(server) as session:
        yield session


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(numbers, min_size=1, max_size=6))
@example(values=[Decimal("9e37"), Decimal("1e-38")])
@example(values=[Decimal("1e-39")])
def test_no_number_changes_silently(server, numbers_session, values):
    """Each value of a NUMBER is delivered exactly, or the read fails and names a value."""
    server.sql("DELETE FROM T.NUMBERS")
    server.insert("T", "NUMBERS", [(value,) for value in values])
    stored = [Decimal(value) for (value,) in server.rows("T", "NUMBERS")]
    relation = Relation(schema_name="T", table_name="NUMBERS")
    read = "decimal256(76, 38)"
    columns = (PlannedColumn(name="C", database_type="NUMBER", read_type=read, arrow_type=read),)
    snapshot = numbers_session.take_snapshot(relation)
    what = ReadSpec(relation=relation, snapshot=snapshot, scope=Scope(mode=ExtractionMode.FULL), columns=columns)
    with localcontext(prec=200):
        fits = all(-(10**38) < value < 10**38 and value == value.quantize(Decimal("1e-38")) for value in stored)
    try:
        batches = list(numbers_session.read(what, Chunk(chunk_id=0), batch_rows=100))
    except DataError as error:
        named = error.message
    else:
        assert fits
        assert sorted(value for batch in batches for value in batch.column(0).to_pylist()) == sorted(stored)
        return
    assert not fits
    assert says(named, "oracle.value_is_refused", where="column C (NUMBER)")


def test_an_altered_table_is_described_again_in_the_same_session(server, numbers_session):
    relation = Relation(schema_name="T", table_name="ALTERED")
    server.create_table("T", "ALTERED", [("A", "NUMBER(9)")])
    assert [one.database_type for one in numbers_session.describe(relation)] == ["NUMBER(9)"]
    server.sql("DROP TABLE T.ALTERED")
    server.create_table("T", "ALTERED", [("A", "VARCHAR2(5)"), ("B", "DATE")])
    assert [one.database_type for one in numbers_session.describe(relation)] == ["VARCHAR2(5)", "DATE"]


@st.composite
def declared_numbers(draw: st.DrawFn) -> tuple[int, int, list[Decimal]]:
    """A precision, a scale, and numbers with exactly so many digits, including the largest."""
    precision, scale = draw(st.integers(1, 38)), draw(st.integers(-84, 127) | st.integers(-3, 10))
    most = 10**precision - 1
    digits = st.lists(st.sampled_from([most, -most, 0, 1]) | st.integers(-most, most), min_size=1, max_size=6)
    return precision, scale, [Decimal(f"{number}E{-scale}") for number in draw(digits)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(declared=declared_numbers())
@example(declared=(38, 0, [Decimal(NINES), Decimal(f"-{NINES}")]))
@example(declared=(38, 38, [Decimal(f"0.{NINES}")]))
@example(declared=(1, -38, [Decimal("9e38")]))
def test_no_declared_number_changes_silently(server, numbers_session, declared):
    """Each value of a NUMBER(p,s) is delivered exactly, or the column is refused before anything is read."""
    precision, scale, values = declared
    server.sql("DROP TABLE IF EXISTS T.DECLARED")
    server.create_table("T", "DECLARED", [("C", f"NUMBER({precision},{scale})")], [(value,) for value in values])
    relation = Relation(schema_name="T", table_name="DECLARED")
    digits = max(precision, scale) if scale >= 0 else precision - scale
    met = compare(numbers_session.describe(relation), None)
    if digits > 38:
        (refused,) = met.refused
        assert says(str(refused), "oracle.needs_digits", digits=digits)
        return
    assert not met.refused
    snapshot = numbers_session.take_snapshot(relation)
    what = ReadSpec(relation=relation, snapshot=snapshot, scope=Scope(mode=ExtractionMode.FULL), columns=met.columns)
    batches = list(numbers_session.read(what, Chunk(chunk_id=0), batch_rows=100))
    read = [Decimal(value) for batch in batches for value in batch.column(0).to_pylist()]
    assert sorted(read) == sorted(values)
