"""A merge into an Iceberg table: files without ids of columns, types that Iceberg widens, rows deleted elsewhere."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestWriterV2,
)
from pyiceberg.typedef import Record

from statekeeper.config.sections.output import OutputConfig
from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.errors import DataError
from statekeeper.publish.merge import MergeKey, merge_files
from statekeeper.publish.table_merge import TableMerge
from statekeeper.store.files.disk import LocalDisk
from statekeeper.table_formats.protocol import Change, NewFile
from tests.messages import raises_message
from tests.unit.table_formats.iceberg.places import LocalTable

COLUMNS = pa.schema(
    [("id", pa.int8()), ("at", pa.timestamp("ms")), ("amount", pa.decimal128(38, 10)), ("clock", pa.time64("us"))]
)


def _rows(*rows):
    return pa.table([list(each) for each in zip(*rows, strict=True)], schema=COLUMNS)


def _at(day):
    return datetime(2026, 1, day, 1, 2, 3)  # noqa: DTZ001 - a column without a zone


class MergedTable(LocalTable):
    def merge(self, path, rows, sequence):
        part, version, folder = self.put(path, rows), self.find(), self.place.folder
        merge = TableMerge(
            table="shop.orders", key=MergeKey(("id",), "at"), parts=(part,), table_folder=folder, folder=folder,
            prefix=f"rest-{sequence}", lineage=(), output=OutputConfig(), disk=LocalDisk(),
        )  # fmt: skip
        context = ProcessContext(
            Sessions("100MB"), memory_limit="100MB", is_stopping=lambda: False, report=lambda _rows: None
        )
        files = version.files()
        while specs := merge.pending(files, version.columns):
            merge.note([(spec, merge_files(spec, context)) for spec in specs], files)
        done = merge.replacement(files)
        rests = [NewFile(rest.name, rest.bytes, pq.read_metadata(folder / rest.name)) for rest in done.rests]
        version.commit(Change([*done.parts, *rests], done.removed, {"a": sequence}))


@pytest.fixture
def orders(tmp_path):
    table = MergedTable(tmp_path)
    table.create(COLUMNS, is_by_date=False)
    clock = datetime(2026, 1, 1, 23, 59, 59, 999999).time()  # noqa: DTZ001
    table.merge(
        "a.parquet", _rows((1, _at(1), Decimal("-1.5"), clock), (2, _at(1), None, None), (3, _at(9), None, None)), 1
    )
    return table


def test_rows_are_merged_into_an_iceberg_table(orders):
    orders.find().add_columns(pa.schema([("note", pa.string())]))
    orders.merge("b.parquet", _rows((2, _at(2), Decimal(2), None), (3, _at(2), None, None), (4, None, None, None)), 2)
    found = [(row["id"], row["at"], row["amount"], str(row["clock"]), row["note"]) for row in orders.rows()]
    assert sorted(found) == [
        (1, _at(1), Decimal("-1.5"), "23:59:59.999999", None),
        (2, _at(2), Decimal(2), "None", None),
        (3, _at(9), None, "None", None),
        (4, None, None, "None", None),
    ]
    assert orders.find().sequence("a") == 2
    assert {file.path.partition("-")[0] for file in orders.find().files()} == {"rest"}


def test_a_merge_into_files_of_which_a_delete_file_takes_rows_is_refused(orders):
    _delete_by_file(orders)
    assert all(file.has_deletions for file in orders.find().files())
    with raises_message(DataError, "table_formats.has_deletions", file="a.parquet"):
        orders.merge("b.parquet", _rows((2, _at(2), None, None)), 2)


class _Deletes(ManifestWriterV2):
    def content(self):
        return ManifestContent.DELETES


def _delete_by_file(orders):
    """What another program commits: a file of positions of deleted rows."""
    table = orders.reader()
    folder = orders.place.folder
    address = table.inspect.files()["file_path"][0].as_py()
    pq.write_table(pa.table({"file_path": [address], "pos": pa.array([0], pa.int64())}), folder / "deletes.parquet")
    deletes = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES, file_path=f"{folder}/deletes.parquet", file_format=FileFormat.PARQUET,
        partition=Record(), record_count=1, file_size_in_bytes=(folder / "deletes.parquet").stat().st_size,
    )  # fmt: skip
    with table.transaction() as transaction, transaction.update_snapshot().merge_append() as snapshot:
        output = table.io.new_output(f"{folder}/metadata/deletes.avro")
        with _Deletes(table.spec(), table.schema(), output, snapshot.snapshot_id, "null") as writer:
            entry = ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=snapshot.snapshot_id, data_file=deletes
            )
            writer.add_entry(entry)
        manifest = writer.to_manifest_file()
        existing = snapshot._existing_manifests
        snapshot._existing_manifests = lambda: [*existing(), manifest]
