"""Where every file of statekeeper lies. Pure: names in, paths out; nothing is created or looked at.

```
<base_path>/<source_name>/<path_name>/<yyyymm>/<dd>/
    <run_id>.parquet              the dataset: a file, or a folder of part-<nnnnn>-<plan8>.parquet
    <run_id>.<plan8>.parquet      the same, a further generation, where nothing can be renamed (metadata `output_path`)
    <run_id>_metadata.json        the commit record
    <run_id>_state.json           the state machine
    <run_id>_quarantine.parquet   rows that were put apart, with what they break; part of what is published
    <run_id>_violations.json      findings of the last validation that found any
    <run_id>_violations.parquet   the rows of them, where they were asked for
    <run_id>.lock                 the lock (with leases: <run_id>.lock.<epoch>)
    .<run_id>.staging/<plan_id>/  plan.json, parts/, receipts/, publish.<epoch>/, beside.<epoch>/
<base_path>/_runs/<run_id>.json   the run manifest
<base_path>/_runs/<run_id>.lock   its lock (with leases: <run_id>.lock.<epoch>)
<base_path>/_runs/<run_id>_snapshots/<source_name>/<nnnn>.json
                                  the snapshots that all tables of the run from a source read at; the newest counts
<base_path>/_runs/.<run_id>.activity/<host>-<pid>.json   what tables wait for, while something takes long
<base_path>/_runs/.<run_id>.spark-<token>/   what driver and executors tell each other, while a run is under way
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from statekeeper.model.table import TableRef, safe_name

LAST_RUN = Path(".statekeeper") / "last-run.json"
PART_NAME = re.compile(r"^part-\d{5,}-[0-9a-f]{8}\.parquet$")


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


def spark_mailbox(base_path: Path, run_id: str, token: str) -> Path:
    """Where the driver of a run on Spark and its executors leave each other word."""
    return runs_folder(base_path) / f".{safe_name(run_id)}.spark-{token}"


def table_folder(base_path: Path, table: TableRef) -> Path:
    """The folder of a table, above its dates."""
    return base_path / safe_name(table.source_name) / safe_name(table.path_name)


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

    def receipt_of_attempt(self, chunk_id: int, attempt: str) -> Path:
        """Where an attempt leaves its own receipt, on a disk on which the first cannot be told by its name."""
        return self.receipts / f"chunk-{chunk_id:05d}.{attempt}.json"

    def sift_receipt(self, chunk_id: int) -> Path:
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


@dataclass(frozen=True)
class ExtractionLayout:
    """The files of one extraction."""

    folder: Path
    run_id: str

    @classmethod
    def of(cls, *, base_path: Path, table: TableRef, extraction_date: date, run_id: str) -> ExtractionLayout:
        folder = table_folder(base_path, table) / f"{extraction_date:%Y%m}" / f"{extraction_date:%d}"
        return cls(folder=folder, run_id=safe_name(run_id))

    @property
    def output(self) -> Path:
        return self.folder / f"{self.run_id}.parquet"

    def generation(self, plan_id: str) -> Path:
        """The dataset of a plan that cannot take the name of the one it replaces."""
        return self.folder / f"{self.run_id}.{plan_id[:8]}.parquet"

    def is_dataset_name(self, name: str) -> bool:
        """Whether a name in the folder is the dataset's, or that of a generation of it."""
        return re.fullmatch(re.escape(self.run_id) + r"(\.[0-9a-f]{8})?\.parquet", name) is not None

    def quarantine_of(self, plan_id: str) -> Path:
        """The rows that a plan puts apart, where they cannot take the name of those they replace."""
        return self.folder / f"{self.run_id}_quarantine.{plan_id[:8]}.parquet"

    def is_quarantine_name(self, name: str) -> bool:
        """Whether a name in the folder is that of rows that were put apart."""
        return re.fullmatch(re.escape(self.run_id) + r"_quarantine(\.[0-9a-f]{8})?\.parquet", name) is not None

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
    def violating_rows(self) -> Path:
        """The rows of `violations`, where they were asked for: they are, or may be, in the dataset too."""
        return self.folder / f"{self.run_id}_violations.parquet"

    @property
    def quarantine(self) -> Path:
        """The rows that were put apart, and are not in the dataset."""
        return self.folder / f"{self.run_id}_quarantine.parquet"

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.run_id}.lock"

    @property
    def staging_root(self) -> Path:
        return self.folder / f".{self.run_id}.staging"

    def staging(self, plan_id: str) -> Staging:
        return Staging(self.staging_root / plan_id)

    def aside(self, plan_id: str) -> Path:
        """Where the output that a plan replaces is moved, until it is swept."""
        return self.folder / f".{self.run_id}.replaced-{plan_id[:8]}"

    @property
    def strangers(self) -> Path:
        """Where files that are not ours, found in a dataset that is replaced, are kept."""
        return self.folder / f".{self.run_id}.strangers"


def part_name(chunk_id: int, plan_id: str) -> str:
    """The published name of a chunk's part."""
    return f"part-{chunk_id:05d}-{plan_id[:8]}.parquet"


def staged_part_name(chunk_id: int, attempt: str) -> str:
    """The staged name of one attempt at a chunk."""
    return f"chunk-{chunk_id:05d}-{attempt}.parquet"


def kept_part_name(chunk_id: int, attempt: str) -> str:
    """The staged name of a part without the rows that were put apart."""
    return f"kept-{chunk_id:05d}-{attempt}.parquet"


def rejected_part_name(chunk_id: int, attempt: str) -> str:
    """The staged name of the rows of a part that were put apart."""
    return f"rejected-{chunk_id:05d}-{attempt}.parquet"


def rejects_name(attempt: str) -> str:
    """The staged name of the rejected rows of all parts."""
    return f"rejects-{attempt}.parquet"
