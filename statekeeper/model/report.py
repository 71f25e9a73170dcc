"""What a run, a verification or a look ahead found, per table: what the command line shows, and prints as `--json`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from statekeeper.errors import FailureKind
from statekeeper.model.base import Frozen
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.record import Failure
from statekeeper.model.table import Scope, TableRef

_SOURCE_OUT_OF_REACH = frozenset({FailureKind.LOGIN_REFUSED, FailureKind.UNREACHABLE})


class Outcome(StrEnum):
    """What became of a table in a run."""

    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    HELD = "held"
    INTERRUPTED = "interrupted"


class TableReport(Frozen):
    """One table of a run. `reason` says why it was skipped, restarted or is held; `failure` why it failed."""

    table: TableRef
    outcome: Outcome
    reason: str | None = None
    records: int | None = None
    bytes: int | None = None
    duration_seconds: float | None = None
    output_path: str | None = None
    failure: Failure | None = None


class RunReport(Frozen):
    """What became of every table of a run."""

    run_id: str
    base_path: str
    tables: tuple[TableReport, ...]
    signal: int | None = Field(default=None, description="the signal that interrupted the run")

    @property
    def exit_code(self) -> int:
        """130 or 143 for an interrupted run, else 4 for a source out of reach, 1 for a failure, 3 for a held table."""
        outcomes = {table.outcome for table in self.tables}
        kinds = {table.failure.kind for table in self.tables if table.failure is not None}
        if self.signal is not None:
            return 128 + self.signal
        if Outcome.INTERRUPTED in outcomes:
            return 130
        if kinds & _SOURCE_OUT_OF_REACH:
            return 4
        if Outcome.FAILED in outcomes:
            return 1
        return 3 if Outcome.HELD in outcomes else 0


class Verdict(StrEnum):
    """What a run would do with a table."""

    SKIP = "skip"
    RESUME = "resume"
    RESTART = "restart"
    START = "start"
    HELD = "held"
    REFUSE = "refuse"


class TablePlan(Frozen):
    """What a run would do with one table; `columns` is empty where the verdict needs no look at the source."""

    table: TableRef
    verdict: Verdict
    reason: str | None = None
    scope: Scope | None = None
    columns: tuple[PlannedColumn, ...] = ()
    chunks: int | None = None
    estimated_rows: int | None = None
    notes: tuple[str, ...] = ()
    failure: Failure | None = None


class PlanReport(Frozen):
    """What a run would do."""

    run_id: str
    base_path: str
    extraction_date: str
    tables: tuple[TablePlan, ...]

    @property
    def exit_code(self) -> int:
        """4 for a source out of reach, 1 for a table that cannot be planned, 3 for a held one, else 0."""
        kinds = {table.failure.kind for table in self.tables if table.failure is not None}
        verdicts = {table.verdict for table in self.tables}
        if kinds & _SOURCE_OUT_OF_REACH:
            return 4
        if kinds or Verdict.REFUSE in verdicts:
            return 1
        return 3 if Verdict.HELD in verdicts else 0
