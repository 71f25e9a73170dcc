"""The result of a run: one outcome per table, and the exit code that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Self, assert_never

from pydantic import computed_field

from statekeeper.errors import INTERRUPTED, ExitCode, StatekeeperError, worst_exit_code
from statekeeper.hints.next_steps import Standing
from statekeeper.model.base import Frozen
from statekeeper.model.manifest import NextStep
from statekeeper.model.state import Failure, State
from statekeeper.model.table import StoredPosition, TableRef
from statekeeper.runtime.progress import TableEnd
from statekeeper.text.amounts import count, duration, size
from statekeeper.text.html_table import html_table


class Outcome(StrEnum):
    """The outcome of a table in a run."""

    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    HELD = "held"
    INTERRUPTED = "interrupted"
    PENDING = "pending"
    """The table belongs to the run but was not requested now; `resume` without a config names such tables."""


class TableReport(Frozen):
    """One table's outcome. `records`, `bytes` and `output_path` describe the published data; None if there is none."""

    table: TableRef
    outcome: Outcome
    reason: str | None = None
    records: int | None = None
    bytes: int | None = None
    output_path: str | None = None
    duration_seconds: float = 0.0
    failure: Failure | None = None
    remarks: tuple[str, ...] = ()
    """What a person should know about the published data, a sentence each."""
    stale: tuple[str, ...] = ()
    """For a complete table that was left as it is: what has changed in its configuration (`schema`, `query`, ...)."""
    covered_through: StoredPosition | None = None
    """Of a table with an `incremental_column`: complete extractions had every value before this point."""

    @property
    def end(self) -> TableEnd:
        """The outcome as a reporter receives it."""
        return TableEnd(
            state=State.COMPLETE if self.outcome is Outcome.COMPLETED else self.outcome,
            reason=self.failure.message if self.failure else self.reason,
            rows=self.records,
            bytes=self.bytes,
            seconds=round(self.duration_seconds, 3),
            error_kind=self.failure.kind if self.failure else None,
            error_code=self.failure.code if self.failure else None,
        )

    @property
    def is_good(self) -> bool:
        """Whether the table's data is complete and published."""
        return self.outcome in {Outcome.COMPLETED, Outcome.SKIPPED}

    @property
    def exit_code(self) -> int:
        """The exit code of a run of this table alone."""
        match self.outcome:
            case Outcome.COMPLETED | Outcome.SKIPPED:
                return ExitCode.COMPLETE
            case Outcome.FAILED:
                return ExitCode.of_failure(self.failure.kind if self.failure else None)
            case Outcome.PENDING:
                return ExitCode.FAILED
            case Outcome.HELD:
                return ExitCode.HELD
            case Outcome.INTERRUPTED:
                return INTERRUPTED
            case _:
                assert_never(self.outcome)


def standing_of(table: TableReport) -> Standing:
    """How a table stands after its task has ended."""
    failure = table.failure.kind if table.failure else None
    return Standing(table.table.key, table.is_good, failure, is_stale=bool(table.stale))


class RunIncomplete(StatekeeperError):
    """A run ended without completing every table; `report` says which tables, and why."""

    def __init__(self, report: RunReport) -> None:
        wrong = [table for table in report.tables if not table.is_good]
        count = f"{report.run_id}: {len(wrong)} of {len(report.tables)} tables are not complete"
        super().__init__("\n".join([count, *map(_line, wrong)]), hint="run it again: it continues from here")
        self.report = report
        self.exit_code = report.exit_code

    def __reduce__(self) -> tuple[type[RunIncomplete], tuple[RunReport]]:
        """Schedulers send errors from process to process."""
        return RunIncomplete, (self.report,)


def _line(table: TableReport) -> str:
    hint = f". hint: {table.failure.hint}" if table.failure and table.failure.hint else ""
    return f"{table.table.key}: {table.outcome}: {table.end.reason}{hint}"


