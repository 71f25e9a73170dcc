"""Publishes validated parts in one step.

The order of the steps, each of which can be repeated after a crash:

1. `stage`: link the parts into `publish.<epoch>/`, quarantined rows into `beside.<epoch>/` of the staging folder;
2. the caller saves the publish intent;
3. `swap_in`: rename, or exchange with the existing file or folder. Quarantined rows come first, then the dataset, so
   that a row which the new dataset lacks is in the quarantine before the old dataset goes;
4. `commit`: write the metadata, which is the commit record; then remove quarantined rows that it does not name;
5. the caller saves `complete`;
6. `statekeeper.publish.sweep`: remove what nothing names any more.

`publish.<epoch>` is in the staging folder; a dataset that is or replaces a folder waits beside base_path
(`statekeeper.publish.swap`). The name contains the epoch of the lock: the next owner of an extraction first removes the
folders of earlier epochs (`store.locks.fencing`), so an owner that was stopped before its rename finds nothing to
rename.

A file is replaced or removed only after it was proven to belong to this extraction (`statekeeper.publish.ownership`).
No step here reads or writes the bytes of a part: workers do that (`statekeeper.publish.part_copy`), started by
`statekeeper.publish.publisher`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from statekeeper.errors import LockLost
from statekeeper.model.metadata import Metadata, PublishedFile, TableCommit
from statekeeper.model.receipt import PublishablePart, StagedFile
from statekeeper.model.record import PublishIntent, StateRecord
from statekeeper.publish.merge import MergedFiles, MergeSpec
from statekeeper.publish.ownership import Ownership
from statekeeper.publish.part_copy import CopySpec, FileProof
from statekeeper.publish.swap import conceal, concealed, moved_beside, places_of, reveal
from statekeeper.publish.sweep import DATASET, QUARANTINE, VIOLATING, sweep_ready, sweep_replaced
from statekeeper.store.documents import save_metadata
from statekeeper.store.files.disk import Access, Disk
from statekeeper.store.files.durable import Fence, storage_errors
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.staging import Staging

Proofs = Mapping[Path, FileProof]
"""The proofs of files that this owner has read back, by their absolute paths."""


@dataclass(frozen=True)
class PlacedFile:
    """A final path, and the file that should be there."""

    path: Path
    file: PublishedFile

    def is_proven(self, proofs: Proofs) -> bool:
        """Whether the right file was there when it was read back."""
        return proofs.get(self.path.absolute()) == FileProof.of(self.file)


@dataclass(frozen=True)
class Publication:
    """The publication of one plan's parts by one owner."""

    disk: Disk
    layout: ExtractionLayout
    staging: Staging
    fence: Fence
    ownership: Ownership

    def output_for(self, plan_id: str, intent: PublishIntent | None) -> Path:
        """The path of a plan's dataset; `intent` is the saved intent of its publication, if any."""
        del plan_id, intent
        return self.layout.output

    def table_commit(self, record: StateRecord) -> TableCommit | None:
        """The commit to a table of a format that the publication will make; None, since it is published as files.

        Raises:
            StorageError, DataError: the table cannot be read, or must not be written to.
        """
        del record
        return None

    def commit_to_table(self, metadata: Metadata) -> tuple[MergeSpec, ...]:
        """Commit to the table of a format, if it is published into one; returns work that must be done before that.

        The results of the work are given to `merged`; then this is called again.

        Raises:
            StorageError, DataError, LockLost: it can be repeated.
        """
        del metadata
        return ()

    def merged(self, results: Sequence[tuple[MergeSpec, MergedFiles]]) -> None:
        """Take the results of work that `commit_to_table` has asked for. Raises DataError."""
        raise AssertionError(results)

    def stage(self, parts: Iterable[PublishablePart], *, rejects: StagedFile | None = None) -> None:
        """Link every part into this epoch's publish folder, and the quarantined rows `rejects` into its beside folder.

        Raises:
            StorageError, LockLost: nothing was published.
        """
        with storage_errors(self.staging.folder, "make ready"):
            for folder in places_of(self.layout, self.staging.folder):
                sweep_ready(self.disk, self.layout, folder)
            self._link_ready({part.name: part.part for part in parts})
            if rejects is not None:
                self._link_beside(rejects, QUARANTINE, role="quarantine")

    def _link_ready(self, parts: dict[str, str]) -> None:
        """Link the parts; keys are the names that readers will see."""
        ready, is_folder = self.staging.publish(self.fence.epoch), self.layout.output.name not in parts
        self.disk.make_folder(ready, role="publish")
        if is_folder or self.disk.is_folder(self.layout.output):
            ready = moved_beside(self.disk, self.layout, ready)
        is_under_base_path = ready.parent == self.staging.folder
        for name, part in parts.items():
            visible = concealed(name) if is_under_base_path else name
            place = ready / (visible if is_folder else DATASET)
            self.disk.link_or_copy(self.staging.parts / part, place, role="publish")
        self.disk.sync_folder(ready, role="publish")

    def _link_beside(self, rows: StagedFile, name: str, *, role: str) -> Path:
        folder = self.staging.beside(self.fence.epoch)
        self.disk.make_folder(folder, role=role)
        self.disk.unlink(folder / name, role=role)  # a leftover of an unfinished attempt
        self.disk.link_or_copy(self.staging.parts / rows.part, folder / name, role=role)
        self.disk.sync_folder(folder, role=role)
        return folder / name

    def write_violating_rows(self, rows: StagedFile | None) -> None:
        """Replace the copy of rows that break the schema; with None, remove it.

        Raises:
            StorageError, LockLost: an earlier copy is intact.
        """
        final = self.layout.violating_rows(self.staging.folder.name)
        with storage_errors(final, "write"):
            if rows is not None:
                self.disk.make_folder(final.parent, role="violating_rows", access=Access.PRIVATE)
                self._put_rows(rows, final)
                self.disk.sync_folder(final.parent, role="violating_rows")
            kept = final.relative_to(self.layout.folder).as_posix() if rows else None
            self._remove_rows(final.parent, [self.layout.violating_rows_of_0_1], kept=kept, role="violating_rows")

    def _put_rows(self, rows: StagedFile, final: Path) -> None:
        ready = self._link_beside(rows, VIOLATING, role="violating_rows")
        self.fence.check()
        self.disk.rename(ready, final, role="violating_rows")
        self.disk.unlink(ready, role="violating_rows")  # if both names were the same file, the rename did nothing

    def copies(self, intent: PublishIntent, proofs: Proofs) -> tuple[CopySpec, ...]:
        """The files to copy before `swap_in`, except for those that `proofs` show in place: here none.

        Raises:
            StorageError, LockLost: nothing was published.
        """
        del intent, proofs
        return ()

    def copies_of_violating_rows(self, rows: StagedFile) -> tuple[CopySpec, ...]:
        """The files to copy before `write_violating_rows`: here none. Raises StorageError, LockLost."""
        del rows
        return ()

    def swap_in(self, intent: PublishIntent, proofs: Proofs) -> None:
        """Make the ready files the dataset that readers see; does nothing if they already are.

        Raises:
            StorageError, LockLost: readers see the complete old or new dataset; it can be repeated.
        """
        final = self.layout.output
        failpoint("publish", "publish", "before")
        self.ownership.check(final)
        with storage_errors(final, "publish"):
            if not self._is_quarantine_in_place(intent, proofs):
                self._put_quarantine(intent)
            if not self._is_dataset_in_place(intent, proofs):
                if final.parent != self.layout.folder:
                    self.disk.make_folder(final.parent, role="publish")
                self._replace(final, intent)
            self.disk.sync_folder(final.parent, role="publish")
        failpoint("publish", "publish", "after")

    def unproven(self, intent: PublishIntent) -> tuple[PlacedFile, ...]:
        """The existing files that have the right names and sizes, so that their bytes must be read to decide."""
        files = []
        with storage_errors(self.layout.folder, "look at"):
            quarantine = intent.metadata.validation.quarantine
            if quarantine is not None:
                files.append((PlacedFile(self.layout.folder / quarantine.name, quarantine), self._ready_rejects))
            if self._has_the_datasets_name(intent) and not intent.metadata.is_folder:
                files.append((PlacedFile(self.layout.output, intent.metadata.files[0]), self._ready / DATASET))
            return tuple(placed for placed, ready in files if self._may_be_in_place(placed, ready))

    def is_in_place(self, intent: PublishIntent, proofs: Proofs) -> bool:
        """Whether dataset and quarantined rows are already the intended ones."""
        return self._is_quarantine_in_place(intent, proofs) and self._is_dataset_in_place(intent, proofs)

    def _is_quarantine_in_place(self, intent: PublishIntent, proofs: Proofs) -> bool:
        file = intent.metadata.validation.quarantine
        if file is None:
            return True
        placed = PlacedFile(self.layout.folder / file.name, file)
        return placed.is_proven(proofs) and self._may_be_in_place(placed, self._ready_rejects)

    def _is_dataset_in_place(self, intent: PublishIntent, proofs: Proofs) -> bool:
        """Whether the dataset is in place. In a folder, names and sizes are enough: part names contain the plan, and
        a part without its quarantined rows has another size.
        """
        final, files = self.layout.output, intent.metadata.files
        if not self._has_the_datasets_name(intent):
            return False
        if intent.metadata.is_folder:
            names = set(self.disk.names(final))
            return all(file.name in names and self.disk.size(final / file.name) == file.bytes for file in files)
        placed = PlacedFile(final, files[0])
        return placed.is_proven(proofs) and self._may_be_in_place(placed, self._ready / DATASET)

    def _has_the_datasets_name(self, intent: PublishIntent) -> bool:
        """Whether the dataset's path exists, as the kind (file or folder) that is to be published."""
        final = self.layout.output
        if self.layout.dataset_named(intent.metadata.output_path) != final:
            return False  # a generation, from when the disk had no rename
        return self.disk.exists(final) and self.disk.is_folder(final) == intent.metadata.is_folder

    def _may_be_in_place(self, placed: PlacedFile, ready: Path) -> bool:
        """Whether a file of the right size is in place; False without a look at it while one is still ready."""
        if self.disk.exists(ready) and not self.disk.is_folder(ready):
            return False
        return self.disk.file_size(placed.path) == placed.file.bytes

    def commit(self, metadata: Metadata) -> str:
        """Write the commit record, then remove quarantined rows that it does not name; returns its md5."""
        data = metadata.to_bytes()
        save_metadata(self.disk, self.layout, data, fence=self.fence)
        quarantine = metadata.validation.quarantine
        with storage_errors(self.layout.quarantine_folder, "tidy"):
            earlier = filter(self.layout.is_quarantine_name, self.disk.names(self.layout.folder))
            paths = [self.layout.folder / name for name in earlier]
            kept = quarantine.name if quarantine else None
            self._remove_rows(self.layout.quarantine_folder, paths, kept=kept, role="quarantine")
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def _remove_rows(self, folder: Path, earlier: list[Path], *, kept: str | None, role: str) -> None:
        """Remove our files in `folder` and at the paths of version 0.1, except for the file `kept`."""
        paths = [*(folder / name for name in self.disk.names(folder)), *filter(self.disk.exists, earlier)]
        paths = [path for path in paths if path.relative_to(self.layout.folder).as_posix() != kept]
        for path in filter(self.ownership.owns, paths):
            self.fence.check()
            self.disk.unlink(path, role=role)
        for parent in sorted({path.parent for path in paths}):  # so that no power failure brings them back
            self.disk.sync_folder(parent, role=role)
        self.disk.remove_if_empty(folder)

    @property
    def _ready(self) -> Path:
        """The folder of the ready dataset: `stage` leaves it in only one of these places."""
        name = self.staging.publish(self.fence.epoch).name
        ready, *beside = (place / name for place in places_of(self.layout, self.staging.folder))
        return next(filter(self.disk.exists, beside), ready)

    @property
    def _ready_rejects(self) -> Path:
        return self.staging.beside(self.fence.epoch) / QUARANTINE

    def _put_quarantine(self, intent: PublishIntent) -> None:
        file = intent.metadata.validation.quarantine
        assert file is not None, "there is a quarantine to publish"
        final = self.layout.folder / file.name
        self.ownership.check(final)
        self.disk.make_folder(final.parent, role="quarantine", access=Access.PRIVATE)
        self.fence.check()
        with self._lost_if_missing(final):
            self.disk.rename(self._ready_rejects, final, role="quarantine")
        self.disk.sync_folder(final.parent, role="quarantine")

    def _replace(self, final: Path, intent: PublishIntent) -> None:
        ready, is_folder = self._ready, intent.metadata.is_folder
        is_under_base_path = ready.parent == self.staging.folder
        aside = self.layout.folder if is_under_base_path else ready.parent
        self.fence.check()
        with self._lost_if_missing(final):
            if is_folder and is_under_base_path:
                reveal(self.disk, ready)
            dataset = ready if is_folder else ready / DATASET
            replaced = self._swapped_in(dataset, final, aside=aside / self.layout.aside(intent.plan_id).name)
        if replaced is not None and is_under_base_path and self.disk.is_folder(replaced):
            conceal(self.disk, replaced)
        if not is_under_base_path:
            self.disk.sync_folder(ready.parent, role="publish")

    def _swapped_in(self, ready: Path, final: Path, *, aside: Path) -> Path | None:
        """Put `ready` in place of `final`; returns where the replaced file or folder is now, if anywhere."""
        is_file_by_file = self.disk.exists(final) and not self.disk.is_folder(final) and not self.disk.is_folder(ready)
        if not self.disk.exists(final) or is_file_by_file:
            self.disk.rename(ready, final, role="publish")
            return None
        if self.disk.exchange(ready, final, role="publish"):
            return ready
        self._move_aside_and_rename(final, ready, aside=aside)
        return aside

    @contextmanager
    def _lost_if_missing(self, final: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            self.fence.check()
            raise LockLost(f"{final}: another runner has removed the files that were ready to be published") from error

    def _move_aside_and_rename(self, final: Path, ready: Path, *, aside: Path) -> None:
        """Replace in two steps, for systems that cannot exchange two names; readers find nothing in between."""
        sweep_replaced(self.disk, self.layout, aside)
        self.disk.rename(final, aside, role="publish")
        try:
            self.fence.check()
            self.disk.rename(ready, final, role="publish")
        except (LockLost, FileNotFoundError):
            # What was moved aside may be the dataset that our successor has just published.
            if not self.disk.exists(final):
                self.disk.rename(aside, final, role="publish")
            raise
