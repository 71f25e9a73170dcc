"""Random histories of a table that changes while it is extracted: merged, its windows equal the table as it is at last.

Each history has inserts and updates, windows that are read late or twice and merged in any order, a first load, perhaps
a whole load at the end, and files that another writer has put together. Rows carry the moment of their last change,
the same for many; some of the first load have none.
"""

from __future__ import annotations

import random
from contextlib import nullcontext
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from statekeeper.publish import merge_rows
from statekeeper.runtime.row_matching import matching_database
from tests.unit.publish.plain_table import PlainTable

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string()), ("changed", pa.int64()), ("value", pa.float64())])
KEY = ("a", "b")


@dataclass
class Source:
    """A table with the key (a, b); `now` grows with every change."""

    random: random.Random
    keys: int
    now: int = 0
    rows: dict[tuple[int, str], tuple[int | None, float]] = field(default_factory=dict)

    def change(self):
        self.now += self.random.random() < 0.7  # else another change at the same moment
        for _ in range(self.random.randint(1, 6)):
            key = self.random.randrange(self.keys), self.random.choice(["", "x", "ä\0"])
            self.rows[key] = self.now, self.random.random()

    def read(self, start=None, end=None):
        """The rows of a window as they are now; without bounds all rows."""
        is_whole = start is None and end is None
        found = [
            (*key, changed, value)
            for key, (changed, value) in self.rows.items()
            if is_whole or (changed is not None and (start is None or changed >= start) and changed < end)
        ]
        self.random.shuffle(found)
        return found


def _parts(rows, chance):
    """The rows in one to three parts, as chunks are."""
    count = chance.randint(1, 3)
    return [_table(rows[number::count]) for number in range(count)]


def _table(rows):
    columns = zip(*rows, strict=True) if rows else [[]] * len(SCHEMA)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def _windows(source):
    """Windows that cover every moment, each read some time after its end; some are read again, later."""
    pending, start, taken = [], 0, []
    for _ in range(source.random.randint(3, 12)):
        source.change()
        if source.now > start and source.random.random() < 0.5:
            pending.append((start, source.now))
            start = source.now
        if pending and source.random.random() < 0.5:
            window = source.random.choice(pending)
            taken.append(source.read(*window))
            if source.random.random() < 0.7:
                pending.remove(window)
    pending.append((start, source.now + 1))
    return [*taken, *(source.read(*window) for window in pending)]


def _history(folder, seed):
    chance = random.Random(seed)
    source = Source(chance, keys=chance.randint(1, 12))
    for _ in range(chance.randint(0, 4)):
        source.change()
    for key in chance.sample(sorted(source.rows), len(source.rows) // 3):
        source.rows[key] = None, 0.0
    table, first = PlainTable(folder, SCHEMA), source.read()
    source.now += 1
    windows = _windows(source)
    chance.shuffle(windows)
    # The first load alone reads rows that were never changed. It is merged first, or as one among others.
    if chance.random() < 0.5:
        table.merge(*_parts(first, chance), key=KEY)
    else:
        windows.insert(chance.randrange(len(windows) + 1), first)
    for number, window in enumerate(windows):
        table.merge(*_parts(window, chance), key=KEY, order="changed")
        if chance.random() < 0.2:
            _put_together(table, f"together-{number}")
    if chance.random() < 0.2:
        source.rows = {key: (None, chance.random()) for key in source.rows}
        table.merge(*_parts(source.read(), chance), key=KEY)
    return table, source


def _put_together(table, name):
    """Another writer makes one file of all, as OPTIMIZE does."""
    rows = table.rows()
    table.files = ()
    table.add(rows)


def _assert_equal(tmp_path, seed):
    folder = tmp_path / str(seed)
    folder.mkdir()
    table, source = _history(folder, seed)
    found = [tuple(row.values()) for row in table.rows().to_pylist()]
    assert sorted(found, key=repr) == sorted(source.read(), key=repr), f"seed {seed}"


@pytest.fixture(scope="module", autouse=True)
def _one_database():
    """One DuckDB for all merges: to start it takes longer than to merge these few rows."""
    with matching_database("100MB") as opened, pytest.MonkeyPatch.context() as patched:
        patched.setattr(merge_rows, "matching_database", lambda _limit: nullcontext(opened))
        yield


def test_windows_in_any_order_make_the_table_as_it_is(tmp_path):
    for seed in range(12):
        _assert_equal(tmp_path, seed)


@pytest.mark.sweep
@pytest.mark.parametrize("tens", range(100))
def test_a_thousand_histories(tmp_path, tens):
    for seed in range(1000 + 10 * tens, 1010 + 10 * tens):
        _assert_equal(tmp_path, seed)
