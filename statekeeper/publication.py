"""Puts validated parts where readers look, all at once, and cleans up behind itself.

The order, each step safe to do again after a crash:

1. `make_ready`: link the parts into the staging folder's `publish.<epoch>/`, rows that were put apart into
   `beside.<epoch>/`;
2. the caller persists the publish intent;
3. `put_in_place`: rename, or exchange with what is there: rows that were put apart first, so that a row which the new
   dataset lacks is there before the old one goes; then the dataset; then away with rows that an earlier extraction put
   apart, where this one has none;
4. `commit`: write the metadata, which is the commit record;
5. the caller persists `complete`;
6. `sweep`: remove what is no longer named by anything.

`publish.<epoch>` bears the epoch of the lock: whoever takes an extraction over takes those of earlier epochs away first
(`store.fencing`), so that an owner that was stopped before its rename finds nothing left to rename.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path, PurePath

from statekeeper.errors import LockLost
from statekeeper.layout import PART_NAME, ExtractionLayout, Staging
from statekeeper.model.metadata import Metadata, PublishedFile
from statekeeper.model.receipt import Receipt, StagedFile
from statekeeper.model.record import Published, PublishIntent
from statekeeper.store.disk import Disk
from statekeeper.store.documents import save_metadata
from statekeeper.store.durable import Fence, move, storage_errors
from statekeeper.store.failpoints import failpoint
from statekeeper.store.fencing import sweep_documents
from statekeeper.store.temps import older_than, temp_file
from statekeeper.verification import md5_of

_READY = ("publish.", "beside.", "fenced-")
"""How the names of folders begin that this owner, or one that `store.fencing` fenced off, had ready to be published."""


@dataclass(frozen=True)
class Publication:
    """The publication of one plan's parts by one owner."""

    disk: Disk
    layout: ExtractionLayout
    staging: Staging
    fence: Fence

    def output_for(self, plan_id: str, intent: PublishIntent | None) -> Path:
        """Where the dataset of a plan will be; `intent` is what is persisted already of its publication."""
        del plan_id, intent
        return self.layout.output

    def quarantine_for(self, plan_id: str, intent: PublishIntent | None) -> Path:
        """Where rows that a plan puts apart will be."""
        del plan_id, intent
        return self.layout.quarantine

    def make_ready(
        self, receipts: tuple[Receipt, ...], files: tuple[PublishedFile, ...], *, rejects: StagedFile | None = None
    ) -> None:
        """Link every part, under its published name, into this epoch's publish folder.

        `receipts` and `files` agree in order; `rejects` are the rows that were put apart.

        Raises:
            StorageError, LockLost: nothing was published.
        """
        with storage_errors(self._ready, "make ready"):
            _sweep_ready(self.disk, self.layout, self.staging.folder)
            self.disk.make_folder(self._ready, role="publish")
            for receipt, file in zip(receipts, files, strict=True):
                self.disk.link_or_copy(self.staging.parts / receipt.part, self._ready / file.name, role="publish")
            self.disk.sync_folder(self._ready, role="publish")
            if rejects is not None:
                self.disk.make_folder(self._ready_rejects.parent, role="quarantine")
                self.disk.link_or_copy(self.staging.parts / rejects.part, self._ready_rejects, role="quarantine")
                self.disk.sync_folder(self._ready_rejects.parent, role="quarantine")

    def lay_beside(self, rejects: StagedFile | None, final: Path) -> None:
        """Put a copy of rows, which is no part of what is published, in place of an earlier one; or take that away.

        Raises:
            StorageError, LockLost: what lay there is whole.
        """
        with storage_errors(final, "write"):
            if rejects is not None:
                ready = temp_file(final, str(self.fence.epoch))
                self.disk.unlink(ready, role="violating_rows")  # one of our own that was not finished
                self.disk.link_or_copy(self.staging.parts / rejects.part, ready, role="violating_rows")
                self.fence.check()
                self.disk.rename(ready, final, role="violating_rows")
                self.disk.unlink(ready, role="violating_rows")  # two names of one file: the rename changed nothing
            elif self.disk.exists(final):
                self.fence.check()
                self.disk.unlink(final, role="violating_rows")
            else:
                return
            self.disk.sync_folder(final.parent, role="violating_rows")

    def put_in_place(self, intent: PublishIntent) -> None:
        """Make the ready files the dataset that readers see; does nothing where they are it already.

        Raises:
            StorageError, LockLost: readers see the old or the new dataset, whole; it can be done again.
        """
        final, ready = self.layout.output, self._ready
        if not intent.metadata.is_folder:
            ready /= final.name
        failpoint("publish", "publish", "before")
        with storage_errors(final, "publish"):
            if not self._is_quarantine_in_place(intent):
                self._replace_file(self._ready_rejects, self.layout.quarantine)
            if not self._is_dataset_in_place(intent):
                self._replace(final, ready, aside=self.layout.folder / intent.aside_name)
            if intent.metadata.validation.quarantine is None:
                self.fence.check()
                self.disk.unlink(self.layout.quarantine, role="quarantine")
            self.disk.sync_folder(final.parent, role="publish")
        failpoint("publish", "publish", "after")

    def is_in_place(self, intent: PublishIntent) -> bool:
        """Whether nothing needs to be ready any more: the dataset and the rows put apart are the intended ones."""
        return self._is_quarantine_in_place(intent) and self._is_dataset_in_place(intent)

    def _is_quarantine_in_place(self, intent: PublishIntent) -> bool:
        """True, too, where nothing was put apart: what an earlier extraction has left goes last."""
        file, final = intent.metadata.validation.quarantine, self.layout.quarantine
        return file is None or (file.name == final.name and self._is_file_in_place(final, self._ready_rejects, file))

    def _is_dataset_in_place(self, intent: PublishIntent) -> bool:
        """Parts in a folder bear their plan in their names, and rows that were put apart change their sizes."""
        final, files = self.layout.output, intent.metadata.files
        if intent.metadata.output_name != final.name:  # a generation, of a time when nothing could be renamed
            return False
        if not self.disk.exists(final) or self.disk.is_folder(final) != intent.metadata.is_folder:
            return False
        if intent.metadata.is_folder:
            names = {name for name in self.disk.names(final) if name[0] not in "._"}
            return all(file.name in names and self.disk.size(final / file.name) == file.bytes for file in files)
        return self._is_file_in_place(final, self._ready / final.name, files[0])

    def _is_file_in_place(self, final: Path, ready: Path, file: PublishedFile) -> bool:
        """A file is told by its md5, which takes its time where it is large; but not while it still lies ready."""
        if not self.disk.exists(final) or self.disk.is_folder(final):
            return False
        if self.disk.exists(ready) and not self.disk.is_folder(ready):
            return False
        return self.disk.size(final) == file.bytes and md5_of(final) == file.md5

    def commit(self, metadata: Metadata) -> str:
        """Write the commit record; returns its md5."""
        data = metadata.to_bytes()
        save_metadata(self.disk, self.layout, data, fence=self.fence)
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    @property
    def _ready(self) -> Path:
        return self.staging.publish(self.fence.epoch)

    @property
    def _ready_rejects(self) -> Path:
        return self.staging.beside(self.fence.epoch) / self.layout.quarantine.name

    def _replace_file(self, ready: Path, final: Path) -> None:
        self.fence.check()
        try:
            self.disk.rename(ready, final, role="quarantine")
        except FileNotFoundError as error:
            self.fence.check()
            raise LockLost(f"{final}: what was ready to be published was removed by another runner") from error

    def _replace(self, final: Path, ready: Path, *, aside: Path) -> None:
        is_file_by_file = self.disk.exists(final) and not self.disk.is_folder(final) and not self.disk.is_folder(ready)
        self.fence.check()
        try:
            if not self.disk.exists(final) or is_file_by_file:
                self.disk.rename(ready, final, role="publish")
            elif not self.disk.exchange(ready, final, role="publish"):
                self._move_aside_and_rename(final, ready, aside=aside)
        except FileNotFoundError as error:
            self.fence.check()
            raise LockLost(f"{final}: what was ready to be published was removed by another runner") from error

    def _move_aside_and_rename(self, final: Path, ready: Path, *, aside: Path) -> None:
        """Replace in two steps, where the system cannot swap two names; readers find nothing in between."""
        _sweep_replaced(self.disk, self.layout, aside)
        self.disk.rename(final, aside, role="publish")
        try:
            self.fence.check()
            self.disk.rename(ready, final, role="publish")
        except (LockLost, FileNotFoundError):
            # What was moved aside may be what our successor has just published.
            if not self.disk.exists(final):
                self.disk.rename(aside, final, role="publish")
            raise


