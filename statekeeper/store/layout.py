"""Where every file of statekeeper lies. Pure: names in, paths out; nothing is created or looked at.

Here are the files of runs, and those of an extraction in the layout `dated`. What is different in the layout `hive`,
and which layout an extraction has, is in `statekeeper.store.layouts`.

```
<base_path>/<source_name>/<path_name>/<yyyymm>/<dd>/
    <run_id>.parquet              the dataset: a file, or a folder of part-<nnnnn>-<plan8>.parquet
    <run_id>.generation-<plan8>.parquet
                                  the same, a further generation, where nothing can be renamed (metadata `output_path`)
    <run_id>_metadata.json        the commit record
    <run_id>_state.json           the state machine
    <run_id>_violations.json      findings of the last validation that found any
    <run_id>.lock                 the lock (with leases: <run_id>.lock.<epoch>)
    _<run_id>.quarantine/<plan8>.unpublished
                                  quarantined rows, with what they break; the metadata says which
    _<run_id>.violations/<plan8>.unpublished
                                  the rows of the findings, where they were asked for
    .<run_id>.staging/<plan_id>/  plan.json, parts/, receipts/, publish.<epoch>/, beside.<epoch>/
                                  (`statekeeper.store.staging`)
    .<run_id>.replaced-<plan8>, .<run_id>.strangers/
                                  output moved aside; files of other programs that were found in a replaced dataset
<base_path>/_runs/<run_id>.json   the run manifest
<base_path>/_runs/<run_id>.lock   its lock (with leases: <run_id>.lock.<epoch>)
<base_path>/_runs/<run_id>_snapshots/<source_name>/<nnnn>.json
                                  the snapshots that all tables of the run from a source read at; the newest counts
<base_path>/_runs/.<run_id>.activity/<host>-<pid>.json   what tables wait for, while something takes long
<base_path>/_runs/.<run_id>.spark-<token>/   what driver and executors tell each other, while a run is under way
<base_path>/../.<name of base_path>.swap/<digest>/
                                  of one extraction: a dataset of several parts that is about to be put in place, and
                                  the one that it replaces (`statekeeper.publish.swap`)
```

Two rules hold for every name:

- Rows that are not published lie where `**/*.parquet` does not match and folder readers do not look: their files end
  in `UNPUBLISHED`, in a folder that begins with `_` or `.`.
- A name is one extraction's alone. A run's id begins it, and what follows tells the kind: no two kinds, and no two
  runs, can have one name. `check_run_id` refuses the ids for which that would not be so.

Version 0.1 named some files otherwise (`is_dataset_name`, `is_quarantine_name`, `violating_rows_of_0_1`): they are
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
PART_NAME = re.compile(r"^part-\d{5,}-(?P<plan8>[0-9a-f]{8})\.parquet$")
_LONGEST_RUN_ID = 200
_MONTH, _DAY = re.compile(r"\d{6}"), re.compile(r"\d{2}")
_RESERVED_ENDS = re.compile(r"(_quarantine(\.[0-9a-f]{8})?|_violations|\.generation-[0-9a-f]{8})$")
"""Ends of a run id with which the run's dataset would have the name of another run's file, as this version names them
or as version 0.1 did."""
_DATASET_END = re.compile(r"(\.(generation-)?[0-9a-f]{8})?\.parquet")
_QUARANTINE_END = re.compile(rf"/[0-9a-f]{{8}}{re.escape(UNPUBLISHED)}")
_QUARANTINE_END_OF_0_1 = re.compile(r"_quarantine(\.[0-9a-f]{8})?\.parquet")


def check_run_id(run_id: str) -> None:
    """Refuse an id under which a run's files could have the names of another run's.

    Raises:
        UsageError: it is not text, ends as names of files do, or is too long for one.
    """
    if run_id.encode(errors="replace").decode() != run_id:
        raise UsageError(
            f"expected a run id in UTF-8; found {run_id!r}", hint="choose another: by default it is PIPELINE-YYYYMMDD"
        )
    if reserved := _RESERVED_ENDS.search(run_id):
        raise UsageError(
            f"a run id must not end in {reserved.group()!r}, as the files of another run may; found {run_id!r}",
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
    """The lock of a run's manifest, which is held while it is changed."""
    return runs_folder(base_path) / f"{safe_name(run_id)}.lock"


def run_snapshots_folder(base_path: Path, run_id: str, source_name: str) -> Path:
    """The folder of the snapshots that a run has taken of a source for all its tables."""
    return runs_folder(base_path) / f"{safe_name(run_id)}_snapshots" / safe_name(source_name)


def activity_folder(base_path: Path, run_id: str) -> Path:
    """Where the processes of a run write down what its tables wait for."""
    return runs_folder(base_path) / f".{safe_name(run_id)}.activity"


def spark_exchange(base_path: Path, run_id: str, token: str) -> Path:
    """Where the driver of a run on Spark and its executors leave each other word."""
    return runs_folder(base_path) / f".{safe_name(run_id)}.spark-{token}"


NamesIn = Callable[[Path], list[str]]
"""The sorted names in a folder; none where there is no such folder."""


def table_folder(base_path: Path, table: TableRef) -> Path:
    """The folder of a table, above its dates."""
    return base_path / safe_name(table.source_name) / safe_name(table.path_name)


