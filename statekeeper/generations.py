"""Publication where nothing can be renamed or linked: by copying, with the metadata as the commit record.

Parts cannot appear all at once under a name that readers know already. So they are copied, after every check passed and
the intent is persisted, to a name that no commit record names: `<run_id>.parquet` where nothing is there, else a
generation of it, `<run_id>.generation-<plan8>.parquet`; quarantined rows bear their plan in any case. Writing the
metadata, whose `output_path` names the new dataset, is what publishes it; then quarantined rows of an earlier
extraction go, and its dataset after the state says `complete`.

What a rename gives and this does not: a reader that does not go by the metadata may find a dataset that is still being
copied in, or two generations at once, since both need names under base_path that end in `.parquet`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from statekeeper.errors import StorageError
from statekeeper.layout import ExtractionLayout, Staging
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.receipt import Receipt, StagedFile
from statekeeper.model.record import PublishIntent
from statekeeper.ownership import Ownership
from statekeeper.publication import Publication
from statekeeper.store.disk import Access, Disk, Writes
from statekeeper.store.durable import Fence, storage_errors
from statekeeper.store.failpoints import failpoint
from statekeeper.verification import md5_of


def publication_on(
    disk: Disk, layout: ExtractionLayout, staging: Staging, fence: Fence, ownership: Ownership
) -> Publication:
    """The publication that a disk allows."""
    kind = CopiedPublication if disk.writes is Writes.WHOLE else Publication
    return kind(disk, layout, staging, fence, ownership)


@dataclass(frozen=True)
class CopiedPublication(Publication):
    """The publication of one plan's parts by copying each to its place."""

    _staged: dict[str, Path] = field(default_factory=dict)
    """What `make_ready` was given: each part by its md5."""

    def output_for(self, plan_id: str, intent: PublishIntent | None) -> Path:
        if intent is not None and self.layout.is_dataset_name(intent.metadata.output_name):
            return self.layout.folder / intent.metadata.output_name
        is_free = not self.disk.exists(self.layout.output)
        return self.layout.output if is_free else self.layout.generation(plan_id)

    def make_ready(
        self, receipts: tuple[Receipt, ...], files: tuple[PublishedFile, ...], *, rejects: StagedFile | None = None
    ) -> None:
        """Only remember the parts: they are copied straight to their place, once the intent is persisted."""
        del files
        self._staged.update({receipt.md5: self.staging.parts / receipt.part for receipt in receipts})
        if rejects is not None:
            self._staged[rejects.md5] = self.staging.parts / rejects.part

    def _put_rows(self, rows: StagedFile, final: Path) -> None:
        self.fence.check()
        with (self.staging.parts / rows.part).open("rb") as content:
            self.disk.write_over(final, content, role="violating_rows")

    def put_in_place(self, intent: PublishIntent) -> None:
        """Copy every file that is not in place yet; the old dataset stays what the metadata names.

        Raises:
            StorageError, LockLost: some files may be in place; it can be done again.
        """
        final = self.output_for(intent.plan_id, intent)
        failpoint("publish", "publish", "before")
        quarantine = intent.metadata.validation.quarantine
        self.ownership.check(final, *([self.layout.folder / quarantine.name] if quarantine else []))
        with storage_errors(final, "publish"):
            self.fence.check()
            if quarantine is not None:
                self.disk.make_folder(self.layout.quarantine_folder, role="quarantine", access=Access.PRIVATE)
            if intent.metadata.is_folder:
                self.disk.make_folder(final, role="publish")
            for path, file in self._copies(intent):
                if not self._is_there(path, file):
                    self._copy(self._staged.get(file.md5), path, file)
            if quarantine is not None:
                self.disk.sync_folder(self.layout.quarantine_folder, role="quarantine")
            if intent.metadata.is_folder:
                self.disk.sync_folder(final, role="publish")
            self.disk.sync_folder(final.parent, role="publish")
        failpoint("publish", "publish", "after")

    def is_in_place(self, intent: PublishIntent) -> bool:
        """Whether every file that is to be published is at its place with its bytes; takes its time."""
        return all(self._is_there(path, file) for path, file in self._copies(intent))

    def _copies(self, intent: PublishIntent) -> list[tuple[Path, PublishedFile]]:
        """Every file with its place: quarantined rows first, so that no row is ever in neither."""
        metadata, final = intent.metadata, self.output_for(intent.plan_id, intent)
        folder = final if metadata.is_folder else final.parent
        apart = metadata.validation.quarantine
        beside = [(self.layout.folder / apart.name, apart)] if apart else []
        return [*beside, *((folder / file.name, file) for file in metadata.files)]

    def _copy(self, part: Path | None, dest: Path, file: PublishedFile) -> None:
        if part is None:
            raise StorageError(f"{dest} cannot be published: no staged part has its md5", hint="run again")
        self.fence.check()
        with part.open("rb") as content:
            self.disk.write_over(dest, content, role="publish", access=Access.PUBLISHED)
        if not self._is_there(dest, file):  # the part was checked; what readers will see is its copy
            raise StorageError(
                f"{dest} does not have the md5 of the part that was copied to it",
                hint="look at the file system under output.base_path, then run again",
            )

    def _is_there(self, path: Path, file: PublishedFile) -> bool:
        if not self.disk.exists(path) or self.disk.is_folder(path):
            return False
        return self.disk.size(path) == file.bytes and md5_of(path) == file.md5