def sweep(
    disk: Disk, layout: ExtractionLayout, *, live_plan: str | None, fence: Fence, published: Published | None = None
) -> None:
    """Remove every left-over of this extraction but the staging folder of `live_plan`: replaced output, other plans,
    temps; and, where it is said what is `published`, every other generation of the dataset.

    Raises:
        LockLost: what lies there is another runner's.
        StorageError: the file system refused.
    """
    fence.check()
    with storage_errors(layout.folder, "tidy"):
        for name in disk.names(layout.folder):
            if name.startswith(f".{layout.run_id}.replaced-"):
                _sweep_replaced(disk, layout, layout.folder / name)
        if published is not None:
            _sweep_generations(disk, layout, PurePath(published.output_path).name)
        for name in disk.names(layout.staging_root):
            if name != live_plan:
                _sweep_plan(disk, layout, layout.staging_root / name)
        if live_plan is None:
            disk.remove_folder(layout.staging_root, role="sweep")
        # The lock's own epoch too: between two documents its owner has no temporary file.
        sweep_documents(disk, layout, older_than(fence.epoch + 1))


def _sweep_generations(disk: Disk, layout: ExtractionLayout, live: str) -> None:
    for name in disk.names(layout.folder):
        # That of a run whose id looks like our generation has its state beside it.
        is_another_run = name != layout.output.name and disk.exists(
            layout.state.with_name(f"{name.removesuffix('.parquet')}_state.json")
        )
        if layout.is_dataset_name(name) and name != live and not is_another_run:
            _sweep_replaced(disk, layout, layout.folder / name)