class RunReport(Frozen):
    """The outcomes of a run. `interrupted_by` is the number of the signal that ended it early.

    `earlier` are the runs of earlier dates that tables with `on_gap: backfill` were extracted on first.
    """

    run_id: str
    pipeline: str
    extraction_date: str
    base_path: str
    tables: tuple[TableReport, ...]
    duration_seconds: float
    interrupted_by: int | None = None
    next_steps: tuple[NextStep, ...] = ()
    earlier: tuple[RunReport, ...] = ()

    def with_left(self, tables: Iterable[TableRef], next_steps: tuple[NextStep, ...]) -> Self:
        """The report with the other incomplete tables of the run, so that the run is not called complete."""
        known = {table.table for table in self.tables}
        reason = "part of this run, not complete, and not requested now"
        left = [TableReport(table=each, outcome=Outcome.PENDING, reason=reason) for each in tables if each not in known]
        if not left:
            return self
        steps = tuple(dict.fromkeys((*self.next_steps, *next_steps)))
        return self.model_copy(update={"tables": (*self.tables, *left), "next_steps": steps})

    def with_earlier(self, runs: tuple[RunReport, ...]) -> Self:
        """The report with the runs of earlier dates, and with what to type for those that are not complete."""
        left = [step for run in runs if run.exit_code for step in run.next_steps]
        own = self.next_steps if self.exit_code or not left else ()
        interrupted_by = next((run.interrupted_by for run in runs if run.interrupted_by), self.interrupted_by)
        steps = tuple(dict.fromkeys((*left, *own)))
        return self.model_copy(update={"earlier": runs, "next_steps": steps, "interrupted_by": interrupted_by})

    def raise_for_failure(self) -> Self:
        """Return the report itself if every table's data is complete.

        Raises:
            RunIncomplete: some table failed, was not started, is held by another runner, or was interrupted.
        """
        if self.exit_code:
            raise RunIncomplete(self)
        return self

    def _repr_html_(self) -> str:
        """The HTML that `display()` shows in a notebook: a row per table."""
        rows = (
            (
                each.table.key,
                each.outcome,
                count(each.records),
                size(each.bytes),
                duration(each.duration_seconds or None),
                each.output_path or "",
                each.failure.message if each.failure else each.reason or "",
            )
            for each in self.tables
        )
        columns = ("table", "result", "rows", "size", "time", "where", "why")
        return html_table(f"{self.run_id} ({self.extraction_date})", columns, rows)

    def only_bad(self) -> Self:
        """The report without the tables that are complete."""
        return self.model_copy(update={"tables": tuple(table for table in self.tables if not table.is_good)})

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def exit_code(self) -> int:
        """0 if all tables are complete; else the first that applies: 130/143 interrupted, 4 a source was not reached,
        1 a table failed or was never started, 3 a table is held by another runner.
        """
        if self.interrupted_by is not None:
            return 128 + self.interrupted_by
        own = worst_exit_code(table.exit_code for table in self.tables)
        return int(worst_exit_code((own, *(run.exit_code for run in self.earlier))))


class BackfillReport(Frozen):
    """The outcomes of a backfill: a report of each date's run, in the order of the dates.

    `left_out` are selected tables that are extracted whole, and so have no earlier dates.
    """

    pipeline: str
    first_date: str
    last_date: str
    base_path: str
    runs: tuple[RunReport, ...]
    left_out: tuple[str, ...] = ()
    duration_seconds: float
    interrupted_by: int | None = None
    next_steps: tuple[NextStep, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.pipeline} from {self.first_date} to {self.last_date}"

    def raise_for_failure(self) -> Self:
        """Return the report itself if every table's data is complete on every date.

        Raises:
            RunIncomplete: of the first date on which it is not.
        """
        for run in self.runs:
            run.raise_for_failure()
        return self

    def only_bad(self) -> Self:
        """The report without what is complete."""
        bad = (run.only_bad() for run in self.runs)
        return self.model_copy(update={"runs": tuple(run for run in bad if run.tables)})

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def exit_code(self) -> int:
        """As of a run of all tables and dates."""
        if self.interrupted_by is not None:
            return 128 + self.interrupted_by
        return int(worst_exit_code(run.exit_code for run in self.runs))
