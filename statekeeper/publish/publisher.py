"""Runs a publication from the parent process: disk steps in threads, reads and writes of parts in workers.

Decides only where each step runs; the parent process itself reads and writes no part. The steps and their safe order
are in `statekeeper.publish.publication`, and for disks without rename in `statekeeper.publish.copied_publication`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.in_flight import all_done
from statekeeper.engines.protocol import FILE_ROWS, Job, Result, Urgency
from statekeeper.model.metadata import Metadata
from statekeeper.model.receipt import StagedFile
from statekeeper.model.record import PublishIntent
from statekeeper.publish.merge import MergedFiles, MergeSpec, merge_files
from statekeeper.publish.part_copy import (
    CopiesProof,
    CopiesSpec,
    CopySpec,
    FileProof,
    ProofSpec,
    copy_parts,
    grouped,
    prove_file,
)
from statekeeper.publish.publication import PlacedFile, Publication
from statekeeper.runtime.context import Run


@dataclass(frozen=True)
class Publisher:
    """Publishes the staged files of one plan; the extraction's lock is held."""

    config: ExtractionConfig
    run: Run
    publication: Publication
    _proofs: dict[Path, FileProof] = field(default_factory=dict)

    async def is_in_place(self, intent: PublishIntent) -> bool:
        """Whether an earlier owner had published everything before it died.

        Raises:
            StorageError: the file system refused.
        """
        do = self.run.threads.disk.do
        unproven = await do(self.publication.unproven, intent)
        await all_done(unproven, self._prove, at_once=self.run.engine.in_flight)
        return await do(self.publication.is_in_place, intent, self._proofs)

    async def swap_in(self, intent: PublishIntent) -> None:
        """Do all steps before the commit record. Raises like `Publication.swap_in`."""
        do = self.run.threads.disk.do
        await self._copy_all(await do(self.publication.copies, intent, self._proofs))
        await do(self.publication.swap_in, intent, self._proofs)

    async def commit(self, metadata: Metadata) -> str:
        """Commit to the table of a format, if there is one, and write the commit record; returns its md5.

        Raises like `Publication.commit_to_table` and `Publication.commit`.
        """
        do = self.run.threads.disk.do
        while work := await do(self.publication.commit_to_table, metadata):
            results = await all_done(work, self._merge, at_once=self.run.engine.in_flight)
            await do(self.publication.merged, tuple(zip(work, results, strict=True)))
        return await do(self.publication.commit, metadata)

    async def write_violating_rows(self, rows: StagedFile | None) -> None:
        """Replace the copy of rows that break the schema, or remove it. Raises like the publication's method."""
        do = self.run.threads.disk.do
        if rows is not None:
            await self._copy_all(await do(self.publication.copies_of_violating_rows, rows))
        await do(self.publication.write_violating_rows, rows)

    async def _copy_all(self, copies: tuple[CopySpec, ...]) -> None:
        await all_done(grouped(copies), self._copy, at_once=self.run.engine.in_flight)

    async def _copy(self, spec: CopiesSpec) -> None:
        job = Job(
            self.config.table.key,
            copy_parts,
            spec,
            urgency=Urgency.CHUNK,
            size=spec.rows // FILE_ROWS,
            remote_result_type=CopiesProof,
        )
        proof = await self._retried(job, str(spec))
        self._proofs.update(zip((copy.dest for copy in spec.copies), proof.files, strict=True))

    async def _merge(self, spec: MergeSpec) -> MergedFiles:
        job = Job(
            self.config.table.key,
            merge_files,
            spec,
            urgency=Urgency.CHUNK,
            size=spec.rows // FILE_ROWS,
            remote_result_type=MergedFiles,
        )
        return await self._retried(job, f"merging into {len(spec.files)} files")

    async def _prove(self, placed: PlacedFile) -> None:
        path, rows = placed.path.absolute(), placed.file.rows
        spec, size = ProofSpec(path, self.publication.disk), rows // FILE_ROWS
        job = Job(
            self.config.table.key, prove_file, spec, urgency=Urgency.CHUNK, size=size, remote_result_type=FileProof
        )
        self._proofs[path] = await self._retried(job, f"reading {path.name} back")

    async def _retried(self, job: Job[Result], what: str) -> Result:
        return await self.run.jobs.run(self.config, job, f"at {what}")
