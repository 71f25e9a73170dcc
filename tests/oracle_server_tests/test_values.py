"""Values of every type, through the unmodified driver."""

import datetime as dt
import math
from decimal import Decimal

import oracledb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle_server import OracleServer
from tests.oracle_server.wire import columns, rowids, scalars

UTC = dt.UTC
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
EVERY_TYPE = [
    ("I9", "NUMBER(9)", [123456789, -1, 0]),
    ("I38", "NUMBER(38)", [10**38 - 1, -(10**38) + 1, 10**37]),
    ("P92", "NUMBER(9,2)", [Decimal("-1234567.89"), Decimal("0.01"), Decimal(0)]),
    ("N", "NUMBER", [Decimal("1.5E-50"), Decimal("9.99999999999999999999999999999999999999E125"), Decimal("-0.1")]),
    ("LEAST", "NUMBER", [Decimal("1E-130"), Decimal("-1E-130"), None]),
    ("NEG", "NUMBER(5,-2)", [Decimal(12300), Decimal(-9999900), Decimal(0)]),
    ("TINY", "NUMBER(3,5)", [Decimal("0.00999"), Decimal("-0.00001"), None]),
    ("F", "FLOAT", [Decimal("3.14159"), Decimal("1E-10"), None]),
    ("BD", "BINARY_DOUBLE", [-0.0, math.inf, 2.5]),
    ("BF", "BINARY_FLOAT", [1.5, -math.inf, -2.25]),
    ("CH", "CHAR(5)", ["ab   ", "abcde", None]),
    ("VC", "VARCHAR2(4000)", ["x" * 4000, "\u00e9\U0001f600", "a'b"]),
    ("NC", "NCHAR(4)", ["n\u00e9  ", "abcd", None]),
    ("NV", "NVARCHAR2(100)", ["h\u00e9llo\U0001f600", "z", None]),
    ("R", "RAW(30)", [b"\x01\xff", b"\x00", None]),
    ("DA", "DATE", [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59), dt.datetime(2024, 2, 29, 1, 2, 3)]),
    ("TS", "TIMESTAMP(6)", [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), None]),
    ("TS3", "TIMESTAMP(3)", [dt.datetime(1969, 12, 31, 23, 59, 59, 999000), dt.datetime(2000, 1, 1), None]),
    ("LTZ", "TIMESTAMP(6) WITH LOCAL TIME ZONE", [dt.datetime(2020, 1, 1, 12), dt.datetime(1900, 1, 1), None]),
    ("B", "BOOLEAN", [True, False, None]),
    ("DS", "INTERVAL DAY TO SECOND", [dt.timedelta(days=-1, hours=-2, microseconds=-5), dt.timedelta(days=1), None]),
    ("CL", "CLOB", ["c" * 100_000, "short \u00e9", None]),
    ("NCL", "NCLOB", ["n\u00e9" * 10, None, "q"]),
    ("BL", "BLOB", [b"\x00\x01" * 50_000, b"q", None]),
    ("LO", "LONG", ["long" * 20_000, "x", None]),
    ("LR", "LONG RAW", [b"raw" * 20_000, b"x", None]),
    ("RI", "ROWID", ["AAAE4hAAFAAAACAAAB", "AAAE4hAAFAAAAC+AAB", None]),
]  # fmt: skip


@pytest.fixture(scope="module")
def everything(server):
    columns_of = [(name, declared) for name, declared, _ in EVERY_TYPE]
    rows = [*zip(*(values for _, _, values in EVERY_TYPE), strict=True), (None,) * len(EVERY_TYPE)]
    server.create_table("APP", "EVERYTHING", columns_of, rows)
    return server


@pytest.mark.parametrize(("name", "values"), [(name, values) for name, _, values in EVERY_TYPE])
def test_every_type_arrives_as_it_was_stored(everything, cursor, name, values):
    exact = oracledb.defaults.fetch_decimals, oracledb.defaults.fetch_lobs
    oracledb.defaults.fetch_decimals, oracledb.defaults.fetch_lobs = True, False
    try:
        got = [row[0] for row in cursor.execute(f"select {name} from everything order by rowid").fetchall()]
    finally:
        oracledb.defaults.fetch_decimals, oracledb.defaults.fetch_lobs = exact
    assert got == [*values, None]


def test_minus_zero_and_nan_keep_their_bits(server, cursor):
    server.create_table("APP", "ODD", [("D", "BINARY_DOUBLE")], [(-0.0,), (math.nan,)])
    zero, nan = (row[0] for row in cursor.execute("select d from odd order by rowid"))
    assert math.copysign(1, zero) == -1
    assert math.isnan(nan)


