"""Publication on file systems without rename and link: by copying, with the metadata as the commit record.

Without rename, parts cannot appear at once under a name that readers already know. So they are copied, after every
check has passed and the intent is saved, to a name that no commit record names: `<run_id>.parquet` if that is free,
otherwise a generation, `<run_id>.generation-<plan8>.parquet`. Names of quarantined rows always contain their plan.
Writing the metadata, whose `output_path` names the new dataset, publishes it. After that, quarantined rows of an
earlier extraction are removed, and its dataset once the state is `complete`.

The guarantee is weaker than with rename: a reader that ignores the metadata may find a dataset that is still being
copied, or two generations at once, because both need names under base_path that end in `.parquet`.

Why parts are not written to their final place at once, which would save the copy: until all are checked and counted, no
`**/*.parquet` under base_path may match them. Nor may a reader of folders find them; Spark, for example, accepts every
ending, and ignores only names that begin with `_` or `.`. A name that hides a part from both cannot be changed later
without rename: the published part would stay hidden from the same readers forever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from statekeeper.errors import StorageError
from statekeeper.model.metadata import Metadata
from statekeeper.model.receipt import PublishablePart, StagedFile
from statekeeper.model.record import PublishIntent
from statekeeper.publish.part_copy import CopySpec, FileProof
from statekeeper.publish.publication import PlacedFile, Proofs, Publication
from statekeeper.publish.sweep import sweep_others, sweep_uploads
from statekeeper.store.files.disk import Access, Writes
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.files.failpoints import failpoint


@dataclass(frozen=True)
class CopiedPublication(Publication):
    """The publication of one plan's parts by copying each to its place."""

    _staged: dict[str, str] = field(default_factory=dict)
    """The parts passed to `stage`: each name by its md5."""

    def output_for(self, plan_id: str, intent: PublishIntent | None) -> Path:
        intended = self.layout.dataset_named(intent.metadata.output_path) if intent else None
        # In an object store the place always names the plan, since nothing keeps late copies of discarded plans away.
        is_free = intended is None and self.disk.writes is Writes.WHOLE and not self.disk.exists(self.layout.output)
        return self.layout.place_of_copy(plan_id, intended=intended, is_free=is_free)

    def stage(self, parts: Iterable[PublishablePart], *, rejects: StagedFile | None = None) -> None:
        """Only remember the parts: they are copied directly to their place, after the intent is saved."""
        self._staged.update({part.md5: part.part for part in parts})
        if rejects is not None:
            self._staged[rejects.md5] = rejects.part

    def copies_of_violating_rows(self, rows: StagedFile) -> tuple[CopySpec, ...]:
        final = self.layout.violating_rows(self.staging.folder.name)
        with storage_errors(final, "write"):
            self.fence.check()
            self.disk.make_folder(final.parent, role="violating_rows", access=Access.PRIVATE)
        source, expected = self.staging.parts / rows.part, FileProof.of(rows)
        return (self._copy(source, final, expected, rows=rows.rows, role="violating_rows", access=Access.PRIVATE),)

    def _put_rows(self, rows: StagedFile, final: Path) -> None:
        """Do nothing: the rows were already copied to their place."""

    def copies(self, intent: PublishIntent, proofs: Proofs) -> tuple[CopySpec, ...]:
        """A copy for every file that is not in place yet; the metadata still name the old dataset.

        Raises:
            StorageError, LockLost: nothing was published; it can be repeated.
        """
        final = self.output_for(intent.plan_id, intent)
        failpoint("publish", "publish", "before")
        quarantine = intent.metadata.validation.quarantine
        beside = [self.layout.folder / quarantine.name] if quarantine else []
        self.ownership.check(final, *self.layout.folders_around(final), *beside)
        with storage_errors(final, "publish"):
            self.fence.check()
            if quarantine is not None:
                self.disk.make_folder(self.layout.quarantine_folder, role="quarantine", access=Access.PRIVATE)
            if intent.metadata.is_folder:
                self.disk.make_folder(final, role="publish")
        return tuple(self._copy_to(placed) for placed in self._places(intent) if not placed.is_proven(proofs))

    def swap_in(self, intent: PublishIntent, proofs: Proofs) -> None:
        """Make the names of the copies durable; all copies are in place.

        Raises:
            StorageError: it can be repeated.
        """
        assert self.is_in_place(intent, proofs), "every file was copied or already there, and was read back"
        self._sync_names(intent)

    def _sync_names(self, intent: PublishIntent) -> None:
        """Make the names of all files durable. Raises StorageError: it can be repeated."""
        final = self.output_for(intent.plan_id, intent)
        with storage_errors(final, "publish"):
            if intent.metadata.validation.quarantine is not None:
                self.disk.sync_folder(self.layout.quarantine_folder, role="quarantine")
            if intent.metadata.is_folder:
                self.disk.sync_folder(final, role="publish")
            self.disk.sync_folder(final.parent, role="publish")
        failpoint("publish", "publish", "after")

    def unproven(self, intent: PublishIntent) -> tuple[PlacedFile, ...]:
        """Every file, if all of their names exist; otherwise none, because the copies check what is there."""
        places = self._places(intent)
        with storage_errors(self.layout.folder, "look at"):
            names = {folder: set(self.disk.names(folder)) for folder in {placed.path.parent for placed in places}}
        are_there = all(placed.path.name in names[placed.path.parent] for placed in places)
        return places if are_there else ()

    def is_in_place(self, intent: PublishIntent, proofs: Proofs) -> bool:
        """Whether every file to publish is at its place with the right bytes."""
        return all(placed.is_proven(proofs) for placed in self._places(intent))

    def commit(self, metadata: Metadata) -> str:
        """Write the commit record; then remove other generations if readers of folders would find both.

        Uploads that a worker has left unfinished are aborted now, since no later step of this extraction looks for any.
        """
        metadata_md5 = super().commit(metadata)
        with storage_errors(self.layout.folder, "tidy"):
            sweep_uploads(self.disk, self.layout)
        dataset = self.layout.dataset_named(metadata.output_path)
        if dataset is not None and self.layout.folders_around(dataset):
            self.fence.check()
            with storage_errors(dataset, "tidy"):
                sweep_others(self.disk, self.layout, self.ownership, dataset=dataset)
        return metadata_md5

    def _places(self, intent: PublishIntent) -> tuple[PlacedFile, ...]:
        """Every file of the dataset and of quarantined rows, with its place."""
        metadata, final = intent.metadata, self.output_for(intent.plan_id, intent)
        folder = final if metadata.is_folder else final.parent
        quarantine = metadata.validation.quarantine
        beside = [PlacedFile(self.layout.folder / quarantine.name, quarantine)] if quarantine else []
        return (*beside, *(PlacedFile(folder / file.name, file) for file in metadata.files))

    def _copy_to(self, placed: PlacedFile) -> CopySpec:
        staged = self._staged.get(placed.file.md5)
        if staged is None:
            raise StorageError(f"{placed.path} cannot be published: no staged part has its md5", hint="run again")
        expected, rows = FileProof.of(placed.file), placed.file.rows
        return self._copy(
            self.staging.parts / staged, placed.path, expected, rows=rows, role="publish", access=Access.PUBLISHED
        )

    def _copy(self, source: Path, dest: Path, expected: FileProof, *, rows: int, role: str, access: Access) -> CopySpec:
        return CopySpec(
            source=source.absolute(),
            dest=dest.absolute(),
            expected=expected,
            rows=rows,
            role=role,
            access=access,
            disk=self.disk,
            fence=self.fence.for_workers(),
        )