def _sweep_plan(disk: Disk, layout: ExtractionLayout, folder: Path) -> None:
    _sweep_ready(disk, layout, folder)
    disk.remove_folder(folder, role="sweep")


def _sweep_ready(disk: Disk, layout: ExtractionLayout, folder: Path) -> None:
    """Remove what was ready to be published; after an exchange it is the replaced dataset that lies there."""
    for name in disk.names(folder):
        if name.startswith(_READY):
            _sweep_replaced(disk, layout, folder / name)


def _sweep_replaced(disk: Disk, layout: ExtractionLayout, path: Path) -> None:
    """Remove a replaced dataset, but keep files in it that are not ours: whoever put them there may want them."""
    if not disk.is_folder(path):
        disk.unlink(path, role="sweep")
        return
    for name in disk.names(path):
        # A single file made ready, or the folder that was exchanged for it; or rows that were put apart.
        if name in {layout.output.name, layout.quarantine.name}:
            _sweep_replaced(disk, layout, path / name)
        elif not PART_NAME.match(name):
            disk.make_folder(layout.strangers, role="sweep")
            move(disk, path / name, _free_name(disk, layout.strangers / name), role="sweep")
    disk.remove_folder(path, role="sweep")


def _free_name(disk: Disk, path: Path) -> Path:
    """`path`, or the first of `path.2`, `path.3` and so on that nothing has."""
    numbered = (path if number == 1 else path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    return next(each for each in numbered if not disk.exists(each))
