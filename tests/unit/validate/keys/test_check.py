"""What a key means: the scan's verdict is that of a plain look at every row."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.errors import PlanError, StorageError
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.table import Keys, Reference, Relation, TableRef
from statekeeper.runtime.rows import FileColumn, KeyCheckSpec, Rows
from statekeeper.schemas.rules.findings import SAMPLES
from statekeeper.store.files.disk import LocalDisk
from statekeeper.validate.keys.check import check_keys
from statekeeper.validate.keys.scan import scan_keys
from tests.messages import raises_message, text_of

PARENT = TableRef(source_name="shop", schema_name=None, table_name="customers", path_name="customers")
TYPES = {
    "a": "int64",
    "b": "string",
    "c": "decimal128(9, 2)",
    "d": "double",
    "file_index": "int64",  # DuckDB has columns of these names for itself
    "file_row_number": "timestamp[us]",
}
ARROW = {
    "int64": pa.int64(),
    "string": pa.string(),
    "decimal128(9, 2)": pa.decimal128(9, 2),
    "decimal128(38, 0)": pa.decimal128(38, 0),
    "decimal128(38, 10)": pa.decimal128(38, 10),
    "double": pa.float64(),
    "timestamp[us]": pa.timestamp("us"),
    "timestamp[ns]": pa.timestamp("ns"),
    "date32[day]": pa.date32(),
}


def context(memory_limit="100MB"):
    return ProcessContext(
        Sessions(memory_limit), memory_limit=memory_limit, is_stopping=lambda: False, report=lambda _rows: None
    )


def write(folder: Path, parts: list[list[dict]], types: dict[str, str], name="own") -> Rows:
    folder.mkdir(exist_ok=True)
    schema = pa.schema([(column, ARROW[kind]) for column, kind in types.items()])
    files = tuple(folder / f"{name} [{number}]*.parquet" for number in range(len(parts)))
    for path, rows in zip(files, parts, strict=True):
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=3)
    return Rows(files, tuple(FileColumn(column, kind) for column, kind in types.items()))


def reference(columns, parent_columns):
    return Reference(
        columns=columns, parent=PARENT, parent_columns=parent_columns, parent_relation=Relation(table_name="customers"),
        parent_source="0",
    )  # fmt: skip


def planned(types):
    return tuple(
        PlannedColumn(name=name, database_type="?", read_type=kind, arrow_type=kind) for name, kind in types.items()
    )


def checked(rows, keys, *parents, types=None, memory_limit="100MB"):
    spec = KeyCheckSpec("shop.orders", keys, rows, planned(types or TYPES), parents, LocalDisk())
    return check_keys(spec, context(memory_limit))


def value(kind):
    few = {
        "int64": st.integers(-2, 2) | st.just(2**63 - 1),
        "string": st.sampled_from(["", "x", "x ", "X", "\u00fc", "'"]),
        "decimal128(9, 2)": st.sampled_from([Decimal("0.00"), Decimal("1.50"), Decimal("-1.50"), Decimal("10.00")]),
        "double": st.sampled_from([0.0, -0.0, 1.5, math.inf, math.nan]),
        "timestamp[us]": st.datetimes().filter(lambda at: at.year > 1700).map(lambda at: at.replace(microsecond=1)),
    }
    return st.none() | few[kind]


def row(types):
    return st.fixed_dictionaries({name: value(kind) for name, kind in types.items()})


def some_columns(types):
    return st.lists(st.sampled_from(sorted(types)), min_size=1, max_size=3, unique=True).map(tuple)


def key_of(one, columns):
    """A row's values as they are compared; None where any of them is NULL."""
    values = [one[name] for name in columns]
    if None in values:
        return None
    return tuple("NaN" if isinstance(value, float) and math.isnan(value) else value for value in values)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_scan_agrees_with_a_check_of_every_row(tmp_path, data):
    has_odd_names = data.draw(st.booleans())
    types = dict(list(TYPES.items())[: None if has_odd_names else 4])
    parts = data.draw(st.lists(st.lists(row(types), max_size=8), min_size=1, max_size=3))
    unique = tuple(data.draw(st.lists(some_columns(types), max_size=2)))
    columns = data.draw(some_columns(types))
    theirs = data.draw(st.lists(row({name: types[name] for name in columns}), max_size=8))
    parts = [[one | {"rid": 100 * part + row} for row, one in enumerate(rows)] for part, rows in enumerate(parts)]
    types |= {"rid": "int64"}
    own_rows = write(tmp_path, parts, types)
    parent = write(tmp_path, [theirs[:4], theirs[4:]], {name: types[name] for name in columns}, name="theirs")

    keys = Keys(unique=unique, references=(reference(columns, columns), reference(columns, columns[::-1])))
    is_same_backwards = all(types[one] == types[other] for one, other in zip(columns, columns[::-1], strict=True))
    keys = keys if is_same_backwards else keys.model_copy(update={"references": keys.references[:1]})
    found = checked(own_rows, keys, *[parent] * len(keys.references), types=types)

    rows = [(part, number, one) for part, listed in enumerate(parts) for number, one in enumerate(listed)]
    expected = []
    for one_key in unique:
        counts = Counter(key_of(one, one_key) for *_, one in rows)
        expected.append({(part, n) for part, n, one in rows if (key := key_of(one, one_key)) and counts[key] > 1})
    for one_reference in keys.references:
        there = {key_of(one, one_reference.parent_columns) for one in theirs}
        own = one_reference.columns
        expected.append({(part, n) for part, n, one in rows if (key := key_of(one, own)) and key not in there})
    broken = [positions for positions in expected if positions]
    assert [part.count for part in found.violations] == [len(positions) for positions in broken]
    assert [part.columns for part in found.violations] == [
        columns for columns, positions in zip((*unique, *(r.columns for r in keys.references)), expected, strict=True)
        if positions
    ]  # fmt: skip
    assert found.violating_rows == len(set().union(*expected))
    assert [[sample.values["rid"] for sample in part.samples] for part in found.violations] == [
        [str(parts[part][number]["rid"]) for part, number in sorted(positions)[:SAMPLES]] for positions in broken
    ]


