"""A small world for crash tests: one database file, one table, one output tree, and runs that die at a chosen step.

Each run has its own process, forked from one that has everything imported, so that thousands of
deaths cost little. It is killed with `os._exit` inside the chosen failpoint.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb
import psutil

from statekeeper.config.loader import pipeline_of
from statekeeper.engines.inline import InlineEngine
from statekeeper.model.metadata import parse_metadata
from statekeeper.model.record import StateRecord
from statekeeper.model.state import State
from statekeeper.model.table import Layout, TableRef
from statekeeper.model.windows import TableWindows
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store import staging
from statekeeper.store.documents import load_run_snapshot
from statekeeper.store.files import failpoints
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.slots import read_document, second_slot
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.layouts import layout_of

from .lossy_disk import LossyDisk
from .nameless_disk import LossyNamelessDisk, NamelessDisk

KILLED = 77
ROWS = 300
RUN_ID = "crash-20260106"
DAY = date(2026, 1, 6)
TABLE = TableRef(source_name="shop", table_name="orders", path_name="orders")
Point = tuple[str, str, str]


class DiskWithoutExchange(LocalDisk):
    """A file system that cannot swap two names."""

    def exchange(self, first: Path, second: Path, *, role: str) -> bool:
        del first, second, role
        return False


class MountPoint(LocalDisk):
    """The file system of base_path alone: nothing can be moved out of it."""

    def rename(self, source: Path, dest: Path, *, role: str) -> None:
        if role == "ready":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        super().rename(source, dest, role=role)


@dataclass(frozen=True)
class Killing:
    """How a run works: its chunks, and where it dies."""

    chunk_rows: int = ROWS
    amounts_below: int = 100
    """100 takes every row; with less the others are put apart."""
    is_forced: bool = False
    kill_at: int | None = None
    stop_at: Point | None = None
    """The step at which it stops itself, until somebody wakes it up."""
    stop_on_visit: int = 1
    """How often it comes to the step before it stops there, this time included."""
    disk: Literal["local", "no-exchange", "mount-point", "lossy", "nameless", "lossy-nameless"] = "local"
    lock: Literal["flock", "lease"] = "flock"
    scope: Literal["table", "run"] = "table"
    is_by_windows: bool = False
    day: date = DAY
    write: str | None = None
    """How it is published into a Delta table; None: as files alone."""

    @property
    def output(self) -> dict[str, str]:
        """Keys of the configuration's `output:`."""
        return {"format": "delta", "write": self.write} if self.write else {}


@dataclass
class Run:
    """The result of a run: the failpoints that it passed, and its outcome (None: it was killed)."""

    points: list[Point] = field(default_factory=list)
    outcome: Outcome | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Started:
    """A run that has started."""

    killing: Killing
    process: Any
    pipe: Any

    def end(self) -> Run:
        """Wait for its end; returns its result."""
        run = Run()
        try:
            run = self.pipe.recv()
        except EOFError:
            assert self.killing.kill_at is not None, f"a run that nobody killed ended with {self.process.exitcode}"
        self.process.join()
        expected = KILLED if run.outcome is None else 0
        assert self.process.exitcode == expected, f"{self.killing} ended with {self.process.exitcode}"
        return run

    def wait_until_stopped(self) -> None:
        """Return when it has stopped itself."""
        deadline = time.monotonic() + 60
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            assert self.process.is_alive(), "it ended without coming to the step"
            assert time.monotonic() < deadline, "it did not stop"
            time.sleep(0.01)

    def wake_up(self) -> Run:
        """Let it continue to its end."""
        os.kill(self.process.pid, signal.SIGCONT)
        return self.end()


