"""The path of every file of statekeeper. Pure: names in, paths out; it neither creates nor reads anything.

This module has the files of runs, and those of an extraction in the layout `dated`. `statekeeper.store.layouts` has
the differences of the layout `hive`, and decides which layout an extraction has.

```
<base_path>/<source_name>/<path_name>/<yyyymm>/<dd>/
    <run_id>.parquet              the dataset: a file, or a folder of part-<nnnnn>-<plan8>.parquet
    <run_id>.generation-<plan8>.parquet
                                  the dataset that replaces another on a disk without rename (metadata `output_path`)
    <run_id>_metadata.json        the commit record
    <run_id>_state.json           the state machine
    <run_id>_violations.json      findings of the last validation that found any
    <run_id>.lock                 the lock (with leases: <run_id>.lock.<epoch>)
    _<run_id>.quarantine/<plan8>.unpublished
                                  quarantined rows, with the rules that they break; the metadata names the file
    _<run_id>.violations/<plan8>.unpublished
                                  the rows of the findings, if the configuration asks for them
    .<run_id>.staging/<plan_id>/  plan.json, parts/, receipts/, publish.<epoch>/, beside.<epoch>/
                                  (`statekeeper.store.staging`)
    .<run_id>.replaced-<plan8>, .<run_id>.strangers/
                                  output moved aside; files of other programs that were found in a replaced dataset
<base_path>/<source_name>/<path_name>/_windows.json
                                  which windows of an incremental table are taken; beside it its lock, _windows.lock
<base_path>/_runs/<run_id>.json   the run manifest
<base_path>/_runs/<run_id>.lock   its lock (with leases: <run_id>.lock.<epoch>)
<base_path>/_runs/<run_id>_snapshots/<source_name>/<nnnn>.json
                                  the snapshots at which all tables of the run from a source are read; the newest counts
<base_path>/_runs/.<run_id>.activity/<host>-<pid>.json   what tables wait for, while something takes long
<base_path>/_runs/.<run_id>.spark-<token>/   messages between driver and executors, during a run
<base_path>/../.<name of base_path>.swap/<digest>/
                                  of one extraction: a dataset of several parts that is about to be published, and the
                                  one that it replaces (`statekeeper.publish.swap`)
```

Two rules hold for every name:

- Rows that are not published are in files that `**/*.parquet` does not match and that readers of folders skip: their
  names end in `UNPUBLISHED`, in a folder that begins with `_` or `.`.
- A name belongs to one extraction. It begins with a run's id, and its end says the kind of file, so that no two kinds
  and no two runs share a name. `check_run_id` refuses ids that would break this rule.

Version 0.1 named some files differently (`_is_dataset_name`, `is_quarantine_name`, `violating_rows_of_0_1`): they are
still read, and removed when they are replaced.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath
from typing import ClassVar, Self

from statekeeper.errors import UsageError
from statekeeper.model.table import TableRef, safe_name
from statekeeper.store.staging import UNPUBLISHED, Staging

LAST_RUN = Path(".statekeeper") / "last-run.json"
COMMIT_RECORD, STATE = "_metadata.json", "_state.json"
"""How the names of an extraction's two main documents end."""
PART_NAME = re.compile(r"^part-\d{5,}-(?P<plan8>[0-9a-f]{8})\.parquet$")
_LONGEST_RUN_ID = 200
_MONTH, _DAY = re.compile(r"\d{6}"), re.compile(r"\d{2}")
_RESERVED_ENDS = re.compile(r"(_quarantine(\.[0-9a-f]{8})?|_violations|\.generation-[0-9a-f]{8})$")
"""Ends of a run id with which the run's dataset could have the name of another run's file, in this version or 0.1."""
_DATASET_END = re.compile(r"(\.(generation-)?[0-9a-f]{8})?\.parquet")
_QUARANTINE_END = re.compile(rf"/[0-9a-f]{{8}}{re.escape(UNPUBLISHED)}")
_QUARANTINE_END_OF_0_1 = re.compile(r"_quarantine(\.[0-9a-f]{8})?\.parquet")


def check_run_id(run_id: str) -> None:
    """Refuse a run id whose files could have the names of another run's files.

    Raises:
        UsageError: it is not text, has a reserved end, or is too long for a file name.
    """
    if run_id.encode(errors="replace").decode() != run_id:
        raise UsageError(
            f"expected a run id in UTF-8; found {run_id!r}", hint="choose another: by default it is PIPELINE-YYYYMMDD"
        )
    if reserved := _RESERVED_ENDS.search(run_id):
        raise UsageError(
            f"a run id must not end in {reserved.group()!r}, like names of another run's files; found {run_id!r}",
            hint="choose another: by default it is PIPELINE-YYYYMMDD",
        )
    size = len(safe_name(run_id).encode())
    if size > _LONGEST_RUN_ID:
        raise UsageError(
            f"a run id has at most {_LONGEST_RUN_ID} bytes, since file names begin with it; found {size} bytes",
            hint="shorten the run id, or the pipeline's name",
        )


