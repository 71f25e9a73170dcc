"""The checks of parts in an object store read what they look at, by requests, and nothing else; no part is copied."""

from __future__ import annotations

import errno
import hashlib
import io
import tempfile
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.errors import StorageError
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.receipt import Receipt
from statekeeper.model.schema import ColumnRule, SchemaRef
from statekeeper.model.table import Keys
from statekeeper.runtime.rows import FileColumn, KeyCheckSpec, Rows
from statekeeper.schemas.model.shipped import ShippedModel
from statekeeper.store.files.durable import streamed_once
from statekeeper.store.objects import upload as upload_module
from statekeeper.store.objects.disk import ObjectStoreDisk
from statekeeper.store.objects.reading import END_BYTES, Reader
from statekeeper.store.versions import Version, e_tag_of
from statekeeper.validate.check_part import PartCheckSpec, check_part
from statekeeper.validate.keys.check import check_keys
from tests.messages import raises_message
from tests.unit.commit_records import NOON, PLAN
from tests.unit.store.objects.disks import BASE, memory_disk

ROWS = 60_000
COLUMNS = tuple(
    PlannedColumn(name=name, database_type=kind.upper(), read_type=kind, arrow_type=kind)
    for name, kind in (("id", "int64"), ("text", "string"))
)
CONTEXT = ProcessContext(Sessions("1MB"), memory_limit="100MB", is_stopping=lambda: False, report=print)


@pytest.fixture
def read(monkeypatch):
    """The lengths of the ranges that were asked for; a whole object counts as -1."""
    lengths = []
    get_range, blocks = ObjectStoreDisk.range, ObjectStoreDisk.blocks

    def counted(self, path, start, length):
        lengths.append(length)
        return get_range(self, path, start, length)

    def counted_blocks(self, path, size):
        lengths.append(-1)
        return blocks(self, path, size)

    monkeypatch.setattr(ObjectStoreDisk, "range", counted)
    monkeypatch.setattr(ObjectStoreDisk, "blocks", counted_blocks)
    return lengths


def write_part(disk, path, *, first=0):
    """A part of 60,000 rows, and its receipt; nearly all of its bytes are texts."""
    texts = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(ROWS)]
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())], {"statekeeper.plan_id": PLAN})
    content = io.BytesIO()
    pq.write_table(
        pa.table({"id": range(first, first + ROWS), "text": texts}, schema=schema), content, row_group_size=ROWS // 3
    )
    data = content.getvalue()
    with streamed_once(disk, path, role="part", unique="1") as file:
        file.write(data)
    return Receipt(
        plan_id=PLAN, chunk_id=0, attempt="1", part=path.name, rows=ROWS, bytes=len(data), e_tag=e_tag_of(file),
        md5=hashlib.md5(data).hexdigest(), arrow_schema="", snapshot="t", started_at=NOON, ended_at=NOON,
    )  # fmt: skip


def part_check(disk, path, receipt, folder):
    model = ShippedModel.of(
        SchemaRef(columns={"id": ColumnRule(type="int", lt=ROWS - 2), "text": ColumnRule(type="str")}), base=folder
    )
    return PartCheckSpec(path, receipt, COLUMNS, model, samples=5, disk=disk)


def test_a_part_that_the_stores_checksum_proves_is_read_by_the_checked_columns(
    disk, server, tmp_path, read, monkeypatch
):
    monkeypatch.setattr(upload_module, "PIECE_BYTES", 5 << 20 if server.name == "moto" else 1 << 20)
    path = disk.base_path / "part [1]*?.unpublished"
    receipt = write_part(disk, path)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    valid = ShippedModel.of(SchemaRef(columns={"id": ColumnRule(type="int", ge=0)}), base=tmp_path)
    checked = check_part(replace(part_check(disk, path, receipt, tmp_path), model=valid), CONTEXT)
    assert checked.damage is None
    assert (checked.findings.rows, checked.findings.violating_rows) == (ROWS, 0)
    is_proven = server.name != "azurite"
    assert (-1 in read) is not is_proven
    assert sum(length for length in read if length > 0) < receipt.bytes / 2
    broken = check_part(part_check(disk, path, receipt, tmp_path), CONTEXT).findings
    (violation,) = broken.violations
    assert violation.count == 2
    assert violation.samples[0].values["id"] == str(ROWS - 2)


def test_a_damaged_or_missing_part_is_found_and_a_receipt_without_an_etag_is_read_again(monkeypatch, tmp_path, read):
    disk, path = memory_disk(monkeypatch), BASE / "part"
    receipt = write_part(disk, path)
    spec = part_check(disk, path, receipt, tmp_path)
    assert check_part(spec, CONTEXT).damage is None
    assert -1 in read  # a store whose ETag is no checksum proves nothing
    good = disk.read(path)
    for bad, words in ((b"x" + good[1:], "md5"), (good[1:], "bytes"), (b"", "0 bytes")):
        disk.write_over(path, io.BytesIO(bad), role="t")
        assert words in check_part(spec, CONTEXT).damage
    disk.unlink(path, role="t")
    assert "missing" in check_part(spec, CONTEXT).damage


def test_keys_are_checked_over_all_parts_by_reading_their_columns(monkeypatch, read):
    disk, paths = memory_disk(monkeypatch), (BASE / "part-0", BASE / "part-1")
    receipts = [write_part(disk, path, first=number * (ROWS - 1)) for number, path in enumerate(paths)]
    rows = Rows(paths, tuple(FileColumn(column.name, column.arrow_type) for column in COLUMNS))
    found = check_keys(KeyCheckSpec("t", Keys(unique=(("id",),)), rows, COLUMNS, (), disk), CONTEXT)
    assert found.violating_rows == 2  # the last row of one part has the id of the first row of the other
    assert {sample.values["id"] for sample in found.violations[0].samples} == {str(ROWS - 1)}
    assert -1 not in read
    assert max(read) < receipts[0].bytes


def test_a_store_that_does_not_answer_is_no_damage(monkeypatch, tmp_path):
    disk, path = memory_disk(monkeypatch), BASE / "part"
    spec = part_check(disk, path, write_part(disk, path), tmp_path)

    def no_answer(self, path, start, length):
        raise OSError(errno.EIO, "the store does not answer")

    monkeypatch.setattr(ObjectStoreDisk, "range", no_answer)
    with raises_message(StorageError, "objects.no_answer") as error:
        check_part(spec, CONTEXT)
    assert error.value.code == "EIO"
    assert "s3://lake/team/part" in error.value.message


def test_an_object_is_read_from_any_position_like_a_file():
    data = bytes(range(256)) * 1000
    asked = []

    def fetch(start, length):
        asked.append((start, length))
        return data[start : start + length]

    file, like = Reader(len(data), Version("v"), data[-END_BYTES:], fetch), io.BytesIO(data)
    steps = [(0, 10), (10, 100), (len(data) - 8, 8), (len(data) - 9000, 100), (5, 100_000), (0, -1), (len(data), 5)]
    for at, length in steps:
        assert file.seek(at) == like.seek(at)
        assert file.read(length) == like.read(length)
        assert file.tell() == like.tell()
    assert len(asked) == 3  # the ends of a file and what a small read has brought along are there already
    assert file.again().read(3) == data[:3]
