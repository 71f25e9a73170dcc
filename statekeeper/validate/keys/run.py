"""The checks of `validating` that need more than one part or table: unique columns, and references.

Decides where to find the rows of a referenced (parent) table, and waits for them. For a table that this process
extracts, `statekeeper.runtime.extracted_tables` announces them; any other table must be complete, verified and read at
the run's snapshot. `statekeeper.validate.keys.scan` defines what keys mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.engines.waiting import WaitKind
from statekeeper.errors import DataError, ParentMissing, StatekeeperError, StorageError
from statekeeper.hints.next_command import quoted
from statekeeper.model.metadata import Metadata
from statekeeper.model.packed import Packed
from statekeeper.model.receipt import PublishablePart
from statekeeper.model.record import StateRecord
from statekeeper.model.state import State
from statekeeper.model.table import Reference
from statekeeper.runtime.active_plan import ActivePlan
from statekeeper.runtime.context import Run
from statekeeper.runtime.extracted_tables import ExtractedTable
from statekeeper.runtime.rows import FileColumn, KeyCheckSpec, Rows
from statekeeper.schemas.rules.findings import KeyFindings
from statekeeper.store.documents import load_metadata
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.registry import state_store
from statekeeper.validate.keys.check import check_keys
from statekeeper.verify import VerifySpec, damage_of_published


async def keys_checked(active: ActivePlan, parts: Packed[PublishablePart]) -> KeyFindings:
    """Find the rows of these intact parts that break the table's keys; the parts are announced before any wait.

    Raises:
        ParentMissing: a parent table is not extracted in this run; a later run may find it.
        PlanError: the columns of a reference are missing, or cannot be compared.
    """
    config, extracted = active.config, active.run.extracted
    if not config.keys and not extracted.is_wanted(config.table):
        return KeyFindings(keys=0, violating_rows=0, violations=())
    own, size = await active.run.threads.disk.do(_staged, active, parts)
    if extracted.is_wanted(config.table):
        extracted.announce(config.table, own)
    if not config.keys:
        return KeyFindings(keys=0, violating_rows=0, violations=())
    return await _KeyWork(active, own, size).findings()


async def announce_skipped(config: ExtractionConfig, run: Run, layout: ExtractionLayout) -> None:
    """Let the tables that refer to this complete and verified table read its published rows.

    Raises:
        StateDamaged: its metadata cannot be read.
    """
    if not run.extracted.is_wanted(config.table):
        return
    metadata = await run.threads.disk.do(load_metadata, run.disk, layout.metadata)
    if metadata is not None:
        await announce_published(config, run, layout, metadata)


async def announce_published(config: ExtractionConfig, run: Run, layout: ExtractionLayout, metadata: Metadata) -> None:
    """Let the tables that refer to this one read its published rows: its staged parts are about to be removed."""
    if run.extracted.is_wanted(config.table):
        run.extracted.announce(config.table, await run.threads.disk.do(_published, layout, metadata))


def _staged(active: ActivePlan, parts: Packed[PublishablePart]) -> tuple[ExtractedTable, int]:
    """The staged rows, and their number."""
    reading, folder = active.plan.reading, active.staging.parts
    files = tuple(folder / part.part for part in parts)
    columns = tuple(FileColumn(column.name, column.arrow_type) for column in reading.columns)
    return ExtractedTable(Rows(files, columns), reading.snapshot), sum(part.rows for part in parts)


def _published(layout: ExtractionLayout, metadata: Metadata) -> ExtractedTable:
    output = layout.dataset_named(metadata.output_path)
    assert output is not None, "it was verified, or has just been published"
    files = tuple(output / file.name if metadata.is_folder else output for file in metadata.files)
    columns = tuple(FileColumn(name, arrow_type) for name, arrow_type in metadata.columns.items())
    return ExtractedTable(Rows(files, columns), metadata.snapshot)


@dataclass(frozen=True)
class _KeyWork:
    active: ActivePlan
    own: ExtractedTable
    size: int

    async def findings(self) -> KeyFindings:
        while True:
            parents = [await self._rows_of(reference) for reference in self.active.config.keys.references]
            try:
                return await self._checked(tuple(parent.rows for parent in parents))
            except (DataError, StorageError):
                # Staged parts are removed after publication: then read the published ones.
                references = self.active.config.keys.references
                if not any(self._has_moved(*pair) for pair in zip(references, parents, strict=True)):
                    raise

    async def _checked(self, parents: tuple[Rows, ...]) -> KeyFindings:
        spec = KeyCheckSpec(
            table=self.active.key,
            keys=self.active.config.keys,
            rows=self.own.rows,
            planned=self.active.plan.reading.columns,
            parents=parents,
            samples=self.active.config.samples,
            disk=self.active.run.disk,
        )
        job = Job(self.active.key, check_keys, spec, urgency=Urgency.CHUNK, size=self.size)
        return await self.active.retried(job, "at the check of keys")

    async def _rows_of(self, reference: Reference) -> ExtractedTable:
        table = reference.parent
        if table == self.active.config.table:
            return self.own
        if self.active.run.extracted.is_awaited(table):
            with self.active.run.waits.on(self.active.key, WaitKind.TABLE, f"the rows of {table.key}"):
                async with self.active.run.active_slot_released():
                    await self.active.run.extracted.wait_for(table)
        found = self.active.run.extracted.now(table) or await self._on_disk(reference)
        outdated = await self.active.run.threads.disk.do(
            self.active.run.snapshots.why_outdated, self._parent(reference), found.snapshot
        )
        if outdated:
            raise self._missing(reference, outdated)
        return found

    async def _on_disk(self, reference: Reference) -> ExtractedTable:
        """The published rows of a table that this process has not extracted."""
        parent = self._parent(reference)
        layout, do = self.active.run.layout_of(parent), self.active.run.threads.disk.do
        try:
            record = await do(state_store(self.active.run.disk, layout.state, NO_FENCE).load)
            if record is None or record.state is not State.COMPLETE:
                raise self._missing(reference, _state_of(record))
            spec = VerifySpec(layout, record.published, parent.verify, self.active.run.disk)
            if damage := await damage_of_published(parent, self.active.run, spec):
                raise self._missing(reference, f"its published data is damaged: {damage}")
            metadata = await do(load_metadata, self.active.run.disk, layout.metadata)
        except ParentMissing:
            raise
        except StatekeeperError as error:
            raise self._missing(reference, error.message) from error
        if metadata is None:
            raise self._missing(reference, f"{layout.metadata.name} is missing")
        return await do(_published, layout, metadata)

    def _missing(self, reference: Reference, why: str) -> ParentMissing:
        both = self.active.run.commands.run_chosen((reference.parent.key, self.active.key), exclude=())
        return ParentMissing(
            f"{self.active.key} refers to {reference.parent.key}, whose rows this run does not have: {why}",
            hint=f"extract {reference.parent.key} as well, then this table continues: {quoted(both)}; or remove the "
            "reference",
        )

    def _parent(self, reference: Reference) -> ExtractionConfig:
        return next(config for config in self.active.run.pipeline.tables if config.table == reference.parent)

    def _has_moved(self, reference: Reference, read: ExtractedTable) -> bool:
        """Whether the rows that were read are in another place now, or soon will be."""
        now = self.active.run.extracted.now(reference.parent)
        return now is not read and (now is not None or self.active.run.extracted.is_awaited(reference.parent))


def _state_of(record: StateRecord | None) -> str:
    if record is None:
        return "it was never started"
    if record.failure is not None:
        return f"it failed ({record.failure.message})"
    return f"it is {record.state}"
