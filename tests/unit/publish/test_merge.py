"""A merge by keys: which rows count, what is left of files, and that what stays is as it was, bit by bit."""

from __future__ import annotations

import datetime as dt
import math
import os
import struct
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.errors import DataError, Interrupted, PlanError, StorageError
from statekeeper.publish.key_ranges import KeyRanges, refuse_null_keys
from statekeeper.publish.merge import MergedFile, MergedFiles, RestFile, merge_files
from tests.messages import raises_message
from tests.unit.publish.plain_table import PlainTable

ROW = pa.schema([("id", pa.int64()), ("v", pa.int64()), ("note", pa.string())])


def _rows(*rows):
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), ROW, strict=True)], schema=ROW
    )


def _tuples(table):
    return sorted((tuple(row.values()) for row in table.rows().to_pylist()), key=repr)


@pytest.fixture
def table(tmp_path):
    return PlainTable(tmp_path, ROW)


class TestWithoutAnOrder:
    def test_new_rows_replace_those_with_their_keys_and_the_rest_stays(self, table):
        old = table.add(_rows((1, 1, "a"), (2, 1, "b"), (3, 1, "c")))
        done = table.merge(_rows((2, 0, "B"), (4, 0, "D")))
        assert done.removed == (old,)
        assert _tuples(table) == [(1, 1, "a"), (2, 0, "B"), (3, 1, "c"), (4, 0, "D")]
        assert table.rest(done).column("id").to_pylist() == [1, 3]

    def test_a_file_of_which_nothing_is_left_has_no_successor(self, table):
        table.add(_rows((1, 1, "a"), (2, 1, "b")))
        done = table.merge(_rows((1, 2, "A"), (2, 2, "B")))
        assert done.rests == ()
        assert _tuples(table) == [(1, 2, "A"), (2, 2, "B")]

    def test_files_without_a_shared_key_stay_as_they_are(self, table):
        apart = table.add(_rows((100, 1, "x"), (200, 1, "y")))
        between = table.add(_rows((1, 1, "a"), (9, 1, "b")))
        touched = [table.add(_rows((1, 1, "a"), (5, 1, "e"))), table.add(_rows((5, 3, "twice"), (6, 1, "f")))]
        done = table.merge(_rows((4, 2, "D"), (5, 2, "E")), _rows((300, 2, "z")))
        assert done.removed == tuple(touched)
        assert set(table.files) >= {apart, between}
        assert len(done.rests) == 2
        assert _tuples(table) == [
            *[(1, 1, "a"), (1, 1, "a"), (100, 1, "x"), (200, 1, "y"), (300, 2, "z"), (4, 2, "D"), (5, 2, "E")],
            *[(6, 1, "f"), (9, 1, "b")],
        ]

    def test_files_whose_ranges_are_apart_are_not_compared(self, table, monkeypatch):
        table.add(_rows((100, 1, "x")))
        monkeypatch.setattr("statekeeper.publish.merge_rows.matching_database", None)
        assert table.merge(_rows((1, 1, "a"))).removed == ()

    def test_keys_of_several_columns(self, table):
        table.add(_rows((1, 1, "a"), (1, 2, "b"), (2, 1, "c")))
        table.merge(_rows((1, 2, "B"), (2, 2, "D")), key=("id", "v"))
        assert _tuples(table) == [(1, 1, "a"), (1, 2, "B"), (2, 1, "c"), (2, 2, "D")]

    def test_rows_without_a_key_and_a_first_load(self, table):
        table.merge(_rows((1, 1, "a")))
        table.add(_rows((None, 1, "of another writer"), (2, 1, "b")))
        table.merge(_rows((2, 2, "B")))
        assert _tuples(table) == [(1, 1, "a"), (2, 2, "B"), (None, 1, "of another writer")]

    def test_an_extraction_without_rows_changes_nothing(self, table):
        old = table.add(_rows((1, 1, "a")))
        done = table.merge(ROW.empty_table())
        assert (done.removed, done.rests) == ((), ())
        assert old in table.files