@dataclass(frozen=True)
class ExtractionLayout:
    """The files of one extraction; documents are in `folder`. Without a `base_path` there is no place outside of it."""

    folder: Path
    run_id: str
    base_path: Path | None = None

    datasets_are_folders: ClassVar[bool] = False
    """Whether a dataset is a folder also where it has one part; else that part is the dataset."""

    @classmethod
    def of(cls, *, base_path: Path, table: TableRef, extraction_date: date, run_id: str) -> Self:
        folder = table_folder(base_path, table) / f"{extraction_date:%Y%m}" / f"{extraction_date:%d}"
        return cls(folder=folder, run_id=safe_name(run_id), base_path=base_path)

    @property
    def table_folder(self) -> Path:
        """The folder in which the datasets of all dates lie."""
        return self.folder.parent.parent

    @property
    def output(self) -> Path:
        return self.folder / f"{self.run_id}.parquet"

    def generation(self, plan_id: str) -> Path:
        """The dataset of a plan that cannot take the name of the one it replaces."""
        return self.folder / f"{self.run_id}.generation-{plan_id[:8]}.parquet"

    def place_of_copy(self, plan_id: str, *, intended: Path | None, is_free: bool) -> Path:
        """Where a plan's dataset is copied to where nothing can be renamed.

        `intended` is what is persisted of it already, and `is_free` says that nothing lies at `output`.
        """
        return intended or (self.output if is_free else self.generation(plan_id))

    def dataset_named(self, output_path: str) -> Path | None:
        """The dataset that a commit record names, wherever base_path is now; None where it is none of this extraction.

        A generation of version 0.1 has the name that the dataset of another run may have.
        """
        name = PurePath(output_path).name
        return self.folder / name if self._is_dataset_name(name) else None

    def _is_dataset_name(self, name: str) -> bool:
        return _begins_and_ends(name, self.run_id, _DATASET_END)

    def is_generation(self, path: Path) -> bool:
        """Whether it is a dataset of this extraction that could not take the name of the one that it replaces."""
        named = self.dataset_named(str(path))
        return named == path and path.name.startswith(f"{self.run_id}.generation-")

    def is_inner_generation(self, name: str) -> bool:
        """Whether a name in a dataset's folder is that of a generation within it; here there are none."""
        del name
        return False

    def folders_around(self, dataset: Path) -> tuple[Path, ...]:
        """The folders around a dataset that belong to this extraction alone; here none."""
        del dataset
        return ()

    def others_than(self, dataset: Path, names_in: NamesIn) -> list[Path]:
        """What else lies at the places of this extraction's datasets, whoever made it."""
        found = (self.folder / name for name in names_in(self.folder) if self._is_dataset_name(name))
        return [path for path in found if path != dataset]

    def record_folders(self, names_in: NamesIn) -> Iterator[tuple[Path, date]]:
        """The folders of the table's documents with their dates, the newest first."""
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
        """Whether a name, relative to the folder, is that of quarantined rows.

        Those of version 0.1 lie in the folder itself.
        """
        return _begins_and_ends(name, self.quarantine_folder.name, _QUARANTINE_END) or _begins_and_ends(
            name, self.run_id, _QUARANTINE_END_OF_0_1
        )

    @property
    def violating_rows_folder(self) -> Path:
        return self.folder / f"_{self.run_id}.violations"

    def violating_rows(self, plan_id: str) -> Path:
        """The rows of `violations`, where they were asked for: they are, or may be, in the dataset too."""
        return self.violating_rows_folder / f"{plan_id[:8]}{UNPUBLISHED}"

    @property
    def violating_rows_of_0_1(self) -> Path:
        """Where version 0.1 wrote them."""
        return self.folder / f"{self.run_id}_violations.parquet"

    @property
    def metadata(self) -> Path:
        return self.folder / f"{self.run_id}_metadata.json"

    @property
    def state(self) -> Path:
        return self.folder / f"{self.run_id}_state.json"

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
        """This extraction's folder beside base_path; None where base_path has no folder above it."""
        if self.base_path is None:
            return None
        base_path = Path(os.path.abspath(self.base_path))  # noqa: PTH100 - without a look at the disk
        if not base_path.name:
            return None
        extraction = (self.folder.relative_to(self.base_path) / self.run_id).as_posix()
        digest = hashlib.sha256(os.fsencode(extraction)).hexdigest()[:32]
        return base_path.with_name(f".{base_path.name}.swap") / digest

    def aside(self, plan_id: str) -> Path:
        """Where the output that a plan replaces is moved, until it is swept."""
        return self.folder / f".{self.run_id}.replaced-{plan_id[:8]}"

    @property
    def names(self) -> tuple[Path, ...]:
        """Every fixed name of the extraction in its folder, but that of its state.

        What lies in the state's place, if it is no file, is damage that `reset` moves aside.
        """
        documents = (self.metadata, self.violations, self.lock)
        return (*documents, self.output, self.quarantine_folder, self.violating_rows_folder, self.staging_root)

    @property
    def foreign_files(self) -> Path:
        """Where files that are not ours, found in a dataset that is replaced, are kept."""
        return self.folder / f".{self.run_id}.strangers"


def _begins_and_ends(name: str, beginning: str, end: re.Pattern[str]) -> bool:
    return name.startswith(beginning) and end.fullmatch(name, len(beginning)) is not None


def date_of(text: str) -> date | None:
    """The date of a folder's name; None where there is no such date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def part_name(chunk_id: int, plan_id: str) -> str:
    """The published name of a chunk's part."""
    return f"part-{chunk_id:05d}-{plan_id[:8]}.parquet"
