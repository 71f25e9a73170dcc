"""The work of `validating`: is every staged part whole, do the counts agree, do the rows satisfy schema and keys?

Ends with the publish intent, the parts linked and ready. It publishes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Self

from statekeeper import __version__
from statekeeper.config.resolved import ExtractionConfig, OnViolation, Reconcile
from statekeeper.engines.in_flight import all_done
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.errors import DataError, ValidationFailed
from statekeeper.hints.next_command import RunCommands, quoted
from statekeeper.model.metadata import (
    Metadata,
    PublishedFile,
    TableConfigRecord,
    ValidationSummary,
    dataset_checksum,
)
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Plan
from statekeeper.model.receipt import CountReceipt, Receipt
from statekeeper.model.record import Published, PublishIntent, StateRecord
from statekeeper.publish.publication import Publication
from statekeeper.publish.publisher import Publisher
from statekeeper.runtime.context import Run
from statekeeper.runtime.fingerprint import with_violations
from statekeeper.schemas.model.shipped import ShippedModel
from statekeeper.schemas.rules.findings import Findings, Violations
from statekeeper.store.documents import load_count
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import replace, storage_errors
from statekeeper.store.layout import part_name
from statekeeper.store.receipts import discard_receipt, load_receipts
from statekeeper.store.staging import Staging
from statekeeper.validate.check_part import PartCheck, PartCheckSpec, check_part
from statekeeper.validate.keys.run import keys_checked
from statekeeper.validate.quarantine import CheckedPart, CheckedParts, Separated, ViolationAction, separate, too_many


@dataclass(frozen=True)
class DamagedPart:
    """A chunk whose staged part or receipt is not what it was. Without a `chunk_id` it is the receipt of the count."""

    chunk_id: int | None
    receipt: Receipt | None
    damage: str

    def discard(self, disk: Disk, staging: Staging, plan_id: str) -> None:
        """Remove receipt, then part, so that the chunk is done again."""
        if self.chunk_id is None:
            return  # what stood there was no receipt, and loading it has removed it
        discard_receipt(disk, staging, plan_id, self.chunk_id)
        if self.receipt:
            with storage_errors(staging.parts, "tidy"):
                disk.unlink(staging.parts / self.receipt.part, role="part")


@dataclass(frozen=True)
class Checked:
    """Everything holds; `intent` is ready to be persisted and put in place."""

    intent: PublishIntent

    def published(self, *, metadata_md5: str) -> Published:
        """What the state says of it once it is in place."""
        metadata = self.intent.metadata
        return Published(
            plan_id=metadata.plan_id,
            records=metadata.record_count,
            bytes=metadata.file_size_bytes,
            checksum=metadata.checksum,
            output_path=metadata.output_path,
            metadata_md5=metadata_md5,
            fingerprint=metadata.config_fingerprint,
            snapshot=metadata.snapshot,
            remarks=metadata.validation.remarks,
        )


async def check_staged(
    config: ExtractionConfig,
    run: Run,
    plan: Plan,
    staging: Staging,
    publisher: Publisher,
    record: StateRecord,
) -> Checked | DamagedPart:
    """Check all that is staged, and make it ready to be published.

    Where an intent is persisted already, its parts were checked before; they are only made ready again, or are in
    place.

    Raises:
        DataError: the counts of receipts and source do not agree.
        ValidationFailed: rows break the schema or a key, and the table's policy is `fail`; or it is `quarantine`, and
            too many are to be put apart, or a key is broken.
        ParentMissing: a table that is referred to is not extracted in this run.
    """
    do = run.threads.disk.do
    publication = publisher.publication
    intent = record.intent if record.intent and record.intent.plan_id == plan.plan_id else None
    if intent is not None and await publisher.is_in_place(intent):
        return Checked(intent)
    checks = await do(_StagedChecks.opened, config, run, plan, staging, publication, intent)
    if isinstance(checks, DamagedPart):
        return checks
    counted = await do(checks.reconciled)
    if isinstance(counted, DamagedPart):
        return counted
    scanned = await do(checks.scanned, await checks.checked_parts())
    if isinstance(scanned, DamagedPart):
        return scanned
    findings = scanned.findings
    treatment = ViolationAction.of(config, findings)
    separated = await separate(config, run, plan, staging, scanned, wanted=treatment.wanted)
    # Of the rows that are about to be published: one that is put apart breaks no key any more.
    findings = findings.with_keys(await keys_checked(config, run, plan, staging, separated.parts))
    copied = separated.rejects if treatment is not ViolationAction.QUARANTINE else None
    await do(publication.ownership.check_findings)
    await publisher.write_violating_rows(copied)
    if warning := await do(checks.judge, findings, treatment, publication):
        run.reporter.warning(config.table.key, warning)
    made = await do(checks.intent, separated, treatment, counted, findings, record)
    rejects = separated.rejects if made.metadata.validation.quarantine else None
    await do(publication.stage, separated.parts, made.metadata.files, rejects=rejects)
    if intent is not None and _is_of_same_files(intent, made):
        return Checked(intent)
    # None was persisted yet, or a part was damaged after it was: the chunk, done again, may have made other bytes.
    return Checked(made)


def _is_of_same_files(one: PublishIntent, other: PublishIntent) -> bool:
    files = [(intent.metadata.files, intent.metadata.validation.quarantine) for intent in (one, other)]
    return files[0] == files[1] and one.metadata.output_name == other.metadata.output_name


@dataclass(frozen=True)
class _StagedChecks:
    config: ExtractionConfig
    run: Run
    plan: Plan
    staging: Staging
    receipts: Packed[Receipt]
    output: Path
    quarantine: Path

    @classmethod
    def opened(
        cls,
        config: ExtractionConfig,
        run: Run,
        plan: Plan,
        staging: Staging,
        publication: Publication,
        intent: PublishIntent | None,
    ) -> Self | DamagedPart:
        """The checks of all staged parts, or the first part whose receipt is not there."""
        receipts = load_receipts(run.disk, staging, plan.plan_id)
        for chunk in plan.chunks:
            if chunk.chunk_id not in receipts:
                return DamagedPart(chunk.chunk_id, None, f"the receipt of chunk {chunk.chunk_id} is missing or damaged")
        ordered = Packed(Receipt, (receipts[chunk.chunk_id] for chunk in plan.chunks))
        output = publication.output_for(plan.plan_id, intent)
        return cls(config, run, plan, staging, ordered, output, publication.layout.quarantine(plan.plan_id))

    def reconciled(self) -> CountReceipt | DamagedPart | None:
        """The source's count, which equals the rows of all receipts; None where none was asked for."""
        if self.config.reconcile is Reconcile.NONE:
            return None
        counted = load_count(self.run.disk, self.staging, self.plan.plan_id)
        read = sum(receipt.rows for receipt in self.receipts)
        if counted is None:
            return DamagedPart(None, None, "the receipt of the source's count is missing or damaged")
        if counted.rows != read:
            raise DataError(
                f"{self.config.table.key}: the source counted {counted.rows:,} rows at the snapshot; "
                f"its chunks have {read:,}",
                hint="the next run extracts the table anew; if it happens again the source does not answer truly",
            )
        return counted

    async def checked_parts(self) -> tuple[PartCheck, ...]:
        """What the check of every part says."""
        model = await self.run.threads.disk.do(ShippedModel.of, self.config.model, base=self.run.model_folder)
        return await all_done(
            self.receipts, lambda receipt: self._check(receipt, model), at_once=self.run.engine.in_flight
        )

    def scanned(self, results: tuple[PartCheck, ...]) -> CheckedParts | DamagedPart:
        """All parts and what was found in them, or the first part that is damaged."""
        found, broken = [], []
        for receipt, result in zip(self.receipts, results, strict=True):
            if result.findings is None:
                return DamagedPart(receipt.chunk_id, receipt, result.damage or "it was not checked")
            found.append(result.findings)
            if result.findings.violating_rows:
                broken.append(CheckedPart(receipt, self._published_name(receipt), result.findings))
        merged = partial(Findings.merged, samples=self.config.samples)
        return CheckedParts(self.receipts, reduce(merged, found), tuple(broken))

    async def _check(self, receipt: Receipt, model: ShippedModel) -> PartCheck:
        spec = PartCheckSpec(
            path=(self.staging.parts / receipt.part).absolute(),
            receipt=receipt,
            columns=self.plan.reading.columns,
            model=model,
            samples=self.config.samples,
            disk=self.run.disk,
        )
        # As urgent as chunks: the parts of a large table must not keep small ones from being planned.
        job = Job(
            self.config.table.key,
            check_part,
            spec,
            urgency=Urgency.CHUNK,
            size=receipt.rows,
            remote_result_type=PartCheck,
        )
        return await self.run.jobs.run(self.config, job, f"at the check of chunk {receipt.chunk_id}")

    def judge(self, findings: Findings, treatment: ViolationAction, publication: Publication) -> str | None:
        """Write what was found where a person finds it; a warning if the policy lets it pass, an error if not."""
        layout, key = publication.layout, self.config.table.key
        if not findings.violations:
            publication.disk.unlink(layout.violations, role="violations")
            return None
        document = Violations.of(findings, run_id=self.run.run_id, table=self.config.table, model=self.config.model)
        replace(publication.disk, layout.violations, document.to_bytes(), role="violations", fence=publication.fence)
        message = f"{key}: {findings.summary()}; see {layout.violations}"
        if treatment is ViolationAction.QUARANTINE and not findings.key_violating_rows:
            return f"{message}; they are quarantined in {self.quarantine}"
        if self.config.on_violation is OnViolation.WARN:
            return message
        raise _validation_failed(message, self.config, findings, self.run.commands)

    def _published_name(self, receipt: Receipt) -> str:
        if len(self.receipts) == 1 and not self.run.layout_of(self.config).datasets_are_folders:
            return self.output.name
        return part_name(receipt.chunk_id, self.plan.plan_id)

    def _files(self, parts: Packed[Receipt]) -> Packed[PublishedFile]:
        """The parts under the names that readers will see."""
        files = (
            PublishedFile(name=self._published_name(part), rows=part.rows, bytes=part.bytes, md5=part.md5)
            for part in parts
        )
        return Packed(PublishedFile, files)

    def _quarantine(self, separated: Separated, treatment: ViolationAction) -> PublishedFile | None:
        """The file of rows that were put apart, as it lies beside the dataset. Raises DataError if a row is missing."""
        file = separated.rejects if treatment is ViolationAction.QUARANTINE else None
        read, kept = (sum(part.rows for part in parts) for parts in (self.receipts, separated.parts))
        apart = file.rows if file else 0
        if kept + apart != read:
            raise DataError(
                f"{self.config.table.key}: {kept:,} rows are good and {apart:,} put apart, of {read:,} that were read"
            )
        if file is None:
            return None
        name = f"{self.quarantine.parent.name}/{self.quarantine.name}"  # relative to the metadata that names it
        return PublishedFile(name=name, rows=file.rows, bytes=file.bytes, md5=file.md5)

    def intent(
        self,
        separated: Separated,
        treatment: ViolationAction,
        counted: CountReceipt | None,
        findings: Findings,
        record: StateRecord,
    ) -> PublishIntent:
        """The intent to publish what was separated, with the commit record as it will be written."""
        files, quarantine = self._files(separated.parts), self._quarantine(separated, treatment)
        config, plan, layout = self.config, self.plan, self.run.layout_of(self.config)
        ended, started = self.run.clock(), record.started_at or plan.created_at
        metadata = Metadata(
            output_path=str(self.output),
            record_count=sum(file.rows for file in files),
            start_time=started,
            end_time=ended,
            duration_seconds=round((ended - started).total_seconds(), 3),
            file_size_bytes=sum(file.bytes for file in files),
            checksum=dataset_checksum(files, is_folder=files[0].name != self.output.name),
            table_config=_table_config(config, self.run, plan),
            extraction_complete=True,
            run_id=self.run.run_id,
            statekeeper_version=__version__,
            plan_id=plan.plan_id,
            snapshot=plan.reading.snapshot,
            files=files,
            columns={column.name: column.arrow_type for column in plan.reading.columns},
            database_types={column.name: column.database_type for column in plan.reading.columns},
            job_run=self.run.job_run,
            config_fingerprint=with_violations(record.fingerprint, config)
            if findings.violations
            else record.fingerprint,
            validation=ValidationSummary(
                reconcile=config.reconcile.value,
                counted_rows=counted.rows if counted else None,
                model=config.model.label,
                checks=findings.checks,
                violations=0 if treatment is ViolationAction.QUARANTINE else findings.violating_rows,
                key_violations=findings.key_violating_rows,
                extracted_rows=sum(receipt.rows for receipt in self.receipts),
                quarantined_rows=quarantine.rows if quarantine else 0,
                quarantine=quarantine,
                null_incremental_rows=counted.null_incremental_rows if counted else None,
                drift=plan.drift,
            ),
        )
        return PublishIntent(plan_id=plan.plan_id, aside_name=layout.aside(plan.plan_id).name, metadata=metadata)


def _validation_failed(
    message: str, config: ExtractionConfig, findings: Findings, commands: RunCommands
) -> ValidationFailed:
    what = "the schema or the key" if findings.key_violating_rows else "the schema"
    otherwise = "set on_violation: warn"
    if config.on_violation is OnViolation.QUARANTINE and (reason := too_many(config, findings)):
        message = f"{message}; {reason}"
        otherwise = f"raise max_quarantined, if {findings.violating_rows:,} rows may be put apart"
    elif config.on_violation is OnViolation.QUARANTINE:
        message = f"{message}; of rows that break a key together, none can be put apart"
    elif not findings.key_violating_rows:
        otherwise += " or quarantine"
    force = quoted(commands.force(table=config.table.key))
    hint = (
        f"correct {what}, or {otherwise}, and then {quoted(commands.resume())}; or correct the data, and then {force}"
    )
    return ValidationFailed(message, hint=hint)


def _table_config(config: ExtractionConfig, run: Run, plan: Plan) -> TableConfigRecord:
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
        scope=plan.reading.scope,
    )