class TestOrder:
    def test_the_greater_value_counts_and_the_new_row_if_they_are_equal(self, table):
        table.add(_rows((1, 5, "old"), (2, 5, "old"), (3, 5, "old")))
        done = table.merge(_rows((1, 4, "new"), (2, 5, "new"), (3, 6, "new")), order="v")
        assert _tuples(table) == [(1, 5, "old"), (2, 5, "new"), (3, 6, "new")]
        assert done.parts == ()

    def test_null_is_least(self, table):
        table.add(_rows((1, None, "old"), (2, None, "old"), (3, 1, "old")))
        table.merge(_rows((1, None, "new"), (2, -5, "new"), (3, None, "new")), order="v")
        assert _tuples(table) == [(1, None, "new"), (2, -5, "new"), (3, 1, "old")]

    def test_a_window_that_is_merged_late_changes_only_what_it_knows_better(self, table):
        table.add(_rows((1, 9, "late"), (2, 1, "first"), (3, 1, "first")))
        older, kept = _rows((1, 5, "middle"), (2, 5, "middle"), (7, 5, "middle")), _rows((8, 5, "middle"))
        done = table.merge(older, kept, order="v")
        assert _tuples(table) == [
            (1, 9, "late"), (2, 5, "middle"), (3, 1, "first"), (7, 5, "middle"), (8, 5, "middle"),
        ]  # fmt: skip
        assert [part.path for part in done.parts] == ["part-00003.parquet"]

    def test_a_part_of_which_every_row_is_older_is_left_out(self, table):
        old = table.add(_rows((1, 9, "late"), (2, 9, "late")))
        done = table.merge(_rows((1, 5, "middle"), (2, 5, "middle")), order="v")
        assert (done.parts, done.rests, table.files) == ((), (), (old,))

    def test_rows_that_another_writer_has_doubled(self, table):
        table.add(_rows((1, 1, "a"), (1, 3, "c")))
        table.add(_rows((1, 1, "a")))
        table.merge(_rows((1, 2, "b")), order="v")
        assert _tuples(table) == [(1, 3, "c")]

    def test_windows_in_the_usual_order_compare_no_part_with_the_table(self, table):
        table.add(_rows((1, 1, "a"), (2, 1, "b")))
        table.merge(_rows((1, 2, "A")), order="v")
        assert len(table.jobs) == 1


class TestAgain:
    def test_after_a_lost_commit_only_new_files_are_worked_on(self, table):
        table.add(_rows((1, 1, "a"), (2, 1, "b")))
        merge = table.merge_of([table.written(_rows((2, 2, "B"), (3, 2, "C")))], "id", order="v")
        table.work(merge)
        foreign = table.add(_rows((3, 3, "of another writer"), (4, 1, "d")))
        table.work(merge)
        assert [path.name for path in table.jobs[1].files] == [foreign.path]
        table.commit(merge)
        assert _tuples(table) == [(1, 1, "a"), (2, 2, "B"), (3, 3, "of another writer"), (4, 1, "d")]

    def test_what_another_writer_has_removed_does_not_come_back(self, table):
        table.add(_rows((1, 1, "a"), (2, 9, "late")))
        merge = table.merge_of([table.written(_rows((1, 2, "A"), (2, 2, "B")))], "id", order="v")
        table.work(merge)
        table.files = ()
        table.work(merge)
        assert table.commit(merge).rests == ()
        assert _tuples(table) == [(1, 2, "A"), (2, 2, "B")]

    def test_a_repeated_attempt_writes_beside_what_an_earlier_one_has_left(self, table):
        table.add(_rows((1, 1, "a"), (2, 1, "b")))
        parts = [table.written(_rows((2, 2, "B")))]
        for _ in range(2):
            merge = table.merge_of(parts, "id")
            table.work(merge)
        assert len({path.name for path in table.folder.glob("rest-2-*")}) == 2
        assert len({path.read_bytes() for path in table.folder.glob("rest-2-*")}) == 1
        table.commit(merge)
        again = table.merge_of(parts, "id")
        table.work(again)
        assert table.commit(again).rests == ()
        assert _tuples(table) == [(1, 1, "a"), (2, 2, "B")]

    def test_results_come_back_from_other_machines(self):
        result = MergedFiles((MergedFile(0, 1, 2, RestFile("rest.parquet", 3, 4)), MergedFile(1, 2, 0, None)))
        adapter = TypeAdapter(MergedFiles)
        assert adapter.validate_json(adapter.dump_json(result)) == result

    def test_a_large_table_is_several_jobs(self, table):
        for number in range(120):
            table.add(_rows((number, 1, "a"), (number + 1, 1, "b")))
        table.merge(_rows((60, 2, "B")))
        assert [len(job.files) for job in table.jobs] == [50, 50, 20]
        assert table.rows().num_rows == 239


NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_BEEF))[0]
VALUES = {
    "float": (pa.float32(), [1.5, -0.0, None, math.nan, 0.0, -math.inf]),
    "double": (pa.float64(), [NAN, -0.0, 0.0, math.nan, 5e-324, None]),
    "decimal": (
        pa.decimal128(38, 10),
        [Decimal("-9" * 1 + "9" * 27), Decimal("0E-10"), Decimal("1.5"), None, None, Decimal(2)],
    ),
    "text": (pa.string(), ["", "a\0b", "\U0010ffff", None, " x ", "ä" * 9000]),
    "bytes": (pa.binary(), [b"", b"\xff\x00", None, b"a", bytes(256), b"\x80"]),
    "wall": (pa.timestamp("us"), [0, -1, None, 2**62, -(2**62), 253402300800000000]),
    "milli": (pa.timestamp("ms"), [0, -1, None, 2**50, -(2**50), 5]),
    "instant": (pa.timestamp("us", tz="UTC"), [0, -1, None, 2**62, 1, 2]),
    "nano": (pa.timestamp("ns"), [0, -1, None, 2**62, 1, 2]),
    "day": (pa.date32(), [0, -1, None, 2**30, 1, -719162]),
    "time": (pa.time64("us"), [0, 1, None, 86399999999, 2, 3]),
    "flag": (pa.bool_(), [True, False, None, True, True, False]),
    "big": (pa.uint64(), [2**64 - 1, 0, None, 1, 2, 3]),
    "tiny": (pa.int8(), [-128, 127, None, 0, 1, 2]),
    "nothing": (pa.int32(), [None] * 6),
}


def _typed():
    columns = {"id": pa.array(range(6), pa.int64())}
    columns |= {name: pa.array(values, kind) for name, (kind, values) in VALUES.items()}
    return pa.table(columns)


def _bits(array):
    """The values of a column as bits, by which NaN and zeros are told apart."""
    array = array.combine_chunks()
    if pa.types.is_floating(array.type):
        array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    return array


class TestValues:
    @pytest.mark.parametrize("removed", [0, 3, 5])
    def test_what_stays_is_as_it_was(self, tmp_path, removed):
        rows = _typed()
        table = PlainTable(tmp_path, rows.schema)
        table.add(rows, use_dictionary=["text", "double"])
        done = table.merge(rows.slice(removed, 1))
        rest, expected = table.rest(done), pa.concat_tables([rows.slice(0, removed), rows.slice(removed + 1)])
        assert rest.schema.equals(rows.schema)
        for name in rows.schema.names:
            assert _bits(rest.column(name)).equals(_bits(expected.column(name))), name

    @pytest.mark.parametrize("name", sorted(set(VALUES) - {"nothing"}))
    def test_every_type_is_a_key(self, tmp_path, name):
        kind, values = VALUES[name]
        distinct = list({repr(value): value for value in values if value is not None}.values())
        if name in {"float", "double"}:
            distinct = [1.5, -0.0, math.nan]
        rows = pa.table({"k": pa.array(distinct, kind), "n": pa.array(range(len(distinct)))})
        table = PlainTable(tmp_path, rows.schema)
        table.add(rows)
        table.merge(rows.take([len(distinct) - 1, 0]), key=("k",))
        assert sorted(table.rows().column("n").to_pylist()) == list(range(len(distinct)))

    def test_zeros_are_one_key_and_nan_is_one(self, tmp_path):
        schema = pa.schema([("k", pa.float64()), ("n", pa.int64())])
        table = PlainTable(tmp_path, schema)
        table.add(pa.table({"k": [-0.0, NAN, 1.0], "n": [1, 2, 3]}, schema=schema))
        table.merge(pa.table({"k": [0.0, math.nan], "n": [11, 12]}, schema=schema), key=("k",))
        assert sorted(table.rows().column("n").to_pylist()) == [3, 11, 12]

    def test_nan_beyond_the_statistics_is_found(self, tmp_path):
        schema = pa.schema([("k", pa.float64()), ("n", pa.int64())])
        table = PlainTable(tmp_path, schema)
        table.add(pa.table({"k": [1.0, math.nan], "n": [1, 2]}, schema=schema))
        table.merge(pa.table({"k": [math.nan], "n": [12]}, schema=schema), key=("k",))
        assert sorted(table.rows().column("n").to_pylist()) == [1, 12]

    def test_long_keys_without_statistics_are_found(self, tmp_path):
        schema = pa.schema([("k", pa.string()), ("n", pa.int64())])
        table = PlainTable(tmp_path, schema)
        table.add(pa.table({"k": ["x" * 9000, "y"], "n": [1, 2]}, schema=schema))
        table.merge(pa.table({"k": ["x" * 9000], "n": [11]}, schema=schema), key=("k",))
        assert sorted(table.rows().column("n").to_pylist()) == [2, 11]

    def test_names_of_columns_that_are_special_in_sql(self, tmp_path):
        schema = pa.schema([('a "b".c', pa.int64()), ("file_row_number", pa.int64()), ("File_Index", pa.int64())])
        table = PlainTable(tmp_path, schema)
        for first in (0, 10):
            columns = [pa.array(range(first, first + 5))] * 3
            table.add(pa.table(columns, schema=schema), row_group_size=2)
        table.merge(pa.table([[3, 14], [33, 34], [0, 0]], schema=schema), key=('a "b".c',), order="file_row_number")
        assert sorted(table.rows().column("file_row_number").to_pylist()) == [0, 1, 2, 4, 10, 11, 12, 13, 33, 34]

    def test_decimals_beyond_38_digits_are_no_key(self, tmp_path):
        schema = pa.schema([("k", pa.decimal256(40, 0))])
        table = PlainTable(tmp_path, schema)
        rows = pa.table({"k": [Decimal(1)]}, schema=schema)
        table.add(rows)
        with raises_message(PlanError, "publish.key_not_comparable", column="k", kind="decimal256(40, 0)"):
            table.merge(rows, key=("k",))


