from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from statekeeper.errors import DataError
from statekeeper.model.plan import PlannedColumn
from statekeeper.parquet.types import arrow_schema, cast_batch, format_type, is_checked_cast, parse_type, schema_digest
from tests.messages import raises_message

TYPES = (
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "string", "binary"),
    *("bool", "date32[day]", "time64[us]", "timestamp[s]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]"),
    *("timestamp[us, tz=UTC]", "decimal128(38, 10)", "decimal128(1, 0)", "decimal256(76, 38)"),
)


def planned(read: str, target: str, name: str = "n") -> PlannedColumn:
    return PlannedColumn(name=name, database_type="NUMBER", read_type=read, arrow_type=target)


def batch_of(array: pa.Array, name: str = "n") -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([array], names=[name])


def cast(values, read: str, target: str) -> list:
    array = values if isinstance(values, pa.Array) else pa.array(values, parse_type(read))
    result = cast_batch(batch_of(array), (planned(read, target),))
    assert result.schema == pa.schema([("n", parse_type(target))])
    return result.column(0).to_pylist()


@pytest.mark.parametrize("text", TYPES)
def test_type_survives_its_text(text):
    assert format_type(parse_type(text)) == text


@pytest.mark.parametrize(
    "text", ["large_string", "decimal128(5, 6)", "timestamp[us, tz=Europe/Berlin]", "list<item: int8>", ""]
)
def test_type_outside_the_set_is_refused(text):
    with pytest.raises(ValueError, match=r"not an Arrow type that statekeeper writes|scale beyond"):
        parse_type(text)


def test_digest_follows_names_types_and_order_and_nothing_else():
    one = pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert schema_digest(one) == schema_digest(one.with_metadata({"k": "v"}))
    others = [
        pa.schema([("a", pa.int32()), ("b", pa.string())]),
        pa.schema([("b", pa.string()), ("a", pa.int64())]),
        pa.schema([("a", pa.int64()), ("c", pa.string())]),
    ]
    assert len({schema_digest(schema) for schema in (one, *others)}) == 4
    assert schema_digest(one) == "ca444075f14d2f0c43589f92f423da9e9fe64e134297d31d135f0d659f90cbe9"


def test_schema_keeps_database_names_and_order():
    columns = (planned("int64", "int64", "B"), planned("string", "string", "a b"))
    assert arrow_schema(columns) == pa.schema([("B", pa.int64()), ("a b", pa.string())])


EXACT = [
    ([Decimal("1.00"), None], "decimal128(9, 2)", "int64", [1, None]),
    ([Decimal(2**63 - 1)], "decimal256(76, 38)", "int64", [2**63 - 1]),
    ([Decimal("1.50")], "decimal256(76, 38)", "decimal128(38, 10)", [Decimal("1.5")]),
    ([2**63 - 1, -(2**63)], "int64", "decimal128(19, 0)", [Decimal(2**63 - 1), Decimal(-(2**63))]),
    ([999_999_999], "int64", "decimal128(9, 0)", [Decimal(999_999_999)]),
    ([2**64 - 1], "uint64", "decimal128(20, 0)", [Decimal(2**64 - 1)]),
    ([2**31 - 1], "int32", "double", [2147483647.0]),
    ([1.5], "float", "double", [1.5]),
    ([None], "decimal128(5, 2)", "int64", [None]),
    ([], "int64", "decimal128(9, 0)", []),
]


@pytest.mark.parametrize(("values", "read", "target", "expected"), EXACT)
def test_exact_cast_keeps_every_value(values, read, target, expected):
    assert cast(values, read, target) == expected


REFUSED = [
    (["1.5"], "decimal128(9, 2)", "int64", "1.50"),
    (["-0.5"], "decimal256(76, 38)", "int64", "-0.5"),
    (["1.125"], "decimal128(9, 3)", "decimal128(9, 2)", "1.125"),
    (["1000.00"], "decimal128(9, 2)", "decimal128(5, 2)", "1000.00"),
    (["9" * 38], "decimal128(38, 0)", "decimal128(38, 10)", "9" * 38),
    (["9" * 29 + ".1"], "decimal256(76, 38)", "decimal128(38, 10)", "9" * 29),
    ([str(2**63)], "decimal128(38, 0)", "int64", str(2**63)),
    ([str(2**64 + 5)], "decimal128(38, 0)", "int64", str(2**64 + 5)),
]


