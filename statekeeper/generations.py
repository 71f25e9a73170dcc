"""Publication where nothing can be renamed or linked: by copying, with the metadata as the commit record.

Parts cannot appear all at once under a name that readers know already. So they are copied, after every check passed and
the intent is persisted, to a name that no commit record names: `<run_id>.parquet` where nothing is there, else a
generation of it, `<run_id>.<plan8>.parquet`. Writing the metadata, whose `output_path` names the new dataset, is what
publishes it; the dataset that it replaces is swept after the state says `complete`.

What a rename gives and this does not: a reader that does not go by the metadata may find a dataset that is still being
copied in, or two generations at once.
"""

from __future__ import annotations

from pathlib import Path

from statekeeper.errors import StorageError
from statekeeper.layout import ExtractionLayout, Staging
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.receipt import Receipt
from statekeeper.model.record import PublishIntent
from statekeeper.publication import Publication
from statekeeper.store.disk import Disk, Writes
from statekeeper.store.documents import load_receipts
from statekeeper.store.durable import Fence, storage_errors
from statekeeper.store.failpoints import failpoint
from statekeeper.verification import md5_of


def publication_on(disk: Disk, layout: ExtractionLayout, staging: Staging, fence: Fence) -> Publication:
    """The publication that a disk allows."""
    kind = CopiedPublication if disk.writes is Writes.WHOLE else Publication
    return kind(disk, layout, staging, fence)


class CopiedPublication(Publication):
    """The publication of one plan's parts by copying each to its place."""

    def output_for(self, plan_id: str, intent: PublishIntent | None) -> Path:
        if intent is not None and self.layout.is_dataset_name(intent.metadata.output_name):
            return self.layout.folder / intent.metadata.output_name
        is_free = not self.disk.exists(self.layout.output)
        return self.layout.output if is_free else self.layout.generation(plan_id)

    def make_ready(self, receipts: tuple[Receipt, ...], files: tuple[PublishedFile, ...]) -> None:
        """Nothing: the parts are copied straight to their place, once the intent is persisted."""

    def put_in_place(self, intent: PublishIntent) -> None:
        """Copy every part that is not in place yet; the old dataset stays what the metadata names.

        Raises:
            StorageError, LockLost: some parts may be in place; it can be done again.
        """
        final = self.output_for(intent.plan_id, intent)
        failpoint("publish", "publish", "before")
        with storage_errors(final, "publish"):
            self.fence.check()
            folder = final if intent.metadata.is_folder else final.parent
            self.disk.make_folder(folder, role="publish")
            missing = [file for file in intent.metadata.files if not self._is_there(folder / file.name, file)]
            parts = self._parts(intent) if missing else {}
            for file in missing:
                self._copy(parts.get(file.md5), folder / file.name, file)
            self.disk.sync_folder(folder, role="publish")
            self.disk.sync_folder(final.parent, role="publish")
        failpoint("publish", "publish", "after")

    def is_in_place(self, intent: PublishIntent) -> bool:
        """Whether every file of the intended dataset is at its place with its bytes; takes its time."""
        final = self.output_for(intent.plan_id, intent)
        folder = final if intent.metadata.is_folder else final.parent
        return all(self._is_there(folder / file.name, file) for file in intent.metadata.files)

    def _parts(self, intent: PublishIntent) -> dict[str, Path]:
        receipts = load_receipts(self.disk, self.staging, intent.plan_id)
        return {receipt.md5: self.staging.parts / receipt.part for receipt in receipts.values()}

    def _copy(self, part: Path | None, dest: Path, file: PublishedFile) -> None:
        if part is None:
            raise StorageError(f"{dest} cannot be published: no staged part has its md5", hint="run again")
        self.fence.check()
        with part.open("rb") as content:
            self.disk.write_over(dest, content, role="publish")
        if not self._is_there(dest, file):  # the part was checked; what readers will see is its copy
            raise StorageError(
                f"{dest} does not have the md5 of the part that was copied to it",
                hint="look at the file system under output.base_path, then run again",
            )

    def _is_there(self, path: Path, file: PublishedFile) -> bool:
        if not self.disk.exists(path) or self.disk.is_folder(path):
            return False
        return self.disk.size(path) == file.bytes and md5_of(path) == file.md5