class TestColumns:
    def test_a_column_that_was_added_is_null_in_the_rest(self, tmp_path):
        wide = pa.schema([*ROW, ("extra", pa.decimal128(10, 2))])
        table = PlainTable(tmp_path, wide)
        table.add(_rows((1, 1, "a"), (2, 1, "b")))
        rows = pa.table({"id": [2], "v": [2], "note": ["B"], "extra": [Decimal("1.50")]}, schema=wide)
        rest = table.rest(table.merge(rows, order="v"))
        assert rest.schema.equals(wide)
        assert rest.to_pylist() == [{"id": 1, "v": 1, "note": "a", "extra": None}]

    def test_a_key_or_an_order_that_was_added(self, tmp_path):
        table = PlainTable(tmp_path, ROW)
        table.add(_rows((1, 1, "a")).select(["id", "note"]))
        table.add(_rows((1, 1, "a")).select(["v", "note"]))
        table.add(_rows((1, 1, "a")))
        table.merge(_rows((1, 0, "A")), order="v")
        found = [(row["id"], row["v"]) for row in table.rows().to_pylist()]
        assert sorted(found, key=repr) == [(1, 1), (None, 1)]

    def test_widened_types_become_the_tables(self, tmp_path):
        wide = pa.schema(
            [
                ("id", pa.int64()),
                ("v", pa.timestamp("us", tz="UTC")),
                ("note", pa.string()),
                ("d", pa.decimal128(20, 4)),
                ("view", pa.string()),
            ]
        )
        table = PlainTable(tmp_path, wide)
        at = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
        old = pa.table(
            {
                "note": pa.array(["a", "b"]).dictionary_encode(),
                "view": pa.array(["a", "b"], pa.string_view()),
                "id": pa.array([1, 2], pa.int32()),
                "v": pa.array([at, at]),
                "d": pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)),
            }
        )
        table.add(
            old.set_column(3, "v", old.column("v").cast(pa.timestamp("us"))), use_deprecated_int96_timestamps=True
        )
        new = pa.table([[2], [at - dt.timedelta(microseconds=1)], ["B"], [None], ["B"]], schema=wide)
        kept = table.merge(new, order="v")
        assert (kept.parts, kept.removed) == ((), ())
        rest = table.rest(table.merge(new))
        assert rest.schema.equals(wide)
        assert rest.to_pylist() == [{"id": 1, "v": at, "note": "a", "d": Decimal("1.2500"), "view": "a"}]

    @pytest.mark.parametrize(
        ("old", "name", "fields"),
        [
            (pa.table({"id": [1], "was": [1]}), "publish.merge_unknown_column", {"column": "was"}),
            (pa.table({"id": ["1"]}), "publish.merge_other_type", {"column": "id", "found": "string"}),
            (pa.table({"id": [1], "v": [1.0]}), "publish.merge_other_type", {"column": "v", "found": "double"}),
            (
                pa.table({"id": [1, 2], "v": pa.array([1, 2**64 - 1], pa.uint64())}),
                "publish.merge_value",
                {"column": "v"},
            ),
        ],
    )
    def test_what_cannot_be_kept_exactly_is_refused(self, table, old, name, fields):
        table.add(old)
        with raises_message(DataError, name, **fields):
            table.merge(_rows((1, 1, "a")))


