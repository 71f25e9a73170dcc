"""A lake of the real program: a database, and its runs within this process, killed at its durable steps.

`Database` is what differs between the sources: how rows get into the table, and how its clock is set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import duckdb
import pyarrow.parquet as pq
import pytest

import statekeeper.plan.make_plan
import statekeeper.sources.duckdb.session
from statekeeper.config.resolved import Pipeline
from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import StatekeeperError, StorageError
from statekeeper.model.manifest import BackfillRange, run_id_of
from statekeeper.model.metadata import parse_metadata
from statekeeper.run.backfill import Backfill as BackfillOfTables
from statekeeper.run.choices import RunIdentity
from statekeeper.run.report import RunReport
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.files import failpoints
from tests.oracle.pipelines import READER
from tests.oracle_server import OracleServer

from .histories import Backfill, Column, Death, History, OldRun, RunDay, Settings, Version
from .lakes import PIPELINE, STAMP, Dataset, Ended, RowVersion, old_scope, pipeline_with
from .model import ModelLake


class Database(Protocol):
    """A database with the table of one history. `keeps_snapshots`: it can be read at an earlier one again."""

    keeps_snapshots: ClassVar[bool]

    def create(self, column: Column) -> None:
        """Make the empty table."""

    def pipeline(self, settings: Settings) -> Pipeline:
        """The pipeline of the table."""

    def set_clock(self, shown: datetime) -> None:
        """Let the server's clock stand at this time."""

    def write(self, history: History, versions: list[Version]) -> None:
        """Commit versions of rows, in their order."""