def runs_folder(base_path: Path) -> Path:
    """The folder of run manifests."""
    return base_path / "_runs"


def manifest_file(base_path: Path, run_id: str) -> Path:
    """The manifest of a run."""
    return runs_folder(base_path) / f"{safe_name(run_id)}.json"


def manifest_lock(base_path: Path, run_id: str) -> Path:
    """The lock of a run's manifest, which is held while the manifest is changed."""
    return runs_folder(base_path) / f"{safe_name(run_id)}.lock"


def run_snapshots_folder(base_path: Path, run_id: str, source_name: str) -> Path:
    """The folder of the snapshots that a run has taken of a source for all its tables."""
    return runs_folder(base_path) / f"{safe_name(run_id)}_snapshots" / safe_name(source_name)


def activity_folder(base_path: Path, run_id: str) -> Path:
    """The folder in which the processes of a run record what its tables wait for."""
    return runs_folder(base_path) / f".{safe_name(run_id)}.activity"


def spark_exchange(base_path: Path, run_id: str, token: str) -> Path:
    """The folder through which the driver of a run on Spark and its executors communicate."""
    return runs_folder(base_path) / f".{safe_name(run_id)}.spark-{token}"


NamesIn = Callable[[Path], list[str]]
"""Returns the sorted names in a folder; none if the folder does not exist."""


def table_folder(base_path: Path, table: TableRef) -> Path:
    """The folder of a table, above its dates."""
    return base_path / safe_name(table.source_name) / safe_name(table.path_name)