class TestKeys:
    def test_ranges_by_footers(self, table):
        one = KeyRanges.of(table.written(_rows((1, None, "b"), (3, None, "c"))).footer, ["id", "note"])
        assert one == KeyRanges(((1, 3), ("b", "c")))
        others = {
            (2, 1, "b"): True,
            (4, 1, "b"): False,
            (2, 1, "a"): False,
            (3, 1, "c"): True,
            (None, 1, "c"): False,
        }
        found = {row: KeyRanges.of(table.written(_rows(row)).footer, ["id", "note"]) for row in others}
        assert {row: one.may_share_a_key(other) for row, other in found.items()} == others
        assert KeyRanges.of(table.written(_rows((1, None, "b"))).footer, ["v"]).is_keyless
        assert KeyRanges.around(found.values()).may_share_a_key(one)

    def test_bounds_that_python_lacks_are_no_range(self, tmp_path):
        schema = pa.schema([("k", pa.timestamp("us"))])
        new = PlainTable(tmp_path, schema).written(pa.table([pa.array([2**62, 0], pa.timestamp("us"))], schema=schema))
        assert KeyRanges.of(new.footer, ["k"]) == KeyRanges((None,))

    def test_null_in_a_key_is_refused_by_name(self, table):
        parts = [table.written(_rows((1, 1, "a"))), table.written(_rows((2, 1, None), (None, 2, None)))]
        with raises_message(DataError, "publish.null_in_key", count="2", column="note"):
            refuse_null_keys("shop.T", [part.footer for part in parts], ["v", "note"])
        refuse_null_keys("shop.T", [part.footer for part in parts], ["v"])


class TestBounds:
    def test_a_missing_file_is_named(self, table):
        old = table.add(_rows((1, 1, "a")))
        (table.folder / old.path).unlink()
        with pytest.raises(StorageError, match=old.path):
            table.merge(_rows((1, 1, "a")))

    def test_a_request_to_stop_leaves_no_file(self, table):
        table.add(_rows((1, 1, "a"), (2, 1, "b")))
        merge = table.merge_of([table.written(_rows((1, 2, "A")))], "id")
        (spec,) = merge.pending(table.files, ROW)
        asked = iter([False, False, False, True])
        context = ProcessContext(
            Sessions("100MB"), memory_limit="100MB", is_stopping=lambda: next(asked), report=lambda _rows: None
        )
        with pytest.raises(Interrupted):
            merge_files(spec, context)
        assert not list(table.folder.glob("*rest*"))

    def test_memory_is_bounded_by_the_limit(self, tmp_path):
        """A file of 270 MB of rows and as many new ones are merged within a limit of 64 MB."""
        (script := tmp_path / "merge_large.py").write_text(_LARGE)
        found = subprocess.run(
            [sys.executable, script, tmp_path],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        arrow, process, rows = map(int, found.stdout.split())
        assert arrow < 40 << 20
        assert process < 250 << 20
        assert rows == 1_500_000


_LARGE = """
import resource, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq, pyarrow.compute as pc
from tests.unit.publish.plain_table import PlainTable

folder = Path(sys.argv[1])
schema = pa.schema([("id", pa.int64()), ("v", pa.int64()), ("note", pa.string())])
table = PlainTable(folder, schema, memory_limit="64MB")

def group(start, size, version):
    ids = pa.array(range(start, start + size))
    notes = pc.binary_join_element_wise(ids.cast(pa.string()), "n" * 250, "-")
    return pa.table([ids, pa.array([version] * size), notes], schema=schema)

def file(ranges, version):
    path = folder / f"large-{version}.parquet"
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in ranges:
            writer.write_table(group(start, 10_000, version))
    from statekeeper.table_formats.protocol import NewFile, TableFile
    footer = pq.read_metadata(path)
    return NewFile(path.name, path.stat().st_size, footer)

from statekeeper.table_formats.protocol import TableFile
old = file(range(0, 1_000_000, 10_000), 1)
new = file(range(500_000, 1_500_000, 10_000), 2)
table.files = (TableFile(old.path, old.bytes, old.rows),)
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
before = pa.default_memory_pool().max_memory()
Path("/proc/self/clear_refs").write_text("5")
merge = table.merge_of([new], "id", order="v")
base = int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024
table.work(merge)
table.commit(merge)
print(pa.default_memory_pool().max_memory(), peak() - base, sum(file.rows for file in table.files))
"""
