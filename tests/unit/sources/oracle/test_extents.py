"""Ranges of blocks: none is larger than requested, and the ROWIDs between them are in the database's order."""

from __future__ import annotations

import re
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.oracle.extents import Extent, even_ranges, rowids_of
from statekeeper.sources.oracle.relation import RelationKind, Source
from statekeeper.sources.sql import Sql

TABLE = Source(RelationKind.HEAP, "HR.T", '"HR"."T"', "HR", "T")


class Ordering:
    """A database that makes ROWIDs of places and sorts them in a given order."""

    def __init__(self, *, descending: bool = False) -> None:
        self.descending = descending
        self.statements = 0

    def rows(self, statement: Sql, what: str) -> list[tuple[Any, ...]]:
        del what
        self.statements += 1
        found = re.findall(r"SELECT (\d+) AS n, (\d+) AS d, (\d+) AS f, (\d+) AS b", statement.text)
        places = [tuple(map(int, one)) for one in found]
        ordered = sorted(places, key=lambda one: one[1:], reverse=self.descending)
        return [(number, "-".join(map(str, rest))) for number, *rest in ordered]


def rowids(places: list[Extent], database: Ordering) -> list[str] | None:
    return rowids_of(cast("Connection", database), TABLE, places)


def test_many_rowids_are_made_by_few_statements_each_once_and_in_order():
    places = [Extent(7, 5 + number // 900, 8 * number, 8) for number in range(1201)]
    database = Ordering()
    assert rowids(places, database) == [f"{one.segment}-{one.file}-{one.block}" for one in places]
    assert database.statements == 3


def test_places_that_the_database_sorts_differently_are_not_used():
    assert rowids([Extent(7, 5, 8, 8), Extent(7, 5, 16, 8)], Ordering(descending=True)) is None
    assert rowids([], Ordering(descending=True)) == []


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.integers(1, 400))
def test_ranges_hold_all_blocks_and_none_is_larger_than_asked_for(sizes, target):
    extents = [Extent(1, 5, 1000 * number, blocks) for number, blocks in enumerate(sizes)]
    starts, found = even_ranges(extents, target)
    assert len(starts) == len(found) - 1
    assert starts == sorted(starts)
    assert sum(found) == sum(sizes)
    assert max(found) <= target