@pytest.mark.parametrize(("texts", "read", "target", "shown"), REFUSED)
def test_decimal_that_would_wrap_or_lose_digits_is_refused(texts, read, target, shown):
    values = [Decimal(0), *map(Decimal, texts), Decimal(0)]
    with pytest.raises(DataError) as refused:
        cast(values, read, target)
    for part in ("column n", shown, read, target):
        assert part in refused.value.message


@pytest.mark.parametrize(
    ("values", "read", "target", "shown"),
    [
        ([1, 10**9], "int64", "decimal128(9, 0)", "1000000000"),
        ([300], "int64", "int8", "300"),
        ([2**63], "uint64", "int64", str(2**63)),
        ([-1], "int64", "uint64", "-1"),
        ([1000, 1001], "timestamp[ns]", "timestamp[us]", "00.000001001"),
        ([1001], "timestamp[us]", "timestamp[ms]", "00.001001"),
        ([2**60], "timestamp[s]", "timestamp[us]", str(2**60)),
    ],
)
def test_number_or_moment_that_does_not_fit_is_refused_by_value(values, read, target, shown):
    array = (
        pa.array(values, pa.int64()).cast(parse_type(read))
        if "timestamp" in read
        else pa.array(values, parse_type(read))
    )
    with raises_message(DataError, "parquet.value_does_not_fit") as refused:
        cast(array, read, target)
    assert shown in refused.value.message


def test_first_offending_value_is_the_one_named():
    values = [1] * 1000 + [500, 600] + [1] * 500
    with pytest.raises(DataError, match="the value 500 was read"):
        cast(values, "int64", "int8")


def _unchecked_decimal(number: int) -> pa.Array:
    """As a driver makes it: sixteen bytes that nobody compared with the type's precision."""
    return pa.Array.from_buffers(
        pa.decimal128(38, 0), 1, [None, pa.py_buffer(number.to_bytes(16, "little", signed=True))]
    )


@pytest.mark.parametrize("number", [10**38, -(10**38), 2**127 - 1])
@pytest.mark.parametrize("target", ["decimal128(38, 0)", "decimal128(38, 2)", "int64"])
def test_decimal_of_39_digits_is_refused_even_where_no_cast_is_needed(number, target):
    with pytest.raises(DataError, match=str(number)):
        cast(_unchecked_decimal(number), "decimal128(38, 0)", target)


@pytest.mark.parametrize("number", [10**38 - 1, 1 - 10**38])
def test_decimal_of_38_digits_passes(number):
    assert cast(_unchecked_decimal(number), "decimal128(38, 0)", "decimal128(38, 0)") == [Decimal(number)]


@pytest.mark.parametrize(
    ("read", "target"),
    [
        ("double", "float"),
        ("double", "int64"),
        ("int64", "double"),
        ("timestamp[us]", "date32[day]"),
        ("timestamp[us]", "timestamp[us, tz=UTC]"),
        ("timestamp[us, tz=UTC]", "timestamp[us]"),
        ("decimal128(9, 2)", "double"),
        ("string", "int64"),
    ],
)
def test_cast_that_arrow_does_not_check_is_never_made(read, target):
    assert not is_checked_cast(parse_type(read), parse_type(target))
    with pytest.raises(DataError, match="cannot be checked"):
        cast(pa.array([None], parse_type(read)), read, target)


def test_other_columns_than_planned_are_refused():
    batch = batch_of(pa.array([1]), "m")
    with raises_message(DataError, "parquet.other_columns_than_planned", missing="['n']", added="['m']"):
        cast_batch(batch, (planned("int64", "int64"),))


def test_columns_in_another_order_are_refused():
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["b", "a"])
    with raises_message(DataError, "parquet.other_columns_than_planned", expected="['a', 'b']"):
        cast_batch(batch, (planned("int64", "int64", "a"), planned("int64", "int64", "b")))


def test_other_type_than_planned_is_refused():
    with raises_message(DataError, "parquet.other_type_than_planned", found="double", expected="int64"):
        cast_batch(batch_of(pa.array([1.0])), (planned("int64", "int64"),))
