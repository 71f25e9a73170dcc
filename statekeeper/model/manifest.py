"""The run manifest, the pointer by which a bare `resume` or `status` finds the last run, and what `status` returns.

Named methods return changed copies; only `statekeeper.store.manifest` stores a manifest.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, Field

from statekeeper.errors import ExitCode, worst_exit_code
from statekeeper.model.activity import WaitStatus
from statekeeper.model.base import Document, Frozen, StoredValue
from statekeeper.model.job_run import JobRun
from statekeeper.model.state import Failure, Owner
from statekeeper.model.table import Layout, StoredPosition, TableRef


def run_id_of(pipeline: str, extraction_date: date) -> str:
    """The default run id of a pipeline and a date: `<pipeline>-<yyyymmdd>`."""
    return f"{pipeline}-{extraction_date:%Y%m%d}"


class FoundBy(StrEnum):
    """Which command found that a table failed."""

    RUN = "run"
    VERIFY = "verify"


class TableFailure(StoredValue):
    """A failure of a table that its state file does not record.

    A run records it if the state could not be read or written, or must not change (a broken model file does not change
    what is published); `verify` records damage to what is published.
    """

    table: TableRef
    found_by: FoundBy
    at: AwareDatetime
    failure: Failure
    plan_id: str | None = Field(default=None, description="of the published data that `verify` found damaged")


class TableList(StoredValue):
    """The tables that a run was started with: those of the config, or of one `--tables` file."""

    tables_path: str | None
    tables: tuple[TableRef, ...]


class RunProcess(StoredValue):
    """A process that works on a run."""

    owner: Owner
    since: AwareDatetime


class RunManifest(Document):
    """`<base_path>/_runs/<run_id>.json`: a run's tables, and how it was started."""

    format: Literal["statekeeper.run"] = "statekeeper.run"

    run_id: str
    pipeline: str
    extraction_date: str
    config_path: str | None = Field(description="as given on the command line, absolute; null for runs made in Python")
    tables_path: str | None = Field(default=None, description="the --tables file, absolute")
    config_fingerprint: str = Field(description="sha256 of the YAML text, before references are resolved")
    base_path: str
    layout: Layout = Field(default=Layout.DATED, description="the layout of its files under base_path")
    engine: str
    statekeeper_version: str
    tables: tuple[TableRef, ...]
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    exit_code: int | None = None
    failures: tuple[TableFailure, ...] = Field(default=(), description="what the tables' states do not record")
    lists: tuple[TableList, ...] = Field(
        default=(), description="every table that the config, and each --tables file, had when the run was last started"
    )
    processes: tuple[RunProcess, ...] = Field(default=(), description="that started and have not recorded their end")
    job_run: JobRun | None = Field(default=None, description="the job run that last started it, if a job did")

    @property
    def listed(self) -> tuple[TableRef, ...]:
        """Every table of the run, also those that it has not started."""
        return tuple(dict.fromkeys(table for listed in self.lists for table in listed.tables))

    @property
    def never_started(self) -> tuple[TableRef, ...]:
        """The tables of the run that it has not started."""
        begun = set(self.tables)
        return tuple(table for table in self.listed if table not in begun)

    def failure_of(self, table: TableRef) -> TableFailure | None:
        """The failure recorded here for a table, if any."""
        return next((found for found in self.failures if found.table == table), None)

    def with_failure(self, failure: TableFailure) -> Self:
        """With a table's failure; it replaces an earlier one."""
        others = tuple(found for found in self.failures if found.table != failure.table)
        return self.model_copy(update={"failures": (*others, failure)})

    def without_failure(self, table: TableRef) -> Self:
        """Without the failure of a table that is intact again, or whose state records what is wrong."""
        if self.failure_of(table) is None:
            return self
        return self.model_copy(update={"failures": tuple(found for found in self.failures if found.table != table)})


class BackfillRange(StoredValue):
    """The dates and tables of a backfill; `tables` and `exclude` are names and patterns as they were given."""

    first: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    last: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tables_path: str | None = None