@dataclass
class DuckDB:
    """A DuckDB file, whose server is this process."""

    keeps_snapshots: ClassVar[bool] = False

    folder: Path
    patches: pytest.MonkeyPatch

    def create(self, column: Column) -> None:
        with duckdb.connect(self._path) as connection:
            connection.execute(
                f"create table orders (row_id integer, version integer, {STAMP} {_DUCKDB_TYPES[column]})"
            )

    def pipeline(self, settings: Settings) -> Pipeline:
        return pipeline_with(
            settings, source={"type": "duckdb", "path": str(self._path)}, table={"table_name": "orders"}
        )

    def set_clock(self, shown: datetime) -> None:
        class Stopped(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return shown.astimezone(tz)

        self.patches.setattr(statekeeper.sources.duckdb.session, "datetime", Stopped)

    def write(self, history: History, versions: list[Version]) -> None:
        with duckdb.connect(self._path) as connection:
            for version in versions:
                connection.execute("delete from orders where row_id = ?", [version.row])
                values = [version.row, version.number, history.value(version)]
                connection.execute("insert into orders values (?, ?, ?)", values)

    @property
    def _path(self) -> Path:
        return self.folder / "shop.duckdb"


_DUCKDB_TYPES = {
    Column.ZONED: "timestamptz",
    Column.WALL: "timestamp",
    Column.SECONDS: "timestamp_s",
    Column.DAYS: "date",
}


@dataclass
class Oracle:
    """A table of its own on the Oracle test server."""

    keeps_snapshots: ClassVar[bool] = True

    server: OracleServer
    table: str

    def create(self, column: Column) -> None:
        columns = [("ROW_ID", "NUMBER(9)"), ("VERSION", "NUMBER(9)"), (STAMP, _ORACLE_TYPES[column])]
        self.server.create_table("SALES", self.table, columns)

    def pipeline(self, settings: Settings) -> Pipeline:
        login = {"host": self.server.host, "port": self.server.port, "service": self.server.service, **READER}
        table = {"schema_name": "SALES", "table_name": self.table, "path_name": "orders"}
        return pipeline_with(settings, source={"type": "oracle", "count_nulls": True, **login}, table=table)

    def set_clock(self, shown: datetime) -> None:
        self.server.set_time(shown)

    def write(self, history: History, versions: list[Version]) -> None:
        for version in versions:
            if version.number > 1:
                self.server.sql(f'DELETE FROM SALES."{self.table}" WHERE ROW_ID = {version.row}')
            self.server.insert("SALES", self.table, [(version.row, version.number, history.value(version))])


_ORACLE_TYPES = {
    Column.ZONED: "TIMESTAMP(6) WITH TIME ZONE",
    Column.WALL: "TIMESTAMP(6)",
    Column.SECONDS: "DATE",
}


@dataclass
class ProgramLake:
    """The extractions of one table by the real program, under the working directory."""

    history: History
    database: Database
    patches: pytest.MonkeyPatch
    settings: Settings = field(init=False)
    _written: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    _shown: dict[datetime, datetime] = field(default_factory=dict)
    """The true time by what the server's clock showed, in which snapshots have it."""

    def __post_init__(self) -> None:
        self.settings = self.history.settings

    @property
    def datasets(self) -> dict[date, Dataset]:
        """What is published, by date, as a reader of the files finds it."""
        found = {}
        for path in sorted(Path("data").rglob("*_metadata.json")):
            metadata = parse_metadata(path.read_bytes())
            rows = pq.read_table(path.with_name(metadata.run_id + ".parquet"))
            named = list(map(RowVersion._make, zip(*(column.to_pylist() for column in rows.columns[:2]), strict=True)))
            assert len(set(named)) == len(named) == metadata.record_count, named
            marks = rows.column("taken_before").to_pylist() if metadata.mark else [False] * len(named)
            snapshot = self._shown[metadata.snapshot.taken_at]
            day = date.fromisoformat(metadata.table_config.extraction_date)
            nulls = metadata.validation.null_incremental_rows
            found[day] = Dataset(
                metadata.plan_id,
                metadata.table_config.scope,
                snapshot,
                frozenset(named),
                nulls,
                metadata.validation.untaken_null_rows,
                frozenset(row for row, is_marked in zip(named, marks, strict=True) if is_marked),
            )
        return found

    def lose_index(self) -> None:
        """`_windows.json` is gone."""
        for path in Path("data").rglob("_windows.json"):
            path.unlink()

    def configure(self, settings: Settings) -> None:
        """From now on the table is configured like this."""
        self.settings = settings

    def run(self, command: RunDay) -> tuple[Ended, ...]:
        """`run --date`: how each date ended, the earlier ones that `on_gap: backfill` extracts first."""
        told = _Told()
        runner = self._runner(command.day, command.at, told)
        reprocess = Reprocess.ALL if command.is_forced else Reprocess.STALE
        with _killed_at(command.death, told) as was_killed:
            try:
                report = runner.run(runner.pipeline.tables, reprocess=reprocess)
            except StatekeeperError:
                assert was_killed(), "only a dying process cannot report"
        if was_killed():
            return (Ended(command.day, "killed", tuple(told.all)),)
        return tuple(told.end_of(each, own=each is report) for each in (*report.earlier, report))

    def backfill(self, command: Backfill) -> tuple[Ended, ...]:
        """`backfill --from --to`: how each date ended, in their order."""
        told = _Told()
        runner = self._runner(command.last, command.at, told)
        asked = BackfillRange(first=command.first.isoformat(), last=command.last.isoformat())
        with _killed_at(command.death, told) as was_killed:
            try:
                report = BackfillOfTables.of(runner, runner.pipeline.tables, asked).run(reprocess=Reprocess.STALE)
            except StatekeeperError:
                assert was_killed(), "only a dying process cannot report"
        if was_killed():
            return (Ended(command.last, "killed", tuple(told.all)),)
        return tuple(told.end_of(each, own=False) for each in report.runs)

    def run_old(self, command: OldRun) -> None:
        """A run with the window that the command has."""
        settings, scope = self.settings, old_scope(command, self.settings)
        self.configure(replace(settings, on_gap="extend"))  # otherwise it would extract missing dates first
        configured, self.settings = self.settings, replace(self.settings, on_gap="extend")  # it knew no backfill
        with self.patches.context() as patched:
            patched.setattr(statekeeper.plan.make_plan, "decide_scope", lambda *_, **__: scope)
            (ended,) = self.run(RunDay(command.at, command.day))
        self.settings = configured
        self.configure(settings)
        assert ended.outcome == "completed", ended

    def _runner(self, day: date, at: datetime, told: _Told) -> Runner:
        self._reach(at)
        return Runner(
            pipeline=self.database.pipeline(self.settings),
            identity=RunIdentity(run_id_of(PIPELINE, day), day, str(Path(f"{PIPELINE}.yml").absolute())),
            reporter=told,
            make_engine=lambda _pipeline: InlineEngine(memory_limit="100MB"),
            clock=lambda: at,
        )

    def _reach(self, at: datetime) -> None:
        """Commit what was committed up to a true time, and set the server's clock."""
        versions = [version for version in self.history.versions if self._written < version.committed <= at]
        if versions:
            self.database.write(self.history, versions)
        self._written = at
        shown = self.history.clock.at(at)
        self._shown[shown] = at
        self.database.set_clock(shown)


class _Told(NullReporter):
    """What a command tells, by table and date, with the table's name as the model has it."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[str]] = {}
        self.is_dead = False

    def warning(self, key: str, message: str) -> None:
        if not self.is_dead:
            self.by_name.setdefault(key, []).append(_as_in_model(message, key.partition(" ")[0]))

    @property
    def all(self) -> list[str]:
        """Everything, in its order: dates are extracted one after the other."""
        return [text for texts in self.by_name.values() for text in texts]

    def end_of(self, report: RunReport, *, own: bool) -> Ended:
        """How the run of a date ended; `own` is that of the command itself."""
        (table,) = report.tables
        key, failure = table.table.key, table.failure
        words = (failure.message, failure.hint or "") if failure else ()
        told = self.by_name.get(key if own else f"{key} {report.extraction_date}", [])
        return Ended(
            date.fromisoformat(report.extraction_date),
            str(table.outcome),
            (*told, *(_as_in_model(word, key) for word in words)),
        )


def _as_in_model(text: str, key: str) -> str:
    return text.replace(key, "shop.orders")


_DIES_AT = {
    Death.CLAIMED: ("fsync_folder", "plan", "before"),
    Death.PLANNED: ("transition", "start", "after"),
    Death.READ: ("transition", "extracted", "after"),
    Death.PUBLISHED: ("transition", "passed", "before"),
}


@contextmanager
def _killed_at(death: Death | None, told: _Told) -> Iterator[Any]:
    """From a durable step on every further one fails, so that what is on disk is what a killed process leaves."""

    def step(name: str, role: str, when: str) -> None:
        told.is_dead |= death is not None and (name, str(role), when) == _DIES_AT[death]
        if told.is_dead and role != "lock":
            raise StorageError("the process is dead")

    failpoints.install(step if death is not None else None)
    try:
        yield lambda: told.is_dead
    finally:
        failpoints.install(None)


@dataclass
class ComparedLakes:
    """The lake of the model and that of the program, which must be the same after each command."""

    model: ModelLake
    program: ProgramLake

    @property
    def datasets(self) -> dict[date, Dataset]:
        """What is published, by date."""
        found = self.program.datasets
        for day, dataset in self.model.datasets.items():
            assert replace(found[day], plan_id=dataset.plan_id) == dataset
        assert len(found) == len(self.model.datasets)
        return found

    def lose_index(self) -> None:
        """`_windows.json` is gone."""
        self.model.lose_index()
        self.program.lose_index()

    def configure(self, settings: Settings) -> None:
        """From now on the table is configured like this."""
        self.model.configure(settings)
        self.program.configure(settings)

    def run(self, command: RunDay) -> tuple[Ended, ...]:
        """`run --date`: how each date ended, the earlier ones that `on_gap: backfill` extracts first."""
        return _same(self.model.run(command), self.program.run(command))

    def backfill(self, command: Backfill) -> tuple[Ended, ...]:
        """`backfill --from --to`: how each date ended, in their order."""
        return _same(self.model.backfill(command), self.program.backfill(command))

    def run_old(self, command: OldRun) -> None:
        """A run with the window that the command has."""
        self.model.run_old(command)
        self.program.run_old(command)


def _same(expected: tuple[Ended, ...], found: tuple[Ended, ...]) -> tuple[Ended, ...]:
    assert found == expected, f"the program: {found}; the model: {expected}"
    return found
