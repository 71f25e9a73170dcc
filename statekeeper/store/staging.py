"""Where the files of a plan lie until they are published. Pure, like `store.layout`: names in, names out.

A system makes and removes one name of a folder at a time. So where nothing can be renamed, and each step takes long,
the parts and the receipts of many chunks lie in subfolders of their folders: `00/`, `01/` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

UNPUBLISHED = ".unpublished"
"""How the name of every Parquet file ends whose rows are not published."""
_CHUNKS_OF_A_SUBFOLDER, _MOST_SUBFOLDERS = 48, 16
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
        """Where an attempt leaves its own receipt, on a disk on which the first cannot be told by its name.

        It lies in the folder of the name that its `part` lies in.
        """
        return self.receipts / PurePosixPath(part).parent / f"chunk-{chunk_id:05d}.{attempt}.json"

    @property
    def recorded_receipts(self) -> Path:
        """Where the parent process records which of the attempts' receipts count."""
        return self.receipts / "recorded.json"

    def split_receipt(self, chunk_id: int) -> Path:
        return self.receipts / f"sifted-{chunk_id:05d}.json"

    @property
    def rejects_receipt(self) -> Path:
        return self.receipts / "rejects.json"

    def beside(self, epoch: int) -> Path:
        """What is to lie beside the dataset, as one owner makes it ready."""
        return self.folder / f"beside.{epoch}"

    def publish(self, epoch: int) -> Path:
        """The dataset as one owner makes it ready; the lock's epoch keeps owners apart."""
        return self.folder / f"publish.{epoch}"


def subfolders_for(chunks: int) -> tuple[str, ...]:
    """The folders in `parts/` and in `receipts/` that share the files of so many chunks; none for a few."""
    number = min(_MOST_SUBFOLDERS, chunks // _CHUNKS_OF_A_SUBFOLDER)
    return tuple(f"{each:02d}" for each in range(number)) if number > 1 else ()


def subfolder_of(chunk_id: int, chunks: int, subfolders: Sequence[str]) -> str:
    """Where the files of one of so many chunks lie: in one of these subfolders, or, without any, in none ("").

    Neighbours lie together. They are worked on at about the same time, and the system, which remembers a name for a
    moment, is asked for their folder once.
    """
    return subfolders[min(chunk_id, chunks - 1) * len(subfolders) // chunks] if subfolders else ""


def is_subfolder(name: str) -> bool:
    """Whether a name in `parts/` or `receipts/` is that of such a folder."""
    return _SUBFOLDER.fullmatch(name) is not None


def staged_part_name(chunk_id: int, attempt: str, *, subfolder: str = "") -> str:
    """The staged name of one attempt at a chunk, in `parts/` or a subfolder of it."""
    return str(PurePosixPath(subfolder, f"chunk-{chunk_id:05d}-{attempt}{UNPUBLISHED}"))


def beside_part(part: str, name: str) -> str:
    """The staged name of what is made of a part, in the folder in which that lies."""
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