@dataclass(frozen=True)
class ExtractionLayout:
    """The files of one extraction. Its documents are in `folder`. Without a `base_path` there is no `swap` folder."""

    folder: Path
    run_id: str
    base_path: Path | None = None

    datasets_are_folders: ClassVar[bool] = False
    """Whether a dataset of one part is a folder, too; otherwise the part itself is the dataset."""

    @classmethod
    def of(cls, *, base_path: Path, table: TableRef, extraction_date: date, run_id: str) -> Self:
        folder = table_folder(base_path, table) / f"{extraction_date:%Y%m}" / f"{extraction_date:%d}"
        return cls(folder=folder, run_id=safe_name(run_id), base_path=base_path)

    @property
    def table_folder(self) -> Path:
        """The folder with the datasets of all dates."""
        return self.folder.parent.parent

    @property
    def windows(self) -> Path:
        """The windows that the table's extractions have taken, those of all dates and runs."""
        return self.table_folder / "_windows.json"

    @property
    def output(self) -> Path:
        return self.folder / f"{self.run_id}.parquet"

    @property
    def replaced(self) -> tuple[Path, ...]:
        """The paths at which publication may find an earlier dataset, which it replaces."""
        return (self.output,)

    def generation(self, plan_id: str) -> Path:
        """The dataset of a plan, on a disk without rename, when another dataset has the name `output`."""
        return self.folder / f"{self.run_id}.generation-{plan_id[:8]}.parquet"

    def place_of_copy(self, plan_id: str, *, intended: Path | None, is_free: bool) -> Path:
        """The path to which a plan's dataset is copied, on a disk without rename.

        `intended` is the path that the state already names, if any. `is_free` says that nothing exists at `output`.
        """
        return intended or (self.output if is_free else self.generation(plan_id))

    def dataset_named(self, output_path: str) -> Path | None:
        """The dataset that a commit record names, also after base_path was moved; None if it is not this extraction's.

        A generation of version 0.1 has a name that the dataset of another run may have, too.
        """
        name = PurePath(output_path).name
        return self.folder / name if self._is_dataset_name(name) else None

    def _is_dataset_name(self, name: str) -> bool:
        return _begins_and_ends(name, self.run_id, _DATASET_END)

    def is_generation(self, path: Path) -> bool:
        """Whether a path is that of a `generation` of this extraction."""
        named = self.dataset_named(str(path))
        return named == path and path.name.startswith(f"{self.run_id}.generation-")

    def is_inner_generation(self, name: str) -> bool:
        """Whether a name in a dataset's folder is that of a generation. In this layout there are none."""
        del name
        return False

    def is_rest(self, name: str) -> bool:
        """Whether a name in a dataset is that of the rest of a table's file, which a merge has written there."""
        del name
        return False

    def folders_around(self, dataset: Path) -> tuple[Path, ...]:
        """The folders around a dataset that belong to this extraction alone. In this layout there are none."""
        del dataset
        return ()

    def others_than(self, dataset: Path, names_in: NamesIn) -> list[Path]:
        """All other files and folders with the name of a dataset of this extraction, whoever made them."""
        found = (self.folder / name for name in names_in(self.folder) if self._is_dataset_name(name))
        return [path for path in found if path != dataset]

    def record_folders(self, names_in: NamesIn) -> Iterator[tuple[Path, date]]:
        """The folders of the table's documents, with their dates, newest first."""
        for month in filter(_MONTH.fullmatch, reversed(names_in(self.table_folder))):
            for day in filter(_DAY.fullmatch, reversed(names_in(self.table_folder / month))):
                if found := date_of(f"{month}{day}"):
                    yield self.table_folder / month / day, found

    @property
    def quarantine_folder(self) -> Path:
        return self.folder / f"_{self.run_id}.quarantine"

    def quarantine(self, plan_id: str) -> Path:
        """The quarantined rows of a plan, which are not in its dataset."""
        return self.quarantine_folder / f"{plan_id[:8]}{UNPUBLISHED}"

    def is_quarantine_name(self, name: str) -> bool:
        """Whether a name, relative to the folder, is that of a file of quarantined rows.

        Those of version 0.1 are in the folder itself.
        """
        return _begins_and_ends(name, self.quarantine_folder.name, _QUARANTINE_END) or _begins_and_ends(
            name, self.run_id, _QUARANTINE_END_OF_0_1
        )

    @property
    def violating_rows_folder(self) -> Path:
        return self.folder / f"_{self.run_id}.violations"

    def violating_rows(self, plan_id: str) -> Path:
        """The rows of `violations`, if the configuration asks for them; they may be in the dataset as well."""
        return self.violating_rows_folder / f"{plan_id[:8]}{UNPUBLISHED}"

    @property
    def violating_rows_of_0_1(self) -> Path:
        """The path of violating rows in version 0.1."""
        return self.folder / f"{self.run_id}_violations.parquet"

    @property
    def metadata(self) -> Path:
        return self.folder / f"{self.run_id}{COMMIT_RECORD}"

    @property
    def state(self) -> Path:
        return self.folder / f"{self.run_id}{STATE}"

    @property
    def violations(self) -> Path:
        return self.folder / f"{self.run_id}_violations.json"

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.run_id}.lock"

    @property
    def staging_root(self) -> Path:
        return self.folder / f".{self.run_id}.staging"

    def staging(self, plan_id: str) -> Staging:
        return Staging(self.staging_root / plan_id)

    @property
    def swap(self) -> Path | None:
        """This extraction's folder beside base_path; None if base_path is the root."""
        if self.base_path is None:
            return None
        base_path = Path(os.path.abspath(self.base_path))  # noqa: PTH100 - without access to the disk
        if not base_path.name:
            return None
        extraction = (self.folder.relative_to(self.base_path) / self.run_id).as_posix()
        digest = hashlib.sha256(os.fsencode(extraction)).hexdigest()[:32]
        return base_path.with_name(f".{base_path.name}.swap") / digest

    def aside(self, plan_id: str) -> Path:
        """The path to which the output that a plan replaces is moved, until it is removed."""
        return self.folder / f".{self.run_id}.replaced-{plan_id[:8]}"

    @property
    def names(self) -> tuple[Path, ...]:
        """Every fixed path of the extraction in its folder, except that of its state.

        If the state's path is not a file, that is damage, which `reset` moves aside.
        """
        documents = (self.metadata, self.violations, self.lock)
        return (*documents, self.output, self.quarantine_folder, self.violating_rows_folder, self.staging_root)

    @property
    def upload_folders(self) -> tuple[Path, ...]:
        """The folders below which everything is that this extraction writes to an object store."""
        return (self.folder,)

    def is_own_upload(self, path: Path) -> bool:
        """Whether an unfinished upload below one of these folders is of this extraction, not of another run's."""
        name = path.relative_to(self.folder).parts[0] if path.is_relative_to(self.folder) else ""
        folders = {self.staging_root.name, self.quarantine_folder.name, self.violating_rows_folder.name}
        return name in folders or self._is_dataset_name(name)

    @property
    def foreign_files(self) -> Path:
        """The folder to which files of other programs are moved when the dataset that has them is replaced."""
        return self.folder / f".{self.run_id}.strangers"


def _begins_and_ends(name: str, beginning: str, end: re.Pattern[str]) -> bool:
    return name.startswith(beginning) and end.fullmatch(name, len(beginning)) is not None


def date_of(text: str) -> date | None:
    """The date that a folder's name stands for; None if there is no such date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def part_name(chunk_id: int, plan_id: str) -> str:
    """The published name of a chunk's part."""
    return f"part-{chunk_id:05d}-{plan_id[:8]}.parquet"
