"""The paths of a plan's files until they are published. Pure, like `store.layout`: names in, names out.

An operating system creates and removes one name of a folder at a time. So on a disk without rename, where each step is
slow, the parts and receipts of many chunks are spread over subfolders: `00/`, `01/` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

UNPUBLISHED = ".unpublished"
"""The suffix of every Parquet file whose rows are not published."""
_CHUNKS_PER_SUBFOLDER, _MAX_SUBFOLDERS = 48, 16
_SUBFOLDER = re.compile(r"\d\d")


@dataclass(frozen=True)
class Staging:
    """The staging folder of one plan."""

    folder: Path

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def parts(self) -> Path:
        return self.folder / "parts"

    @property
    def receipts(self) -> Path:
        return self.folder / "receipts"

    @property
    def count_receipt(self) -> Path:
        return self.receipts / "count.json"

    def receipt(self, chunk_id: int) -> Path:
        return self.receipts / f"chunk-{chunk_id:05d}.json"

    def receipt_of_attempt(self, chunk_id: int, attempt: str, *, part: str = "") -> Path:
        """The path of one attempt's receipt, on a disk without link().

        It is in the subfolder of the same name as that of its `part`.
        """
        return self.receipts / PurePosixPath(part).parent / f"chunk-{chunk_id:05d}.{attempt}.json"

    @property
    def recorded_receipts(self) -> Path:
        """The document in which the parent process records which receipts count, on a disk without link()."""
        return self.receipts / "recorded.json"

    def split_receipt(self, chunk_id: int) -> Path:
        return self.receipts / f"sifted-{chunk_id:05d}.json"

    @property
    def rejects_receipt(self) -> Path:
        return self.receipts / "rejects.json"

    def beside(self, epoch: int) -> Path:
        """The files that one owner prepares to be published beside the dataset."""
        return self.folder / f"beside.{epoch}"

    def publish(self, epoch: int) -> Path:
        """The dataset that one owner prepares for publication; the epoch of the lock distinguishes owners."""
        return self.folder / f"publish.{epoch}"


def subfolders_for(chunks: int) -> tuple[str, ...]:
    """The subfolders of `parts/` and `receipts/` for a number of chunks; none for a small number."""
    number = min(_MAX_SUBFOLDERS, chunks // _CHUNKS_PER_SUBFOLDER)
    return tuple(f"{each:02d}" for each in range(number)) if number > 1 else ()


def subfolder_of(chunk_id: int, chunks: int, subfolders: Sequence[str]) -> str:
    """The subfolder for the files of a chunk; "" if there are no subfolders.

    Neighbouring chunks share a subfolder. They are worked on at about the same time, so that the system looks up their
    folder once and then has it cached.
    """
    return subfolders[min(chunk_id, chunks - 1) * len(subfolders) // chunks] if subfolders else ""


def is_subfolder(name: str) -> bool:
    """Whether a name in `parts/` or `receipts/` is that of a subfolder."""
    return _SUBFOLDER.fullmatch(name) is not None


def staged_part_name(chunk_id: int, attempt: str, *, subfolder: str = "") -> str:
    """The staged name of one attempt at a chunk, in `parts/` or a subfolder of it."""
    return str(PurePosixPath(subfolder, f"chunk-{chunk_id:05d}-{attempt}{UNPUBLISHED}"))


def beside_part(part: str, name: str) -> str:
    """The staged name of a file made from a part, in the part's folder."""
    return str(PurePosixPath(part).with_name(name))


def kept_part_name(chunk_id: int, attempt: str) -> str:
    """The staged name of a part without its quarantined rows."""
    return f"kept-{chunk_id:05d}-{attempt}{UNPUBLISHED}"


def rejected_part_name(chunk_id: int, attempt: str) -> str:
    """The staged name of the rows of a part that break the schema."""
    return f"rejected-{chunk_id:05d}-{attempt}{UNPUBLISHED}"


def rejects_name(attempt: str) -> str:
    """The staged name of the rejected rows of all parts."""
    return f"rejects-{attempt}{UNPUBLISHED}"
