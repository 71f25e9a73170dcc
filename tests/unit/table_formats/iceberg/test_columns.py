"""Which columns an Iceberg table can have, how files without ids of columns are read, and that no bound hides a row."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from statekeeper.errors import DataError, StorageError
from statekeeper.parquet.types import parse_type
from statekeeper.table_formats.iceberg import sequences
from statekeeper.table_formats.iceberg.names import PROPERTY
from statekeeper.table_formats.iceberg.types import why_unsupported
from statekeeper.table_formats.protocol import Change
from tests.messages import message, raises_message, says
from tests.unit.table_formats.iceberg.places import DAY, ICEBERG, SCHEMA, LocalTable, rows_of

NOON = datetime(2026, 1, 6, 12, 0, 0)  # noqa: DTZ001 - a column without a zone
VALUES = {
    "int8": (-1, 7),
    "int16": (-1, 7),
    "int32": (-1, 7),
    "int64": (-(2**63), 2**63 - 1),
    "float": (-1.5, 2.25),
    "double": (-1.5, 1e300),
    "string": ("a", "é" * 20),
    "binary": (b"\x00", b"\xfe" * 20),
    "bool": (False, True),
    "date32[day]": (date(1, 1, 1), date(9999, 12, 31)),
    "time64[us]": (time(0, 0, 0, 1), time(23, 59, 59, 999999)),
    "timestamp[s]": (NOON, NOON + timedelta(days=1)),
    "timestamp[ms]": (NOON, NOON + timedelta(milliseconds=1)),
    "timestamp[us]": (NOON, NOON + timedelta(microseconds=1)),
    "timestamp[us, tz=UTC]": (NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=UTC) + timedelta(days=1)),
    "decimal128(5, 2)": (Decimal("-1.25"), Decimal("999.99")),
    "decimal128(18, 0)": (Decimal(-1), Decimal(10**18 - 1)),
    "decimal128(38, 10)": (Decimal("-1.5"), Decimal("12345678901234567890.0123456789")),
}
STORED = {
    **dict.fromkeys(("int8", "int16"), pa.int32()),
    **dict.fromkeys(("timestamp[s]", "timestamp[ms]"), pa.timestamp("us")),
}


@pytest.fixture
def orders(tmp_path):
    return LocalTable(tmp_path)


def test_every_value_of_every_type_comes_back_and_is_found_by_its_bounds(orders):
    columns = pa.schema([(f"c {name}", parse_type(name)) for name in VALUES])
    arrays = [pa.array(values, parse_type(name)) for name, values in VALUES.items()]
    table = pa.table(arrays, columns)
    stored = orders.create(columns, is_by_date=False).columns
    assert stored == pa.schema([(f"c {name}", STORED.get(name, parse_type(name))) for name in VALUES])
    orders.add("a.parquet", table, day=None, a=1)
    assert orders.rows() == sorted(table.cast(stored).to_pylist(), key=str)
    bounds = orders.reader().inspect.files()["readable_metrics"][0].as_py()
    for name, (least, most) in VALUES.items():
        found = bounds[f"c {name}"]
        assert (found["value_count"], found["null_value_count"]) == (2, 0), name
        assert found["lower_bound"] == least, name
        cut = name in {"string", "binary"}  # to 16, and the upper one is the next greater
        assert found["upper_bound"] > most if cut else found["upper_bound"] == most, name


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        *((name, message("table_formats.iceberg_lacks_unsigned")) for name in ("uint8", "uint16", "uint32", "uint64")),
        ("timestamp[ns]", message("table_formats.iceberg_lacks_nanoseconds")),
        ("decimal256(60, 2)", message("table_formats.iceberg_lacks_long_decimals")),
    ],
)
def test_a_type_that_iceberg_lacks_is_refused(kind, why):
    assert says(why_unsupported(parse_type(kind)), why)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (pa.time32("ms"), message("table_formats.iceberg_lacks_other_times")),
        (pa.timestamp("us", tz="Europe/Berlin"), message("table_formats.iceberg_lacks_zones")),
        (pa.month_day_nano_interval(), message("table_formats.iceberg_lacks_intervals")),
        (pa.list_(pa.int64()), message("table_formats.iceberg_lacks_intervals")),
    ],
)
def test_a_type_of_another_source_is_refused(kind, why):
    assert says(why_unsupported(kind), why)


def test_a_bound_never_leaves_out_a_row_group_that_has_none(orders):
    """Parquet has no bounds for a row group with a long text; pyiceberg took those of the others."""
    orders.create(is_by_date=False)
    last = "z" * 5000
    table = pa.table({"id": [1, 2, 3], "name": ["a", None, last]}, schema=SCHEMA)
    file = orders.put("a.parquet", table, row_group_size=1)
    orders.find().commit(Change([file], [], {"a": 1}))
    scan = orders.reader().scan(f"name = '{last}'")
    assert scan.to_arrow()["id"].to_pylist() == [3]
    metrics = orders.reader().inspect.files()["readable_metrics"][0].as_py()
    assert (metrics["name"]["upper_bound"], metrics["name"]["null_value_count"]) == (None, 1)
    assert metrics["id"]["upper_bound"] == 3


def test_a_timestamp_that_python_cannot_hold_has_counts_alone(orders):
    columns = pa.schema([("at", pa.timestamp("us"))])
    orders.create(columns, is_by_date=False)
    orders.add("a.parquet", pa.table({"at": pa.array([0, 2**62], pa.int64()).cast(pa.timestamp("us"))}), day=None, a=1)
    (file,) = orders.reader().inspect.data_files()["readable_metrics"].to_pylist()
    assert (file["at"]["value_count"], file["at"]["upper_bound"]) == (2, None)


def test_a_column_is_read_by_the_name_that_files_have_after_a_rename(orders):
    orders.create()
    orders.add("a.parquet", rows_of(1), a=1)
    with orders.reader().update_schema() as update:
        update.rename_column("name", "title")
    with raises_message(DataError, "table_formats.iceberg_column_is_null", column="extra"):
        orders.add("b.parquet", rows_of(2).append_column("extra", pa.array([1])), a=2)
    orders.add("b.parquet", rows_of(2), a=2)
    assert [row["title"] for row in orders.rows()] == ["x", "x"]


def test_a_name_mapping_that_another_program_removed_is_set_again(orders):
    orders.create()
    with orders.reader().transaction() as transaction:
        transaction.remove_properties(PROPERTY)
    orders.find().add_columns(pa.schema([("a.b", pa.int64())]))
    with orders.reader().transaction() as transaction:
        transaction.remove_properties(PROPERTY)
    orders.add("a.parquet", rows_of(1).append_column("a.b", pa.array([5])), a=1)
    assert [(row["id"], row["a.b"]) for row in orders.rows()] == [(1, 5)]


def test_a_file_whose_type_the_table_cannot_hold_is_refused_and_a_narrower_one_is_read(orders):
    orders.create(is_by_date=False)
    narrow = rows_of(1).set_column(0, "id", pa.array([1], pa.int16()))
    orders.add("a.parquet", narrow, day=None, a=1)
    wrong = rows_of(1).set_column(0, "id", pa.array([1.5]))
    with raises_message(DataError, "table_formats.iceberg_other_type", column="id", kind="double", stored="long"):
        orders.add("b.parquet", wrong, day=None, a=2)
    assert [row["id"] for row in orders.rows()] == [1]


def test_a_column_that_was_dropped_and_added_again_is_not_read_as_null(orders):
    orders.create()
    with orders.reader().update_schema() as update:
        update.delete_column("name")
    with orders.reader().update_schema() as update:
        update.add_column("name", orders.find().table.schemas()[0].find_type("name"))
    orders.add("a.parquet", rows_of(1), a=1)
    assert orders.rows()[0]["name"] == "x"


@pytest.mark.parametrize(
    ("kind", "column", "fits"),
    [
        ("int8", "int32", True),
        ("int32", "int64", True),
        ("int64", "int32", False),
        ("int32", "double", False),
        ("float", "double", True),
        ("decimal128(9, 2)", "decimal128(12, 2)", True),
        ("decimal128(9, 2)", "decimal128(12, 3)", False),
        ("timestamp[ms]", "timestamp[us]", True),
        ("timestamp[us]", "timestamp[us, tz=UTC]", False),
        ("string", "string", True),
        ("string", "uint8", False),
    ],
)
def test_a_column_is_read_from_files_whose_type_it_holds_exactly(kind, column, fits):
    assert ICEBERG.is_read_as(parse_type(kind), parse_type(column)) is fits


def test_a_widened_column_shows_the_values_of_narrower_files(orders):
    narrow = pa.schema([("id", pa.int32()), ("price", pa.decimal128(5, 2)), ("rate", pa.float32())])
    wide = pa.schema([("id", pa.int64()), ("price", pa.decimal128(20, 2)), ("rate", pa.float64())])
    orders.create(narrow, is_by_date=False)
    small = pa.table({"id": [1, 2], "price": [Decimal("1.25"), Decimal("2.5")], "rate": [0.5, 1.5]}).cast(narrow)
    orders.add("a.parquet", small, day=None, a=1)
    widened = orders.find().widened(wide)
    assert widened.columns == wide
    large = pa.table({"id": [2**40], "price": [Decimal("123456789.25")], "rate": [1e300]}).cast(wide)
    orders.add("b.parquet", large, day=None, a=2)
    expected = pa.concat_tables([small.cast(wide), large]).to_pylist()
    assert orders.rows() == sorted(expected, key=str)
    for filtered in ("id > 1", "price > 1.25", "rate > 0.5"):
        assert orders.reader().scan(filtered).to_arrow().num_rows == 2, filtered
    with raises_message(StorageError, "table_formats.iceberg_cannot_be", action="widen columns of"):
        orders.find().widened(narrow)


def test_a_table_forgets_the_sequences_that_are_the_longest_ago(orders):
    orders.create()
    for number, name in enumerate("abcb", 1):
        orders.add(f"{number}.parquet", rows_of(number), **{name: number})
    table = orders.reader()
    assert sequences.outdated(table, ["d"], kept=3) == ["statekeeper.sequence.a"]
    assert sequences.outdated(table, ["d"], kept=2) == ["statekeeper.sequence.a", "statekeeper.sequence.c"]
    assert sequences.outdated(table, ["a"], kept=3) == []
    assert sequences.outdated(table, ["d"]) == []


def test_a_commit_removes_what_a_table_forgets(orders, monkeypatch):
    orders.create()
    orders.add("1.parquet", rows_of(1), a=1)
    monkeypatch.setattr(sequences.outdated, "__kwdefaults__", {"kept": 1})
    orders.add("2.parquet", rows_of(2), day=DAY, b=1)
    assert [name for name in orders.reader().properties if name.startswith(sequences.PREFIX)] == [
        "statekeeper.sequence.b"
    ]
    assert orders.find().sequence("a") == 1  # its snapshot is there still
