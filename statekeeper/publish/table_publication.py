"""Publication into a table of a format: the files go to a folder of their plan, and one commit makes them the table's.

Nothing of the table is removed or replaced on disk: its earlier versions, and readers that are reading one, still need
their files. What no version needs any more is removed by the format's own means (VACUUM, expiry of snapshots), when the
table's owner wants it. Only what was never committed is removed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.model.column import RelationComments
from statekeeper.model.metadata import Metadata, TableCommit
from statekeeper.model.receipt import PublishablePart, StagedFile
from statekeeper.model.record import PublishIntent, StateRecord
from statekeeper.publish.copied_publication import CopiedPublication
from statekeeper.publish.merge import MergedFiles, MergeSpec
from statekeeper.publish.merge_commit import MergeWriter
from statekeeper.publish.ownership import Ownership
from statekeeper.publish.part_copy import CopySpec
from statekeeper.publish.publication import Proofs, Publication
from statekeeper.publish.sweep import sweep
from statekeeper.publish.table_commit import TableWriter
from statekeeper.runtime.active_plan import ActivePlan
from statekeeper.runtime.context import Run
from statekeeper.runtime.published_table import PublishedTable
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import Fence, storage_errors
from statekeeper.store.layout import ExtractionLayout


@dataclass(frozen=True)
class TablePublication(CopiedPublication):
    """The publication of one plan's parts into a table."""

    writer: TableWriter = field(kw_only=True)

    def table_commit(self, record: StateRecord) -> TableCommit | None:
        earlier = record.intent_of_plan(record.plan_id or "")
        if earlier is not None and earlier.metadata.table is not None:
            return earlier.metadata.table
        return self.writer.next_commit(record, self.fence.epoch)

    def copies(self, intent: PublishIntent, proofs: Proofs) -> tuple[CopySpec, ...]:
        """On a disk that has links, link the parts; there is nothing to copy then."""
        copies = super().copies(intent, proofs)
        if not self.disk.writes.has_rename:
            return copies
        with storage_errors(self.layout.output, "publish"):
            for copy in copies:
                self.fence.check()
                self.disk.unlink(copy.dest, role="publish")  # of an earlier attempt, with other bytes
                self.disk.link_or_copy(copy.source, copy.dest, role="publish")
        return ()

    def swap_in(self, intent: PublishIntent, proofs: Proofs) -> None:
        """Make the names of the files durable; no version of the table has them yet."""
        if self.disk.writes.has_rename:
            self._sync_names(intent)  # links are not read back: they are the parts that were checked
        else:
            super().swap_in(intent, proofs)

    def stage(self, parts: Iterable[PublishablePart], *, rejects: StagedFile | None = None) -> None:
        """Check what only the table asks of the parts, too. Raises DataError."""
        staged = tuple(parts)
        if self.writer.merging is not None:
            with storage_errors(self.staging.parts, "read"):
                footers = self.writer.footers([self.staging.parts / part.part for part in staged])
            self.writer.merging.check_keys(footers)
        super().stage(staged, rejects=rejects)

    def commit_to_table(self, metadata: Metadata) -> tuple[MergeSpec, ...]:
        return self.writer.commit(metadata, self.fence)

    def merged(self, results: Sequence[tuple[MergeSpec, MergedFiles]]) -> None:
        self.writer.merged(results)


def publication_of(active: ActivePlan, fence: Fence, ownership: Ownership) -> Publication:
    """The publication of a plan, as the table's format and the disk want it. Raises ConfigError."""
    config, run = active.config, active.run
    disk, layout = run.disk, run.layout_of(config)
    if config.is_in_table:
        comments = active.plan.comments or RelationComments()
        writer = TableWriter(PublishedTable.of(config, run), disk, layout, comments, _merging(config, run))
        return TablePublication(disk, layout, active.staging, fence, ownership, writer=writer)
    kind = Publication if disk.writes.has_rename else CopiedPublication
    return kind(disk, layout, active.staging, fence, ownership)


def _merging(config: ExtractionConfig, run: Run) -> MergeWriter | None:
    if not config.is_merged:
        return None
    (key,) = config.keys.unique
    order = config.incremental.column if config.incremental else None
    return MergeWriter(config.table.key, key, order, run.pipeline.output, run.disk, run.layout_of(config))


def sweep_leftovers(
    config: ExtractionConfig,
    run: Run,
    record: StateRecord,
    fence: Fence,
    live_plan: str | None,
    ownership: Ownership | None,
) -> StateRecord:
    """Remove every leftover of an extraction: see `publish.sweep`, and in a table also what was never committed.

    Returns the record, with the plans whose files are the table's without its knowing: of a run that died.

    Raises:
        StorageError, LockLost: as `sweep`.
    """
    layout = run.layout_of(config)
    sweep(run.disk, layout, live_plan=live_plan, fence=fence, ownership=ownership)
    if not config.is_in_table:
        return record
    known = {*record.in_table, *([live_plan[:8]] if live_plan else ())}
    return record.with_in_table(_sweep_uncommitted(run.disk, layout, PublishedTable.of(config, run), known, fence))


def _sweep_uncommitted(
    disk: Disk, layout: ExtractionLayout, target: PublishedTable, known_plans: AbstractSet[str], fence: Fence
) -> set[str]:
    """Remove the files of unknown plans that are not in the table; returns the plans that are, although unknown."""
    with storage_errors(layout.output, "tidy"):
        names = [name for name in disk.names(layout.output) if layout.is_inner_generation(name)]
    unknown = {name.rpartition("-")[2] for name in names} - known_plans
    if not unknown:
        return set()
    table = target.find()
    folders = {file.path.rpartition("/")[0] for file in table.files()} if table is not None else set()
    own = layout.output.relative_to(layout.table_folder).as_posix()
    in_table = {plan for plan in unknown if f"{own}/{layout.generation(plan).name}" in folders}
    with storage_errors(layout.output, "tidy"):
        for plan in sorted(unknown - in_table):
            fence.check()
            disk.remove_folder(layout.generation(plan), role="sweep")
        disk.remove_if_empty(layout.output)
    return in_table
