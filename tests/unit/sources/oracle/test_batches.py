"""Batches from the driver are checked before they are used."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from statekeeper.errors import DataError
from statekeeper.model.plan import PlannedColumn
from statekeeper.sources.oracle import batches as oracle_batches
from statekeeper.sources.oracle.batches import Projection, delivered
from statekeeper.sources.oracle.types import TypeChoices
from tests.messages import raises_message, says, text_of


def projection(*columns: tuple[str, str, str], choices: TypeChoices | None = None) -> Projection:
    planned = tuple(
        PlannedColumn(name=name, database_type=kind, read_type=read, arrow_type=read) for name, kind, read in columns
    )
    return Projection.of(planned, choices or TypeChoices())


def one(wire: pa.Array, database_type: str, read_type: str) -> pa.Array:
    (batch,) = delivered([wire], projection(("C", database_type, read_type)))
    return batch.column(0)


INT = ("A", "NUMBER(5)", "int64")
TEXT = ("B", "VARCHAR2(5)", "string")


def test_columns_of_unequal_length_are_refused():
    with raises_message(DataError, "oracle.other_number_of_values", column="B", values=1, rows=2):
        list(delivered([pa.array([1, 2]), pa.array(["x"])], projection(INT, TEXT)))


def test_types_that_were_not_asked_for_are_refused():
    with raises_message(DataError, "oracle.other_type", column="A", found="double", expected="int64"):
        list(delivered([pa.array([1.0])], projection(INT)))


def test_a_missing_column_is_refused():
    with raises_message(DataError, "oracle.other_number_of_columns", found=1, expected=2):
        list(delivered([pa.array([1])], projection(INT, TEXT)))


def test_an_empty_result_has_the_planned_types():
    (batch,) = delivered([pa.array([], pa.int64()), pa.array([], pa.string())], projection(INT, TEXT))
    assert batch.num_rows == 0
    assert batch.schema.names == ["A", "B"]


def test_a_value_that_a_guard_found_is_named_with_its_column():
    number = ("N", "NUMBER", "decimal256(76, 38)")
    arrays = [pa.array([Decimal(1), None], pa.decimal256(76, 38)), pa.array([None, "9E+38"])]
    with raises_message(
        DataError,
        "oracle.value_is_refused",
        where="column N (NUMBER)",
        value="9E+38",
        why=text_of("oracle.more_than_38_digits"),
    ) as caught:
        list(delivered(arrays, projection(number)))
    assert says(caught.value.hint, "oracle.declare_a_str", column="N")


def test_the_statement_and_the_requested_schema_have_the_guards_after_the_columns():
    both = projection(("N", "NUMBER", "decimal256(76, 38)"), TEXT)
    assert both.schema.names == ["N", "B", "_GUARD0"]
    assert both.sql.index('AS "B"') < both.sql.index('AS "_GUARD0"')
    assert 'ABS(q."N") >= 1E38' in both.sql


def test_a_date_without_a_time_becomes_a_date():
    wire = pa.array([dt.datetime(1969, 12, 31), None, dt.datetime(9999, 12, 31), dt.datetime(1, 1, 1)], pa.timestamp("us"))  # fmt: skip # noqa: DTZ001, E501
    found = one(wire, "DATE", "date32[day]")
    assert found.to_pylist() == [dt.date(1969, 12, 31), None, dt.date(9999, 12, 31), dt.date(1, 1, 1)]


@pytest.mark.parametrize("moment", ["2026-01-05T00:00:01", "1969-12-31T23:59:59"])
def test_a_date_with_a_time_is_not_truncated(moment):
    wire = pa.array([dt.datetime.fromisoformat(moment)], pa.timestamp("us"))
    with raises_message(DataError, "oracle.has_a_time_of_day"):
        one(wire, "DATE", "date32[day]")


def test_timestamps_in_utc_keep_their_instant():
    found = one(pa.array([1_000_001], pa.timestamp("us")), "TIMESTAMP(6) WITH TIME ZONE", "timestamp[us, tz=UTC]")
    assert found.to_pylist() == [dt.datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=dt.UTC)]


def test_nanoseconds_arrive_as_nanoseconds():
    found = one(pa.array([" 2026-01-05 01:02:03.123456789", None]), "TIMESTAMP(9)", "timestamp[ns]")
    assert found.cast(pa.int64()).to_pylist() == [1767574923123456789, None]


def test_a_timestamp_9_fits_microseconds_exactly_or_is_refused():
    found = one(pa.array([" 9999-12-31 23:59:59.123456000"]), "TIMESTAMP(9)", "timestamp[us]")
    assert found.to_pylist() == [dt.datetime(9999, 12, 31, 23, 59, 59, 123456)]  # noqa: DTZ001 - a wall clock's
    with raises_message(
        DataError,
        "oracle.value_is_refused",
        value="2026-01-05 01:02:03.123456789",
        why=text_of("oracle.does_not_fit", type="timestamp[us]"),
    ):
        one(pa.array([" 2026-01-05 01:02:03.123456789"]), "TIMESTAMP(9)", "timestamp[us]")


def test_a_timestamp_beyond_the_range_of_nanoseconds_is_named():
    with pytest.raises(DataError, match="9999-12-31"):
        one(
            pa.array([" 2026-01-05 00:00:00.000000000", " 9999-12-31 00:00:00.000000001"]),
            "TIMESTAMP(9)",
            "timestamp[ns]",
        )


def test_every_moment_of_the_nanoseconds_is_exact_up_to_the_last():
    last, early = " 2262-04-11 23:47:16.854775807", " 1677-09-21 00:12:44.000000001"
    found = one(pa.array([last, early, " 1969-12-31 23:59:59.999999999"]), "TIMESTAMP(9)", "timestamp[ns]")
    assert found.cast(pa.int64()).to_pylist() == [2**63 - 1, -9_223_372_035_999_999_999, -1]


@pytest.mark.parametrize("moment", ["2262-04-11 23:47:16.854775808", "1677-09-21 00:12:43.145224191"])
def test_a_moment_just_beyond_the_nanoseconds_is_named_and_is_not_another_one(moment):
    wire = pa.array([" 2026-01-05 00:00:00.000000000", None, f" {moment}"])
    with raises_message(
        DataError, "oracle.value_is_refused", value=moment, why=text_of("oracle.does_not_fit", type="timestamp[ns]")
    ):
        one(wire, "TIMESTAMP(9)", "timestamp[ns]")


def test_a_year_before_the_first_is_named():
    with pytest.raises(DataError, match="-0044-03-15"):
        one(pa.array(["-0044-03-15 12:00:00.000000000"]), "TIMESTAMP(9)", "timestamp[us]")


def test_invalid_text_is_refused():
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    with raises_message(DataError, "oracle.not_valid_in_the_character_set"):
        one(broken, "VARCHAR2(5)", "string")


def test_lobs_have_no_widest_row_and_are_split_where_one_array_could_not_hold_them(monkeypatch):
    lobs = projection(("L", "CLOB", "string"), INT)
    assert lobs.widest_row is None
    assert projection(INT).widest_row == 8
    rows = [pa.array(["x" * 100] * 8, pa.large_string()), pa.array(range(8))]
    assert [batch.num_rows for batch in delivered(rows, lobs)] == [8]
    monkeypatch.setattr(oracle_batches, "LARGEST_ARRAY", 300)
    parts = list(delivered(rows, lobs))
    assert [batch.num_rows for batch in parts] == [2, 2, 2, 2]
    assert [value for batch in parts for value in batch.column("A").to_pylist()] == list(range(8))


def test_an_arrow_error_is_reported_with_its_column(monkeypatch):
    """Such as a CLOB of 2 GiB, which no string of a file holds."""

    def refuse(*_):
        raise pa.ArrowInvalid("input array too large")

    monkeypatch.setattr(oracle_batches, "_to_small_offsets", refuse)
    rows = [pa.array(["x"], pa.large_string()), pa.array([1])]
    with raises_message(DataError, "oracle.value_does_not_fit", column="L", type="CLOB", read_type="string") as found:
        list(delivered(rows, projection(("L", "CLOB", "string"), INT)))
    assert "input array too large" in found.value.message
    assert "custom_query" in (found.value.hint or "")