def test_what_is_less_than_the_least_number_is_zero_and_what_is_more_than_the_most_an_error(cursor):
    assert cursor.execute("select 1E-131, 1E-130 * 10 from dual").fetchone() == (0, 1e-129)
    with pytest.raises(oracledb.DatabaseError, match="ORA-01426"):
        cursor.execute("select 1E126 from dual")


def test_data_frames_hold_the_same_values(everything, connection):
    schema = pa.schema([("I9", pa.int64()), ("I38", pa.decimal128(38, 0)), ("P92", pa.decimal128(9, 2)), ("VC",
    pa.string()),
                        ("DA", pa.timestamp("us")), ("CL", pa.large_string()), ("BL", pa.large_binary())])  # fmt: skip
    sql = f"select {', '.join(schema.names)} from everything order by rowid"
    tables = [pa.table(frame) for frame in connection.fetch_df_batches(sql, size=2, requested_schema=schema)]
    got = pa.concat_tables(tables)
    stored = {name: values for name, _, values in EVERY_TYPE}
    assert got.schema.types == schema.types
    for name in schema.names:
        assert got.column(name).to_pylist() == [*stored[name], None]


def test_lobs_are_read_piece_by_piece_through_locators(everything, cursor):
    text, bytes_ = cursor.execute("select cl, bl from everything order by rowid fetch first 1 rows only").fetchone()
    assert (text.size(), text.read(99_998, 10), bytes_.size(), bytes_.read(3, 2)) == (
        100_000,
        "ccc",
        100_000,
        b"\x00\x01",
    )


def test_time_zones_come_as_utc_and_as_offset(server, cursor):
    server.create_table(
        "APP", "ZONES", [("TZ", "TIMESTAMP(6) WITH TIME ZONE")], [(dt.datetime(2020, 1, 1, 12, tzinfo=INDIA),), (None,)]
    )
    sql = """select tz, sys_extract_utc(tz), extract(timezone_hour from tz), extract(timezone_minute from tz),
             to_char(tz, 'YYYY-MM-DD"T"HH24:MI:SSTZH:TZM') from zones order by rowid"""
    first, second = cursor.execute(sql).fetchall()
    assert first == (dt.datetime(2020, 1, 1, 12), dt.datetime(2020, 1, 1, 6, 30), 5, 30, "2020-01-01T12:00:00+05:30")
    assert second == (None,) * 5


def test_local_time_zone_follows_the_session(everything, connection, cursor):
    cursor.execute("alter session set time_zone = '+02:00'")
    assert cursor.execute("select ltz from everything order by rowid").fetchone()[0] == dt.datetime(2020, 1, 1, 14)


@pytest.mark.parametrize(("zone", "hour"), [("Asia/Kolkata", 5), ("-03:0", -3), ("DBTIMEZONE", 0), ("local", 0)])
def test_a_session_begins_in_the_time_zone_of_its_clients_environment(server, monkeypatch, zone, hour):
    monkeypatch.setenv("ORA_SDTZ", zone)
    with oracledb.connect(**server.credentials) as opened, opened.cursor() as cursor:
        assert cursor.execute("select extract(timezone_hour from current_timestamp) from dual").fetchone() == (hour,)


def test_a_time_zone_that_is_none_is_the_logons_error_and_the_server_serves_on(server, monkeypatch):
    monkeypatch.setenv("ORA_SDTZ", "Nowhere/Land")
    with pytest.raises(oracledb.DatabaseError, match="ORA-01882"):
        oracledb.connect(**server.credentials)
    assert server.logons()[-1]["error"] == 604
    monkeypatch.delenv("ORA_SDTZ")
    with oracledb.connect(**server.credentials) as opened:
        opened.ping()


def test_a_date_before_christ_reaches_the_driver_which_refuses_it(server, cursor):
    server.create_table("APP", "ANCIENT", [("D", "DATE")], [("-0044-03-15",)])
    assert cursor.execute("select to_char(d, 'SYYYY-MM-DD') from ancient").fetchone()[0] == "-0044-03-15"
    with pytest.raises(ValueError, match="year -44"):
        cursor.execute("select d from ancient").fetchall()
    assert cursor.execute("select 1 from dual").fetchone() == (1,), "the connection lives on"


def test_an_empty_string_is_null(server, cursor):
    server.create_table("APP", "EMPTY", [("A", "VARCHAR2(10)"), ("B", "NUMBER(3)")], [("", 1)])
    assert cursor.execute("select b from empty where a is null").fetchall() == [(1,)]
    cursor.execute("insert into empty values (:1, 2)", [""])
    assert cursor.execute("select count(*) from empty where a is null").fetchone() == (2,)


