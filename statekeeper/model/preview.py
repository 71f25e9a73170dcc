"""What a run would do, per table, without doing it: what `statekeeper plan` shows."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import computed_field

from statekeeper.errors import NO_SOURCE
from statekeeper.model.base import Frozen
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.record import Failure
from statekeeper.model.table import Scope, TableRef


class Verdict(StrEnum):
    """What a run would do with a table."""

    SKIP = "skip"
    RESUME = "resume"
    RESTART = "restart"
    START = "start"
    HELD = "held"
    REFUSE = "refuse"
    READABLE = "readable"


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

    def only_bad(self) -> Self:
        """The same without the tables that can be extracted, or need not be."""
        bad = tuple(table for table in self.tables if table.failure or table.verdict in {Verdict.REFUSE, Verdict.HELD})
        return self.model_copy(update={"tables": bad})

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def exit_code(self) -> int:
        """4 for a source out of reach, 1 for a table that cannot be planned, 3 for a held one, else 0."""
        kinds = {table.failure.kind for table in self.tables if table.failure is not None}
        verdicts = {table.verdict for table in self.tables}
        if kinds & NO_SOURCE:
            return 4
        if kinds or Verdict.REFUSE in verdicts:
            return 1
        return 3 if Verdict.HELD in verdicts else 0
