"""What all sources share: ranges cover a table once, and bounds of windows are rounded to the unit of a type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeeper.model.plan import ChunkKind
from statekeeper.model.table import Window
from statekeeper.sources.ranges import range_condition, ranges, whole
from statekeeper.sources.scope import wall_time
from statekeeper.sources.sql import Bind, Sql

KEYS = st.lists(st.integers(-50, 50), max_size=8, unique=True).map(sorted)


def condition(chunk):
    return range_condition(chunk, Sql("k"), lambda name, text: Sql(f":{name}", (Bind("INT", text),)))


def holds(chunk, value):
    """The result of a range's condition for a key in a database; for NULL only `IS NULL` is true."""
    found = condition(chunk)
    if found is None:
        return True
    if value is None:
        return "k IS NULL" in found.text
    lower = chunk.lower is None or value >= int(chunk.lower.text)
    return lower and (chunk.upper is None or value < int(chunk.upper.text))


@given(KEYS, st.one_of(st.none(), st.integers(-60, 60)))
def test_every_key_and_null_is_in_exactly_one_range(splits, value):
    plan = ranges(ChunkKind.KEY, "k", "int", [str(one) for one in splits], [1] * (len(splits) + 1))
    assert [chunk.chunk_id for chunk in plan.chunks] == list(range(len(splits) + 1))
    assert sum(holds(chunk, value) for chunk in plan.chunks) == 1


def test_conditions_of_ranges():
    first, middle, last = ranges(ChunkKind.KEY, "k", "int", ["3", "9"], [1, 2, 3]).chunks
    assert condition(first) == Sql("k < :upper OR k IS NULL", (Bind("INT", "3"),))
    assert condition(middle) == Sql("k >= :lower AND k < :upper", (Bind("INT", "3"), Bind("INT", "9")))
    assert condition(last) == Sql("k >= :lower", (Bind("INT", "9"),))
    assert condition(whole(7).chunks[0]) is None
    (rowids, _) = ranges(ChunkKind.ROWID, "rowid", "int", ["3"], [1, 1]).chunks
    assert condition(rowids) == Sql("k < :upper", (Bind("INT", "3"),)), "a ROWID is never NULL"


def test_without_splits_there_is_one_chunk():
    assert ranges(ChunkKind.KEY, "k", "int", [], [5]) == whole(5)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (timedelta(microseconds=1), "2026-03-29 03:00:00.000001"),
        (timedelta(seconds=1), "2026-03-29 03:00:01"),
        (timedelta(days=1), "2026-03-30 00:00:00"),
    ],
)
def test_a_bound_is_rounded_up_to_the_unit_of_its_type(unit, expected):
    instant = datetime(2026, 3, 29, 1, 0, 0, 1, tzinfo=UTC)  # just after clocks were put forward
    window = Window(column="at", start=None, end=instant, timezone="Europe/Berlin")
    assert wall_time(instant, window, unit).isoformat(sep=" ") == expected