class LastRun(StoredValue):
    """`.statekeeper/last-run.json` in the configuration's root; for a run in Python, in the folder where it started."""

    run_id: str
    base_path: str
    config_path: str | None
    backfill: BackfillRange | None = Field(default=None, description="set if it was a backfill; `run_id` is the last's")

    @property
    def dated_runs(self) -> tuple[tuple[date, str], ...]:
        """The dates of a backfill in their order, with their run ids; those after a kill may not have been begun."""
        if self.backfill is None:
            return ()
        first, last = date.fromisoformat(self.backfill.first), date.fromisoformat(self.backfill.last)
        pipeline = self.run_id.removesuffix(f"-{last:%Y%m%d}")
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        return tuple((day, run_id_of(pipeline, day)) for day in days)


class NextStep(Frozen):
    """What to type next; `when` says in which case, or what for."""

    command: str
    when: str | None = None


class TableStateFailure(Frozen):
    """Why a table failed, as `status` shows it."""

    kind: str
    code: str | None
    message: str
    hint: str | None


class ChunkProgress(Frozen):
    """Chunks with a receipt, and all chunks of the current plan."""

    done: int
    total: int


class ProcessStatus(Frozen):
    """A process that works on the run, or that died without recording its end."""

    host: str
    pid: int
    since: AwareDatetime | None
    liveness: Literal["alive", "dead", "unknown"] = Field(description="unknown: it runs on another machine")


class TableStatus(Frozen):
    """One table in `status --json`."""

    source_name: str
    schema_name: str | None
    table_name: str
    state: Literal["pending", "extracting", "validating", "complete", "failed", "damaged"]
    records: int | None
    bytes: int | None
    chunks: ChunkProgress
    attempts: int
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    duration_seconds: float | None
    output_path: str | None
    failure: TableStateFailure | None
    remarks: tuple[str, ...] = Field(default=(), description="what a user should know about the published data")
    waiting: WaitStatus | None = Field(default=None, description="what a table of a running run waits for")
    covered_through: StoredPosition | None = Field(
        default=None, description="of a table with an incremental column, as in the metadata of what is published"
    )

    @property
    def key(self) -> str:
        """`source.schema.table`, or `source.table` without a schema."""
        return ".".join(part for part in (self.source_name, self.schema_name, self.table_name) if part)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a user may type for it, `key` first."""
        schema = f"{self.schema_name}." if self.schema_name else ""
        return self.key, f"{schema}{self.table_name}", self.table_name

    @property
    def exit_code(self) -> int:
        """The exit code for this table alone, when no run is working on it."""
        if self.state == "complete":
            return ExitCode.COMPLETE
        return ExitCode.of_failure(self.failure.kind if self.failure else None)

    @property
    def has_failed(self) -> bool:
        return self.state in {"failed", "damaged"}


class RunStatus(Frozen):
    """`status --json`."""

    run_id: str
    pipeline: str
    extraction_date: str
    state: Literal["pending", "running", "complete", "failed", "incomplete"]
    tables: tuple[TableStatus, ...]
    counts: dict[str, int] = Field(default_factory=dict, description="how many tables are in each state")
    processes: tuple[ProcessStatus, ...] = ()
    next_steps: tuple[NextStep, ...] = ()

    def only(self, tables: tuple[TableStatus, ...]) -> Self:
        """The same with only some tables; `state` stays the whole run's."""
        return self.model_copy(update={"tables": tables})

    def only_failed(self) -> Self:
        """The same with only its failed tables."""
        return self.only(tuple(table for table in self.tables if table.has_failed))

    @property
    def exit_code(self) -> int:
        """The exit code of `status --exit-code`: 0 all tables complete; 3 running; else 4 no source reached, or 1."""
        worst = worst_exit_code(table.exit_code for table in self.tables)
        return int(ExitCode.HELD if worst and self.state == "running" else worst)