def test_samples_show_the_first_rows_and_how_many_share_their_values(tmp_path):
    types = {"id": "int64", "no": "string"}
    rows = write(tmp_path, [[{"id": n, "no": f"{n % 3}"} for n in range(6)], [{"id": 1, "no": "1"}]], types)
    found = checked(rows, Keys(unique=(("NO",), ("id", "no"))), types=types)
    by_no, by_pair = found.violations
    assert (by_no.column, by_no.columns, by_no.constraint, by_no.count) == ("no", ("no",), "unique", 7)
    assert by_no.samples[0].values == {"id": "0", "no": "0"}
    assert by_no.samples[0].message == text_of("validate.shared_values", values="no=0", rows=2)
    assert by_no.samples[1].message == text_of("validate.shared_values", values="no=1", rows=3)
    assert (by_pair.column, by_pair.columns, by_pair.count) == (None, ("id", "no"), 2)
    assert by_pair.samples[1].message == text_of("validate.shared_values", values="id=1, no=1", rows=2)
    assert found.violating_rows == 7


@pytest.mark.parametrize(("keys", "stops"), [("unique", 1), ("shared", 2), ("missing", 1)])
def test_a_run_that_stops_is_asked_about_before_each_pass_over_the_rows(tmp_path, keys, stops):
    rows = write(tmp_path, [[{"a": 1, "d": 1}, {"a": 2, "d": 1}]], {"a": "int64", "d": "int64"})
    parent = write(tmp_path, [[{"a": 1}]], {"a": "int64"}, name="theirs")
    of = {
        "unique": Keys(unique=(("a",),)),
        "shared": Keys(unique=(("d",),)),
        "missing": Keys(references=(reference(("a",), ("a",)),)),
    }
    types = {"a": "int64", "d": "int64"}
    spec = KeyCheckSpec(
        "shop.orders", of[keys], rows, planned(types), (parent,) * len(of[keys].references), LocalDisk()
    )
    asked = []
    found = scan_keys(spec, memory_limit="100MB", check_stop=lambda: asked.append(len(asked)))
    assert (len(asked), len(found.violations)) == (stops, keys != "unique")


