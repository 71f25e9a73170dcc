from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeeper.config.sections.quantities import format_duration, parse_duration, parse_size


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=999_999)))
def test_a_duration_written_is_the_duration_read(duration):
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("2s", timedelta(seconds=2)),
        ("5m", timedelta(minutes=5)),
        ("6h", timedelta(hours=6)),
        ("1d", timedelta(days=1)),
        ("1h30m", timedelta(minutes=90)),
        ("0s", timedelta()),
        ("0.1s", timedelta(milliseconds=100)),
        ("1.5h", timedelta(minutes=90)),
        ("1.5h0.5m", timedelta(minutes=90, seconds=30)),
        ("0.000001s", timedelta(microseconds=1)),
    ],
)
def test_a_duration_is_a_count_and_a_unit(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "s", "5 m", "-1s", "5M", "6 hours", "99999999999d", "\u0665s"),
        *("1.h", ".5h", "0.0000001s", "0.5us"),
    ],
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("128MiB", 128 * 1024**2),
        ("64MB", 64_000_000),
        ("1.5GiB", 3 * 1024**3 // 2),
        ("1 kib", 1024),
        ("2TB", 2 * 10**12),
        ("7B", 7),
        ("7", 7),
    ],
)
def test_a_size_is_a_number_and_a_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1MB", "1MM", "1e3B", "64 M", "1.MB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="size"):
        parse_size(text)
