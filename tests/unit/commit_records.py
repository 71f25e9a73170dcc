"""Commit records as extractions of the table `shop.orders` leave them, without a run."""

from __future__ import annotations

from datetime import UTC, datetime

from statekeeper.model.metadata import Metadata, PublishedFile, TableConfigRecord, ValidationSummary, dataset_checksum
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Snapshot
from statekeeper.model.record import StateRecord
from statekeeper.model.table import ExtractionMode, Scope, TableRef
from statekeeper.store.layout import ExtractionLayout

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
TABLE = TableRef(source_name="shop", table_name="orders", path_name="orders")
PLAN = "0123456789abcdef" * 2


def state_of(layout: ExtractionLayout, **changes) -> StateRecord:
    """The state of an extraction that has not begun, but for `changes`."""
    record = StateRecord(
        run_id=layout.run_id, pipeline="shop", extraction_date="2026-01-06", table=TABLE, fingerprint=""
    )
    return record.model_copy(update=changes)


def commit_record(layout: ExtractionLayout, *, files=(), scope=None, taken_at=NOON, **changes) -> Metadata:
    """The commit record of a complete extraction of some files, by default one that is empty."""
    files = tuple(files) or (PublishedFile(name=layout.output.name, rows=0, bytes=0, md5=""),)
    return Metadata(
        output_path=str(layout.output),
        record_count=sum(file.rows for file in files),
        start_time=NOON,
        end_time=NOON,
        duration_seconds=0.0,
        file_size_bytes=sum(file.bytes for file in files),
        checksum=dataset_checksum(files, is_folder=files[0].name != layout.output.name),
        table_config=_table_config(layout, scope or Scope(mode=ExtractionMode.FULL)),
        extraction_complete=True,
        run_id=layout.run_id,
        statekeeper_version="0",
        plan_id=PLAN,
        snapshot=Snapshot(kind="k", token="t", taken_at=taken_at),
        files=Packed(PublishedFile, files),
        columns={},
        config_fingerprint="",
        validation=ValidationSummary(reconcile="count", counted_rows=1, model=None, checks=0),
    ).model_copy(update=changes)


def _table_config(layout: ExtractionLayout, scope: Scope) -> TableConfigRecord:
    return TableConfigRecord(
        source_name=TABLE.source_name,
        table_name=TABLE.table_name,
        schema_name=None,
        incremental_column=None,
        extraction_date="2026-01-06",
        is_full_extract=True,
        custom_query=None,
        flashback_enabled=False,
        flashback_timestamp=None,
        run_id=layout.run_id,
        path_name=TABLE.path_name,
        schema_model=None,
        verify="full",
        reconcile="count",
        scope=scope,
    )