def test_a_reference_violation_says_which_values_are_missing(tmp_path):
    rows = write(tmp_path, [[{"customer": 1}, {"customer": 7}, {"customer": None}]], {"customer": "int64"})
    parent = write(tmp_path, [[{"id": 1}]], {"id": "int64"}, name="theirs")
    keys = Keys(references=(reference(("customer",), ("ID",)),))
    (violation,) = checked(rows, keys, parent, types={"customer": "int64"}).violations
    assert (violation.constraint, violation.count) == ("references", 1)
    assert violation.expected_text == text_of("validate.a_row_of", target="shop.customers (ID)")
    assert violation.samples[0].message == text_of(
        "validate.no_such_row", values="customer=7", target="shop.customers (ID)"
    )


@pytest.mark.parametrize("own", ["int64", "decimal128(38, 0)", "decimal128(38, 10)", "decimal128(9, 2)"])
@pytest.mark.parametrize("theirs", ["int64", "decimal128(38, 0)", "decimal128(38, 10)", "decimal128(9, 2)"])
def test_numbers_are_compared_by_value_whatever_their_type(tmp_path, own, theirs):
    def rows(kind, values):
        return [{"n": int(value) if kind == "int64" else Decimal(value)} for value in values]

    whole = ["0", "10", "-100", "2"]
    large = [str(10**37)] if own == "decimal128(38, 0)" else []
    own_rows = write(tmp_path, [rows(own, [*whole, "3", *large])], {"n": own})
    parent = write(tmp_path, [rows(theirs, whole)], {"n": theirs}, name="theirs")
    keys = Keys(references=(reference(("n",), ("n",)),))
    (violation,) = checked(own_rows, keys, parent, types={"n": own}).violations
    assert violation.count == 1 + len(large)
    assert violation.samples[0].message.startswith("n=3")


def test_types_that_are_never_equal_are_refused_by_name(tmp_path):
    rows = write(tmp_path, [[{"at": None}]], {"at": "timestamp[us]"})
    parent = write(tmp_path, [[{"day": None}]], {"day": "date32[day]"}, name="theirs")
    keys = Keys(references=(reference(("at",), ("day",)),))
    with raises_message(
        PlanError,
        "validate.types_are_never_equal",
        own="at",
        own_type="timestamp[us]",
        other="day",
        other_type="date32[day]",
    ):
        checked(rows, keys, parent, types={"at": "timestamp[us]"})


def test_a_missing_column_is_named(tmp_path):
    rows = write(tmp_path, [[{"a": 1}]], {"a": "int64"})
    with raises_message(PlanError, "sources.no_column", what="references: shop.customers", name="nope"):
        checked(rows, Keys(references=(reference(("a",), ("nope",)),)), rows, types={"a": "int64"})


def test_a_missing_file_is_a_storage_error(tmp_path):
    rows = write(tmp_path, [[{"a": 1}]], {"a": "int64"})
    rows.files[0].unlink()
    with raises_message(StorageError, "validate.keys_cannot_be_checked", table="shop.orders"):
        checked(rows, Keys(unique=(("a",),)), types={"a": "int64"})


def test_large_tables_are_checked_within_the_memory_limit(tmp_path):
    """800,000 rows, whose keys and hash tables take several times the limit; one row in the last part is wrong."""
    count, parts = 400_000, 2
    types = {"id": "int64", "text": "string"}
    files = []
    for part in range(parts):
        ids = pa.array(range(part * count, (part + 1) * count), pa.int64())
        if part == parts - 1:
            ids = pa.concat_arrays([ids[:-1], pa.array([5], pa.int64())])
        text = pa.array([f"a text of some length, which is the key {number}" for number in ids.to_pylist()])
        files.append(tmp_path / f"{part}.parquet")
        pq.write_table(pa.table({"id": ids, "text": text}), files[-1])
    rows = Rows(tuple(files), tuple(FileColumn(name, kind) for name, kind in types.items()))
    parent = Rows(tuple(files[:1]), rows.columns)
    keys = Keys(unique=(("text",), ("id",)), references=(reference(("text", "id"), ("text", "id")),))
    found = checked(rows, keys, parent, types=types, memory_limit="48MB")
    assert [violation.count for violation in found.violations] == [2, 2, count - 1]
