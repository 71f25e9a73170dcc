"""Which rows of a chunk are marked, by the types of their keys and of the incremental column."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore

from statekeeper.config.resolved import OutputConfig
from statekeeper.config.sections.storage import StorageConfig
from statekeeper.errors import DataError
from statekeeper.extract.candidates import Comparison
from statekeeper.extract.taken_before import Marking, compared_columns, stretch_in
from statekeeper.model.mark import ComparedDataset, Mark
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.plan import PlannedColumn, ReadSpec, Snapshot
from statekeeper.model.table import ExtractionMode, Relation, Scope, Window
from statekeeper.parquet.batch_size import MemoryBudget
from statekeeper.parquet.integrity import md5_of
from statekeeper.store.files.disk import Disk, LocalDisk
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.objects import disk as objects_disk
from statekeeper.store.objects.disk import ObjectStoreDisk
from tests.messages import raises_message
from tests.unit.commit_records import PLAN, TABLE, commit_record

BEGIN = datetime(2026, 1, 7, tzinfo=UTC)
"""Where the window begins without its lookback."""
LATE = datetime(2026, 1, 6, 18, tzinfo=UTC)
"""A time in the stretch that both extractions have read."""
MADRID = "Europe/Madrid"


@dataclass(frozen=True)
class Lake:
    """One published dataset of `rows`, and the marks of other rows of the same columns."""

    folder: Path
    columns: pa.Schema
    unique: tuple[tuple[str, ...], ...] = (("id",),)
    start: datetime | int = BEGIN - timedelta(hours=12)
    begin: datetime | int = BEGIN
    timezone: str = "UTC"
    disk: Disk = field(default_factory=LocalDisk)
    group_rows: int = 100_000

    @property
    def layout(self):
        return ExtractionLayout.of(
            base_path=self.folder, table=TABLE, extraction_date=date(2026, 1, 6), run_id="shop-20260106"
        )

    def publish(self, rows, columns=None, plan_id=PLAN):
        schema = columns or self.columns
        self.layout.folder.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(rows, schema.with_metadata({"statekeeper.plan_id": plan_id}))
        pq.write_table(table, self.layout.output, version="2.6", row_group_size=self.group_rows)
        path = self.layout.output
        file = PublishedFile(name=path.name, rows=len(rows), bytes=path.stat().st_size, md5=md5_of(path))
        record = commit_record(
            self.layout,
            files=[file],
            plan_id=plan_id,
            columns={field.name: str(field.type) for field in schema},
            mark=self._mark(()) if "taken_before" in schema.names else None,
        )
        self.layout.metadata.write_bytes(record.to_bytes())

    def marks(self, rows, *, batch_rows=2, is_compared=True):
        """The rows in the order of the part, each with its mark; batches have few rows."""
        dataset = ComparedDataset(
            run_id="shop-20260106", extraction_date="2026-01-06", plan_id=PLAN, start=self.start, end=self.begin
        )
        later = self.begin + (timedelta(days=1) if isinstance(self.begin, datetime) else 1000)
        window = Window(column=self.columns.names[-1], start=self.start, end=later, timezone=self.timezone)
        mark = self._mark((dataset,) if is_compared else ())
        reading = ReadSpec(
            relation=Relation(table_name="orders"),
            snapshot=Snapshot(kind="k", token="t", taken_at=BEGIN),
            scope=Scope(mode=ExtractionMode.INCREMENTAL, window=window, watermark=window.end, covered_from=self.begin),
            columns=tuple(
                PlannedColumn(name=name, database_type="any", read_type=str(kind), arrow_type=str(kind))
                for name, kind in zip(self.columns.names, self.columns.types, strict=True)
            ),
            mark=mark,
        )
        start, end = stretch_in(reading, mark)
        comparison = Comparison(
            table="shop.orders",
            file_columns=reading.columns,
            columns=compared_columns(reading, mark),
            start=start,
            end=end,
            datasets=tuple((dataset, self.layout) for dataset in mark.compared),
            disk=self.disk,
            output=OutputConfig(),
            budget=MemoryBudget.of("100MB"),
            memory_limit="100MB",
            check_stop=lambda: None,
        )
        table = pa.Table.from_pylist(rows, self.columns)
        batches = iter(table.to_batches(max_chunksize=batch_rows))
        marked = list(Marking(reading, mark, comparison).marked(batches))
        assert all(batch.schema.names == [*self.columns.names, "taken_before"] for batch in marked)
        whole = pa.Table.from_batches(marked, marked[0].schema)
        assert sorted(map(repr, whole.drop_columns("taken_before").to_pylist())) == sorted(map(repr, table.to_pylist()))
        return [(row.pop("taken_before"), row) for row in whole.to_pylist()]

    def ids(self, rows, **choices):
        """The ids of the marked rows."""
        return {row["id"] for is_marked, row in self.marks(rows, **choices) if is_marked}

    def _mark(self, compared):
        return Mark(incremental_column=self.columns.names[-1], unique=self.unique, compared=compared)

    def move_to(self, bucket):
        """Put what is published into a bucket, and remove it from this machine."""
        for path in (self.layout.output, self.layout.metadata):
            with path.open("rb") as content:
                bucket.write_over(path, content, role="test")
            path.unlink()


def _orders(stamp=None, *, key=None):
    return pa.schema([("id", key or pa.int64()), ("stamp", stamp or pa.timestamp("us"))])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_without_a_zone_are_those_of_the_window_in_any_unit(tmp_path, unit):
    lake = Lake(tmp_path, _orders(pa.timestamp(unit)), timezone=MADRID)
    begin = datetime(2026, 1, 7, 1)  # noqa: DTZ001 - the wall time in Madrid where the window begins
    rows = [{"id": number, "stamp": begin - timedelta(hours=number)} for number in range(-1, 3)]
    lake.publish(rows)
    assert lake.ids(rows) == {1, 2}, "what is in the window itself no other extraction has read, whatever it has"


def test_the_version_counts_and_rows_that_may_have_been_taken_come_last(tmp_path):
    lake = Lake(tmp_path, _orders(pa.timestamp("us", "UTC")))
    tick = timedelta(microseconds=1)
    lake.publish([{"id": 1, "stamp": LATE}, {"id": 2, "stamp": LATE}, {"id": 3, "stamp": BEGIN - tick}])
    rows = [
        {"id": 1, "stamp": LATE},
        {"id": 2, "stamp": LATE + tick},
        {"id": 3, "stamp": BEGIN - tick},
        {"id": 4, "stamp": LATE},
        {"id": 5, "stamp": BEGIN},
    ]
    assert [(is_marked, row["id"]) for is_marked, row in lake.marks(rows)] == [
        (False, 5),
        (True, 1),
        (False, 2),
        (True, 3),
        (False, 4),
    ]
    assert lake.ids(rows, is_compared=False) == set()


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [(pa.int16(), range(8, 12)), (pa.uint64(), range(8, 12)), (pa.decimal128(38, 0), map(Decimal, range(8, 12)))],
)
def test_windows_of_numbers(tmp_path, kind, numbers):
    lake = Lake(tmp_path, pa.schema([("note", pa.string()), ("id", kind)]), start=9, begin=11)
    rows = [{"note": "n", "id": number} for number in numbers]
    lake.publish(rows)
    assert lake.ids(rows) == {9, 10}


def test_days(tmp_path):
    lake = Lake(tmp_path, _orders(pa.date32()), start=BEGIN - timedelta(days=2))
    rows = [{"id": day, "stamp": date(2026, 1, day)} for day in (5, 6, 7)]
    lake.publish(rows)
    assert lake.ids(rows) == {5, 6}


@pytest.mark.parametrize(
    ("own", "theirs", "values", "others", "same"),
    [
        (pa.decimal128(12, 2), pa.decimal128(20, 4), ["1.50", "2.50"], ["1.5000", "2.5001"], ["1.50"]),
        (pa.int32(), pa.decimal128(10, 1), [1, 20], ["1.0", "20.1"], [1]),
        (pa.string(), pa.string(), ["a", "b ", "Ä", "*"], ["A", "b", "A\u0308", "*"], ["*"]),
        (pa.binary(), pa.binary(), [b"\x00a", b"b"], [b"\x00a", b"B"], [b"\x00a"]),
        (pa.float64(), pa.float64(), [float("inf"), 0.1], [float("inf"), 0.2], [float("inf")]),
    ],
)
def test_keys_are_the_same_if_their_values_are(tmp_path, own, theirs, values, others, same):
    def typed(kind, value):
        return Decimal(value) if pa.types.is_decimal(kind) else value

    lake = Lake(tmp_path, _orders(key=own))
    stamp = LATE.replace(tzinfo=None)
    lake.publish([{"id": typed(theirs, each), "stamp": stamp} for each in others], _orders(key=theirs))
    assert lake.ids([{"id": typed(own, each), "stamp": stamp} for each in values]) == {
        typed(own, each) for each in same
    }


def test_null_equals_null_in_a_row_that_one_of_its_keys_tells_from_others(tmp_path):
    columns = pa.schema([(name, pa.int32()) for name in ("id", "shop", "number")] + [("stamp", pa.timestamp("us"))])
    lake = Lake(tmp_path, columns, unique=(("id",), ("shop", "number")))
    keys = [(1, None, None), (2, 7, None), (None, 8, 8), (None, 9, None), (None, None, None)]
    rows = [
        {"id": each, "shop": shop, "number": number, "stamp": LATE.replace(tzinfo=None)} for each, shop, number in keys
    ]
    lake.publish(rows)
    found = {(row["id"], row["shop"], row["number"]) for is_marked, row in lake.marks(rows) if is_marked}
    assert found == set(keys[:3])
    other = [{**rows[1], "number": 5}, {**rows[0], "stamp": None}]
    assert [is_marked for is_marked, _ in lake.marks(other)] == [False, False]


def test_marked_rows_of_a_dataset_do_not_count(tmp_path):
    lake = Lake(tmp_path, _orders())
    rows = [{"id": number, "stamp": LATE.replace(tzinfo=None)} for number in (1, 2)]
    columns = _orders().append(pa.field("taken_before", pa.bool_()))
    lake.publish([{**rows[0], "taken_before": True}, {**rows[1], "taken_before": False}], columns)
    assert lake.ids(rows) == {2}


def test_a_dataset_that_was_replaced_or_lost_is_an_error_and_never_a_wrong_mark(tmp_path):
    lake = Lake(tmp_path, _orders())
    rows = [{"id": 1, "stamp": LATE.replace(tzinfo=None)}]
    lake.publish(rows, plan_id="f" * 32)
    with raises_message(DataError, "extract.compared_dataset_has_changed", change="it was extracted again"):
        lake.marks(rows)
    lake.publish(rows)
    lake.layout.output.unlink()
    with raises_message(DataError, "extract.compared_dataset_has_changed", change="shop-20260106.parquet is missing"):
        lake.marks(rows)
    lake.publish(rows)
    other = lake.layout.output.read_bytes()
    lake.layout.output.write_bytes(other + b"x")
    with raises_message(DataError, "extract.compared_dataset_has_changed"):
        lake.marks(rows)


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("us", "UTC")])
def test_of_an_object_only_the_compared_columns_within_the_stretch_are_read(tmp_path, monkeypatch, kind):
    store, read = MemoryStore(), []
    monkeypatch.setattr(objects_disk, "client_of", lambda _bucket, _storage: store)
    ask = obstore.get_range
    monkeypatch.setattr(obstore, "get_range", lambda *args, **how: read.append(how["length"]) or ask(*args, **how))
    bucket = ObjectStoreDisk(Path("/s3:/lake"), StorageConfig())
    late = LATE if kind.tz else LATE.replace(tzinfo=None)
    columns = pa.schema([("id", pa.int64()), ("note", pa.binary()), ("stamp", kind)])
    lake = Lake(tmp_path, columns, disk=bucket, group_rows=1000)
    day = timedelta(days=1)
    rows = [
        {"id": number, "note": os.urandom(800), "stamp": late + (timedelta(seconds=number) if number < 5 else -9 * day)}
        for number in range(4000)
    ]
    lake.publish(rows)
    lake.move_to(bucket)
    found = [{**row, "note": None} for row in rows[:8]]
    assert lake.ids(found) == set(range(5))
    assert sum(read) < 1 << 21, "each of the four row groups has 800 kB of notes"
    whole = bucket.read(lake.layout.output)
    bucket.write_over(lake.layout.output, io.BytesIO(whole[:-9]), role="test")
    with raises_message(DataError, "extract.compared_dataset_has_changed"):
        lake.marks(found)
    bucket.unlink(lake.layout.output, role="test")
    with raises_message(DataError, "extract.compared_dataset_has_changed", change="shop-20260106.parquet is missing"):
        lake.marks(found)
