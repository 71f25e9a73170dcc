"""The world of crash tests with a Delta table: what each version of it has, and what is left beside it.

Another program adds two rows to the table after its first extraction, so that a test sees what happens to them: one has
the key of a row of the source.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import deltalake
import duckdb
import pyarrow as pa

from statekeeper.model.record import StateRecord
from statekeeper.model.state import State
from statekeeper.model.table import Layout
from statekeeper.run.report import Outcome
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.layouts import layout_of
from statekeeper.table_formats.delta import format as _format

from .delta_log import DeltaLog
from .lossy_disk import LossyDisk
from .world import DAY, ROWS, TABLE, Killing, World

assert _format  # imported before the runs are forked
NEXT = DAY + timedelta(days=1)
FOREIGN = "of another program"
Rows = Counter[tuple[str | None, str]]
"""How many rows a table has, by the date of their partition and the version of the source that they were read from."""


@dataclass(frozen=True)
class Story:
    """A run into a table that may be killed: the first one, a forced one of the same date, or that of the next date."""

    write: Literal["append", "replace_date", "replace", "merge"]
    kind: Literal["first", "forced", "next date"]
    disk: Literal["local", "lossy", "nameless"] = "local"
    lock: Literal["flock", "lease"] = "flock"

    def __str__(self) -> str:
        return " ".join([self.write, self.kind, *([self.disk] if self.disk != "local" else [])]).replace(" ", "-")

    @property
    def killing(self) -> Killing:
        day = NEXT if self.kind == "next date" else DAY
        is_forced = self.kind == "forced"
        return Killing(
            ROWS // 2, is_forced=is_forced, disk=self.disk, lock=self.lock, write=self.write, day=day
        )  # fmt: skip

    @property
    def days(self) -> list[date]:
        return [DAY, NEXT] if self.kind == "next date" else [DAY]

    def rows(self, source: int, day: date) -> Rows:
        """The rows of one extraction."""
        return Counter({(self._partition(day), f"version {source}"): ROWS})

    @property
    def states(self) -> list[Rows]:
        """What the versions of the table have, one after the other; the last two are before and after the story."""
        created, first = Counter(), self.rows(1, DAY)
        if self.kind == "first":
            return [created, first]
        before = first + self.foreign
        after = self.rows(2, self.killing.day)
        if self.write == "merge":
            after[None, FOREIGN] = 1
        if self.write == "append":
            after += self.foreign
        if self.kind == "next date" and self.is_by_date:
            after += first
        if self.kind == "next date" and self.write == "replace_date":
            after += self.foreign
        return [created, first, before, after]

    @property
    def foreign(self) -> Rows:
        return Counter({(self._partition(DAY), FOREIGN): 2})

    def _partition(self, day: date) -> str | None:
        return day.isoformat() if self.is_by_date else None

    @property
    def is_by_date(self) -> bool:
        return self.write in {"append", "replace_date"}

    @property
    def publications(self) -> dict[str, int]:
        """How many commits each extraction makes."""
        name = "statekeeper/{0:%Y-%m-%d}/crash-{0:%Y%m%d}"
        return {name.format(day): 2 if self.kind == "forced" else 1 for day in self.days}


@dataclass(frozen=True)
class TableWorld(World):
    """A world whose orders are published into a Delta table."""

    layout: Layout = Layout.HIVE
    story: Story = field(default=Story("append", "first"))

    @classmethod
    def of(cls, folder: Path, story: Story) -> TableWorld:
        """The world of a story, just before the run that may be killed."""
        (folder / "out").mkdir(parents=True)
        world = cls(folder, story=story)
        world.write_source(version=1)
        if story.kind != "first":
            first = Killing(ROWS // 2, disk=story.disk, lock=story.lock, write=story.write)
            assert world.run(first).outcome is Outcome.COMPLETED
            world.write_foreign_rows()
            world.write_source(version=2)
        return world

    def write_foreign_rows(self) -> None:
        table = deltalake.DeltaTable(self.table)
        rows = [{"id": number, "note": f"{FOREIGN}, row {number}", "extraction_date": DAY} for number in (-1, 0)]
        deltalake.write_deltalake(table, pa.Table.from_pylist(rows, pa.schema(table.schema())), mode="append")
        if self.story.disk == "lossy":
            LossyDisk(self.folder / "out", self.folder / "image").write_back()

    @property
    def table(self) -> Path:
        return self.folder / "out/data/shop/orders"

    def layout_on(self, day: date) -> ExtractionLayout:
        return layout_of(
            Layout.HIVE, base_path=self.folder / "out/data", table=TABLE, extraction_date=day,
            run_id=f"crash-{day:%Y%m%d}", is_in_table=True,
        )  # fmt: skip

    def assert_readers_see_whole_extractions(self) -> Rows:
        """Every version of the table is one that the story has; returns the rows of the current one."""
        log = DeltaLog(self.table)
        seen = [self._rows_of(log.files(version)) for version in range(len(log.versions))]
        expected = self.story.states
        if self.story.disk == "lossy":  # of a version that was not synced, the log has a file without a line
            seen = [rows for number, rows in enumerate(seen) if number == 0 or rows != seen[number - 1]]
        assert seen == expected[: len(seen)], f"the versions have {seen}, and not {expected}"
        return seen[-1] if seen else Counter()

    def _rows_of(self, files: dict[str, str | None]) -> Rows:
        """The rows of these files; of each extraction every row once."""
        found: Rows = Counter()
        for partition in set(files.values()):
            paths = [str(self.table / path) for path, day in files.items() if day == partition]
            notes = duckdb.execute(
                "select note.split(', row ')[1], note.split(', row ')[2]::int from read_parquet(?) order by all",
                [paths],
            ).fetchall()
            for version in {version for version, _ in notes}:
                numbers = [number for each, number in notes if each == version]
                assert numbers in (list(range(ROWS)), [-1, 0], [-1]), f"rows of {version} are missing or doubled"
                found[partition, version] = len(numbers)
        return found

    def assert_ended(self) -> None:
        """Each extraction is one version of the table, equals its source and is complete, and nothing is left."""
        story, log = self.story, DeltaLog(self.table)
        self.assert_readers_see_whole_extractions()
        assert self.assert_readers_see_whole_extractions() == story.states[-1]
        numbers = {name: found for name, found in log.numbers.items() if name in story.publications}
        assert {name: len(found) for name, found in numbers.items()} == story.publications
        assert all(found == sorted(set(found)) for found in numbers.values())
        if story.disk != "lossy":
            assert len(log.versions) == len(story.states)
        self._assert_equals_source(log)
        for day in story.days:
            path = self.layout_on(day).state
            assert StateRecord.from_bytes(path.read_bytes(), where=str(path)).state is State.COMPLETE
        self._assert_nothing_left(log)

    def _assert_equals_source(self, log: DeltaLog) -> None:
        version = 1 if self.story.kind == "first" else 2
        files = [str(self.table / path) for path in log.files(len(log.versions) - 1)]
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.folder / 'source.duckdb'}' as source (read_only)")
            connection.execute(
                f"create view published as select id, amount, note, changed_at from read_parquet({files}, "
                f"union_by_name = true) where note like 'version {version}, %'"
            )
            for one, other in (("published", "source.orders"), ("source.orders", "published")):
                assert connection.execute(f"select * from {one} except all select * from {other}").fetchall() == []

    def _assert_nothing_left(self, log: DeltaLog) -> None:
        """Every file is of a version, of the log, or a document."""
        base = self.folder / "out/data"
        found = {Path(folder) / name for folder, _, names in os.walk(base) for name in names}
        expected = {self.table / path for path in log.ever_added} | set((self.table / "_delta_log").glob("*.json"))
        for layout in map(self.layout_on, self.story.days):
            expected |= {layout.state, layout.metadata}
            expected |= {path for path in found if path.name.startswith(layout.lock.name)}
        expected |= {
            path for path in found if path.parent == base / "_runs" and re.search(r"\.json$|\.lock", path.name)
        }
        assert found == expected, f"nothing names {found - expected}; missing are {expected - found}"
        assert not list(base.rglob("*.staging"))
        assert not self.swap.exists()
