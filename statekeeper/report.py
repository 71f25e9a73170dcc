"""What a run came to: one outcome per table, and the exit code that they add up to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import computed_field

from statekeeper.errors import NO_SOURCE
from statekeeper.model.base import Frozen
from statekeeper.model.record import Failure, State
from statekeeper.model.table import TableRef
from statekeeper.reporting import TableEnd


class Outcome(StrEnum):
    """What became of a table in a run."""

    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    HELD = "held"
    INTERRUPTED = "interrupted"


class TableReport(Frozen):
    """One table's outcome. `records`, `bytes` and `output_path` are of what is published, None where nothing is."""

    table: TableRef
    outcome: Outcome
    reason: str | None = None
    records: int | None = None
    bytes: int | None = None
    output_path: str | None = None
    duration_seconds: float = 0.0
    failure: Failure | None = None
    remarks: tuple[str, ...] = ()
    """What a person should know of what is published, a sentence each."""

    @property
    def end(self) -> TableEnd:
        """The same as a reporter hears it."""
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


class RunReport(Frozen):
    """A run's outcomes. `interrupted_by` is the number of the signal that ended it early."""

    run_id: str
    pipeline: str
    extraction_date: str
    base_path: str
    tables: tuple[TableReport, ...]
    duration_seconds: float
    interrupted_by: int | None = None

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def exit_code(self) -> int:
        """0 all complete; 130/143 interrupted, over 4 a source not reached, over 1 failed, over 3 held by another
        runner.
        """
        if self.interrupted_by is not None:
            return 128 + self.interrupted_by
        failures = [table.failure for table in self.tables if table.outcome is Outcome.FAILED]
        if any(failure and failure.kind in NO_SOURCE for failure in failures):
            return 4
        if failures:
            return 1
        return 3 if any(table.outcome is Outcome.HELD for table in self.tables) else 0