@dataclass(frozen=True)
class World:
    """A folder with `source.duckdb` and `out/`."""

    folder: Path
    layout: Layout = Layout.DATED

    @classmethod
    def make(cls, folder: Path, layout: Layout = Layout.DATED) -> World:
        (folder / "out").mkdir(parents=True)
        world = cls(folder, layout)
        world.write_source(version=1)
        return world

    def write_source(self, *, version: int) -> None:
        """Write a database in which every row contains the version."""
        path = self.folder / f"v{version}.duckdb"
        with duckdb.connect(path) as connection:
            connection.execute(
                "create table orders as select i as id, (i * 7 % 100)::decimal(12, 2) as amount, "
                f"'version {version}, row ' || i as note, timestamp '2026-01-06' + to_minutes(i) as changed_at "
                f"from range({ROWS}) as r(i)"
            )
        path.replace(self.folder / "source.duckdb")

    def copy_to(self, folder: Path) -> World:
        shutil.copytree(self.folder, folder, symlinks=True)
        return replace(self, folder=folder)

    def run(self, killing: Killing) -> Run:
        """Run the pipeline once, in its own process."""
        return self.start(killing).end()

    def start(self, killing: Killing) -> Started:
        """Start a run, in its own process."""
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(self, killing, theirs))
        process.start()
        theirs.close()
        return Started(killing, process, ours)

    @property
    def files(self) -> ExtractionLayout:
        base_path = self.folder / "out/data"
        return layout_of(self.layout, base_path=base_path, table=TABLE, extraction_date=DAY, run_id=RUN_ID)

    @property
    def dataset(self) -> Path:
        """The dataset as readers find it: by its metadata; before there are any, by its name."""
        try:
            metadata = parse_metadata(read_document(LocalDisk(), self.files.metadata))
        except FileNotFoundError:
            return self.files.output
        dataset = self.files.dataset_named(metadata.output_path)
        assert dataset is not None
        return dataset

    @property
    def is_committed(self) -> bool:
        """Whether a commit record says that there is a dataset."""
        with suppress(FileNotFoundError):
            return bool(read_document(LocalDisk(), self.files.metadata))
        return False

    @property
    def state(self) -> StateRecord:
        path = self.files.state
        return StateRecord.from_bytes(path.read_bytes(), where=str(path))

    @property
    def quarantine(self) -> list[str]:
        """The files of quarantined rows; one that is torn, as only a disk without rename can leave it, is none yet."""
        found = sorted(self.files.quarantine_folder.glob("*.unpublished"))
        return [str(path) for path in found if path.read_bytes().endswith(b"PAR1")]

    @property
    def swap(self) -> Path:
        """The folder beside base_path in which datasets of several parts wait."""
        return self.folder / "out/.data.swap"

    def assert_globs_see_only_what_is_published(self) -> None:
        """No `*.parquet` under base_path, however deep and hidden, is anything but a part of the dataset itself."""
        base_path = self.folder / "out/data"
        found = {Path(folder) / name for folder, _, names in os.walk(base_path) for name in names}
        seen = {path for path in found if path.name.endswith(".parquet")}
        assert not seen ^ self._published(), f"{seen} are matched, {self._published()} are published"

    def assert_folder_has_only_what_is_published(self) -> None:
        """In the layout `hive` no file in the table's folder, by any name, is anything but a part of the dataset."""
        if self.layout is Layout.HIVE:
            found = (path for path in self.files.table_folder.rglob("*") if not path.is_dir())
            assert set(found) == self._published()

    def _published(self) -> set[Path]:
        return {Path(file) for file in (self._files() if self.dataset.exists() else [])}

    def readable_version(self, *, amounts_below: dict[int, int]) -> int | None:
        """Which version readers see: every good row of it and nothing else; None where there is no dataset at all.

        `amounts_below` says, per version, which rows are good. The others are in the quarantine, which may be that of
        the old dataset, of the new one, or both.
        """
        if not self.dataset.exists():
            return None
        rows = self._rows(self._files())
        versions = {note.partition(",")[0] for _, note in rows}
        assert len(versions) == 1, f"readers see {versions} at once"
        version = int(versions.pop().removeprefix("version "))
        good = [number for number in range(ROWS) if number * 7 % 100 < amounts_below[version]]
        assert [number for number, _ in rows] == good, "rows are missing or doubled"
        apart = self._rows(self.quarantine) if self.quarantine else []
        neither = set(range(ROWS)) - {number for number, _ in (*rows, *apart)}
        assert all(version == 1 and number * 7 % 100 < amounts_below[2] for number in neither), "rows are in no file"
        return version

    def _rows(self, files: list[str]) -> list[tuple[int, str]]:
        with duckdb.connect() as connection:
            rows = connection.execute("select id, note from read_parquet(?) order by id", [files]).fetchall()
        assert all(int(note.rpartition(" ")[2]) == number for number, note in rows)
        return rows

    def assert_equals_source(self, *, has_quarantine: bool) -> None:
        """The dataset and the rows that were put apart are the source table together, by EXCEPT ALL both ways."""
        files = [*self._files(), *self.quarantine]
        assert len(self.quarantine) == has_quarantine
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.folder / 'source.duckdb'}' as source (read_only)")
            connection.execute(
                "create view published as "
                f"select id, amount, note, changed_at from read_parquet({files}, union_by_name = true)"
            )
            for one, other in (("published", "source.orders"), ("source.orders", "published")):
                left = connection.execute(f"select * from {one} except all select * from {other}").fetchall()
                assert left == [], f"{len(left)} rows of {one} are not in {other}"

    def assert_nothing_left(self, *, has_quarantine: bool) -> None:
        """Beside dataset, metadata, state and lock there is nothing, and in the dataset only its parts."""
        files = self.files
        names = {path.name for path in files.folder.iterdir()}
        names -= {name for name in names if name.startswith(files.lock.name)}
        expected = {files.metadata.name, files.state.name}
        if self.layout is Layout.DATED:
            expected.add(self.dataset.name)
        else:
            self.assert_folder_has_only_what_is_published()
            folders = {self.dataset, files.output} - {files.table_folder}
            assert {path for path in files.table_folder.rglob("*") if path.is_dir()} == folders
        if has_quarantine:
            expected |= {f"_{RUN_ID}.quarantine", f"{RUN_ID}_violations.json"}
        assert names == expected
        self._assert_windows_are_in_order()
        assert not self.swap.exists()
        snapshots = self.folder / f"out/data/_runs/{RUN_ID}_snapshots/shop"
        assert not snapshots.exists() or {path.suffix for path in snapshots.iterdir()} == {".json"}

    def _assert_windows_are_in_order(self) -> None:
        """If the table is extracted by windows, one document has its one window, and nothing is beside it."""
        path = self.files.windows
        names = {name for name in os.listdir(path.parent) if "_windows" in name}  # noqa: PTH208
        names -= {name for name in names if name.startswith(path.with_suffix(".lock").name)}
        if self.state.scope is None or self.state.scope.window is None:
            assert names == set()
            return
        # Where the removal of a second slot was lost, it has the same content, and the next change removes it.
        assert names <= {path.name, second_slot(path).name}
        found = TableWindows.from_bytes(read_document(LocalDisk(), path), where=str(path))
        assert [(window.run_id, window.start) for window in found.taken] == [(RUN_ID, None)]

    @property
    def is_at_the_runs_snapshot(self) -> bool:
        """Whether what is published was read at the newest snapshot that the run has kept."""
        newest = load_run_snapshot(LocalDisk(), self.folder / "out/data", RUN_ID, "shop")
        published = self.state.published
        return newest is not None and published is not None and published.snapshot == newest.snapshot

    def assert_complete(self, *, parts: int, has_quarantine: bool = False) -> None:
        """The end of every story: complete, equal to the source, nothing doubled, nothing left."""
        assert self.state.state is State.COMPLETE
        assert len(self._files()) == parts
        self.assert_globs_see_only_what_is_published()
        self.assert_equals_source(has_quarantine=has_quarantine)
        self.assert_nothing_left(has_quarantine=has_quarantine)

    def _files(self) -> list[str]:
        if self.dataset.is_dir():
            return [str(path) for path in sorted(self.dataset.glob("*.parquet"))]
        return [str(self.dataset)]


