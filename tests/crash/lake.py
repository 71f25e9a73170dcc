"""A small lake in an object store for crash tests: a database file, one table, and four stories of runs that may die.

The stories: a first run, a forced run over an older dataset, a backfill of three dates, and a run that continues what
an earlier one had begun. Whatever happens in them, a plain repetition must end them: every row once, nothing left.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import duckdb
import obstore

from statekeeper.config.loader import pipeline_of
from statekeeper.config.resolved import Pipeline
from statekeeper.engines.inline import InlineEngine
from statekeeper.model.manifest import BackfillRange
from statekeeper.model.metadata import parse_metadata
from statekeeper.run.backfill import Backfill
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.objects import disk, upload
from statekeeper.store.objects.upload import PIECE_BYTES
from statekeeper.store.registry import writing_disk
from tests.object_servers import contents, fill, keys_of, unfinished_uploads

from .delta_log import DeltaLog

ROWS, RUN_ID, DAY = 300, "crash-20260106", date(2026, 1, 6)
DAYS = [date(2026, 1, 4), date(2026, 1, 5), DAY]
Command = Literal["run", "force", "backfill", "resume"]
_TABLE = "shop/orders"
_DOCUMENT = re.compile(
    r"_runs/\.conditions|_runs/[^/]+\.json|.*_(metadata|state|violations)\.json|.*/_windows\.json|.*\.lock\.\d+|"
    r".*\.quarantine/[^/]+\.unpublished"
)


@dataclass(frozen=True)
class Story:
    """What is in the bucket when the run begins that is disturbed, and what that run is."""

    name: str
    command: Command
    layout: Literal["dated", "hive"]
    has_old_dataset: bool = False
    dies_first_at: float | None = None
    """A run before it dies at this share of its requests."""
    piece_bytes: int = PIECE_BYTES
    """What is larger goes up in pieces of this size."""
    text_length: int = 0
    """The table has a column of so many characters, which do not compress to less than half."""
    is_in_table: bool = False
    """Whether it is published into a Delta table."""

    def __str__(self) -> str:
        return self.name

    @property
    def is_by_windows(self) -> bool:
        return self.command == "backfill"

    @property
    def again(self) -> Command:
        """The plain command that must end it."""
        return "run" if self.command == "force" else self.command


STORIES = [
    Story("first, dated", "run", "dated"),
    Story("first, hive", "run", "hive"),
    Story("forced, dated", "force", "dated", has_old_dataset=True),
    Story("forced, hive", "force", "hive", has_old_dataset=True),
    Story("backfill, dated", "backfill", "dated"),
    Story("backfill, hive", "backfill", "hive"),
    Story("resumed after chunks, dated", "resume", "dated", dies_first_at=0.5),
    Story("resumed in publication, hive", "resume", "hive", dies_first_at=0.8),
]
IN_MEMORY = [*STORIES, Story("first in pieces, dated", "run", "dated", piece_bytes=256)]
ON_SERVERS = [*STORIES, Story("first in pieces, dated", "run", "dated", piece_bytes=5 << 20, text_length=90_000)]
"""S3 takes no smaller pieces; two of them are a chunk of these rows."""
INTO_TABLES = [
    Story("first, delta", "run", "hive", is_in_table=True),
    Story("forced, delta", "force", "hive", has_old_dataset=True, is_in_table=True),
]
"""Stories for servers: what writes to the log of a table needs one."""


@dataclass(frozen=True)
class Lake:
    """Where everything is. It can be sent to another process."""

    folder: Path
    base_path: str
    layout: Literal["dated", "hive"]
    is_by_windows: bool = False
    storage: dict[str, str] = field(default_factory=dict)
    lease_ttl: str = "60s"
    piece_bytes: int = PIECE_BYTES
    text_length: int = 0
    is_in_table: bool = False

    def write_source(self, version: int) -> None:
        path = self.folder / "source.duckdb"
        path.unlink(missing_ok=True)
        text = f", (select string_agg(md5(i || '-' || j), '') from range({self.text_length // 32}) as t(j)) as text"
        text *= self.text_length > 0
        with duckdb.connect(path) as connection:
            connection.execute(
                f"create table orders as select i as id, {version} as version, "
                f"timestamp '{DAYS[0]} 12:00' + to_days((i % {len(DAYS)})::integer) as at{text} "
                f"from range({ROWS}) as r(i)"
            )

    def do(self, command: Command) -> list[Outcome]:
        """Run the command in this process; the outcomes of its tables."""
        with patch.object(upload, "PIECE_BYTES", self.piece_bytes), patch.object(disk, "PIECE_BYTES", self.piece_bytes):
            return self._do(command)

    def _do(self, command: Command) -> list[Outcome]:
        pipeline = self.pipeline()
        runner = Runner(
            pipeline=pipeline,
            identity=RunIdentity(RUN_ID, DAY),
            reporter=NullReporter(),
            disk=writing_disk(pipeline.base_path, pipeline.output.writes),
            make_engine=lambda _pipeline: InlineEngine(memory_limit="256MiB"),
        )
        if command == "backfill":
            asked = BackfillRange(first=DAYS[0].isoformat(), last=DAYS[-1].isoformat())
            report = Backfill.of(runner, pipeline.tables, asked).run(reprocess=Reprocess.STALE)
            return [table.outcome for run in report.runs for table in run.tables]
        reprocess = {"run": Reprocess.STALE, "force": Reprocess.ALL, "resume": Reprocess.NONE}[command]
        return [table.outcome for table in runner.run(pipeline.tables, reprocess=reprocess).tables]

    def pipeline(self) -> Pipeline:
        table: dict[str, Any] = {"table_name": "orders", "columns": {"id": {"type": "int"}, "version": {"type": "int"}}}
        if self.is_by_windows:
            table |= {"incremental_column": "at", "incremental_timezone": "UTC", "is_full_extract": False}
            table["columns"]["at"] = {"type": "datetime"}
        else:
            text = ", text" * (self.text_length > 0)
            table |= {"on_violation": "quarantine", "custom_query": f"select id, version{text} from orders"}
            if text:
                table["columns"]["text"] = {"type": "str"}
            table["columns"]["id"]["lt"] = ROWS - 1
            table["chunking"] = {"strategy": "key", "column": "id", "target_rows": 150}
        return pipeline_of(
            {
                "pipeline": "crash",
                "sources": {"shop": {"type": "duckdb", "path": "source.duckdb"}},
                "output": {
                    "base_path": self.base_path,
                    "layout": self.layout,
                    "lease_ttl": self.lease_ttl,
                    "format": "delta" if self.is_in_table else "parquet",
                },
                "storage": self.storage,
                "defaults": {"retry": {"attempts": 1}, "verify": "quick" if self.layout == "hive" else "full"},
                "tables": [table],
            },
            root=self.folder,
        )

    @classmethod
    def of(cls, story: Story, folder: Path, base_path: str, storage: dict[str, str] | None = None) -> Lake:
        """The lake of a story."""
        return cls(
            folder,
            base_path,
            story.layout,
            story.is_by_windows,
            storage or {},
            piece_bytes=story.piece_bytes,
            text_length=story.text_length,
            is_in_table=story.is_in_table,
        )


@dataclass(frozen=True)
class Look:
    """What is in the bucket, seen from outside; `prefix` is that of the base path, with its slash."""

    bucket: Any
    prefix: str
    address: str
    folder: Path

    def all_keys(self) -> set[str]:
        return keys_of(self.bucket, self.prefix)

    def content(self) -> dict[str, bytes]:
        return contents(self.bucket, self.prefix)

    def put_back(self, content: dict[str, bytes]) -> None:
        """Make the bucket what it was when `content` was taken."""
        fill(self.bucket, content, self.prefix)

    def published(self) -> dict[str, list[str]]:
        """The objects that each commit record names, by the record's key."""
        found = {}
        for key in self.all_keys():
            if key.endswith("_metadata.json"):
                metadata = parse_metadata(bytes(obstore.get(self.bucket, key).bytes()), where=key)
                output = metadata.output_path.removeprefix(self.address)
                found[key] = [f"{output}/{file.name}" if metadata.is_folder else output for file in metadata.files]
        return found

    def rows(self) -> dict[str, list[tuple[int, int]]]:
        """The ids and versions that a reader of each commit record sees, in the order of the ids."""
        found = {}
        for record, keys in self.published().items():
            files = []
            for number, key in enumerate(keys):
                path = self.folder / f"{number}.parquet"
                path.write_bytes(bytes(obstore.get(self.bucket, key).bytes()))
                files.append(str(path))
            found[record] = duckdb.execute("select id, version from read_parquet(?) order by id", [files]).fetchall()
        return found

    def check(self, story: Story, *, is_ended: bool) -> set[int]:
        """Every dataset is whole, and no two have the same row; the versions of the source that were read.

        If the story has ended, all rows are there, and no object is left that nothing names.
        """
        datasets = self.rows()
        for record, rows in datasets.items():
            assert [number for number, _ in rows] == _expected(record, story), f"rows of {record} are wrong"
        versions = {version for rows in datasets.values() for _, version in rows}
        assert len(versions) <= 1, "datasets of two versions"
        if story.is_in_table:
            versions = self._check_table(story, is_ended=is_ended)
        if is_ended:
            assert len(datasets) == (len(DAYS) if story.is_by_windows else 1), sorted(datasets)
            self._assert_nothing_left()
        return versions

    def _log(self) -> DeltaLog:
        """The table's log, as files on this disk."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "_delta_log").mkdir()
        for key, data in contents(self.bucket, f"{self.prefix}{_TABLE}/_delta_log/").items():
            (folder / "_delta_log" / key.rpartition("/")[2]).write_bytes(data)
        return DeltaLog(folder)

    def _check_table(self, story: Story, *, is_ended: bool) -> set[int]:
        """Every version of the table is a whole extraction, and none is there twice; returns as `check`."""
        log, read = self._log(), []
        for number in range(len(log.versions)):
            files = []
            for place, key in enumerate(sorted(log.files(number))):
                path = self.folder / f"{place}.parquet"
                path.write_bytes(bytes(obstore.get(self.bucket, f"{self.prefix}{_TABLE}/{key}").bytes()))
                files.append(str(path))
            query = "select id, version from read_parquet(?) order by id"
            rows = duckdb.execute(query, [files]).fetchall() if files else []
            assert [each for each, _ in rows] in ([], list(range(ROWS - 1))), f"rows of version {number} are wrong"
            read.append({version for _, version in rows})
        whole = [set(), {1}, {2}] if story.has_old_dataset else [set(), {2}]
        assert read == whole[: len(read)], f"the versions of the table were read at {read}"
        if is_ended:
            (numbers,) = log.numbers.values()
            assert len(numbers) == len(set(numbers)) == len(read) - 1
        return read[-1] if read else set()

    def _assert_nothing_left(self) -> None:
        keys = self.all_keys()
        keys -= (log := {key for key in keys if "/_delta_log/" in key})
        data = {key for key in keys if key.endswith(".parquet")}
        published = {key for keys in self.published().values() for key in keys}
        if log:  # earlier versions of a table keep their files
            published |= {f"{self.prefix}{_TABLE}/{path}" for path in self._log().ever_added}
        assert data == published, f"there are {data}, published are {published}"
        others = {key.removeprefix(self.prefix) for key in keys - data}
        left = [key for key in others if not _DOCUMENT.fullmatch(key) or ".staging/" in key]
        assert not left, f"nothing names {left}"
        assert len([key for key in others if key.endswith(".unpublished")]) <= 1
        assert not (uploads := unfinished_uploads(self.bucket, self.prefix)), f"uploads are unfinished: {uploads}"


def _expected(record: str, story: Story) -> list[int]:
    if not story.is_by_windows:
        return list(range(ROWS - 1))
    (day,) = [number for number, each in enumerate(DAYS) if f"crash-{each:%Y%m%d}" in record]
    return [number for number in range(ROWS) if number % len(DAYS) == day]


def share_of(points: list[Any], count: int | None) -> list[Any]:
    """About so many of the points, spread evenly; SWEEP_SHARE, which CI has from the commit, says which.

    None: as many as SWEEP_POINTS says, and all without it.
    """
    count = count or int(os.environ.get("SWEEP_POINTS") or len(points))
    every = max(1, len(points) // count)
    every -= every % 3 == 0  # the variants of a request follow each other: else all chosen points would have the same
    return points[int(os.environ.get("SWEEP_SHARE", "0")) * 7919 % every :: every]


@dataclass
class Tally:
    """What a sweep did: how many requests a story has, and how each disturbed run ended."""

    story: str
    requests: int = 0
    disturbed: int = 0
    ended_itself: int = 0
    missed: int = 0
    """Points that the run did not come to: heartbeats and a server's empty folders differ by a request or two."""

    def check(self) -> None:
        assert self.missed <= 1 + (self.disturbed + self.missed) // 20, str(self)

    def __str__(self) -> str:
        return (
            f"{self.story}: {self.requests} requests, disturbed at {self.disturbed} points "
            f"({self.ended_itself} of these runs ended well themselves); all were ended by a plain run"
            + (f"; points that were not reached: {self.missed}" if self.missed else "")
        )


def sweep_one(story: Story, look: Look, disturbed: Callable[[], bool], again: Callable[[], list[Outcome]]) -> bool:
    """One point: the disturbed run, then the plain one; True if the disturbed one had ended well itself."""
    had_ended = disturbed()
    before = look.check(story, is_ended=False)
    outcomes = again()
    assert set(outcomes) <= {Outcome.COMPLETED, Outcome.SKIPPED}, outcomes
    after = look.check(story, is_ended=True)
    # A forced run that dies before it has saved its restart leaves nothing to continue: the old dataset is still right.
    assert after == {2} or (story.command == "force" and before == after == {1}), (before, after)
    return had_ended