def test_rows_may_be_inserted_in_bulk_with_long_values(server, connection, cursor):
    server.create_table("APP", "BULK", [("ID", "NUMBER(9)"), ("C", "CLOB"), ("D", "DATE"), ("B", "BLOB")])
    rows = [(n, "t" * n * 1000, dt.datetime(2020, 1, 1 + n), b"b" * n) for n in range(20)]
    cursor.setinputsizes(None, oracledb.DB_TYPE_LONG, None, oracledb.DB_TYPE_LONG_RAW)
    cursor.executemany("insert into bulk values (:1, :2, :3, :4)", rows)
    connection.commit()
    assert cursor.rowcount == 20
    stored = server.rows("APP", "BULK")
    assert stored == [(n, text or None, day, raw or None) for n, text, day, raw in rows]


@pytest.mark.parametrize(
    ("declared", "value", "code"),
    [
        ("NUMBER(3)", 1000, 1438),
        ("VARCHAR2(3)", "abcd", 12899),
        ("VARCHAR2(3)", "\u00e9\u00e9", 12899),
        ("NUMBER(3)", "x", 1722),
    ],
)
def test_values_that_do_not_fit_are_refused(server, cursor, declared, value, code):
    server.sql("drop table if exists app.narrow")
    server.create_table("APP", "NARROW", [("A", declared)])
    with pytest.raises(oracledb.DatabaseError, match=f"ORA-{code:05}"):
        cursor.execute("insert into narrow values (:1)", [value])


numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**39), max_value=10**39) | st.integers(
    -(10**39), 10**39
).map(Decimal) | st.builds(lambda n, e: Decimal(n).scaleb(e), st.integers(-(10**20), 10**20), st.integers(-100,
90))  # fmt: skip


@given(numbers)
def test_number_bytes_hold_forty_digits_and_sort_as_the_numbers(value):
    coded = scalars.encode_number(value)
    back = scalars.decode_number(coded)
    assert len(coded) <= 22
    if len(value.as_tuple().digits) <= 38:
        assert back == value
    other = scalars.encode_number(0)
    assert (coded < other, coded == other) == (back < 0, back == 0)


@given(st.lists(st.none() | st.integers(-(10**18), 10**18), min_size=1), st.integers(0, 18))
def test_whole_columns_are_encoded_as_single_numbers_are(values, scale):
    decimals = [None if value is None else Decimal(value).scaleb(-scale) for value in values]
    got = columns.numbers(pa.array(decimals, pa.decimal128(38, scale))).to_pylist()
    assert got == [b"\x00" if d is None else bytes((len(c := scalars.encode_number(d)),)) + c for d in decimals]


@given(st.integers(0, rowids.LARGEST))
def test_row_ids_survive_their_text(rowid):
    assert rowids.from_text(rowids.to_text(rowid)) == rowid


@pytest.fixture(scope="module")
def free_numbers(server):
    server.create_table("APP", "FREE", [("ID", "NUMBER(9)"), ("N", "NUMBER"), ("P", "NUMBER(38,10)")])
    with oracledb.connect(**server.credentials) as opened:
        yield opened


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.decimals("-1e27", "1e27", places=10), min_size=1, max_size=20))
def test_numbers_of_any_size_cross_the_wire_unchanged(free_numbers, values):
    cursor = free_numbers.cursor()
    oracledb.defaults.fetch_decimals = True
    try:
        cursor.execute("delete from free")
        cursor.executemany("insert into free values (:1, :2, :3)", [(n, v, v) for n, v in enumerate(values)])
        got = cursor.execute("select n, p from free order by id").fetchall()
    finally:
        oracledb.defaults.fetch_decimals = False
    assert got == [(value, value) for value in values]


def test_the_older_release_serves_the_same(everything):
    with (
        OracleServer.start(users={"OLD": "pw"}, release=21) as older,
        oracledb.connect(**older.credentials) as connection,
    ):
        older.create_table("OLD", "T", [("A", "NUMBER"), ("B", "CLOB")], [(Decimal("1.25"), "text"), (None, None)])
        oracledb.defaults.fetch_lobs = False
        try:
            got = connection.cursor().execute("select a, b from t").fetchall()
        finally:
            oracledb.defaults.fetch_lobs = True
        assert connection.version.startswith("21.")
        assert connection.thin
        assert got == [(1.25, "text"), (None, None)]