def _child(world: World, killing: Killing, pipe: object) -> None:
    os.chdir(world.folder)
    out = Path("out").resolve()
    lossy = {"lossy": LossyDisk, "lossy-nameless": LossyNamelessDisk}
    disks = {
        "local": LocalDisk,
        "no-exchange": DiskWithoutExchange,
        "mount-point": MountPoint,
        "nameless": NamelessDisk,
    }
    disk = lossy[killing.disk](out, out.parent / "image") if killing.disk in lossy else disks[killing.disk]()
    run = Run()

    def hook(step: str, role: str, when: str) -> None:
        if len(run.points) == killing.kill_at:
            if isinstance(disk, LossyDisk):
                failpoints.install(None)
                disk.crash()
            os._exit(KILLED)
        run.points.append((step, role, when))
        if killing.stop_at == (step, role, when) and run.points.count(killing.stop_at) == killing.stop_on_visit:
            # A signal to the process may stop another thread first, and this one would run on for a moment.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    assert staging._CHUNKS_PER_SUBFOLDER
    staging._CHUNKS_PER_SUBFOLDER = 1  # so that the parts of two chunks lie in subfolders, where there are any
    failpoints.install(hook)
    pipeline = pipeline_of(
        {
            "pipeline": "crash",
            "sources": {"shop": {"type": "duckdb", "path": "../source.duckdb", "snapshot_scope": killing.scope}},
            "output": {
                "base_path": "data",
                "layout": world.layout.value,
                "lock": killing.lock,
                "lease_ttl": "300ms",
                **killing.output,
            },
            "defaults": {"chunking": {"strategy": "rowid", "target_rows": killing.chunk_rows}},
            "tables": [
                {
                    "table_name": "orders",
                    "on_violation": "quarantine",
                    **({"unique": ["id"]} if killing.write == "merge" else {}),
                    "columns": {
                        "id": {"type": "int", "ge": 0},
                        "amount": {
                            "type": "decimal",
                            "max_digits": 12,
                            "decimal_places": 2,
                            "lt": killing.amounts_below,
                        },
                        "note": {"type": "str", "max_length": 40},
                        "changed_at": {"type": "datetime"},
                    },
                    **(
                        {"incremental_column": "changed_at", "incremental_timezone": "UTC", "is_full_extract": False}
                        if killing.is_by_windows
                        else {}
                    ),
                }
            ],
        },
        name="crash",
        root=out,
    )
    runner = Runner(
        pipeline=pipeline,
        identity=RunIdentity(f"crash-{killing.day:%Y%m%d}", killing.day),
        reporter=NullReporter(),
        disk=disk,
        make_engine=lambda _pipeline: InlineEngine(memory_limit="256MiB"),
    )
    report = runner.run(pipeline.tables, reprocess=Reprocess.ALL if killing.is_forced else Reprocess.STALE)
    failpoints.install(None)
    pipe.send(replace(run, outcome=report.tables[0].outcome, reason=report.tables[0].reason))
    pipe.close()
