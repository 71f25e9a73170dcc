"""Builds what a publication records: the intent that is saved before it, the commit record, and the state's entry.

Decides nothing about the data: `StagedFindings` has what was found in it.
"""

from __future__ import annotations

from pathlib import Path

from statekeeper import __version__
from statekeeper.errors import DataError
from statekeeper.model.metadata import (
    Metadata,
    PublishedFile,
    TableCommit,
    TableConfigRecord,
    ValidationSummary,
    dataset_checksum,
)
from statekeeper.model.packed import Packed
from statekeeper.model.record import Published, PublishIntent, StateRecord
from statekeeper.model.table import Position
from statekeeper.runtime.active_plan import ActivePlan, StagedFindings
from statekeeper.runtime.fingerprint import with_violations
from statekeeper.runtime.null_rows import untaken_null_rows
from statekeeper.text.places import with_addresses


def intent_of(
    active: ActivePlan,
    found: StagedFindings,
    record: StateRecord,
    *,
    output: Path,
    covered_through: Position | None = None,
    table: TableCommit | None = None,
) -> PublishIntent:
    """The intent to publish the good files at `output`, with the commit record as it will be written.

    `covered_through` is how far complete extractions of the table, this one included, cover its incremental column.
    `table` is the commit to a table of a format, if it is published into one.

    If `record` already has an intent with the same plan and identical files, that intent is returned. The files may
    differ: a part that was damaged after the intent was saved, and read again, may have other bytes.

    Raises:
        DataError: the files do not have exactly the extracted rows.
    """
    intent = _intent(active, found, record, output, covered_through, table)
    earlier = record.intent_of_plan(active.plan.plan_id)
    return earlier if earlier is not None and _have_same_files(earlier, intent) else intent


def _have_same_files(one: PublishIntent, other: PublishIntent) -> bool:
    files = [(intent.metadata.files, intent.metadata.validation.quarantine) for intent in (one, other)]
    return files[0] == files[1] and one.metadata.output_name == other.metadata.output_name


def published_by(metadata: Metadata, *, md5: str, objects_digest: str | None) -> Published:
    """The state's entry for a published dataset; `md5` is the md5 of its commit record."""
    return Published(
        plan_id=metadata.plan_id,
        records=metadata.record_count,
        bytes=metadata.file_size_bytes,
        checksum=metadata.checksum,
        output_path=metadata.output_path,
        metadata_md5=md5,
        fingerprint=metadata.config_fingerprint,
        snapshot=metadata.snapshot,
        remarks=metadata.validation.remarks,
        covered_through=metadata.covered_through,
        objects_digest=objects_digest,
        table=metadata.table,
    )


def _intent(
    active: ActivePlan,
    found: StagedFindings,
    record: StateRecord,
    output: Path,
    covered_through: Position | None,
    table: TableCommit | None,
) -> PublishIntent:
    config, run, plan, findings = active.config, active.run, active.plan, found.findings
    layout = run.layout_of(config)
    files, quarantine = Packed(PublishedFile, (part.published for part in found.parts)), _quarantine(active, found)
    ended, started = run.clock(), record.started_at or plan.created_at
    metadata = Metadata(
        output_path=with_addresses(str(output)),
        record_count=sum(file.rows for file in files),
        start_time=started,
        end_time=ended,
        duration_seconds=round((ended - started).total_seconds(), 3),
        file_size_bytes=sum(file.bytes for file in files),
        checksum=dataset_checksum(files, is_folder=files[0].name != output.name),
        table_config=_table_config(active),
        extraction_complete=True,
        run_id=run.run_id,
        statekeeper_version=__version__,
        plan_id=plan.plan_id,
        snapshot=plan.reading.snapshot,
        mode=plan.reading.scope.mode,
        window=plan.reading.scope.window,
        covered_through=covered_through,
        files=files,
        mark=plan.reading.mark,
        table=table,
        columns={column.name: column.arrow_type for column in plan.reading.file_columns},
        database_types={column.name: column.database_type for column in plan.reading.file_columns},
        job_run=run.job_run,
        config_fingerprint=with_violations(record.fingerprint, config) if findings.violations else record.fingerprint,
        validation=ValidationSummary(
            reconcile=config.reconcile.value,
            counted_rows=found.counted.rows if found.counted else None,
            model=config.model.label,
            checks=findings.checks,
            violations=0 if quarantine else findings.violating_rows,
            key_violations=findings.key_violating_rows,
            extracted_rows=found.extracted_rows,
            quarantined_rows=quarantine.rows if quarantine else 0,
            quarantine=quarantine,
            null_incremental_rows=found.counted.null_incremental_rows if found.counted else None,
            untaken_null_rows=untaken_null_rows(plan, found.counted) if found.counted else None,
            drift=plan.drift,
        ),
    )
    return PublishIntent(plan_id=plan.plan_id, aside_name=layout.aside(plan.plan_id).name, metadata=metadata)


def _quarantine(active: ActivePlan, found: StagedFindings) -> PublishedFile | None:
    """The file of quarantined rows, as it is published beside the dataset. Raises DataError if a row is missing."""
    file, kept = found.quarantined, sum(part.rows for part in found.parts)
    rejected = file.rows if file else 0
    if kept + rejected != found.extracted_rows:
        raise DataError(
            f"{active.key}: of {found.extracted_rows:,} rows that were read {kept:,} are good, {rejected:,} quarantined"
        )
    if file is None:
        return None
    path = active.run.layout_of(active.config).quarantine(active.plan.plan_id)
    name = f"{path.parent.name}/{path.name}"  # relative to the metadata that names it
    return PublishedFile(name=name, rows=file.rows, bytes=file.bytes, md5=file.md5)


def _table_config(active: ActivePlan) -> TableConfigRecord:
    config, run = active.config, active.run
    return TableConfigRecord(
        source_name=config.table.source_name,
        table_name=config.table.table_name,
        schema_name=config.table.schema_name,
        incremental_column=config.incremental.column if config.incremental else None,
        extraction_date=run.extraction_date.isoformat(),
        is_full_extract=config.is_full_extract,
        custom_query=config.custom_query,
        flashback_enabled=config.flashback_enabled,
        flashback_timestamp=config.flashback_timestamp,
        run_id=run.run_id,
        path_name=config.table.path_name,
        schema_model=config.model.label,
        verify=config.verify.value,
        reconcile=config.reconcile.value,
        scope=active.plan.reading.scope,
    )
