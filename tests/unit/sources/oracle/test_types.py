"""Every type of Oracle is delivered exactly, or refused with what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeeper.config.sections.oracle import FractionUnit
from statekeeper.errors import PlanError
from statekeeper.model.plan import PlannedColumn
from statekeeper.parquet.types import parse_type
from statekeeper.sources.oracle.batches import wire_type
from statekeeper.sources.oracle.types import (
    TypeChoices,
    database_type_of,
    expression,
    has_zone_offset,
    key_type,
    type_rule,
)
from tests.messages import raises_message

PLAIN = TypeChoices()


def delivery(*, database_type, read_type, column, choices):
    planned = PlannedColumn(name=column, database_type=database_type, read_type=read_type, arrow_type=read_type)
    return type_rule(database_type, choices).delivery(planned)


@pytest.mark.parametrize(
    ("database_type", "arrow"),
    [
        ("NUMBER(1)", "int64"),
        ("NUMBER(18)", "int64"),
        ("NUMBER(19)", "decimal128(19, 0)"),
        ("NUMBER(38)", "decimal128(38, 0)"),
        ("NUMBER(9,2)", "decimal128(9, 2)"),
        ("NUMBER(38,38)", "decimal128(38, 38)"),
        ("NUMBER(5,10)", "decimal128(10, 10)"),
        ("NUMBER(5,-2)", "decimal128(7, 0)"),
        ("NUMBER(30,-8)", "decimal128(38, 0)"),
        ("NUMBER", "decimal256(76, 38)"),
        ("FLOAT(126)", "decimal256(76, 38)"),
        ("FLOAT(1)", "decimal256(76, 38)"),
        ("BINARY_DOUBLE", "double"),
        ("BINARY_FLOAT", "float"),
        ("VARCHAR2(4000)", "string"),
        ("NVARCHAR2(10)", "string"),
        ("CHAR(3)", "string"),
        ("NCHAR(3)", "string"),
        ("CLOB", "string"),
        ("NCLOB", "string"),
        ("LONG", "string"),
        ("ROWID", "string"),
        ("UROWID", "string"),
        ("RAW(16)", "binary"),
        ("LONG RAW", "binary"),
        ("BLOB", "binary"),
        ("BOOLEAN", "bool"),
        ("DATE", "timestamp[us]"),
        ("TIMESTAMP(0)", "timestamp[us]"),
        ("TIMESTAMP(6)", "timestamp[us]"),
        ("TIMESTAMP(6) WITH TIME ZONE", "timestamp[us, tz=UTC]"),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "timestamp[us, tz=UTC]"),
    ],
)
def test_a_type_is_delivered_as_one_that_holds_all_its_values(database_type, arrow):
    rule = type_rule(database_type, PLAIN)
    assert rule.read is not None
    assert rule.read.arrow == arrow
    assert rule.refusal is None


@pytest.mark.parametrize(
    ("database_type", "words", "text"),
    [
        ("NUMBER(38,-1)", "39 digits", "TO_CHAR({0}, 'TM9')"),
        ("NUMBER(2,127)", "127 digits", "TO_CHAR({0}, 'TM9')"),
        ("TIMESTAMP(7)", "nanoseconds", None),
        ("TIMESTAMP(9) WITH TIME ZONE", "fractional_seconds", None),
        ("INTERVAL DAY(2) TO SECOND(6)", "TO_CHAR", "TO_CHAR({0})"),
        ("INTERVAL YEAR(2) TO MONTH", "TO_CHAR", "TO_CHAR({0})"),
        ("JSON", "JSON_SERIALIZE", "JSON_SERIALIZE({0} RETURNING CLOB ERROR ON ERROR)"),
        ("XMLTYPE", "XMLSERIALIZE", "XMLSERIALIZE(CONTENT {0} AS CLOB)"),
        ("VECTOR", "VECTOR_SERIALIZE", "VECTOR_SERIALIZE({0} RETURNING CLOB)"),
        ("BFILE", "custom_query", None),
        ("MDSYS.SDO_GEOMETRY", "attributes", None),
    ],
)
def test_a_type_that_no_arrow_type_holds_is_refused_with_what_to_do(database_type, words, text):
    rule = type_rule(database_type, PLAIN)
    assert rule.read is None
    assert words in (rule.refusal or "")
    if text is not None:
        assert [one.sql for one in rule.alternatives if one.arrow == "string"] == [text]


@given(precision=st.integers(1, 38), scale=st.integers(-84, 127))
def test_every_value_of_a_declared_number_fits_the_type_that_the_driver_is_asked_for(precision, scale):
    rule = type_rule(f"NUMBER({precision},{scale})" if scale else f"NUMBER({precision})", PLAIN)
    if rule.read is None:
        assert max(precision, scale, precision - scale) > 38
        return
    largest, unit = 10**precision - 1, -scale  # the largest value is (10**precision - 1) * 10**unit
    kind = wire_type(rule.read)
    if rule.read.arrow == "int64":
        assert scale == 0
        assert largest < 2**63
    else:
        assert kind.scale >= scale
        assert largest * 10 ** (unit + kind.scale) < 10**kind.precision


@pytest.mark.parametrize(
    "database_type", ["NUMBER", "NUMBER(5)", "NUMBER(9,2)", "DATE", "CLOB", "RAW(3)", "TIMESTAMP(9)", "JSON", "ROWID"]
)
def test_every_rule_names_known_arrow_types(database_type):
    for one in type_rule(database_type, PLAIN).offered:
        parse_type(one.arrow)
        wire_type(one)


def test_a_number_without_precision_has_a_guard_that_shows_what_does_not_fit():
    how = delivery(database_type="NUMBER", read_type="decimal256(76, 38)", column="N", choices=PLAIN)
    assert how.guard is not None
    assert "1E38" in how.guard
    assert "TRUNC({0}, 38)" in how.guard
    assert "THEN NULL" in how.sql


def test_fractional_seconds_are_what_the_configuration_says():
    us = type_rule("TIMESTAMP(9)", TypeChoices(fractional_seconds=FractionUnit.MICROSECONDS)).read
    ns = type_rule("TIMESTAMP(9)", TypeChoices(fractional_seconds=FractionUnit.NANOSECONDS)).read
    assert us is not None
    assert ns is not None
    assert (us.arrow, ns.arrow) == ("timestamp[us]", "timestamp[ns]")
    assert us.wire == ns.wire == "string", "the driver's own timestamps lose the nanoseconds"


def test_padding_is_kept_unless_it_is_to_be_trimmed():
    def is_trimmed(database_type: str, choices: TypeChoices) -> bool:
        how = delivery(database_type=database_type, read_type="string", column="C", choices=choices)
        assert how.sql == "{0}", "RTRIM in SQL makes NULL of blanks"
        return how.is_trimmed

    trimming = TypeChoices(trim_char=True)
    assert not is_trimmed("CHAR(3)", PLAIN)
    assert is_trimmed("CHAR(3)", trimming)
    assert is_trimmed("NCHAR(3)", trimming)
    assert not is_trimmed("VARCHAR2(3)", trimming)


def test_an_offset_column_refers_to_its_column_with_a_zone():
    zoned = "TIMESTAMP(6) WITH TIME ZONE"
    assert has_zone_offset(zoned)
    assert not has_zone_offset("TIMESTAMP(6) WITH LOCAL TIME ZONE")
    assert not has_zone_offset(f"OFFSET OF {zoned}")
    how = delivery(database_type=f"OFFSET OF {zoned}", read_type="string", column="AT_OFFSET", choices=PLAIN)
    assert expression(how.sql, "AT_OFFSET", f"OFFSET OF {zoned}") == "TO_CHAR(q.\"AT\", 'TZH:TZM')"


def test_a_type_that_cannot_be_delivered_is_a_plan_error():
    with raises_message(PlanError, "sources.cannot_be_read_as", read_type="double"):
        delivery(database_type="NUMBER(5)", read_type="double", column="N", choices=PLAIN)


@pytest.mark.parametrize(
    ("name", "size", "precision", "scale", "spelling"),
    [
        ("DB_TYPE_NUMBER", 0, 0, -127, "NUMBER"),
        ("DB_TYPE_NUMBER", 0, 0, 0, "NUMBER"),
        ("DB_TYPE_NUMBER", 0, 126, -127, "FLOAT(126)"),
        ("DB_TYPE_NUMBER", 0, 38, 0, "NUMBER(38)"),
        ("DB_TYPE_NUMBER", 0, 5, -2, "NUMBER(5,-2)"),
        ("DB_TYPE_VARCHAR", 80, 0, 0, "VARCHAR2(80)"),
        ("DB_TYPE_NCHAR", 3, 0, 0, "NCHAR(3)"),
        ("DB_TYPE_LONG_RAW", 0, 0, 0, "LONG RAW"),
        ("DB_TYPE_LONG", 0, 0, 0, "LONG"),
        ("DB_TYPE_TIMESTAMP_LTZ", 0, 0, 6, "TIMESTAMP(6) WITH LOCAL TIME ZONE"),
        ("DB_TYPE_BINARY_DOUBLE", 0, 0, 0, "BINARY_DOUBLE"),
        ("DB_TYPE_XMLTYPE", 0, 0, 0, "XMLTYPE"),
    ],
)
def test_types_are_spelled_as_by_oracle(name, size, precision, scale, spelling):
    assert database_type_of(name, size=size, precision=precision, scale=scale, object_type="") == spelling


def test_an_object_is_called_by_its_type():
    spelt = database_type_of("DB_TYPE_OBJECT", size=0, precision=0, scale=0, object_type="HR.ADDRESS")
    assert spelt == "HR.ADDRESS"


@pytest.mark.parametrize(
    ("database_type", "kind"),
    [
        ("NUMBER", "Decimal"),
        ("NUMBER(5)", "Decimal"),
        ("DATE", "datetime"),
        ("TIMESTAMP(9)", "datetime"),
        ("CHAR(2)", "str"),
        ("BINARY_DOUBLE", None),
        ("CLOB", None),
        ("TIMESTAMP(6) WITH TIME ZONE", None),
    ],
)
def test_keys_are_of_types_that_are_bound_exactly(database_type, kind):
    assert key_type(database_type) == kind
