"""One staged part, checked in a worker: its bytes against the receipt first, then its rows."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.errors import Interrupted
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.receipt import Receipt
from statekeeper.model.schema import ColumnRule, SchemaRef
from statekeeper.parquet.integrity import md5_of
from statekeeper.schemas.model.shipped import ShippedModel
from statekeeper.store.files.disk import LocalDisk
from statekeeper.validate.check_part import PartCheckSpec, check_part
from tests.messages import says
from tests.unit.commit_records import NOON, PLAN
from tests.unit.store.objects.disks import BASE, memory_disk

COLUMNS = (PlannedColumn(name="a", database_type="INTEGER", read_type="int64", arrow_type="int64"),)


@pytest.fixture
def spec(tmp_path):
    """A part of three rows, one of which breaks the schema."""
    path = tmp_path / "chunk-0"
    schema = pa.schema([("a", pa.int64())], {"statekeeper.plan_id": PLAN})
    pq.write_table(pa.table({"a": [1, 2, -3]}, schema=schema), path)
    receipt = Receipt(
        plan_id=PLAN,
        chunk_id=0,
        attempt="1",
        part=path.name,
        rows=3,
        bytes=path.stat().st_size,
        md5=md5_of(path),
        arrow_schema="",
        snapshot="t",
        started_at=NOON,
        ended_at=NOON,
    )
    model = ShippedModel.of(SchemaRef(columns={"a": ColumnRule(type="int", ge=0)}), base=tmp_path)
    return PartCheckSpec(path, receipt, COLUMNS, model, samples=5, disk=LocalDisk())


def _context(*, is_stopping=False):
    return ProcessContext(Sessions("1MB"), memory_limit="100MB", is_stopping=lambda: is_stopping, report=print)


def test_the_rows_of_a_whole_part_are_checked_against_the_schema(spec):
    checked = check_part(spec, _context())
    assert checked.damage is None
    assert (checked.findings.rows, checked.findings.violating_rows) == (3, 1)


def test_of_a_damaged_part_no_row_is_looked_at(spec):
    spec.path.write_bytes(b"x" * spec.receipt.bytes)
    checked = check_part(spec, _context())
    assert "has md5" in checked.damage
    assert checked.findings is None


def test_of_an_object_that_is_gone_no_row_is_looked_at(spec, monkeypatch):
    path = BASE / spec.path.name
    checked = check_part(replace(spec, path=path, disk=memory_disk(monkeypatch)), _context())
    assert says(checked.damage, "parquet.file_is_missing", file=path.name)
    assert checked.findings is None


def test_it_can_be_stopped_between_the_bytes_and_the_rows(spec):
    with pytest.raises(Interrupted):
        check_part(spec, _context(is_stopping=True))
